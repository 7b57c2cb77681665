"""Proportional rate reduction below ssthresh: one segment more only when nothing else was lost (RFC 9937)."""

from __future__ import annotations

from nodes.tcp.prr import ProportionalRate

MSS = 1000


def test_one_more_leaves_while_snd_una_advances_and_none_after_a_new_loss() -> None:
    prr, ssthresh = ProportionalRate(10 * MSS, 0, 0), 8 * MSS
    assert prr.cwnd(1 * MSS, 0, 3 * MSS, ssthresh, MSS) == 4 * MSS  # the retransmission that begins it
    prr.on_bytes_sent(MSS)
    assert prr.cwnd(2 * MSS, MSS, 3 * MSS, ssthresh, MSS) == 5 * MSS
    prr.on_bytes_sent(2 * MSS)
    prr.new_loss = True
    assert prr.cwnd(3 * MSS, 2 * MSS, 3 * MSS, ssthresh, MSS) == 4 * MSS
    prr.on_bytes_sent(MSS)
    assert prr.cwnd(4 * MSS, 2 * MSS, 3 * MSS, ssthresh, MSS) == 4 * MSS  # snd_una did not advance


def test_what_a_batch_of_acks_delivered_leaves_with_the_retransmission() -> None:
    prr, ssthresh = ProportionalRate(10 * MSS, 0, 20 * MSS), 8 * MSS
    assert prr.cwnd(24 * MSS, 0, 3 * MSS, ssthresh, MSS) == 7 * MSS


def test_one_segment_leaves_when_a_timer_found_the_loss() -> None:
    prr, ssthresh = ProportionalRate(10 * MSS, 0, 20 * MSS), 8 * MSS
    assert prr.cwnd(20 * MSS, 0, 3 * MSS, ssthresh, MSS) == 4 * MSS
    assert prr.cwnd(20 * MSS, 0, 3 * MSS, ssthresh, MSS) is None
