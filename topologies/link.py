"""A link: its two ends, its limits, and what is asked of it beyond carrying frames at once.

In: names and numbers. Out: frozen records, checked. Owns nothing.
The largest super-packet (`gso_max_bytes`) is the kernel's GSO_LEGACY_MAX_SIZE or, as "BIG TCP", up to its
GSO_MAX_SIZE (include/linux/netdevice.h). The impairments are those of tc-netem(8).
"""

from __future__ import annotations

import math

import msgspec

from topologies.names import check_interface
from topologies.topology_error import TopologyError

GSO_LEGACY_MAX_BYTES = 65536
GSO_MAX_BYTES = 524280
MTU_MIN, MTU_MAX = 576, 9000
IPV6_MTU_MIN = 1280  # RFC 8200 section 5: a link with less carries no IPv6
RATE_MIN_BPS, RATE_MAX_BPS = 8_000, 10**12
DELAY_MAX_S = 10.0
QUEUE_MAX_PACKETS = 1_000_000


class LinkEnd(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One end of a link: a node, and the name of its interface there."""

    node: str
    interface: str

    def __post_init__(self) -> None:
        check_interface(self.interface)


class GilbertElliott(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Loss that comes in bursts, in tc-netem(8)'s words (loss gemodel): a chain of two states, good and bad.
    `p`: the chance that a packet leaves the good state behind, `r`: the bad one; `lost_bad` (netem's 1-h) and
    `lost_good` (1-k): chances that a packet is lost in the state that it meets."""

    p: float
    r: float
    lost_bad: float = 1.0
    lost_good: float = 0.0

    def obstacle(self) -> str | None:
        """As Quality's."""
        names = {"p": self.p, "r": self.r, "1-h": self.lost_bad, "1-k": self.lost_good}
        for name, chance in names.items():
            if not 0 <= chance <= 1:
                return f"{name} {chance:g} of gemodel is no chance; give 0 to 1"
        if not self.p + self.r:
            return "p and r of gemodel are both 0, so nothing ever changes; give a plain loss"
        return None

    @property
    def loss(self) -> float:
        """Of all packets, in the long run."""
        bad = self.p / (self.p + self.r)
        return bad * self.lost_bad + (1 - bad) * self.lost_good

    @property
    def burstiness(self) -> float:
        """The variance of a count of losses over that of independent ones, in the long run: 1 + 2 times the
        sum of autocorrelations, which decay by 1 - p - r a packet."""
        bad, kept = self.p / (self.p + self.r), 1 - self.p - self.r
        spread = bad * (1 - bad) * (self.lost_bad - self.lost_good) ** 2
        single = self.loss * (1 - self.loss)
        return 1 + 2 * spread * kept / (1 - kept) / single if single else 1.0


class Quality(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is asked of a link, in one direction. 0: nothing is asked, so the link is as fast as the
    CPU, its queue as long as the kernel's, and nothing is lost.

    `rate_bps` in bits a second, counting whole Ethernet frames. `delay_s` one way; `jitter_s` more or less
    than that. `loss`, `reorder`, `duplicate`, `corrupt`: chances, 0 to 1, of a packet. `queue_packets`: how
    many wait before one is dropped. `ecn_threshold_bytes`: a packet that meets a longer queue is marked (CE)
    if its sender is capable of ECN (RFC 3168), as DCTCP's switches do. `gemodel`: losses come in bursts, and
    `loss` is their share.
    """

    rate_bps: int = 0
    delay_s: float = 0.0
    jitter_s: float = 0.0
    loss: float = 0.0
    reorder: float = 0.0
    duplicate: float = 0.0
    corrupt: float = 0.0
    queue_packets: int = 0
    ecn_threshold_bytes: int = 0
    gemodel: GilbertElliott | None = None

    def obstacle(self) -> str | None:
        """Why no link can be so, as a clause with its remedy; None when one can."""
        for name in ("loss", "reorder", "duplicate", "corrupt"):
            if not 0 <= (chance := getattr(self, name)) <= 1:
                return f"{name} {chance:g} is no chance; give 0 to 1"
        if self.gemodel is not None and (obstacle := self.gemodel.obstacle()):
            return obstacle
        own = 0.0 if self.gemodel is not None else self.loss  # else the others hit what is not lost
        if (total := own + self.reorder + self.duplicate + self.corrupt) > 1:
            return f"loss, reorder, duplicate and corrupt add up to {total:g}; make them 1 at most"
        if self.rate_bps and not RATE_MIN_BPS <= self.rate_bps <= RATE_MAX_BPS:
            return f"rate_bps {self.rate_bps} is outside {RATE_MIN_BPS} to {RATE_MAX_BPS}; give 0 for none"
        for name in ("delay_s", "jitter_s"):
            if not 0 <= (seconds := getattr(self, name)) <= DELAY_MAX_S:
                return f"{name} {seconds:g} is outside 0 to {DELAY_MAX_S:g} s; make it shorter"
        if self.jitter_s > self.delay_s:
            return f"jitter_s {self.jitter_s:g} is more than delay_s {self.delay_s:g}; give a longer delay"
        if self.reorder and not self.delay_s:
            return f"reorder {self.reorder:g} has no delay that packets could overtake; give delay_s too"
        if not 0 <= self.queue_packets <= QUEUE_MAX_PACKETS:
            return f"queue_packets {self.queue_packets} is outside 0 to {QUEUE_MAX_PACKETS}; give 0 for none"
        if self.ecn_threshold_bytes < 0:
            return f"ecn_threshold_bytes {self.ecn_threshold_bytes} is below 0; give 0 for none"
        if self.ecn_threshold_bytes and not self.rate_bps:
            return "ecn_threshold_bytes is asked of a link without rate_bps, where no queue builds; give one"
        return None

    def loss_deviation(self, packets: int) -> float:
        """The standard deviation of the share that is lost of so many."""
        burstiness = 1.0 if self.gemodel is None else self.gemodel.burstiness
        return math.sqrt(self.loss * (1 - self.loss) * burstiness / packets)

    @property
    def is_relayed(self) -> bool:
        """Whether more is asked than a rate and a queue, so that a relay is the link's middle."""
        return self.quality != Quality(rate_bps=self.rate_bps, queue_packets=self.queue_packets)

    @property
    def quality(self) -> Quality:
        """This alone, of a Link."""
        return Quality(**{name: getattr(self, name) for name in Quality.__struct_fields__})


class Link(Quality, frozen=True, forbid_unknown_fields=True):
    """A full-duplex wire. `mtu` in bytes of IP packet; `gso_max_bytes` the longest super-packet either end
    takes. What is asked is asked in both directions, or, where there is `down`, from `a` to `b` only, and
    that from `b` to `a`."""

    a: LinkEnd
    b: LinkEnd
    mtu: int = 1500
    gso_max_bytes: int = GSO_LEGACY_MAX_BYTES
    down: Quality | None = None

    def __post_init__(self) -> None:
        if not MTU_MIN <= self.mtu <= MTU_MAX:
            raise TopologyError(
                f"mtu {self.mtu} of link {self} is outside {MTU_MIN} to {MTU_MAX} bytes; 1500 is usual"
            )
        if not GSO_LEGACY_MAX_BYTES <= self.gso_max_bytes <= GSO_MAX_BYTES:
            raise TopologyError(
                f"gso_max_bytes {self.gso_max_bytes} of link {self} is outside {GSO_LEGACY_MAX_BYTES} to "
                f"{GSO_MAX_BYTES}; choose {GSO_LEGACY_MAX_BYTES}, or {GSO_MAX_BYTES} for BIG TCP"
            )
        for way in self.ways:
            if obstacle := way.obstacle():
                raise TopologyError(f"link {self}: {obstacle}")

    def __str__(self) -> str:
        return f"{self.a.interface}<->{self.b.interface}"

    @property
    def name(self) -> str:
        """Of one interface's name, which no other link has."""
        return self.a.interface

    @property
    def ends(self) -> tuple[LinkEnd, LinkEnd]:
        return self.a, self.b

    @property
    def ways(self) -> tuple[Quality, Quality]:
        """What is asked from `a` to `b`, and back."""
        return self.quality, self.quality if self.down is None else self.down

    def sent_by(self, end: LinkEnd) -> Link:
        """The link as packets from that end find it: alike in both directions."""
        way = self.ways[self.ends.index(end)]
        return Link(self.a, self.b, self.mtu, self.gso_max_bytes, **msgspec.structs.asdict(way))

    @property
    def is_plain(self) -> bool:
        """Whether nothing is asked of it."""
        return self.ways == (Quality(), Quality())

    @property
    def is_relayed(self) -> bool:
        """Whether a relay is its middle."""
        return any(way.is_relayed for way in self.ways)

    @property
    def slower_bps(self) -> int:
        """The rate of its slower direction, 0 for none."""
        return min((way.rate_bps for way in self.ways if way.rate_bps), default=0)

    @property
    def carries_ipv6(self) -> bool:
        return self.mtu >= IPV6_MTU_MIN
