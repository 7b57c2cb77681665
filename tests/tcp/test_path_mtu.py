"""The path MTU changes during a connection: windows keep their number of segments, and nothing stalls."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nodes.tcp.config import TcpConfig
from nodes.tcp.congestion.control import UNLIMITED_WINDOW, congestion_control
from tests.tcp.two_ends import CONFIG, Impairment, Ledger, TwoEnds, pattern

WIDE, NARROW = 8960, 512  # bytes of a segment
COUNT = 1_000_000


def seconds(ledger: Ledger, config: TcpConfig, loss: float, seed: int) -> float:
    """How long a transfer takes once the path MTU allows segments of `WIDE` bytes."""
    wire = Impairment(cut=True, loss=loss, seed=seed)
    ends = TwoEnds(ledger, wire, config, replace(CONFIG, mss=WIDE)).open()
    ends.a.connection.icmp_err.on_path_mtu_expired(WIDE + 40)
    began = ends.now
    ends.a.pending = data = pattern(COUNT)
    ends.run(300, until_read=COUNT)
    assert bytes(ends.server.read) == data
    assert ends.a.connection.info().snd_mss == WIDE - 12
    ends.stop()
    return ends.now - began


@pytest.mark.parametrize("loss", [0.0, 0.03])
@pytest.mark.parametrize("congestion", ["cubic", "reno", "dctcp"])
def test_a_path_whose_mtu_grew_is_as_fast_as_one_with_that_mtu(
    ledger: Ledger, congestion: str, loss: float
) -> None:
    config = replace(CONFIG, congestion=congestion)
    took = {
        mss: [seconds(ledger, replace(config, mss=mss), loss, seed) for seed in range(4)]
        for mss in (WIDE, NARROW)
    }
    if not loss:
        assert took[NARROW] == took[WIDE]
    assert sum(took[NARROW]) < 2 * sum(took[WIDE])


def test_a_transfer_goes_on_while_the_path_mtu_shrinks_and_grows(ledger: Ledger) -> None:
    ends = TwoEnds(ledger, Impairment(cut=True, loss=0.01, seed=5), replace(CONFIG, mss=WIDE)).open()
    a = ends.a.connection
    ends.a.pending = data = pattern(8 * COUNT)
    for turn in range(1, 13):
        ends.run(60, until_read=turn * len(data) // 13)
        in_flight = a.info().unacked > 0
        assert in_flight
        if turn % 2:
            a.icmp_err.on_packet_too_big(NARROW + 40, a.tcb.sender.snd_una & 0xFFFFFFFF, True, ends.now)
        else:
            a.icmp_err.on_path_mtu_expired(WIDE + 40)
    began = ends.now
    ends.run(60, until_read=len(data))
    assert bytes(ends.server.read) == data
    assert ends.now - began < 10


@pytest.mark.parametrize("name", ["cubic", "reno", "dctcp"])
def test_every_window_scales_with_the_mss_and_no_limit_stays_none(name: str) -> None:
    control = congestion_control(name, 1000)
    control.set_mss(500)
    assert (control.cwnd, control.ssthresh) == (5000, UNLIMITED_WINDOW)
    control.cwnd = 100_000
    control.on_loss(0.0)
    reduced = control.cwnd, control.ssthresh
    control.set_mss(1500)
    assert (control.cwnd, control.ssthresh) == (3 * reduced[0], 3 * reduced[1])
    control.undo()
    assert (control.cwnd, control.ssthresh) == (300_000, UNLIMITED_WINDOW)
    control.on_timeout(0.0)
    assert control.cwnd == 1500
