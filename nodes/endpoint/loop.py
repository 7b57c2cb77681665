"""The endpoint's loop: the only clock, the only poll, the only sleep.

In: readiness of the wire, of channels and of the listening socket; timers. Out: one turn at a time,
packets first, then blocked calls, new calls, and what connections want to send. When the host has a
memory ceiling, a turn that moved bytes through host memory ends when the bus has served them.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import time
from contextlib import ExitStack, suppress
from types import FrameType

from nodes.endpoint.credentials import has_net_admin
from nodes.endpoint.host_parts import HostParts
from nodes.endpoint.platform import LinuxPlatform
from nodes.syscall.session import Session
from nodes.syscall.sessions import Sessions
from nodes.uapi.channel import RECORD_BYTES, Channel
from nodes.wire import ethernet, ip

_WAIT_MAX_S = 3600.0  # epoll counts milliseconds in an int, and takes no infinity
PROBE_S = 1.0  # of RFC 5227's probing; whoever claims our address later does not get it by claiming it
BUDGET = 64  # packets a turn (NAPI's weight)
_FINE_S = 0.01  # waits below this are timed to the microsecond


class AddressInUse(RuntimeError):
    """Somebody on the link has our address; one sentence."""


class Loop:
    """`wire_fd` is the AF_PACKET socket, `listener` the channel's; both belong to the caller."""

    def __init__(self, host: HostParts, wire_fd: int, listener: socket.socket) -> None:
        self._host = host
        self._syscalls = Sessions(host, LinuxPlatform())
        self._record_buffer = bytearray(RECORD_BYTES)  # of all channels: they are served in turn
        self._wire_fd = wire_fd
        self._listener = listener
        self._listener_fd = listener.fileno()
        self._poll = select.epoll()
        self._sessions: dict[int, Session] = {}
        self._events: dict[int, int] = {}  # what the poll watches for, by descriptor
        self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._running = True
        self._charged = 0  # DRAM bytes the bus has been asked for
        self._watch(wire_fd, select.EPOLLIN)
        self._watch(self._listener_fd, select.EPOLLIN)

    def run(self, probe: bool) -> None:
        """Until SIGTERM or SIGINT. `probe`: ask whether somebody has our addresses; AddressInUse if so."""
        with ExitStack() as stack:
            self._catch_signals(stack)
            if self._host.capture is not None:
                self._host.capture.advance(time.monotonic())
            if probe:
                self._host.inet.link.probe(time.monotonic() + PROBE_S)
            self._serve()
        self.close()

    def _catch_signals(self, stack: ExitStack) -> None:
        """A signal ends the loop, and wakes the poll through a descriptor of its own: Python goes on
        with an interrupted poll otherwise (PEP 475)."""
        awake, wake = (stack.enter_context(end) for end in socket.socketpair())
        wake.setblocking(False)
        stack.callback(signal.set_wakeup_fd, signal.set_wakeup_fd(wake.fileno()))
        for number in (signal.SIGTERM, signal.SIGINT):
            stack.callback(signal.signal, number, signal.signal(number, self._stop))
        self._poll.register(awake, select.EPOLLIN)

    def _serve(self) -> None:
        clock = time.monotonic
        more = False
        while self._running:
            frames = False
            for fd, events in self._ready(self._wait_s(more, clock())):
                if fd == self._wire_fd:
                    frames = True
                elif fd == self._listener_fd:
                    self._accept()
                elif fd in self._sessions:
                    self._sessions[fd].handle(events, clock())
            more = self._turn(frames, clock())
            self._stall()

    def _ready(self, wait_s: float) -> list[tuple[int, int]]:
        """What the poll reports. A paced segment or a bad wire asks for microseconds, and epoll counts
        milliseconds; others do not, and are not asked twice."""
        if 0 < wait_s < _FINE_S and (self._host.impairment is not None or self._host.inet.paces_next):
            select.select((self._poll,), (), (), wait_s)
            wait_s = 0
        return self._poll.poll(wait_s)

    def _stop(self, _: int, __: FrameType | None) -> None:
        self._running = False

    def _wait_s(self, more: bool, now: float) -> float:
        """Seconds the poll may sleep, -1 for ever."""
        if more:
            return 0.0
        times = [self._host.inet.next_timeout(), self._syscalls.next_deadline()]
        if self._host.impairment is not None:
            times.append(self._host.impairment.next_timeout())
        first = min((t for t in times if t is not None), default=None)
        # epoll counts milliseconds and rounds up: a timer is never early, and at most 1 ms late.
        return -1 if first is None else min(max(0.0, first - now), _WAIT_MAX_S)

    def _turn(self, frames: bool, now: float) -> bool:
        """Packets in if there are `frames`, timers, blocked calls, packets out; whether to go on at once."""
        inet, device = self._host.inet, self._host.device
        if self._host.capture is not None:
            self._host.capture.advance(now)
        if self._host.impairment is not None:
            frames |= self._host.impairment.advance(now)
        if device.tx.waiting:
            device.tx.kick()
        if frames:
            inet.poll(BUDGET, now)  # what exceeds the budget makes the next poll return at once
            contender = inet.link.contender
            if contender is not None:
                option = "--address6" if ip.is_ipv6(contender.address) else "--address"
                raise AddressInUse(
                    f"address {ip.address_text(contender.address)} is in use on the link by"
                    f" {ethernet.mac_text(contender.mac)}: choose another {option}"
                )
        inet.handle_timeouts(now)
        self._syscalls.retry(now)
        unsent = inet.transmit(now)
        if inet.changed and self._syscalls.observed:
            self._syscalls.retry(now)
        self._refresh()
        return unsent

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError as refused:
            if refused.errno in (errno.EMFILE, errno.ENFILE):
                self._refuse_one()
            return
        channel = Channel(sock, self._record_buffer)
        channel.setblocking(False)
        session = Session(channel, has_net_admin(sock), self._syscalls)
        self._sessions[session.fd] = session
        self._events.pop(session.fd, None)  # of a closed session that had the same number
        self._watch(session.fd, session.wanted_events())

    def _refuse_one(self) -> None:
        """No descriptor is left: whoever waits is let in by the spare one, to be shown out."""
        os.close(self._spare)
        with suppress(OSError):
            self._listener.accept()[0].close()
        self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def _refresh(self) -> None:
        """Watch for what each descriptor wants now."""
        wire = select.EPOLLIN | (select.EPOLLOUT if self._host.device.tx.waiting else 0)
        self._watch(self._wire_fd, wire)
        rearm, self._syscalls.rearm = self._syscalls.rearm, {}
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
        """Wait for the memory bus: a DMA or a copy is over when the bus has served it."""
        bus, ledger = self._host.bus, self._host.ledger
        if bus is None or ledger.host_dram_bytes == self._charged:
            return
        now = time.monotonic()
        try:
            go_on_at = bus.reserve(ledger.host_dram_bytes - self._charged, now, wait=False)
        except BlockingIOError:  # an application is at it, or was stopped there: charged in a later turn
            return
        self._charged = ledger.host_dram_bytes
        if go_on_at > now:
            time.sleep(go_on_at - now)

    def close(self) -> None:
        """Sockets close, and their last segments leave."""
        now = time.monotonic()
        self._syscalls.hang_up()
        for session in [*self._sessions.values()]:
            session.close(now)
        self._host.inet.transmit(now)
        self._poll.close()
        os.close(self._spare)
