"""Connections that are over and wait: what is left of them answers stray segments and holds the port.

In: sockets whose connection reached TIME-WAIT, segments for them, `now`. Out: ACKs; the ISS of a connection
that may take the place of one. Owns what is left: bounded, and gone after a minute of quiet. Each segment
that counts makes one the last to end, so that they lie in the order of their ends.
Source: inet_timewait_sock (net/ipv4/inet_timewait_sock.c), tcp_time_wait (net/ipv4/tcp_minisocks.c).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nodes.sock.bind_table import Ports
from nodes.tcp.mib import TcpMib
from nodes.tcp.segment import Segment
from nodes.tcp.state import State
from nodes.tcp.time_wait import TimeWait

if TYPE_CHECKING:
    from nodes.sock.devmem_socket import DevmemSocket

BUCKETS_MAX = 1 << 16  # sysctl tcp_max_tw_buckets; a connection beyond them just ends

Flow = tuple[int, int, int]  # local port, remote address, remote port


@dataclass(slots=True, eq=False)
class _Remnant:
    """What holds the port, and what answers."""

    time_wait: TimeWait
    slots: tuple[int, ...] = ()


class TimeWaits:
    """`xmit(segment, remote, now)` sends an answer."""

    def __init__(self, ports: Ports, mib: TcpMib, xmit: Callable[[Segment, int, float], None]) -> None:
        self._ports = ports
        self._mib = mib
        self._xmit = xmit
        self._remnants: dict[Flow, _Remnant] = {}

    def __contains__(self, flow: object) -> bool:
        return flow in self._remnants

    def __iter__(self) -> Iterator[Flow]:
        return iter([*self._remnants])

    def add(self, flow: Flow, sock: DevmemSocket, time_wait: TimeWait) -> None:
        """Keep `time_wait`, which holds the port of `sock` from now on."""
        if len(self._remnants) >= BUCKETS_MAX:
            self._mib.TcpExtTCPTimeWaitOverflow += 1
            return
        self._remnants[flow] = remnant = _Remnant(time_wait)
        self._ports.hand_over(sock, remnant)

    def receive(self, flow: Flow, segment: Segment, now: float, reopen: bool) -> int | None:
        """A segment for `flow`, which is here: it is taken. Or it is a SYN that a new connection may begin
        with, if there is somebody to take it (`reopen`): its ISS; the segment stays the caller's."""
        remnant = self._remnants[flow]
        iss = remnant.time_wait.iss_for_reopening(segment.header, now) if reopen else None
        if iss is not None:
            self._end(flow)
            return iss
        before = remnant.time_wait.next_timeout()
        remnant.time_wait.receive_segment(segment, now)
        for answer in remnant.time_wait.segments_to_send(now):
            self._xmit(answer, flow[1], now)
        if remnant.time_wait.state is State.CLOSED:
            self._end(flow)
        elif remnant.time_wait.next_timeout() != before:
            self._remnants[flow] = self._remnants.pop(flow)
        return None

    def _end(self, flow: Flow) -> None:
        self._ports.release(self._remnants.pop(flow))

    def next_timeout(self) -> float | None:
        for remnant in self._remnants.values():
            return remnant.time_wait.next_timeout()
        return None

    def handle_timeout(self, now: float) -> None:
        """Let go of those whose time has come."""
        while self._remnants:
            flow, remnant = next(iter(self._remnants.items()))
            remnant.time_wait.handle_timeout(now)
            if remnant.time_wait.state is State.TIME_WAIT:
                return
            self._end(flow)
