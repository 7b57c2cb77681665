"""Connections in TIME-WAIT: what is kept of one answers stray segments and holds the port.

In: the ports of connections that reached TIME-WAIT, segments for them, `now`. Out: ACKs; the ISS of a new
connection that may take the place of an old one. Owns what is kept: bounded, and gone after a minute without
a segment. A segment that restarts the minute makes its connection the last to end, so the table is in the
order of the ends. Source: inet_timewait_sock (net/ipv4/inet_timewait_sock.c), tcp_time_wait
(net/ipv4/tcp_minisocks.c).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from nodes.sock.bind_table import BindTable, Holder
from nodes.sock.flow import Flow
from nodes.tcp.mib import TcpMib
from nodes.tcp.segment import Segment
from nodes.tcp.state import State
from nodes.tcp.time_wait import TimeWait

BUCKETS_MAX = 1 << 16  # sysctl tcp_max_tw_buckets; a connection beyond them ends at once


@dataclass(slots=True, eq=False)
class _TimewaitSock:
    """Holds the port, and answers."""

    time_wait: TimeWait
    slots: tuple[int, ...] = ()


class TimewaitTable:
    """`xmit(segment, flow, now)` sends an answer."""

    def __init__(
        self, ports: BindTable[Any], mib: TcpMib, xmit: Callable[[Segment, Flow, float], None]
    ) -> None:
        self._ports = ports
        self._mib = mib
        self._xmit = xmit
        self._socks: dict[Flow, _TimewaitSock] = {}

    def __contains__(self, flow: object) -> bool:
        return flow in self._socks

    def __iter__(self) -> Iterator[Flow]:
        return iter([*self._socks])

    def add(self, flow: Flow, holder: Holder, time_wait: TimeWait) -> None:
        """Keep `time_wait`, which holds the port of `holder` from now on."""
        if len(self._socks) >= BUCKETS_MAX:
            self._mib.TcpExtTCPTimeWaitOverflow += 1
            return
        self._socks[flow] = sock = _TimewaitSock(time_wait)
        self._ports.hand_over(holder, sock)

    def receive(self, flow: Flow, segment: Segment, now: float, reopen: bool) -> int | None:
        """A segment for `flow`, which is in the table. Returns None when the segment was taken. Returns an
        ISS when it is a SYN that a new connection may begin with and there is a listener for it (`reopen`);
        the segment then stays the caller's."""
        sock = self._socks[flow]
        iss = sock.time_wait.iss_for_reopening(segment.header, now) if reopen else None
        if iss is not None:
            self._end(flow)
            return iss
        before = sock.time_wait.next_timeout()
        sock.time_wait.receive_segment(segment, now)
        for answer in sock.time_wait.segments_to_send(now):
            self._xmit(answer, flow, now)
        if sock.time_wait.state is State.CLOSED:
            self._end(flow)
        elif sock.time_wait.next_timeout() != before:
            self._socks[flow] = self._socks.pop(flow)
        return None

    def _end(self, flow: Flow) -> None:
        self._ports.release(self._socks.pop(flow))

    def next_timeout(self) -> float | None:
        for sock in self._socks.values():
            return sock.time_wait.next_timeout()
        return None

    def handle_timeout(self, now: float) -> None:
        """Forget the connections whose minute is over."""
        while self._socks:
            flow, sock = next(iter(self._socks.items()))
            sock.time_wait.handle_timeout(now)
            if sock.time_wait.state is State.TIME_WAIT:
                return
            self._end(flow)
