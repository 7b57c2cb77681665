"""Hosts whose whole stacks run in this process, joined by fake switches; ranks reach them by real channels.

In: numbers of hosts and NICs. Out: places of ranks for workloads. Owns one thread, which is all hosts'
kernel: it takes calls, turns hosts, and carries frames. Real from the rank down to the NIC's DMA; only the
wire is fake, and neither root nor a network is needed. A NIC is on the network of its own number.
"""

from __future__ import annotations

import os
import select
import socket
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Thread

from nodes.endpoint.platform import LinuxPlatform
from nodes.host import Host, NicWire, Surroundings
from nodes.host_config import HostConfig, NicConfig
from nodes.machine.accelerator import Slot
from nodes.nic.wire_port import PEEK_BYTES, RxFrame, TxOffload
from nodes.syscall.session import Session
from nodes.syscall.sessions import Sessions
from nodes.uapi.channel import Channel
from workloads.experiment.records import LocalRank, NicPlace, RankPlace

_WAIT_S = 0.05
_DRAINED_S = 5.0
_BROADCAST = 1  # the group bit of a MAC address


class Port:
    """Satisfies nodes.nic.wire_port.Wire."""

    def __init__(self, ports: list[Port], mac: bytes) -> None:
        self._ports, self._mac = ports, mac
        self.frames: deque[tuple[bytes, int]] = deque()

    def peek(self) -> RxFrame | None:
        if not self.frames:
            return None
        data, gso_size = self.frames[0]
        return RxFrame(data[:PEEK_BYTES].ljust(PEEK_BYTES, b"\0"), len(data), gso_size, True)

    def receive(self, views: Sequence[memoryview]) -> None:
        data, at = memoryview(self.frames.popleft()[0]), 0
        for view in views:
            part = data[at : at + len(view)]
            view[: len(part)] = part
            at += len(part)

    def drop(self) -> None:
        self.frames.popleft()

    def send(self, headers: bytes, payload: Sequence[memoryview], offload: TxOffload) -> bool:
        frame = b"".join((headers, *payload))
        for port in self._ports:
            if port is not self and (headers[0] & _BROADCAST or headers[:6] == port._mac):
                port.frames.append((frame, offload.gso_size))
        return True

    def overruns(self) -> int:
        return 0


class SwitchedHost:
    """Number 1 and so on, with its listening channel and its sessions."""

    def __init__(self, number: int, switches: Sequence[list[Port]], directory: Path) -> None:
        self.name, self.path = f"h{number}", str(directory / f"h{number}.sock")
        nics, self.ports = [], []
        for at, switch in enumerate(switches):
            mac = f"02:00:00:00:{at:02x}:{number:02x}"
            nics.append(NicConfig(interface=f"eth{at}", mac=mac, address=f"10.0.{at}.{number}/24"))
            self.ports.append(Port(switch, bytes.fromhex(mac.replace(":", ""))))
            switch.append(self.ports[-1])
        wires = [NicWire(port, 10 + at) for at, port in enumerate(self.ports)]
        config = HostConfig(nics=tuple(nics), channel=self.path, name=self.name)
        self.host = Host.build(config, wires, Surroundings(seed=number))
        self.host.calls = self.sessions = Sessions(self.host, LinuxPlatform())
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(self.path)
        self.listener.listen(512)

    def accept(self) -> Session:
        channel = Channel(self.listener.accept()[0])
        channel.setblocking(False)
        return Session(channel, True, self.sessions)

    def frames_sent(self) -> list[int]:
        """By each NIC."""
        return [self.host.devices[10 + at].tx.counters.tx_packets for at in range(len(self.ports))]


