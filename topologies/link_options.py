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
    """What is asked of a link, in both directions alike, or by a text UP/DOWN from its first end to its
    second and back; null is as if it were left out."""

    rate: Annotated[str | None, Meta(description="As 100Mbit or 2.5Gbit; 1Mbit/16Mbit: up and down.")] = None
    delay: Annotated[str | None, Meta(description="One way, as 50us or 1.5ms.")] = None
    jitter: Annotated[str | None, Meta(description="More or less than the delay, as 10us.")] = None
    loss: Annotated[
        float | str | None,
        Meta(description="Chance of a packet, as 0.01 or 1%; gemodel:p,r,1-h,1-k: in bursts."),
    ] = None
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

    def ways(self) -> tuple[Quality, Quality]:
        """From the first end to the second, and back. Raises TopologyError for a text that is not understood,
        or for values that cannot be."""
        up, down = (self._quality(number) for number in (0, 1))
        return up, down

    def problems(self) -> dict[str, str]:
        """A sentence for each field that is not understood, by its name."""
        found = {}
        for name in _FIELDS:
            try:
                for number in (0, 1):
                    self._values(name, number)
            except TopologyError as wrong:
                found[name] = str(wrong)
        return found

    def _quality(self, number: int) -> Quality:
        values: dict[str, Any] = {}
        for name in _FIELDS:
            values |= self._values(name, number)
        quality = Quality(**values)
        if obstacle := quality.obstacle():
            raise TopologyError(obstacle)
        return quality

    def _values(self, name: str, number: int) -> dict[str, Any]:
        """Of a field: what Quality has of it in a direction."""
        said = getattr(self, name)
        if said is None:
            return {}
        field, parse = _FIELDS[name]
        if not isinstance(said, str):
            return {field: said}
        both = _BOTH_WAYS.split(said)
        if len(both) > 2:
            raise TopologyError(f"{name} {said!r} is of more than two directions; write UP/DOWN, or one")
        text = both[number] if len(both) == 2 else said
        if name == "loss" and text.strip().startswith(quantity.GEMODEL):
            bursts = quantity.gemodel(text)
            return {"loss": bursts.loss, "gemodel": bursts}
        return {field: parse(text)}


_BOTH_WAYS = re.compile(r"/(?!s\b)")  # but 100Mbit/s is one
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
    """A rate and a delay as they are, anything else with its name, as in `1Gbit,50us,loss=1%`. Raises
    TopologyError."""
    said: dict[str, str] = {}
    for word in filter(None, (each.strip() for each in text.split(","))):
        if quantity.GEMODEL in said.get("loss", "") and "=" not in word and not _named(word):
            said["loss"] += f",{word}"
            continue
        name, equals, value = (each.strip() for each in word.partition("="))
        if not equals:
            name, value = _named(word), word
        if name not in _FIELDS or not value:
            raise TopologyError(
                f"link {text!r} is not a rate, a delay or NAME=VALUE; write for example 1Gbit,50us,loss=1%"
            )
        if name in said:
            raise TopologyError(f"link {text!r} has {name} twice; give it once")
        said[name] = value
    options = LinkOptions(**_typed(said))
    options.ways()
    return options


def _named(word: str) -> str:
    """What a word without a name is; "" if that cannot be told."""
    patterns = {"rate": quantity.BIT_RATE, "delay": quantity.DURATION}
    of = [
        {name for name, each in patterns.items() if re.fullmatch(each, way)} for way in _BOTH_WAYS.split(word)
    ]
    return min(set.intersection(*of), default="")


def _typed(said: dict[str, str]) -> dict[str, Any]:
    packets = said.get("queue_packets", "0")
    if not (packets.isascii() and packets.isdigit()):
        raise TopologyError(f"queue_packets {packets!r} is no number of packets; write for example 100")
    return {name: int(value) if name == "queue_packets" else value for name, value in said.items()}
