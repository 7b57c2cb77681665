"""Random segments as an attacker may send them: nothing raises, nothing leaks, deadlines move on."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from nodes.tcp.connection import Connection
from nodes.tcp.keepalive import Keepalive
from nodes.tcp.segment import Segment
from nodes.wire.tcp import TcpHeader
from tests.tcp.two_ends import CONFIG, NEAR_WRAP, Ledger

KEEPALIVE = Keepalive(1.0, 0.5, 3)


def near(chance: random.Random, number: int) -> int:
    """A sequence number close to `number`, or anywhere."""
    if chance.random() < 0.1:
        return chance.randrange(1 << 32)
    return number + chance.choice([-100, -1, 0, 0, 0, 0, 1, 2, 100, 5000]) & 0xFFFFFFFF


def hostile(chance: random.Random, ledger: Ledger, rcv: int, snd: int) -> Segment:
    header = TcpHeader(80, 1, near(chance, rcv), near(chance, snd), 0, chance.choice([0, 1, 500, 65535]))
    header.flags = chance.choice([0x10, 0x10, 0x10, 0x10, 0x18, 0x11, 0x02, 0x12, 0x14, 0, 0xFF])
    if header.flags & 4 and chance.random() < 0.9:
        header.flags = 0x10
    if chance.random() < 0.7:
        header.ts_val = chance.choice([0, 1, 1000, 1001, 1 << 31, chance.randrange(1 << 32)])
        header.ts_ecr = chance.randrange(1 << 32)
    header.sack_permitted = chance.random() < 0.5
    header.wscale = chance.choice([None, 0, 14])
    header.mss = chance.choice([None, 0, 1, 1460, 65535])
    if chance.random() < 0.4:
        blocks = ((near(chance, snd), near(chance, snd + 50)) for _ in range(chance.randint(1, 4)))
        header.sack = tuple(blocks)
    payload = ledger.payload(bytes(chance.choice([1, 10, 3000]))) if chance.random() < 0.4 else None
    return Segment(header, payload, ecn=chance.randrange(4))


@pytest.mark.parametrize("seed", range(40))
def test_no_segment_breaks_a_connection(ledger: Ledger, seed: int) -> None:
    print(f"seed {seed}")
    chance, now, snd = random.Random(seed), 1.0, NEAR_WRAP
    control = chance.choice(["cubic", "reno", "dctcp"])
    config = replace(CONFIG, congestion=control, ecn=chance.choice(["ask", "off"]), keepalive=KEEPALIVE)
    connection = ledger.keep(Connection.connect(config, 1, 80, NEAR_WRAP, now))
    connection.segments_to_send(now)
    peer = TcpHeader(
        80, 1, 77, NEAR_WRAP + 1, chance.choice([0x12, 0x52]), 65535, mss=1460, wscale=7, sack_permitted=True
    )
    peer.ts_val = 1000
    connection.receive_segment(Segment(peer), now)
    rcv = 78
    for _ in range(300):
        now += chance.choice([0.0, 1e-6, 0.001, 0.3])
        connection.receive_segment(hostile(chance, ledger, rcv, snd), now)
        if chance.random() < 0.2 and connection.send_room > 5000 and connection.info().state in (1, 8):
            connection.send(ledger.payload(bytes(4000)), now)
        if chance.random() < 0.01 and connection.info().state in (1, 8):
            connection.shutdown(now)
        if chance.random() < 0.02:
            mtu = chance.choice([0, 68, 600, 1400])
            connection.icmp_err.on_packet_too_big(mtu, near(chance, snd), chance.random() < 0.9, now)
        if chance.random() < 0.02:
            connection.sockopt.set_cork(chance.random() < 0.5)
        while connection.received:
            payload = connection.received.popleft()
            connection.consumed(len(payload), now)
            payload.release()
        for segment in connection.segments_to_send(now):
            snd, rcv = segment.header.seq, segment.header.ack
            if segment.payload is not None:
                assert len(segment.payload) <= CONFIG.max_segment_bytes
                segment.payload.release()
        at = connection.next_timeout()
        if at is not None and at <= now:
            connection.handle_timeout(now)
            again = connection.next_timeout()
            assert again is None or again > now
        info = connection.info()
        assert info.sacked + info.lost <= info.unacked + 2
        for segment in connection.segments_to_send(now):
            if segment.payload is not None:
                segment.payload.release()
