"""A simulated router: a top-of-rack switch. Its ports to hosts are bridged, its uplinks lead to routers.

In: frames from its ports. Out: frames to other ports, IP packets with one hop less to live. Owns its tables,
which are given: neighbours by address, and routes of which several at equal cost share the flows by a hash
(fib_multipath_hash_policy 1, RFC 2992). It answers ARP for its own address. IPv4 alone.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from nodes.simulation.clock import Clock
from nodes.simulation.frame import Frame, frame_of
from nodes.simulation.line import Line
from nodes.simulation.output import Output, QueueLimits
from nodes.simulation.switch import Switch
from nodes.wire import arp, ethernet
from nodes.wire.ip import TCP, UDP

_AT: Final = ethernet.HEADER_BYTES
_IPV4: Final = ethernet.TYPE_IPV4.to_bytes(2, "big")
_ARP: Final = ethernet.TYPE_ARP.to_bytes(2, "big")


@dataclass(frozen=True, slots=True)
class Hop:
    """The next router: behind which of our uplinks, and its MAC there."""

    uplink: int
    mac: bytes


class Router:
    """`address` and `mac`: of its own interface in its hosts' segment, 0 and b"" without one. `seed`: of its
    hash; routers in a row would else send the same flows the same way. `uplinks`: its ports to routers, by
    number. `unrouted`: packets without a route, or at the end of their life."""

    def __init__(
        self,
        clock: Clock,
        address: int = 0,
        mac: bytes = b"",
        limits: QueueLimits | None = None,
        seed: int = 0,
    ) -> None:
        self.bridge = Switch(clock, limits)
        self.uplinks: list[Output] = []
        self.unrouted = 0
        self._clock = clock
        self._limits = limits
        self._address = address
        self._mac = mac
        self._seed = seed
        self._uplink_macs: list[bytes] = []
        self._neighbours: dict[int, bytes] = {}
        self._routes: list[tuple[int, int, tuple[Hop, ...]]] = []
        self._hops_to: dict[int, tuple[Hop, ...]] = {}

    def add_port(self, line: Line, limits: QueueLimits | None = None) -> int:
        """To a host or a bridge; see Switch."""
        return self.bridge.add_port(line, limits or self._limits)

    def add_uplink(self, line: Line, mac: bytes, limits: QueueLimits | None = None) -> int:
        """To a router. `mac`: of our own interface there. Returns the number of the uplink."""
        self.uplinks.append(Output(self._clock, line, limits or self._limits or QueueLimits()))
        self._uplink_macs.append(mac)
        return len(self.uplinks) - 1

    def add_neighbour(self, address: int, mac: bytes) -> None:
        """A host of the segment."""
        self._neighbours[address] = mac

    def clear_routes(self) -> None:
        """To add others."""
        self._routes.clear()
        self._hops_to.clear()

    def add_route(self, network: int, prefix_bits: int, hops: Sequence[Hop]) -> None:
        mask = 0xFFFFFFFF << 32 - prefix_bits & 0xFFFFFFFF
        self._routes.append((network, mask, tuple(hops)))
        self._routes.sort(key=lambda route: -route[1])
        self._hops_to.clear()

    def deliver(self, port: int, frame: Frame) -> None:
        """A frame has arrived at that port of the hosts' segment."""
        header = frame.header
        if header[:6] == self._mac:
            self._forward(frame)
        elif header[12:14] != _ARP or not self._answers(port, header):
            self.bridge.deliver(port, frame)

    def deliver_uplink(self, uplink: int, frame: Frame) -> None:
        """A frame has arrived from the router behind that uplink."""
        if frame.header[:6] == self._uplink_macs[uplink]:
            self._forward(frame)

    def _answers(self, port: int, header: bytes) -> bool:
        """Whether it is an ARP request for our address, which is then answered."""
        asked = arp.parse(header, _AT)
        if asked is None or asked.operation != arp.REQUEST or asked.target_ip != self._address:
            return False
        reply = arp.emit(arp.Arp(arp.REPLY, self._mac, self._address, asked.sender_mac, asked.sender_ip))
        answer = ethernet.emit(asked.sender_mac, self._mac, ethernet.TYPE_ARP) + reply
        self.bridge.outputs[port].send(frame_of(answer, [], 0, carried=True))
        return True

    def _forward(self, frame: Frame) -> None:
        header = frame.header
        if header[12:14] != _IPV4 or header[_AT + 8] <= 1:
            self.unrouted += 1
            return
        to = int.from_bytes(header[_AT + 16 : _AT + 20], "big")
        neighbour = self._neighbours.get(to)
        if neighbour is not None:
            self.bridge.forward(frame.with_header(neighbour + self._mac + _one_hop_less(header)))
            return
        hops = self._hops_to.get(to)
        if hops is None:
            hops = self._hops_to[to] = self._lookup(to)
        if not hops:
            self.unrouted += 1
            return
        hop = hops[0] if len(hops) == 1 else hops[self._hash(header) % len(hops)]
        macs = hop.mac + self._uplink_macs[hop.uplink]
        self.uplinks[hop.uplink].send(frame.with_header(macs + _one_hop_less(header)))

    def _lookup(self, address: int) -> tuple[Hop, ...]:
        for network, mask, hops in self._routes:
            if address & mask == network:
                return hops
        return ()

    def _hash(self, header: bytes) -> int:
        """Of a flow: addresses, and ports where there are some."""
        flow = header[_AT + 12 : _AT + 20]
        if header[_AT + 9] in (TCP, UDP):
            l4 = _AT + (header[_AT] & 15) * 4
            flow += header[l4 : l4 + 4]
        return zlib.crc32(flow, self._seed)


def _one_hop_less(header: bytes) -> bytes:
    """All behind the MACs, with a TTL that is lower by one, and its checksum (RFC 1624)."""
    at = _AT + 10
    checksum = int.from_bytes(header[at : at + 2], "big") + 0x100
    checksum = (checksum & 0xFFFF) + (checksum >> 16)
    ttl = bytes((header[_AT + 8] - 1,))
    return header[12 : _AT + 8] + ttl + header[_AT + 9 : at] + checksum.to_bytes(2, "big") + header[at + 2 :]
