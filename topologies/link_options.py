"""What people ask of a link, in their own words: `rate` 100Mbit, `delay` 5us, `loss` 1%.

In: texts and numbers. Out: the `Quality` and the MTU of a `Link`. Owns nothing. A shape's `net.link`, a
topology file and the command line's --link all ask in these words.
"""

from __future__ import annotations

import re

import msgspec

from topologies import quantity
from topologies.link import Quality
from topologies.topology_error import TopologyError


class LinkOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """None: not said. `topologies.link.Quality` tells what each means."""

    rate: str | None = None
    delay: str | None = None
    jitter: str | None = None
    loss: float | str | None = None
    reorder: float | str | None = None
    duplicate: float | str | None = None
    corrupt: float | str | None = None
    mtu: int | None = None
    queue_packets: int | None = None
    ecn_threshold: int | str | None = None

    def over(self, defaults: LinkOptions) -> LinkOptions:
        """These, and for what they do not say `defaults`."""
        said = {name: value for name, value in msgspec.structs.asdict(self).items() if value is not None}
        return msgspec.structs.replace(defaults, **said)

    def quality(self) -> Quality:
        """Raises TopologyError for a text that is not understood, or for values that cannot be."""
        quality = Quality(
            rate_bps=quantity.bit_rate(self.rate) if self.rate else 0,
            delay_s=quantity.duration(self.delay) if self.delay else 0.0,
            jitter_s=quantity.duration(self.jitter) if self.jitter else 0.0,
            loss=_chance(self.loss),
            reorder=_chance(self.reorder),
            duplicate=_chance(self.duplicate),
            corrupt=_chance(self.corrupt),
            queue_packets=self.queue_packets or 0,
            ecn_threshold_bytes=_bytes(self.ecn_threshold),
        )
        if obstacle := quality.obstacle():
            raise TopologyError(obstacle)
        return quality


def _chance(said: float | str | None) -> float:
    return quantity.chance(said) if isinstance(said, str) else float(said or 0)


def _bytes(said: int | str | None) -> int:
    return quantity.size(said) if isinstance(said, str) else said or 0


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
