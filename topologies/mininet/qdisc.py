"""The rate of a link: a token bucket at each end, as tc-tbf(8) has it.

In: a link. Out: lines for `tc -batch`, and what the kernel says that it did. Owns nothing. The bucket holds a
millisecond of the rate, and one super-packet at least, which passes whole: with Mininet's fixed 15 kB a link
of 1 Gbit/s carries three quarters of that. net/sched/sch_tbf.c.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from topologies.link import Link
from topologies.topology_error import TopologyError

QUEUE_PACKETS = 1000  # of a link that says nothing: an Ethernet device's (txqueuelen)
_HEADER_BYTES = 14
_BURST_S = 0.001
_TOLERANCE = 0.01  # of the rate as it is read back; the kernel counts bytes a second


class TokenBucket(msgspec.Struct, frozen=True):
    """`rate` in bytes a second; `burst` and `limit` (of the queue) in bytes."""

    rate: int
    burst: int
    limit: int

    def line(self, interface: str) -> str:
        """For `tc -batch`."""
        shaped = f"rate {8 * self.rate}bit burst {self.burst} limit {self.limit}"
        return f"qdisc replace dev {interface} root tbf {shaped}"


class _Options(msgspec.Struct, frozen=True):
    rate: int = 0


class _Qdisc(msgspec.Struct, frozen=True):
    kind: str
    dev: str
    options: _Options = _Options()


def token_bucket(link: Link) -> TokenBucket:
    """Of a link that has a rate, as the end that sends finds it. A queue that is shorter than a super-packet
    holds one."""
    rate = link.rate_bps // 8
    # The kernel counts a super-packet as its wire packets, whose headers are at most an eighth more.
    super_packet = link.gso_max_bytes * 9 // 8
    burst = max(round(rate * _BURST_S), super_packet)
    queue = (link.queue_packets or QUEUE_PACKETS) * (link.mtu + _HEADER_BYTES)
    return TokenBucket(rate, burst, max(queue, super_packet))


def check(shown: bytes, asked: Mapping[str, TokenBucket]) -> None:
    """Raise TopologyError unless every interface of `asked` has its rate. `shown`: of `tc -json qdisc`."""
    found = {each.dev: each for each in msgspec.json.decode(shown or b"[]", type=list[_Qdisc])}
    for interface, bucket in asked.items():
        qdisc = found.get(interface)
        rate = qdisc.options.rate if qdisc is not None and qdisc.kind == "tbf" else 0
        if abs(rate - bucket.rate) > bucket.rate * _TOLERANCE:
            raise TopologyError(
                f"interface {interface} was asked for {8 * bucket.rate} bit/s, and the kernel says "
                f"{8 * rate or 'nothing of a rate'}; it needs tc's tbf (CONFIG_NET_SCH_TBF)"
            )


def buckets(links: Sequence[Link]) -> dict[str, dict[str, TokenBucket]]:
    """The token bucket of each interface that needs one, by node."""
    found: dict[str, dict[str, TokenBucket]] = {}
    for link in links:
        for end in link.ends:
            sent = link.sent_by(end)
            if sent.rate_bps and not sent.ecn_threshold_bytes:  # tc-tbf(8) does not mark: the relay's queue
                found.setdefault(end.node, {})[end.interface] = token_bucket(sent)
    return found
