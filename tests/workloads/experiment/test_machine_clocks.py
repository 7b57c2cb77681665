"""Times of a machine whose clocks are off become the driver's, to within half of a round trip."""

from __future__ import annotations

import msgspec
import pytest

from tests.workloads.experiment.test_usage import sample
from workloads.experiment.ledger_series import LedgerReading
from workloads.experiment.machine_clocks import ClockOffset, ClockReading, by_driver, by_machine, offset
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
    assert offset(far.ask, 1, far.now) == ClockOffset(500 + off_s, -7 + off_s, 0.25)


def test_the_shortest_round_trip_counts() -> None:
    far = Far((0.5, 0.0), (0.0, 0.125), (0.0, 4.0))
    assert offset(far.ask, 3, far.now) == ClockOffset(500 - 0.0625, -7 - 0.0625, 0.0625)


def test_clocks_that_are_the_drivers_own_have_no_offset() -> None:
    far = Far((0.5, 0.0), clock="near")
    assert offset(far.ask, 3, far.now) == ClockOffset()


def test_a_machine_reads_the_same_clocks_as_its_processes() -> None:
    first, second = ClockReading.now(), ClockReading.now()
    assert first.clock == second.clock != ""
    assert first.monotonic_s <= second.monotonic_s


def test_every_time_of_a_row_is_the_drivers_and_durations_are_what_they_were() -> None:
    offsets = [ClockOffset(), ClockOffset(500.0, -7.0, 0.25)]
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
    found = by_driver(msgspec.structs.replace(rows, samples=samples), offsets)
    assert [(each.start_s, each.end_s) for each in found.samples] == [(UNIX_S + 1, UNIX_S + 2)] * 2
    assert [(each.begin_s, each.end_s) for each in found.operations] == [(40.0, 42.0), (-460.0, -458.0)]
    assert [each.time_s for each in found.tcp_info] == [UNIX_S, UNIX_S + 7]
    assert [each[0].at_s for each in found.readings] == [40.0, 40.0]
    assert by_machine(found.samples[1:], offsets[1]) == samples[1:]
