"""Two hosts with two NICs each, one link a rail: 10.0.R.0/24 and 2001:db8:R::/64 on rail R.

Real from the socket down to the NICs' DMA, as in two_hosts; only wires and clock are fake.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from socket import AF_INET

from nodes.host import Host, NicWire, Surroundings
from nodes.host_config import HostConfig, NicConfig
from nodes.sock.devmem_socket import DevmemSocket
from nodes.sock.recvmsg import RecvRequest, recvmsg
from nodes.sock.sendmsg import SendRequest, sendmsg
from nodes.wire import ip
from tests.path.two_hosts import STEP_S, Cable, CableEnd, Impairment

RAILS = (1, 2)


def address(rail: int, host: int, v6: bool = False) -> int:
    return ip.address_int(f"2001:db8:{rail}::{host}" if v6 else f"10.0.{rail}.{host}")


class RailHost:
    """Host number 1 or 2; its NIC on rail r has ifindex 10 + r."""

    def __init__(
        self, number: int, wires: list[CableEnd], clock: Callable[[], float], nic: Mapping[str, str],
        routes: tuple[str, ...],
    ) -> None:  # fmt: skip
        nics = tuple(
            NicConfig(
                interface=f"eth{rail}", mac=f"02:00:00:00:{rail:02x}:{number:02x}",
                address=f"10.0.{rail}.{number}/24", address6=f"2001:db8:{rail}::{number}/64",
                **{field: value.format(rail=rail) for field, value in nic.items()},
            )
            for rail in RAILS
        )  # fmt: skip
        at = [NicWire(wire, 10 + rail) for wire, rail in zip(wires, RAILS, strict=True)]
        config = HostConfig(nics=nics, channel="", routes=routes)
        self.host = Host.build(config, at, Surroundings(seed=number))
        self.stack = self.host.stack
        self.clock = clock
        self.sockets: list[DevmemSocket] = []

    def socket(self, family: int = AF_INET) -> DevmemSocket:
        sock = DevmemSocket(self.stack, family)
        self.sockets.append(sock)
        return sock

    def listener(self, at: int, port: int, family: int = AF_INET) -> DevmemSocket:
        sock = self.socket(family)
        sock.bind(at, port)
        sock.listen(8)
        return sock

    def accept(self, listener: DevmemSocket) -> DevmemSocket:
        child = listener.accept()
        self.sockets.append(child)
        return child

    def send(self, sock: DevmemSocket, data: bytes) -> int:
        return sendmsg(sock, SendRequest(0, memoryview(data)), 0, self.host.netdev.tx_binding, self.clock())

    def recv(self, sock: DevmemSocket, length: int) -> bytes:
        buffer = memoryview(bytearray(length))
        got = recvmsg(sock, RecvRequest(length, 0, 0, buffer), self.clock())
        return bytes(buffer[: got.copied])

    def sent(self, rail: int) -> int:
        """Frames that the NIC of the rail has sent."""
        return self.host.devices[10 + rail].tx.counters.tx_packets


class TwoRails:
    """`nic`: further fields of each NicConfig, in which {rail} stands for the rail; `routes` of both
    hosts."""

    def __init__(self, nic: Mapping[str, str] | None = None, routes: tuple[str, ...] = ()) -> None:
        self.now = 100.0
        chance, clean = random.Random(1), Impairment()
        self.cables = [(Cable(clean, chance), Cable(clean, chance)) for _ in RAILS]
        to_a = [CableEnd(to_b, to_a, self.clock) for to_a, to_b in self.cables]
        to_b = [CableEnd(to_a, to_b, self.clock) for to_a, to_b in self.cables]
        self.a = RailHost(1, to_a, self.clock, nic or {}, routes)
        self.b = RailHost(2, to_b, self.clock, nic or {}, routes)

    def clock(self) -> float:
        return self.now

    def run_until(self, done: Callable[[], bool], within_s: float = 5.0) -> None:
        end = self.now + within_s
        while not done():
            assert self.now < end, f"not done after {within_s} s"
            self.a.host.turn(self.now)
            self.b.host.turn(self.now)
            self.now += STEP_S / 2

    def rest(self, for_s: float) -> None:
        end = self.now + for_s
        self.run_until(lambda: self.now >= end, for_s + 1)

    def close(self) -> None:
        for host in (self.a, self.b):
            for sock in host.sockets:
                sock.close(self.now, reset=True)
        self.rest(0.05)
        self.now += 100
        self.rest(0.01)
        for host in (self.a, self.b):
            host.host.close()
            assert not host.stack.sockets()
            assert host.stack.send_pages.inflight == 0
