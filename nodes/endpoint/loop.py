"""The endpoint's loop: the only clock, the only poll, the only sleep of the process.

In: readiness of the wires, of channels and of the listening socket; changes of links; timers. Out: turns of
the host; calls, which are begun after the frames of the same round, as softirqs receive ahead of system
calls. Where the host's buses have ceilings, a turn ends when they have served the bytes that it moved.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from types import FrameType
from typing import Final

from nodes.endpoint.busy_wire import BusyWire
from nodes.endpoint.charges import Charges
from nodes.endpoint.credentials import net_admin
from nodes.endpoint.link_monitor import LinkMonitor
from nodes.endpoint.record_file import Recordings
from nodes.host import Host
from nodes.syscall.session import Session
from nodes.syscall.sessions import Sessions
from nodes.timer_heap import earlier
from nodes.uapi.channel import RECORD_BYTES, Channel
from nodes.wire import ethernet, ip

_WAIT_MAX_S: Final = 3600.0  # epoll counts milliseconds in an int, and takes no infinity
PROBE_S: Final = 1.0  # of RFC 5227's probing; later a claim of our address by another host changes nothing
_IN: Final = select.EPOLLIN
_IN_OUT: Final = select.EPOLLIN | select.EPOLLOUT
_FINE_S: Final = 0.01  # waits below this are timed to the microsecond


class AddressInUse(Exception):
    """Another host on the link has our address; one sentence."""


class Loop:
    """`wires`: the ifindex of each AF_PACKET socket, by descriptor; `listener`: the channel's. Both belong to
    the caller. `busy_wires`: of the same sockets, those that the poll may forget to call writable."""

    def __init__(
        self,
        host: Host,
        sessions: Sessions,
        wires: Mapping[int, int],
        listener: socket.socket,
        charges: Charges,
        recordings: Recordings | None = None,
        links: LinkMonitor | None = None,
        busy_wires: Sequence[BusyWire] = (),
    ) -> None:
        self._host = host
        self._table = sessions
        self._record_buffer = bytearray(RECORD_BYTES)  # of all channels: they are served in turn
        self._wires = dict(wires)
        self._tx_queues = [(fd, host.devices[ifindex].tx) for fd, ifindex in wires.items()]
        self._busy_wires = busy_wires
        self._charges = charges
        self._recordings = recordings
        self._links = links
        self._links_fd = -1 if links is None else links.fileno()
        self._listener = listener
        self._listener_fd = listener.fileno()
        self._poll = select.epoll()
        self._sessions: dict[int, Session] = {}
        self._events: dict[int, int] = {}  # what the poll watches for, by descriptor
        self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._running = True
        for fd in wires:
            self._watch(fd, select.EPOLLIN)
        self._watch(self._listener_fd, select.EPOLLIN)
        if links is not None:
            self._watch(self._links_fd, select.EPOLLIN)
            self._follow(links)

    def run(self, probe: bool) -> None:
        """Until SIGTERM or SIGINT. `probe`: ask whether another host has our addresses; AddressInUse if
        so."""
        with ExitStack() as stack:
            self._catch_signals(stack)
            if probe:
                self._host.stack.inet.probe(time.monotonic() + PROBE_S)
            self._serve()
        self.close()

    def _catch_signals(self, stack: ExitStack) -> None:
        """A signal ends the loop, and wakes the poll through a descriptor of its own: Python resumes an
        interrupted poll otherwise (PEP 475)."""
        awake, wake = (stack.enter_context(end) for end in socket.socketpair())
        wake.setblocking(False)
        stack.callback(signal.set_wakeup_fd, signal.set_wakeup_fd(wake.fileno()))
        for number in (signal.SIGTERM, signal.SIGINT):
            stack.callback(signal.signal, number, signal.signal(number, self._stop))
        self._poll.register(awake, select.EPOLLIN)

    def _serve(self) -> None:
        next_turn: float | None = time.monotonic()
        while self._running:
            next_turn = self.serve_round(_wait_s(next_turn, time.monotonic()))

    def serve_round(self, wait_s: float) -> float | None:
        """Wait at most `wait_s` seconds (-1: without limit), then a turn of the host: frames, timers, the
        calls that arrived beside the frames, packets out. Returns when the next turn is due."""
        clock, wires, sessions = time.monotonic, self._wires, self._sessions
        ready = self._ready(wait_s)
        readable: list[int] = []
        for fd, _ in ready:
            ifindex = wires.get(fd)
            if ifindex is not None:
                readable.append(ifindex)
            elif fd == self._links_fd and self._links is not None:
                self._follow(self._links)
        for busy in self._busy_wires:
            busy.look(clock())
        self._host.receive(clock(), readable)
        for fd, events in ready:
            session = sessions.get(fd)
            if session is not None:
                session.handle(events, clock())
            elif fd == self._listener_fd:
                self._accept()
        next_turn = self._host.transmit(clock())
        for busy in self._busy_wires:
            next_turn = earlier(next_turn, busy.turned(clock()))
        if self._recordings is not None:
            next_turn = self._recordings.turn(clock(), next_turn)
        if readable:
            self._check_addresses()
        self._refresh()
        if self._charges.limited:
            self._stall()
        return next_turn

    def _follow(self, links: LinkMonitor) -> None:
        for ifindex, state in links.changes():
            self._host.set_link(ifindex, state.up, state.carrier)

    def _ready(self, wait_s: float) -> list[tuple[int, int]]:
        """What the poll reports. Some timers need microseconds, and epoll counts milliseconds: for them a
        select comes first. Others do without it."""
        if 0 < wait_s < _FINE_S and self._host.needs_microseconds:
            select.select((self._poll,), (), (), wait_s)
            wait_s = 0.0
        return self._poll.poll(wait_s)

    def _stop(self, _: int, __: FrameType | None) -> None:
        self._running = False

    def _check_addresses(self) -> None:
        conflict = self._host.stack.inet.conflict
        if conflict is not None:
            option = "--address6" if ip.is_ipv6(conflict.address) else "--address"
            raise AddressInUse(
                f"address {ip.address_text(conflict.address)} is in use on the link by"
                f" {ethernet.mac_text(conflict.mac)}: choose another {option}"
            )

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError as refused:
            if refused.errno in (errno.EMFILE, errno.ENFILE):
                self._refuse_one()
            return
        channel = Channel(sock, self._record_buffer)
        channel.setblocking(False)
        admin = net_admin(sock)
        session = Session(channel, admin.netns, self._table, admin.initial)
        self._sessions[session.fd] = session
        self._events.pop(session.fd, None)  # of a closed session that had the same number
        self._watch(session.fd, session.wanted_events())

    def _refuse_one(self) -> None:
        """No descriptor is left: the spare one lets a process in, to be told that it is refused."""
        os.close(self._spare)
        with suppress(OSError):
            self._listener.accept()[0].close()
        self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def _refresh(self) -> None:
        """Watch for what each descriptor wants now."""
        for fd, tx in self._tx_queues:
            self._watch(fd, _IN_OUT if tx.waiting else _IN)
        if not self._table.rearm:
            return
        rearm, self._table.rearm = self._table.rearm, {}
        for session in rearm:
            if not session.closed:
                self._watch(session.fd, session.wanted_events())
            elif self._sessions.get(session.fd) is session:
                del self._sessions[session.fd], self._events[session.fd]

    def _watch(self, fd: int, events: int) -> None:
        have = self._events.get(fd)
        if have == events:
            return
        if have is None:
            self._poll.register(fd, events)
        else:
            self._poll.modify(fd, events)
        self._events[fd] = events

    def _stall(self) -> None:
        """Wait for the buses: a DMA or a copy is over when they have served it."""
        now = time.monotonic()
        served_at = self._charges.served_at(now)
        if served_at > now:
            time.sleep(served_at - now)

    def close(self) -> None:
        """Sockets close, and their last segments leave."""
        now = time.monotonic()
        self._table.hang_up()
        for session in [*self._sessions.values()]:
            session.close(now)
        self._host.stack.transmit(now)
        self._poll.close()
        os.close(self._spare)


def _wait_s(next_turn: float | None, now: float) -> float:
    """Seconds that the poll may sleep; -1 until a descriptor is ready. epoll counts milliseconds and rounds
    up: a timer is never early, and at most 1 ms late."""
    return -1 if next_turn is None else min(max(0.0, next_turn - now), _WAIT_MAX_S)
