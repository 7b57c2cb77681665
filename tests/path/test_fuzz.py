"""Malformed frames by the thousand into NIC and stack: nothing is raised, nothing grows, nothing is lost."""

from __future__ import annotations

import gc
import random
import struct
from collections.abc import Iterator

import pytest

from nodes.wire import ethernet, ip, ipv4, ipv6
from nodes.wire.checksum import fold, internet_checksum, partial_sum
from tests.path.conftest import assert_nothing_left
from tests.path.two_hosts import DEVMEM_PORT, STEP_S, Frame, TwoHosts

KIB = 1 << 10
STORM = 3000  # frames between two sane connections
BATCH = 50
OBJECTS_MAX = 1000  # that may live longer after the last storm than after the first ones
_SHARE_OF_HEADER = 0.8  # of mutations: no layer looks at payload


class Mutator:
    """Frames that were valid once."""

    def __init__(self, chance: random.Random, corpus: list[Frame]) -> None:
        self._chance = chance
        self._corpus = corpus
        self._ways = (
            self._bits, self._bits, self._words, self._truncated, self._padded, self._spliced, self._fragment,
            self._other_protocol, self._ip_options, self._noise, self._as_it_was,
        )  # fmt: skip

    def frame(self) -> tuple[bytes, int]:
        """Bytes, and the gso_size that the link claims."""
        chance = self._chance
        one = chance.choice(self._corpus)
        data = bytearray(one.data)
        data = chance.choice(self._ways)(data)
        if chance.random() < 0.7:
            _repair_ipv4(data)
            _repair_icmp(data)
        gso = one.gso_size if chance.random() < 0.8 else chance.choice((0, 1, 7, 1448, 9000, 65535))
        return bytes(data), gso

    def _place(self, data: bytearray) -> int:
        end = min(len(data), 90) if self._chance.random() < _SHARE_OF_HEADER else len(data)
        return self._chance.randrange(min(12, end - 1), end) if end > 1 else 0

    def _bits(self, data: bytearray) -> bytearray:
        for _ in range(self._chance.randrange(1, 4)):
            data[self._place(data)] ^= 1 << self._chance.randrange(8)
        return data

    def _words(self, data: bytearray) -> bytearray:
        at = self._place(data) & ~1
        data[at : at + 2] = self._chance.choice((b"\0\0", b"\xff\xff", b"\x80\0", b"\x7f\xff", b"\0\x01"))
        return data

    def _truncated(self, data: bytearray) -> bytearray:
        return data[: self._chance.randrange(1, min(len(data), 120) + 1)]

    def _padded(self, data: bytearray) -> bytearray:
        return data + bytes(self._chance.randrange(1, 200))

    def _spliced(self, data: bytearray) -> bytearray:
        other, at = self._chance.choice(self._corpus).data, self._place(data)
        return data[:at] + other[at : at + self._chance.randrange(1, 2000)]

    def _fragment(self, data: bytearray) -> bytearray:
        if len(data) > 22:
            data[20:22] = self._chance.choice((0x2000, 0x0001, 0x2010, 0x1FFF)).to_bytes(2, "big")
        return data

    def _other_protocol(self, data: bytearray) -> bytearray:
        at = 23 if self._chance.random() < 0.5 else 20
        if len(data) > at:
            data[at] = self._chance.choice((0, 1, 6, 17, 43, 44, 58, 59, 60, 132, 255))
        return data

    def _ip_options(self, data: bytearray) -> bytearray:
        words = self._chance.randrange(16)
        if len(data) > 34:
            data[14] = 0x40 | words
            data[34:34] = self._chance.randbytes(max(0, words - 5) * 4)
            data[16:18] = (len(data) - 14 & 0xFFFF).to_bytes(2, "big")
        return data

    def _noise(self, data: bytearray) -> bytearray:
        return data[:14] + self._chance.randbytes(self._chance.randrange(400))

    def _as_it_was(self, data: bytearray) -> bytearray:
        return data


def _repair_ipv4(data: bytearray) -> None:
    """Give an IPv4 header a good checksum, so that what lies behind it is looked at."""
    if len(data) >= 34 and data[12:14] == b"\x08\0":
        end = 14 + max(5, data[14] & 15) * 4
        data[24:26] = bytes(2)
        data[24:26] = internet_checksum(bytes(data[14:end])).to_bytes(2, "big")


def _repair_icmp(data: bytearray) -> None:
    """The same for ICMP, and for ICMPv6 without extension headers."""
    if len(data) >= 58 and data[12:14] == b"\x86\xdd" and data[20] == ip.ICMPV6:
        length = len(data) - 54
        pseudo = fold(partial_sum(bytes(data[22:54])) + length + ip.ICMPV6)
        at = 54
    elif len(data) >= 38 and data[12:14] == b"\x08\0" and data[14] == 0x45 and data[23] == ip.ICMP:
        pseudo, at = 0, 34
    else:
        return
    data[at + 2 : at + 4] = bytes(2)
    checksum = ~fold(pseudo + partial_sum(bytes(data[at:]))) & 0xFFFF
    data[at + 2 : at + 4] = checksum.to_bytes(2, "big")


