"""Frames that no host should send: nothing is raised, grows or leaks, and the host still works."""

from __future__ import annotations

import random
import struct
from functools import partial
from socket import AF_INET, AF_INET6

import pytest

from nodes.nic.wire_port import TxOffload
from nodes.sock.devmem_socket import DevmemSocket
from nodes.wire import arp, ethernet, icmp, icmpv6, ip, ipv4, ipv6, ndisc, tcp
from nodes.wire.arp import Arp
from nodes.wire.checksum import internet_checksum
from nodes.wire.icmp import IcmpError
from nodes.wire.tcp import ACK, FIN, PSH, RST, SYN, TcpHeader
from tests.path.two_hosts import PathHost, TwoHosts

FRAMES = 4000


class Monkey:
    """Makes frames to `host` that begin well."""

    def __init__(self, host: PathHost, peer: PathHost, seed: int) -> None:
        print(f"seed {seed}")
        self.host, self.peer = host, peer
        self.chance = random.Random(seed)

    def frame(self) -> bytes:
        chance = self.chance
        makers = (self.arp, self.tcp, self.icmp, self.icmpv6, self.ndisc, self.extensions, self.fragment)
        data = bytearray(chance.choice(makers)())
        for _ in range(chance.choice((0, 0, 1, 1, 2, 8))):
            data[chance.randrange(12, len(data))] = chance.getrandbits(8)
        if chance.random() < 0.2:
            del data[chance.randrange(14, len(data)) :]
        return bytes(data)

    def v4(self, protocol: int, body: bytes) -> bytes:
        macs = self.host.device.config.mac, self.peer.device.config.mac
        header = ipv4.emit(self.peer.address, self.host.address, protocol, len(body))
        return ethernet.emit(*macs, ethernet.TYPE_IPV4) + header + body

    def v6(self, protocol: int, body: bytes, hop_limit: int = 255) -> bytes:
        macs = self.host.device.config.mac, self.peer.device.config.mac
        header = ipv6.emit(self.peer.address6, self.host.address6, protocol, len(body), 0, hop_limit)
        return ethernet.emit(*macs, ethernet.TYPE_IPV6) + header + body

    def either(self, protocol: int, body: bytes) -> bytes:
        return self.chance.choice((self.v4, self.v6))(protocol, body)

    def arp(self) -> bytes:
        packet = Arp(self.chance.choice((1, 2)), b"\2" * 6, self.peer.address, bytes(6), self.host.address)
        header = ethernet.emit(ethernet.BROADCAST, b"\2" * 6, ethernet.TYPE_ARP)
        return header + arp.emit(packet)

    def header(self) -> TcpHeader:
        bits = self.chance.getrandbits
        flags = self.chance.choice((SYN, ACK, ACK | PSH, FIN | ACK, RST, SYN | ACK, bits(8)))
        numbers = bits(4) + 1024, 5000, bits(32), bits(32), flags, bits(16)
        return TcpHeader(*numbers, mss=bits(16), ts_val=bits(32))

    def tcp(self) -> bytes:
        return self.either(ip.TCP, tcp.emit(self.header()) + bytes(self.chance.randrange(0, 1400)))

    def quote(self) -> bytes:
        inner = tcp.emit(self.header())
        make = self.chance.choice((ipv4.emit, ipv6.emit))
        if make is ipv4.emit:
            return ipv4.emit(self.host.address, self.peer.address, ip.TCP, len(inner)) + inner
        return ipv6.emit(self.host.address6, self.peer.address6, ip.TCP, len(inner)) + inner

    def icmp(self) -> bytes:
        bits = self.chance.getrandbits
        error = IcmpError(self.chance.choice((3, 11, 12)), bits(4), bits(16), self.quote())
        return self.v4(ip.ICMP, icmp.emit_error(error))

    def icmpv6(self) -> bytes:
        bits = self.chance.getrandbits
        error = IcmpError(self.chance.choice((1, 2, 3, 4)), bits(3), bits(16), self.quote())
        return self.v6(ip.ICMPV6, icmpv6.emit_error(error, self.peer.address6, self.host.address6))

    def ndisc(self) -> bytes:
        target = self.chance.choice((self.host.address6, self.peer.address6, self.chance.getrandbits(128)))
        mac = self.chance.choice((None, b"\2" * 6))
        asked, told = ndisc.Solicitation(target, mac), ndisc.Advertisement(target, mac, True, True)
        message = ndisc.emit(self.chance.choice((asked, told)))
        message = icmpv6.with_checksum(message, self.peer.address6, self.host.address6)
        return self.v6(ip.ICMPV6, message, self.chance.choice((255, 64)))

    def extensions(self) -> bytes:
        kinds = [self.chance.choice((0, 43, 44, 60)) for _ in range(self.chance.randrange(1, 5))]
        following = [*kinds[1:], ip.TCP]
        chain = b"".join(bytes((number, 0, 1, 4, 0, 0, 0, 0)) for number in following)
        return self.v6(kinds[0], chain + tcp.emit(self.header()) + bytes(50))

    def fragment(self) -> bytes:
        bits, body = self.chance.getrandbits, bytes(8 * self.chance.randrange(0, 100))
        if self.chance.random() < 0.5:
            return self.v6(ipv6.FRAGMENT, struct.pack("!BBHI", ip.TCP, 0, bits(16), bits(2)) + body)
        frame = bytearray(self.v4(ip.TCP, body))
        struct.pack_into("!HH", frame, 18, bits(2), bits(14))
        frame[24:26] = b"\0\0"
        frame[24:26] = internet_checksum(bytes(frame[14:34])).to_bytes(2, "big")
        return bytes(frame)


def has_ten(sock: DevmemSocket) -> bool:
    return sock.recv_queue.length == 10


@pytest.mark.parametrize("good", [True, False], ids=["vouched", "unverified"])
@pytest.mark.parametrize("seed", range(2))
def test_nothing_is_upset_by_mutated_frames(hosts: TwoHosts, seed: int, good: bool) -> None:
    listener = hosts.b.socket(AF_INET6)
    listener.bind(0, 5000)
    listener.listen(8)
    monkey = Monkey(hosts.b, hosts.a, seed)
    hosts.to_b.checksum_good = good
    hosts.to_a.lose = lambda _: True
    for number in range(FRAMES):
        hosts.a.device.wire.send(monkey.frame(), [], TxOffload())
        if number % 32 == 31:
            hosts.now += 0.001
            hosts.b.turn()
    hosts.b.turn()
    hosts.rest(0.01)
    assert len(hosts.b.stack.sockets()) <= 1 + 8 + 9
    mib = hosts.b.stack.inet.mib
    assert min(mib.IpInHdrErrors, mib.Ip6InHdrErrors, mib.IcmpInMsgs, mib.Icmp6InErrors) > 0
    assert min(mib.IpReasmReqds, mib.Ip6ReasmFails) > 0
    hosts.to_a.lose = lambda _: False
    hosts.to_b.checksum_good = True
    for family in (AF_INET, AF_INET6):
        client, server = hosts.connect(6000 + family, family=family)
        hosts.a.send(client, b"still here")
        hosts.run_until(partial(has_ten, server), 20)
