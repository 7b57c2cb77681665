"""Two whole stacks in one process, joined by a wire that loses, reorders and duplicates by a seed.

Real from the socket down to the NIC's DMA; only the wire and the clock are fake.
"""

from __future__ import annotations

import os
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf
from socket import AF_INET, AF_INET6

from nodes.control.devices import header_of
from nodes.host import Host, NicWire, Surroundings
from nodes.host_config import HostConfig, NicConfig
from nodes.kernel_version import DEFAULT, KernelVersion
from nodes.machine import dmabuf
from nodes.machine.memory import Region
from nodes.nic.nic_model import GENERIC, MODELS, NicModel
from nodes.nic.wire_port import PEEK_BYTES, RxFrame, TxOffload
from nodes.sock.devmem_socket import DevmemSocket
from nodes.sock.recvmsg import Received, RecvRequest, recvmsg
from nodes.sock.sendmsg import SendRequest, sendmsg, sent
from nodes.uapi.netlink import BindRx, BindTx, Ntuple, Queue, Rings, Rss
from nodes.uapi.socket import DMABUF_CMSG, DMABUF_TOKEN, MSG_SOCK_DEVMEM, MSG_ZEROCOPY, DmabufCmsg
from nodes.wire import ip
from nodes.wire.ipv4 import address_int

DEVMEM_QUEUE = 7
DEVMEM_PORT = 7000
STEP_S = 0.0005  # one way over the wire


@dataclass(frozen=True)
class Impairment:
    """Chances of each frame, 0 to 1."""

    loss: float = 0.0
    reorder: float = 0.0
    duplicate: float = 0.0


@dataclass(frozen=True)
class DeviceKind:
    """What kind of NIC both hosts have, and which kernel. What a test sends fits the send buffer, unless it
    asks for another."""

    nic: NicModel = GENERIC
    kernel: KernelVersion = DEFAULT
    tcp_wmem: str = "4096,8M,8M"


@dataclass
class Frame:
    data: bytes
    gso_size: int
    at: float


@dataclass
class Cable:
    """One direction. `lose` decides about single frames ahead of chance."""

    impairment: Impairment
    random: random.Random
    frames: deque[Frame] = field(default_factory=deque)
    lose: Callable[[bytes], bool] = lambda _: False
    carried: int = 0
    checksum_good: bool = True  # what the receiver's link knows

    def put(self, frame: Frame) -> None:
        chance = self.random.random
        self.carried += 1
        if self.lose(frame.data) or chance() < self.impairment.loss:
            return
        copies = 2 if chance() < self.impairment.duplicate else 1
        for _ in range(copies):
            if self.frames and chance() < self.impairment.reorder:
                self.frames.insert(self.random.randrange(len(self.frames)), frame)
            else:
                self.frames.append(frame)


class CableEnd:
    """Satisfies nodes.nic.wire_port.Wire."""

    def __init__(self, outgoing: Cable, incoming: Cable, clock: Callable[[], float]) -> None:
        self._out, self._in, self.clock = outgoing, incoming, clock

    def peek(self) -> RxFrame | None:
        if not self._in.frames or self._in.frames[0].at > self.clock():
            return None
        frame = self._in.frames[0]
        return RxFrame(frame.data[:PEEK_BYTES], len(frame.data), frame.gso_size, self._in.checksum_good)

    def receive(self, views: Sequence[memoryview]) -> None:
        data, at = self._in.frames.popleft().data, 0
        for view in views:
            part = data[at : at + len(view)]
            view[: len(part)] = part
            at += len(part)

    def drop(self) -> None:
        self._in.frames.popleft()

    def send(self, headers: bytes, payload: Sequence[memoryview], offload: TxOffload) -> bool:
        self._out.put(Frame(headers + b"".join(payload), offload.gso_size, self.clock() + STEP_S))
        return True

    def overruns(self) -> int:
        return 0