class Victim:
    """Host b, listening on two ports, and host a, which talks sense to it between storms."""

    def __init__(self, seed: int) -> None:
        self.two = TwoHosts(seed)
        self.chance = random.Random(seed)
        self.corpus: list[Frame] = []
        self.two.to_b.lose = self._record
        self.memory = self.two.b.bind_rx(1024 * KIB)
        self.mutator = Mutator(self.chance, self.corpus)

    def _record(self, data: bytes) -> bool:
        self.corpus.append(Frame(data, 1448 if len(data) > 1514 else 0, 0.0))
        return False

    def talk(self, port: int) -> None:
        """A fresh connection whose bytes arrive; its frames become the corpus."""
        two, content = self.two, self.chance.randbytes(64 * KIB)
        del self.corpus[:-400]
        client, server = two.connect(port)
        assert two.a.send(client, content) == len(content)
        two.run_until(lambda: server.recv_queue.length == len(content))
        if port == DEVMEM_PORT:
            got, cmsgs = two.b.recv_devmem(server, len(content))
            seen = b"".join(bytes(self.memory.view[c.frag_offset :][: c.frag_size]) for c in cmsgs)
            assert got.count == len(content)
            assert two.b.dontneed(server, *(c.frag_token for c in cmsgs)) == len(cmsgs)
        else:
            seen = two.b.recv(server, len(content))
        assert seen == content
        self.corpus += [Frame(data, 0, 0.0) for data in self._extra()]
        self._last = client, server

    def _extra(self) -> Iterator[bytes]:
        """What TCP does not send: ICMP of both versions."""
        a, b = self.two.a, self.two.b
        quoted = self.corpus[-1].data[14:82]
        for kind, code in ((0, 0), (3, 3), (3, 4), (8, 0), (11, 0)):
            body = struct.pack("!BBHHH", kind, code, 0, 0, 576) + quoted
            body = body[:2] + internet_checksum(body).to_bytes(2, "big") + body[4:]
            packet = ipv4.emit(a.address, b.address, ip.ICMP, len(body)) + body
            yield ethernet.emit(b.device.config.mac, a.device.config.mac, ethernet.TYPE_IPV4) + packet
        for kind in (1, 2, 128, 135, 136):
            body = struct.pack("!BBHI", kind, 0, 0, 1280) + b.address6.to_bytes(16, "big") + quoted
            packet = ipv6.emit(a.address6, b.address6, ip.ICMPV6, len(body)) + body
            frame = ethernet.emit(b.device.config.mac, a.device.config.mac, ethernet.TYPE_IPV6) + packet
            _repair_icmp(whole := bytearray(frame))
            yield bytes(whole)

    def storm(self, count: int) -> None:
        """`count` malformed frames, in batches; what b answers goes nowhere, what it reads is given back."""
        two = self.two
        for _ in range(count // BATCH):
            for _ in range(BATCH):
                data, gso_size = self.mutator.frame()
                two.to_b.frames.append(Frame(data, gso_size, two.now))
            two.b.turn()
            self._read_all()
            two.to_a.frames.clear()
            two.b.stack.take_changed()  # as the endpoint does
            two.now += STEP_S
        self.end_connections()

    def _read_all(self) -> None:
        for sock in self.two.b.sockets:
            queue = sock.recv_queue
            while queue.length:
                if queue.in_host_memory:
                    self.two.b.recv(sock, 64 * KIB)
                else:
                    _, cmsgs = self.two.b.recv_devmem(sock, 64 * KIB)
                    self.two.b.dontneed(sock, *(c.frag_token for c in cmsgs if c.dmabuf_id))

    def end_connections(self) -> None:
        """All sockets close and nothing is answered any more: time takes what is left."""
        two = self.two
        for host in (two.a, two.b):
            for sock in host.sockets:
                sock.close(two.now)
            host.sockets.clear()
            host.stack.take_changed()
        for cable in (two.to_a, two.to_b):
            cable.frames.clear()
        lose = two.to_b.lose
        two.to_a.lose = two.to_b.lose = lambda _: True
        two.rest(1500.0)
        for host in (two.a, two.b):
            host.stack.take_changed()
        two.to_a.lose, two.to_b.lose = lambda _: False, lose
        del self._last
        assert not two.b.stack.sockets()


def living_objects() -> int:
    gc.collect()
    return len(gc.get_objects())


@pytest.mark.timeout(900)
def test_malformed_frames_raise_nothing_grow_nothing_and_lose_nothing(soak: bool) -> None:
    """30,000 frames, a million in a soak."""
    victim = Victim(seed := 7 if not soak else random.randrange(1 << 30))
    print(f"seed {seed}")
    storms = (1_000_000 if soak else 30_000) // STORM
    lived = []
    for number in range(storms):
        victim.talk((DEVMEM_PORT, 5000)[number % 2])
        victim.storm(STORM)
        lived.append(living_objects())
    assert lived[-1] - max(lived[:4]) < OBJECTS_MAX, lived
    counted = victim.two.b.stack.inet.mib
    for name in ("IpInHdrErrors", "Ip6InHdrErrors", "IcmpInMsgs", "Icmp6InMsgs", "IpInUnknownProtos"):
        assert getattr(counted, name) > 100, f"the storm left out what {name} counts"
    victim.talk(DEVMEM_PORT)
    victim.memory.close()
    assert_nothing_left(victim.two)
