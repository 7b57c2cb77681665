"""SYN cookies: the SYN's options come out of the ACK, and no other ACK opens a connection."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from nodes.tcp.connection import Connection, State
from nodes.tcp.segment import Segment
from nodes.tcp.syncookie import MSS_CHOICES, PERIOD_S, CookieJar
from nodes.wire.tcp import ACK, CWR, ECE, SYN, TcpHeader
from tests.tcp.two_ends import CONFIG, Ledger

JAR = CookieJar(b"sixteen bytes...")
FLOW = b"10.0.0.1:9 10.0.0.2:80"
NOW = 12345.6


def a_syn(**options: object) -> TcpHeader:
    syn = TcpHeader(9, 80, 0xFFFFFFF0, 0, SYN, 65535, mss=1460, wscale=7, sack_permitted=True, ts_val=77)
    return replace(syn, **options)  # type: ignore[arg-type]


def ack_of(answer: Segment) -> TcpHeader:
    """The ACK with which a peer answers the SYN-ACK."""
    header = answer.header
    ack = TcpHeader(9, 80, header.ack, header.seq + 1 & 0xFFFFFFFF, ACK, 500)
    if header.ts_val is not None:
        ack.ts_val, ack.ts_ecr = 99, header.ts_val
    return ack


@pytest.mark.parametrize("scale", [None, 0, 7, 14])
@pytest.mark.parametrize("sack", [False, True])
@pytest.mark.parametrize("ecn", [False, True])
def test_with_timestamps_every_option_survives(scale: int | None, sack: bool, ecn: bool) -> None:
    for at in range(50):
        now = NOW + at * 0.0137
        syn = a_syn(wscale=scale, sack_permitted=sack, flags=SYN | (ECE | CWR if ecn else 0))
        answer = JAR.syn_ack(CONFIG, Segment(syn), FLOW, now)
        assert answer.header.ts_val is not None
        assert answer.header.ts_val <= int(now * 1000) + 1
        found = JAR.syn_of(ack_of(answer), FLOW, now + 1)
        assert found is not None
        again, iss = found
        assert iss == answer.header.seq
        assert (again.wscale, again.sack_permitted, again.mss) == (scale, sack, 1460)
        assert bool(again.flags & ECE) is ecn


def test_without_timestamps_only_the_mss_survives_and_nothing_else_is_offered() -> None:
    answer = JAR.syn_ack(CONFIG, Segment(a_syn(ts_val=None, flags=SYN | ECE | CWR)), FLOW, NOW)
    header = answer.header
    assert (header.wscale, header.sack_permitted, header.ts_val) == (None, False, None)
    assert not header.flags & ECE
    found = JAR.syn_of(ack_of(answer), FLOW, NOW)
    assert found is not None
    assert (found[0].mss, found[0].wscale, found[0].sack_permitted) == (1460, None, False)


@pytest.mark.parametrize("mss", [None, 1, 88, 535, 536, 1459, 1460, 9000, 65495])
def test_the_mss_is_rounded_down_to_a_choice(mss: int | None) -> None:
    found = JAR.syn_of(ack_of(JAR.syn_ack(CONFIG, Segment(a_syn(mss=mss)), FLOW, NOW)), FLOW, NOW)
    assert found is not None
    wanted = max((each for each in MSS_CHOICES if each <= (mss or 536)), default=MSS_CHOICES[0])
    assert found[0].mss == wanted


def test_a_cookie_is_valid_for_one_to_two_minutes() -> None:
    start = PERIOD_S * 100
    ack = ack_of(JAR.syn_ack(CONFIG, Segment(a_syn()), FLOW, start))
    assert JAR.syn_of(ack, FLOW, start + 1.99 * PERIOD_S) is not None
    assert JAR.syn_of(ack, FLOW, start + 2.01 * PERIOD_S) is None
    assert JAR.syn_of(ack, FLOW, start - 1) is None


def test_another_flow_secret_or_number_is_refused() -> None:
    ack = ack_of(JAR.syn_ack(CONFIG, Segment(a_syn()), FLOW, NOW))
    assert JAR.syn_of(ack, FLOW + b"x", NOW) is None
    assert CookieJar(b"another secret..").syn_of(ack, FLOW, NOW) is None
    assert JAR.syn_of(replace(ack, seq=ack.seq + 1000), FLOW, NOW) is None


def test_guessing_does_not_open_connections() -> None:
    chance = random.Random(4)
    print("seed 4")
    guesses = (TcpHeader(9, 80, 1, chance.randrange(1 << 32), ACK, 0) for _ in range(20_000))
    assert sum(JAR.syn_of(guess, FLOW, NOW) is not None for guess in guesses) == 0


def test_a_connection_opened_by_a_cookie_carries_data(ledger: Ledger) -> None:
    answer = JAR.syn_ack(CONFIG, Segment(a_syn()), FLOW, NOW)
    ack = ack_of(answer)
    found = JAR.syn_of(ack, FLOW, NOW + 0.1)
    assert found is not None
    connection = ledger.keep(Connection.from_cookie(CONFIG, *found, NOW + 0.1))
    connection.receive_segment(Segment(ack, ledger.payload(b"hello")), NOW + 0.1)
    assert connection.state is State.ESTABLISHED
    info = connection.info()
    assert (info.snd_wscale, info.snd_mss, info.rtt_us) == (7, 1448, 0)
    sent = connection.segments_to_send(NOW + 0.1)
    assert [each.header.ack for each in sent] == [ack.seq + 5 & 0xFFFFFFFF]
    assert sent[0].header.ts_val is not None
    assert answer.header.ts_val is not None
    assert sent[0].header.ts_val >= answer.header.ts_val