class PathHost:
    """A host and what an application of it would do."""

    def __init__(self, name: str, number: int, wire: CableEnd, kind: DeviceKind) -> None:
        nic = NicConfig(
            interface=name, mac=f"02:00:00:00:00:{number:02x}", address=f"10.0.1.{number}/24",
            address6=f"2001:db8::{number}/64",
        )  # fmt: skip
        config = HostConfig(
            nics=(nic,), channel="", nic=kind.nic.name, kernel=kind.kernel.name, tcp_wmem=kind.tcp_wmem,
            header_buffer_bytes=None if kind.nic in MODELS.values() else kind.nic.header_buffer_bytes,
        )  # fmt: skip
        ifindex = number + 1
        self.host = Host.build(config, [NicWire(wire, ifindex)], Surroundings(seed=number))
        self.device = self.host.devices[ifindex]
        self.address = address_int(f"10.0.1.{number}")
        self.address6 = ip.address_int(f"2001:db8::{number}")
        self.ledger, self.stack = self.host.ledger, self.host.stack
        self.netdev, self.ethtool = self.host.netdev, self.host.ethtool
        self.header = header_of(self.device)  # of requests to `ethtool`
        self.link = self.stack.inet.links[ifindex]
        self.clock = wire.clock
        self.sockets: list[DevmemSocket] = []

    def socket(self, family: int = AF_INET) -> DevmemSocket:
        sock = DevmemSocket(self.stack, family)
        self.sockets.append(sock)
        return sock

    def bind_rx(self, size: int, niov_size: int = 4096) -> Region:
        """Prepare the NIC as the selftests do and bind a dma-buf of `size` bytes to the last queue."""
        hds_thresh = 0 if self.device.config.kernel.hds_thresh else None
        self.ethtool.rings_set(Rings(self.header, rx=64, tcp_data_split="enabled", hds_thresh=hds_thresh))
        self.ethtool.rss_set(Rss(self.header, equal=DEVMEM_QUEUE))
        self.ethtool.ntuple_insert(Ntuple(self.header, dst_port=DEVMEM_PORT, queue=DEVMEM_QUEUE))
        memory = dmabuf.export(size)
        wanted = niov_size if self.device.config.kernel.rx_page_size else None
        request = BindRx(self.device.ifindex, memory.fd, (Queue(DEVMEM_QUEUE, "rx"),), wanted)
        self.rx_binding = self.netdev.bind_rx(request, _dup(memory.fd), privileged=True)
        return memory

    def bind_tx(self, content: bytes) -> tuple[Region, int]:
        memory = dmabuf.export(-(-len(content) // 4096) * 4096)
        memory.view[: len(content)] = content
        binding = self.netdev.bind_tx(BindTx(self.device.ifindex, memory.fd), _dup(memory.fd))
        return memory, binding.dmabuf_id

    def turn(self) -> None:
        self.host.turn(self.clock())

    # --- calls, as the endpoint makes them

    def send(self, sock: DevmemSocket, data: bytes) -> int:
        return self._send(sock, SendRequest(0, memoryview(data)))

    def send_devmem(self, sock: DevmemSocket, dmabuf_id: int, *iov: tuple[int, int]) -> int:
        return self._send(sock, SendRequest(MSG_ZEROCOPY, memoryview(b""), dmabuf_id, iov))

    def _send(self, sock: DevmemSocket, request: SendRequest) -> int:
        taken = sendmsg(sock, request, 0, self.netdev.tx_binding, self.clock())
        sent(sock, request, taken)
        return taken

    def recv(self, sock: DevmemSocket, length: int, flags: int = 0) -> bytes:
        buffer = memoryview(bytearray(length))
        got = recvmsg(sock, RecvRequest(length, 0, flags, buffer), self.clock())
        return bytes(buffer[: got.copied])

    def recv_devmem(
        self, sock: DevmemSocket, length: int, flags: int = 0, control_bytes: int = 1 << 16
    ) -> tuple[Received, list[DmabufCmsg]]:
        request = RecvRequest(length, control_bytes, flags | MSG_SOCK_DEVMEM, memoryview(b""))
        got = recvmsg(sock, request, self.clock())
        return got, [DmabufCmsg(*fields) for fields in DMABUF_CMSG.iter_unpack(got.cmsgs)]

    def dontneed(self, sock: DevmemSocket, *tokens: int) -> int:
        freed = 0
        for at in range(0, len(tokens), 128):
            packed = b"".join(DMABUF_TOKEN.pack(token, 1) for token in tokens[at : at + 128])
            freed += sock.devmem_dontneed(packed)
        return freed


class TwoHosts:
    """`a` is 10.0.1.1 and 2001:db8::1, `b` 10.0.1.2 and 2001:db8::2. Everything random comes from `seed`."""

    def __init__(
        self, seed: int = 1, impairment: Impairment | None = None, kind: DeviceKind | None = None
    ) -> None:
        print(f"seed {seed}")
        self.now = 100.0
        kind = kind or DeviceKind()
        chance, how = random.Random(seed), impairment or Impairment()
        self.to_a, self.to_b = Cable(how, chance), Cable(how, chance)
        self.a = PathHost("a", 1, CableEnd(self.to_b, self.to_a, self.clock), kind)
        self.b = PathHost("b", 2, CableEnd(self.to_a, self.to_b, self.clock), kind)

    def clock(self) -> float:
        return self.now

    def step(self, end: float = inf) -> None:
        """Both hosts take a turn, then time goes on to the next event, or to `end` if that is sooner."""
        self._turn()
        self._advance(end)

    def _turn(self) -> None:
        self.a.turn()
        self.b.turn()

    def _advance(self, end: float = inf) -> None:
        arrivals = [cable.frames[0].at for cable in (self.to_a, self.to_b) if cable.frames]
        timers = [t for t in (self.a.stack.next_timeout(), self.b.stack.next_timeout()) if t is not None]
        later = [t for t in (*arrivals, *timers) if t > self.now]
        if any(at <= self.now for at in arrivals):
            return
        self.now = min([*later, end if later or end < inf else self.now + STEP_S])

    def run_until(self, done: Callable[[], bool], within_s: float = 300.0) -> None:
        """Steps until `done()`; fails when that takes longer than `within_s` of the fake clock."""
        end = self.now + within_s
        steps = 0
        while not done():
            assert self.now < end, f"not done after {within_s} s"
            assert steps < 200_000, "time stands still"
            steps += 1
            self._turn()
            if not done():  # with nothing left to do, the next event may be a minute away
                self._advance()

    def rest(self, for_s: float = 1.0) -> None:
        """No application makes a call for so long."""
        end = self.now + for_s
        while self.now < end:
            self.step(end)

    def connect(
        self, port: int, backlog: int = 8, family: int = AF_INET
    ) -> tuple[DevmemSocket, DevmemSocket]:
        """(client on a, server on b), connected over the version of IP that `family` names."""
        listener = self.b.socket(family)
        listener.bind(0, port)
        listener.listen(backlog)
        client = self.a.socket(family)
        address = self.b.address6 if family == AF_INET6 else self.b.address
        client.start_connect(address, port, self.now)
        self.run_until(lambda: bool(listener.accept_queue))
        server = listener.accept()
        self.b.sockets.append(server)
        return client, server

    def close(self) -> None:
        """Every socket closes and every binding is unbound; what is in flight is delivered or dies."""
        for host in (self.a, self.b):
            for sock in host.sockets:
                sock.close(self.now)
            for binding in host.netdev.bindings:
                host.netdev.unbind(binding)
        for _ in range(50):
            self.step()
        for cable in (self.to_a, self.to_b):
            cable.lose = lambda _: True
        self.rest(700.0)
        for host in (self.a, self.b):
            host.host.close()


def _dup(fd: int) -> int:
    return os.dup(fd)
