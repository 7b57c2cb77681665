"""Times of a machine whose clocks are off, and drift, become the driver's, to within half of a round trip."""

from __future__ import annotations

import msgspec
import pytest

from tests.workloads.experiment.test_usage import sample
from workloads.experiment.ledger_series import LedgerReading
from workloads.experiment.machine_clocks import (
    ClockCourse,
    ClockOffset,
    ClockReading,
    MachineClocks,
    by_driver,
    by_machine,
    offset,
)
from workloads.experiment.ray_protocol import Rows
from workloads.experiment.records import Operation
from workloads.experiment.tcp_info import TcpInfoSample

UNIX_S = 1e9  # the driver's Unix time when its monotonic clock is 0


class Far:
    """A machine whose monotonic clock is 500 s ahead of the driver's, and whose Unix time is 7 s behind. A
    question to it takes `there_s`, its answer `back_s`."""

    def __init__(self, *trips: tuple[float, float], clock: str = "far") -> None:
        self._trips, self._clock, self.now_s = iter(trips), clock, 100.0

    def now(self) -> ClockReading:
        return ClockReading("near", self.now_s, UNIX_S + self.now_s)

    def ask(self) -> ClockReading:
        there_s, back_s = next(self._trips)
        self.now_s += there_s
        found = ClockReading(self._clock, self.now_s + 500, UNIX_S + self.now_s - 7)
        self.now_s += back_s
        return found


@pytest.mark.parametrize(("trip", "off_s"), [((0.25, 0.25), 0.0), ((0.5, 0.0), 0.25), ((0.0, 0.5), -0.25)])
def test_an_offset_is_wrong_by_half_a_round_trip_at_most(trip: tuple[float, float], off_s: float) -> None:
    far = Far(trip)
    at_s = 100 + trip[0]
    assert offset(far.ask, 1, far.now) == ClockOffset(
        500 + off_s, -7 + off_s, 0.25, at_s + 500, UNIX_S + at_s - 7
    )


def test_the_shortest_round_trip_counts() -> None:
    far = Far((0.5, 0.0), (0.0, 0.125), (0.0, 4.0))
    found = offset(far.ask, 3, far.now)
    assert (found.monotonic_s, found.unix_s, found.uncertainty_s) == (500 - 0.0625, -7 - 0.0625, 0.0625)


def test_clocks_that_are_the_drivers_own_have_no_offset() -> None:
    far = Far((0.5, 0.0), clock="near")
    assert offset(far.ask, 3, far.now) == ClockOffset()


def test_a_machine_reads_the_same_clocks_as_its_processes() -> None:
    first, second = ClockReading.now(), ClockReading.now()
    assert first.clock == second.clock != ""
    assert first.monotonic_s <= second.monotonic_s


def look(at_s: float, ahead_s: float, wrong_s: float) -> ClockOffset:
    """By the driver's monotonic clock; both clocks of the machine are as much ahead."""
    return ClockOffset(ahead_s, ahead_s, wrong_s, at_s + ahead_s, UNIX_S + at_s + ahead_s)


def test_times_between_two_looks_follow_an_even_drift() -> None:
    clocks = MachineClocks.between(look(0.0, 10.0, 0.001), look(1000.0, 10.5, 0.002))
    assert clocks.uncertainty_s == 0.002, "no more than at the looks, and no drift in it"
    for at_s, ahead_s in ((0.0, 10.0), (500.0, 10.25), (1000.0, 10.5)):
        assert clocks.monotonic.to_driver(at_s + ahead_s) == pytest.approx(at_s, abs=1e-6)
        assert clocks.monotonic.to_machine(at_s) == pytest.approx(at_s + ahead_s, abs=1e-6)
        assert clocks.unix.to_driver(UNIX_S + at_s + ahead_s) == pytest.approx(UNIX_S + at_s, abs=1e-5)
        assert clocks.unix.to_machine(UNIX_S + at_s) == pytest.approx(UNIX_S + at_s + ahead_s, abs=1e-5)


def test_what_two_looks_are_wrong_by_is_no_drift() -> None:
    """Over a tenth of a second it would be 2 %, and durations as much longer. What it may hide is said."""
    clocks = MachineClocks.between(look(0.0, 10.0, 0.003), look(0.1, 10.002, 0.001)).monotonic
    assert (clocks.drift, clocks.offset_s) == (0.0, 10.002), "that of the shorter round trip"
    assert clocks.uncertainty_s == pytest.approx(0.005)
    assert clocks.to_driver(20.0) == clocks.to_driver(19.0) + 1


def test_a_clock_that_was_set_in_a_trial_does_not_drift() -> None:
    monotonic, unix = MachineClocks.between(
        look(0.0, 10.0, 0.001), msgspec.structs.replace(look(2.0, 10.0, 0.002), unix_s=-50.0)
    )
    assert (unix.drift, unix.offset_s) == (0.0, 10.0)
    assert unix.uncertainty_s == pytest.approx(60.002)
    assert monotonic.uncertainty_s == 0.002


def test_clocks_that_are_the_drivers_own_are_certain() -> None:
    assert MachineClocks.between(ClockOffset(), ClockOffset()) == (ClockCourse(), ClockCourse())


def test_every_time_of_a_row_is_the_drivers_and_durations_are_what_they_were() -> None:
    look = ClockOffset(500.0, -7.0, 0.25)
    clocks = [MachineClocks(), MachineClocks.between(look, look)]
    of = "devmem", 4096, 0
    rows = Rows(
        tuple(sample(0, UNIX_S + 1.0, UNIX_S + 2.0) for _ in range(2)),
        tuple(Operation(*of, 0, rank, 0, "n", "send", 1, 40.0, 42.0) for rank in range(2)),
        tuple(TcpInfoSample(
            path="devmem", size_bytes=4096, repetition=0, rank=rank, peer=1 - rank, flow=0, time_s=UNIX_S,
            ca_state=0, snd_mss_bytes=1, cwnd_segs=1, ssthresh_segs=None, srtt_us=None, rttvar_us=None,
            rto_us=1, unacked_segs=0, lost_segs=0, retrans_segs=0, total_retrans_segs=0, bytes_acked=0,
        ) for rank in range(2)),
        tuple((LedgerReading(at_s, (1,), 0),) for at_s in (40.0, 540.0)),
    )  # fmt: skip
    samples = tuple(
        msgspec.structs.replace(each, rank=rank, start_s=each.start_s - 7 * rank, end_s=each.end_s - 7 * rank)
        for rank, each in enumerate(rows.samples)
    )
    found = by_driver(msgspec.structs.replace(rows, samples=samples), clocks)
    assert [(each.start_s, each.end_s) for each in found.samples] == [(UNIX_S + 1, UNIX_S + 2)] * 2
    assert [(each.begin_s, each.end_s) for each in found.operations] == [(40.0, 42.0), (-460.0, -458.0)]
    assert [each.time_s for each in found.tcp_info] == [UNIX_S, UNIX_S + 7]
    assert [each[0].at_s for each in found.readings] == [40.0, 40.0]
    assert by_machine(found.samples[1:], clocks[1]) == samples[1:]
