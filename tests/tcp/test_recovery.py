"""Loss detection, recovery and undo, against a scripted peer."""

from __future__ import annotations

import pytest

from tests.tcp.two_ends import FULL, MSS, Impairment, Ledger, Scripted, TwoEnds, pattern


def test_a_transfer_completes_after_many_losses_in_a_row(ledger: Ledger) -> None:
    for first in range(1, 12):
        ends = TwoEnds(ledger, Impairment(cut=True, drop=set(range(first, first + 16)))).open()
        ends.a.pending = pattern(60_000)
        ends.run(600.0, until_read=60_000)
        assert bytes(ends.server.read) == pattern(60_000)
        ends.stop()


def test_a_segment_is_lost_a_reordering_window_after_a_later_one_was_sacked(
    peer: Scripted,
) -> None:
    peer.write(9 * FULL)
    assert [length for _, length in peer.ranges()] == [5 * FULL, 4 * FULL]
    peer.now += 0.01
    peer.get(1, 1, sack=((1 + FULL, 1 + 3 * FULL),))
    if peer.ranges():
        pytest.fail("resent inside the reordering window")
    assert peer.wait() < 0.02
    assert peer.ranges() == [(1, FULL)]
    info = peer.connection.info()
    assert (info.ca_state, info.sacked, info.snd_ssthresh) == (3, 2, 7)
    peer.now += 0.01
    peer.get(1, 1 + 9 * FULL)
    info = peer.connection.info()
    assert (info.ca_state, info.sacked, info.lost, info.unacked) == (0, 0, 0, 0)


def test_a_partial_sack_splits_and_only_the_hole_is_retransmitted(peer: Scripted) -> None:
    peer.write(9 * FULL)
    peer.ranges()
    peer.now += 0.01
    peer.get(1, 1 + FULL, sack=((1 + 2 * FULL, 1 + 9 * FULL),))
    resent = peer.ranges()
    if not resent:
        peer.wait()
        resent = peer.ranges()
    assert resent == [(1 + FULL, FULL)]
    assert peer.connection.info().sacked == 7


def test_a_d_sack_for_all_retransmissions_undoes_the_reduction(peer: Scripted) -> None:
    peer.write(9 * FULL)
    peer.ranges()
    peer.now += 0.01
    peer.get(1, 1, sack=((1 + 2 * FULL, 1 + 5 * FULL),))
    assert peer.ranges() == [(1, 2 * FULL)]
    assert peer.connection.info().snd_ssthresh == 7
    peer.now += 0.001
    peer.get(1, 1 + 9 * FULL, sack=((1, 1 + 2 * FULL),))
    info = peer.connection.info()
    assert info.snd_cwnd >= 10
    assert info.dsack_dups == 2
    peer.get(1, 1 + 9 * FULL, sack=((1, 1 + 2 * FULL),))  # the same report, copied onto each packet by TSO
    assert peer.connection.info().dsack_dups == 2


def test_a_timeout_that_timestamps_prove_spurious_is_undone(peer: Scripted) -> None:
    peer.write(4 * FULL)
    sent_at = int(peer.now * 1000) + 1
    peer.ranges()
    while peer.wait() < 0.1:
        peer.ranges()
    peer.ranges()
    assert peer.connection.info().snd_cwnd == 1
    peer.now += 0.001
    peer.get(1, 1 + 2 * FULL, ts_ecr=sent_at)
    assert peer.connection.info().snd_cwnd >= 10
    assert peer.connection.info().ca_state == 0


@pytest.mark.parametrize("control", ["cubic", "reno", "dctcp"])
def test_a_reduction_of_a_replaced_congestion_control_is_final(
    peer: Scripted, control: str
) -> None:
    peer.write(9 * FULL)
    peer.ranges()
    peer.now += 0.01
    peer.get(1, 1, sack=((1 + 2 * FULL, 1 + 5 * FULL),))
    assert peer.ranges() == [(1, 2 * FULL)]
    assert peer.connection.info().snd_ssthresh == 7
    peer.connection.sockopt.set_congestion("cubic")  # as it is: changes nothing
    peer.connection.sockopt.set_congestion(control)
    peer.now += 0.001
    peer.get(1, 1 + 9 * FULL, sack=((1, 1 + 2 * FULL),))  # all that was resent had arrived
    info = peer.connection.info()
    undone = control == "cubic"
    assert (info.congestion, info.snd_ssthresh == 7, info.snd_cwnd >= 10) == (control, not undone, undone)


def test_without_sack_three_duplicate_acks_mean_a_loss(ledger: Ledger) -> None:
    peer = Scripted(ledger, options=False).open()
    peer.write(9 * MSS)
    peer.ranges()
    for _ in range(2):
        peer.get(1, 1)
    assert peer.ranges() == []
    peer.get(1, 1)
    assert peer.ranges()[0] == (1, MSS)


def test_the_reordering_window_is_a_millisecond_at_least_and_srtt_at_most(peer: Scripted) -> None:
    """RFC 8985 section 6.2, step 4. However many D-SACKs came: a hole that waits longer stops the sender."""
    recovery, rtt = peer.connection.tcb.sender.recovery, peer.connection.tcb.sender.rtt
    recovery.reord_seen = 1
    for srtt, steps, window in (
        (0.0004, 1, 0.001), (0.0004, 64, 0.001), (0.02, 1, 0.005), (0.02, 2, 0.01), (0.02, 64, 0.02)
    ):  # fmt: skip
        rtt.min_rtt = rtt.srtt = srtt
        recovery._reo_wnd_steps = steps
        assert recovery.reordering_window == pytest.approx(window)


def test_an_episode_that_d_sacks_undo_shows_that_the_path_reorders(peer: Scripted) -> None:
    peer.write(9 * FULL)
    peer.ranges()
    peer.now += 0.01
    peer.get(1, 1, sack=((1 + FULL, 1 + 4 * FULL),))
    assert peer.ranges() == [(1, FULL)]
    assert peer.connection.info().reord_seen == 0
    peer.get(1, 1 + 4 * FULL, sack=((1, 1 + FULL),))
    assert peer.connection.info().reord_seen == 1
    peer.get(1, 1 + 4 * FULL, sack=((1 + 5 * FULL, 1 + 9 * FULL),))
    assert peer.ranges() == []  # it may be late again