class SwitchedHosts:
    """`hosts` with `nics` each, every NIC with an accelerator beside it."""

    def __init__(self, directory: Path, hosts: int, nics: int = 1) -> None:
        switches: list[list[Port]] = [[] for _ in range(nics)]
        self.hosts = [SwitchedHost(1 + number, switches, directory) for number in range(hosts)]
        self._poll = select.epoll()
        self._sessions: dict[int, tuple[SwitchedHost, Session]] = {}
        self._awake, self._wake = os.pipe()
        self._poll.register(self._awake, select.EPOLLIN)
        self._listening = {host.listener.fileno(): host for host in self.hosts}
        for fd in self._listening:
            self._poll.register(fd, select.EPOLLIN)
        self._failure: BaseException | None = None
        self._thread = Thread(target=self._serve)
        self._thread.start()

    def places(self, ranks: int | None = None) -> list[RankPlace]:
        """A rank for each NIC and its accelerator, or for so many of a host."""
        found: list[RankPlace] = []
        for host in self.hosts:
            nics = tuple(NicPlace(f"eth{at}", network=at, rail=at) for at in range(len(host.ports)))
            local = tuple(LocalRank(len(found) + at, nic.interface) for at, nic in enumerate(nics[:ranks]))
            found += [
                RankPlace(each.rank, host.name, host.path, Slot(nic=each.nic), nics, local) for each in local
            ]
        return found

    def close(self) -> None:
        """Nothing may be held: bindings, pages, sockets."""
        os.write(self._wake, b"x")
        self._thread.join()
        if self._failure is not None:
            raise self._failure
        for host in self.hosts:
            assert host.host.netdev.bindings == (), "a dma-buf is still held"
            assert not host.host.stack.sockets(), "a connection lives on"
            host.host.close()
            assert host.host.stack.send_pages.inflight == 0, "a page for sending is still held"
            host.listener.close()
        self._poll.close()
        os.close(self._awake)
        os.close(self._wake)

    def _serve(self) -> None:
        try:
            wait_s = 0.0
            while (wait_s := self._round(wait_s)) >= 0:
                pass
            for _, session in [*self._sessions.values()]:
                session.close(time.monotonic())
            self._drain()
        except BaseException as failure:
            self._failure = failure

    def _drain(self) -> None:
        """Until what closed sockets had sent is acknowledged."""
        give_up_at = time.monotonic() + _DRAINED_S
        while time.monotonic() < give_up_at and any(
            host.host.stack.sockets() or host.host.netdev.bindings for host in self.hosts
        ):
            for host in self.hosts:
                host.host.turn(time.monotonic())

    def _round(self, wait_s: float) -> float:
        """A turn of all hosts; how long to wait before the next one, -1 at the end."""
        clock = time.monotonic
        ready = self._poll.poll(wait_s)
        for host in self.hosts:
            host.host.receive(clock())
        for fd, events in ready:
            if fd == self._awake:
                return -1
            if fd in self._listening:
                self._accept(self._listening[fd])
            elif fd in self._sessions:
                self._sessions[fd][1].handle(events, clock())
        nexts = [host.host.transmit(clock()) for host in self.hosts]
        for host in self.hosts:
            self._rearm(host)
        if any(port.frames for host in self.hosts for port in host.ports):
            return 0.0
        due = min((at for at in nexts if at is not None), default=clock() + _WAIT_S)
        return min(max(0.0, due - clock()), _WAIT_S)

    def _accept(self, host: SwitchedHost) -> None:
        session = host.accept()
        self._sessions[session.fd] = host, session
        self._poll.register(session.fd, session.wanted_events())

    def _rearm(self, host: SwitchedHost) -> None:
        rearm, host.sessions.rearm = host.sessions.rearm, {}
        for session in rearm:
            if not session.closed:
                self._poll.modify(session.fd, session.wanted_events())
            elif self._sessions.get(session.fd, (host, None))[1] is session:
                del self._sessions[session.fd]


@contextmanager
def switched(directory: Path, hosts: int, nics: int = 1) -> Iterator[SwitchedHosts]:
    with closing(SwitchedHosts(directory, hosts, nics)) as found:
        yield found
