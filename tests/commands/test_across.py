"""Rows of a run across machines have the driver's times, and each machine measures by its own."""

from __future__ import annotations

from typing import Any, ClassVar, cast

import msgspec
import pytest

from commands import part_protocol as protocol
from commands.across import _Clocks, _ClusterMeter, _Machines, _RanksByOneClock
from tests.workloads.experiment.test_usage import sample
from workloads.experiment.machine_clocks import ClockReading
from workloads.experiment.meter import Used
from workloads.experiment.ray_protocol import Rows
from workloads.experiment.records import Trial

AHEAD_S = (0.0, 500.0)  # the clocks of both machines
DRIFT_S = 4.0  # what the second one's are more ahead when the trial has ended
BEGAN_S = 1050.0  # Unix time of the first look, by the driver
TRIAL, TRIAL_S = Trial("devmem", 4096, 0), 100.0


class Machines:
    """Answers at once; `told`: what each was asked for in the end. `now_s`: since the first look."""

    homes: ClassVar[dict[str, int]] = {"h1": 0, "h2": 1}
    count = 2

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.now_s = 0.0

    def driver(self) -> ClockReading:
        return ClockReading("the driver's", 50.0 + self.now_s, BEGAN_S + self.now_s)

    def at(self, number: int, request: Any) -> ClockReading:
        assert isinstance(request, protocol.ReadClock)
        ahead_s = AHEAD_S[number] + number * DRIFT_S * self.now_s / TRIAL_S
        _, monotonic_s, unix_s = self.driver()
        return ClockReading(f"of machine {number}", monotonic_s + ahead_s, unix_s + ahead_s)

    def each(self, requests: list[Any]) -> list[Any]:
        self.told = requests
        return [Used([], [])] * 2


class Session:
    """Two ranks, which ran at the same time, in the middle of the trial."""

    def __init__(self, machines: Machines) -> None:
        self._machines = machines

    def run(self, trial: Trial) -> Rows:
        assert trial == TRIAL
        self._machines.now_s = TRIAL_S
        at_s = BEGAN_S + TRIAL_S / 2
        own = [
            sample(0, at_s + ahead_s, at_s + 1 + ahead_s, host)
            for ahead_s, host in zip((0.0, AHEAD_S[1] + DRIFT_S / 2), Machines.homes, strict=True)
        ]
        return Rows(tuple(msgspec.structs.replace(each, rank=rank) for rank, each in enumerate(own)))


def test_rows_have_the_drivers_times_and_machines_measure_by_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machines = Machines()
    monkeypatch.setattr(ClockReading, "now", machines.driver)
    clocks = _Clocks(cast("_Machines", machines))
    meter = _ClusterMeter(cast("_Machines", machines), clocks)
    noted: list[float] = []
    ranks = _RanksByOneClock(
        cast("Any", Session(machines)), clocks, (0, 1), lambda: noted.append(clocks.found()[1].last.unix_s)
    )
    with meter.measuring():
        assert machines.told == [protocol.BeginTrial()] * 2
        rows = ranks.run(TRIAL)
    middle_s = BEGAN_S + TRIAL_S / 2
    assert [each.start_s for each in rows.samples] == pytest.approx([middle_s, middle_s], abs=1e-6)
    meter.used(TRIAL, rows.samples)
    told = [request.samples[0].start_s for request in machines.told]
    assert told == pytest.approx([middle_s, middle_s + 502], abs=1e-6)
    _, second = clocks.found()
    assert (second.first.unix_s, second.last.unix_s, second.uncertainty_s) == (500.0, 504.0, 0.0)
    assert noted == [504.0]
