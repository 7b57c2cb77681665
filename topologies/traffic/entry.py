"""Background traffic as it is written, on a command line or in a topology file.

    poisson:load=0.3,sizes=web-search,from=h1+h2,to=h4

In: a text, or the mapping of a file. Out: a `TrafficEntry`. Owns the words. `topologies.traffic.check` knows
what they mean.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from topologies.topology_error import TopologyError

Kind = Literal["constant", "on-off", "poisson"]
Protocol = Literal["tcp", "udp"]
KINDS: tuple[Kind, ...] = ("constant", "on-off", "poisson")
PROTOCOLS: tuple[Protocol, ...] = ("tcp", "udp")


class TrafficEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """Traffic between the Linux stacks of hosts; of a text that is "" nothing is said."""

    kind: Kind
    from_: Annotated[
        str, Meta(description="Hosts that send, joined by +; left out: all, or all but those of `to`.")
    ] = msgspec.field(name="from", default="")
    to: Annotated[
        str, Meta(description="Hosts that receive, joined by +; left out: one drawn for each that sends.")
    ] = ""
    rate: Annotated[str, Meta(description="Of each host that sends, as 200Mbit; of on-off while on.")] = ""
    load: Annotated[
        float | str | None, Meta(description="Instead of a rate: a share of its link's, as 0.3 or 30%.")
    ] = None
    sizes: Annotated[
        str, Meta(description="Of poisson: web-search, data-mining, hadoop, or FILE.csv of bytes,cdf.")
    ] = ""
    on: Annotated[str, Meta(description="Of on-off: for how long it sends, as 10ms.")] = ""
    off: Annotated[str, Meta(description="Of on-off: for how long it then does not, as 40ms.")] = ""
    protocol: Annotated[
        Protocol, Meta(description="tcp, or of constant and on-off udp, which does not yield.")
    ] = "tcp"

    def __str__(self) -> str:
        said = [
            f"{field.encode_name}={value}"
            for field in msgspec.structs.fields(self)
            if field.name != "kind" and (value := getattr(self, field.name)) not in ("", None, field.default)
        ]
        return f"{self.kind}:{','.join(said)}"


_WORDS = tuple(field.encode_name for field in msgspec.structs.fields(TrafficEntry) if field.name != "kind")


def parse(text: str) -> TrafficEntry:
    """KIND:NAME=VALUE,NAME=VALUE. Raises TopologyError."""
    kind, _, rest = text.partition(":")
    if kind.strip() not in KINDS:
        raise TopologyError(f"there is no traffic {kind.strip()!r}; choose from {', '.join(KINDS)}")
    given: dict[str, str] = {}
    for pair in filter(None, (part.strip() for part in rest.split(","))):
        name, _, value = (part.strip() for part in pair.partition("="))
        if name not in _WORDS or not value:
            known = ", ".join(f"{word}=" for word in _WORDS)
            raise TopologyError(f"{pair!r} is none of {known} with something behind it")
        if name in given:
            raise TopologyError(f"{name}= is there twice; give it once")
        given[name] = value
    if given.get("protocol", "tcp") not in PROTOCOLS:
        raise TopologyError(f"there is no protocol {given['protocol']!r}; choose from {', '.join(PROTOCOLS)}")
    return msgspec.convert({"kind": kind.strip(), **given}, TrafficEntry)
