"""RTT samples, retransmission timer, back-off and persist timer, against a scripted peer."""

from __future__ import annotations

import errno
from itertools import pairwise

import pytest

from nodes.tcp.connection import State
from nodes.tcp.keepalive import Keepalive
from tests.tcp.two_ends import FULL, Ledger, Scripted


def test_an_rtt_of_microseconds_is_measured_and_sending_goes_on(peer: Scripted) -> None:
    peer.write(20_000)
    acked = 1
    while ranges := peer.ranges():
        acked = ranges[-1][0] + ranges[-1][1]
        peer.now += 3e-6
        peer.get(1, acked)
    assert acked == 20_001
    info = peer.connection.info()
    assert 0 < info.min_rtt_us <= 4
    assert info.rto_us >= 200_000


def test_retransmission_timer_is_not_restarted_by_every_ack(peer: Scripted) -> None:
    peer.write(FULL)
    peer.ranges()
    due = peer.connection.next_timeout()
    for _ in range(10):
        peer.now += 0.01
        peer.get(1, 1)  # acknowledges nothing new
        peer.get(1, 1, window=60_000)
    assert peer.connection.next_timeout() == due


def test_back_off_doubles_and_a_new_ack_resets_it(peer: Scripted) -> None:
    peer.write(4 * FULL)
    peer.ranges()
    assert peer.wait() < 0.2
    assert peer.ranges() == [(1 + 3 * FULL, FULL)]  # the tail probe
    waits = []
    for _ in range(5):
        waits.append(peer.wait())
        assert peer.ranges()[0] == (1, FULL)
    for shorter, longer in pairwise(waits):
        assert longer == pytest.approx(2 * shorter)
    peer.get(1, 1 + FULL)
    assert peer.connection.info().backoff == 0
    assert peer.connection.info().retransmits == 0


def test_rtt_is_not_sampled_from_retransmissions(ledger: Ledger) -> None:
    peer = Scripted(ledger, options=False)
    peer.now += 0.001
    peer.open()
    before = peer.connection.info().rtt_us
    peer.write(100)
    peer.ranges()
    peer.wait()
    peer.ranges()
    peer.now += 0.0001
    peer.get(1, 101)
    assert peer.connection.info().rtt_us == before


def test_the_last_timeout_ends_with_etimedout_and_releases_payload(peer: Scripted) -> None:
    peer.write(10_000)
    timeouts = 0
    while peer.state() is State.ESTABLISHED:
        peer.ranges()
        timeouts += peer.wait() >= 0.2
    assert peer.connection.error == errno.ETIMEDOUT
    assert 15 <= timeouts <= 17
    assert peer.ledger.live == 0


def test_before_any_data_its_age_counts_from_the_handshake(peer: Scripted) -> None:
    peer.now += 3.0
    info = peer.connection.info(peer.now)
    assert (info.last_data_sent_ms, info.last_data_recv_ms) == (3000, 3000)
    peer.write(100)
    peer.ranges()
    peer.get(1, 101, b"x")
    info = peer.connection.info(peer.now)
    assert (info.last_data_sent_ms, info.last_data_recv_ms) == (0, 0)
    peer.acks()


def test_a_user_timeout_ends_the_connection_only_after_a_retransmission(peer: Scripted) -> None:
    peer.connection.sockopt.set_user_timeout(0.05)
    peer.write(FULL)
    peer.ranges()
    waits = 0
    while not peer.connection.info().retransmits:
        peer.wait()
        peer.ranges()
        waits += 1
        assert waits < 9
    assert peer.state() is State.ESTABLISHED
    assert peer.wait() == pytest.approx(0.05)
    assert peer.connection.error == errno.ETIMEDOUT


def test_a_zero_window_is_probed_with_back_off_and_without_retransmissions(peer: Scripted) -> None:
    peer.write(3 * FULL)
    sent = sum(length for _, length in peer.ranges())
    peer.write(1000)
    peer.get(1, 1 + sent, window=0)
    assert peer.ranges() == []
    waits = []
    for _ in range(12):
        waits.append(peer.wait())
        assert peer.ranges() == [(sent, 0)]  # zero bytes at SND.UNA - 1
        peer.now += 0.0001
        peer.get(1, 1 + sent, window=0)
        assert peer.ranges() == []
    assert waits[1] == pytest.approx(2 * waits[0], rel=0.01)
    assert max(waits) == pytest.approx(120, rel=0.01)
    info = peer.connection.info()
    assert (info.total_retrans, info.retransmits, info.probes) == (0, 0, 0)
    peer.get(1, 1 + sent, window=5000)
    assert peer.ranges() == [(1 + sent, 1000)]
    assert peer.connection.info().backoff == 0


def test_unanswered_probes_end_with_etimedout(peer: Scripted) -> None:
    peer.write(FULL)
    peer.ranges()
    peer.write(FULL)
    peer.get(1, 1 + FULL, window=0)
    while peer.state() is State.ESTABLISHED:
        peer.ranges()
        peer.wait()
    assert peer.connection.error == errno.ETIMEDOUT
    assert peer.ledger.live == 0


def test_a_zero_window_with_data_in_flight_reopens_without_a_timer(peer: Scripted) -> None:
    peer.write(4 * FULL)
    peer.ranges()
    peer.get(1, 1, window=0)
    for _ in range(30):
        peer.wait()
        peer.ranges()
        peer.get(1, 1, window=0)
    assert peer.state() is State.ESTABLISHED  # alive: it answers
    peer.get(1, 1, window=60_000)
    assert peer.ranges()[0] == (1, FULL)


def test_a_window_update_does_not_cancel_a_keepalive_probe_that_is_due(peer: Scripted) -> None:
    peer.connection.sockopt.set_keepalive(Keepalive(1.0, 1.0, 3))
    peer.wait()
    assert not peer.connection.tcb.sender.persist.probe_due
    peer.get(1, 1, window=60_000)
    assert peer.ranges() == [(0, 0)]
