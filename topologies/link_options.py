"""What people ask of a link, in their own words: `rate` 100Mbit, `delay` 5us, `loss` 1%.

In: texts and numbers. Out: the `Quality` and the MTU of a `Link`. Owns nothing. A shape's `net.link`, a
topology file and the command line's --link all ask in these words.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from topologies import quantity
from topologies.link import Quality
from topologies.topology_error import TopologyError


class LinkOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """What is asked of a link, in both directions alike; null is as if it were left out."""

    rate: Annotated[str | None, Meta(description="As 100Mbit or 2.5Gbit.")] = None
    delay: Annotated[str | None, Meta(description="One way, as 50us or 1.5ms.")] = None
    jitter: Annotated[str | None, Meta(description="More or less than the delay, as 10us.")] = None
    loss: Annotated[float | str | None, Meta(description="Chance of a packet, as 0.01 or 1%.")] = None
    reorder: Annotated[float | str | None, Meta(description="Likewise; needs a delay.")] = None
    duplicate: Annotated[float | str | None, Meta(description="Likewise.")] = None
    corrupt: Annotated[float | str | None, Meta(description="Likewise.")] = None
    mtu: Annotated[int | None, Meta(description="Bytes of an IP packet.")] = None
    queue_packets: Annotated[int | None, Meta(description="So many wait before one is dropped.")] = None
    ecn_threshold: Annotated[
        int | str | None, Meta(description="Bytes in the queue from which packets are marked (CE), as 30K.")
    ] = None

    def over(self, defaults: LinkOptions) -> LinkOptions:
        """These, and for what they do not say `defaults`."""
        said = {name: value for name, value in msgspec.structs.asdict(self).items() if value is not None}
        return msgspec.structs.replace(defaults, **said)

    def quality(self) -> Quality:
        """Raises TopologyError for a text that is not understood, or for values that cannot be."""
        said = {name: getattr(self, name) for name in self.__struct_fields__}
        values: dict[str, Any] = {
            field: parse(said[name]) if isinstance(said[name], str) else said[name]
            for name, (field, parse) in _FIELDS.items()
            if said[name] is not None
        }
        quality = Quality(**values)
        if obstacle := quality.obstacle():
            raise TopologyError(obstacle)
        return quality

    def problems(self) -> dict[str, str]:
        """A sentence for each field that is not understood, by its name."""
        found = {}
        for name, (_, parse) in _FIELDS.items():
            said = getattr(self, name)
            try:
                if isinstance(said, str):
                    parse(said)
            except TopologyError as wrong:
                found[name] = str(wrong)
        return found


_FIELDS: dict[str, tuple[str, Callable[[str], float]]] = {
    "rate": ("rate_bps", quantity.bit_rate),
    "delay": ("delay_s", quantity.duration),
    "jitter": ("jitter_s", quantity.duration),
    "loss": ("loss", quantity.chance),
    "reorder": ("reorder", quantity.chance),
    "duplicate": ("duplicate", quantity.chance),
    "corrupt": ("corrupt", quantity.chance),
    "queue_packets": ("queue_packets", int),
    "ecn_threshold": ("ecn_threshold_bytes", quantity.size),
}  # the field of Quality, and what reads a text


def parse(text: str) -> LinkOptions:
    """A rate, a delay or both, as in `1Gbit,50us`. Raises TopologyError."""
    said: dict[str, str] = {}
    for word in filter(None, (each.strip() for each in text.split(","))):
        name = "rate" if re.fullmatch(quantity.BIT_RATE, word) else "delay"
        if name in said or (name == "delay" and not re.fullmatch(quantity.DURATION, word)):
            raise TopologyError(f"link {text!r} is not a rate, a delay or both; write for example 1Gbit,50us")
        said[name] = word
    options = LinkOptions(**said)  # type: ignore[arg-type]
    options.quality()
    return options
