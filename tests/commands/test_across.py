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
TRIAL = Trial("devmem", 4096, 0)


class Machines:
    """Answers at once; `told`: what each was asked for in the end."""

    homes: ClassVar[dict[str, int]] = {"h1": 0, "h2": 1}
    count = 2

    def __init__(self) -> None:
        self.told: list[Any] = []

    def at(self, number: int, request: Any) -> ClockReading:
        assert isinstance(request, protocol.ReadClock)
        ahead_s = AHEAD_S[number]
        return ClockReading(f"of machine {number}", 50.0 + ahead_s, 1050.0 + ahead_s)

    def each(self, requests: list[Any]) -> list[Any]:
        self.told = requests
        return [Used([], [])] * 2


class Session:
    """Two ranks, which ran at the same time."""

    def run(self, trial: Trial) -> Rows:
        assert trial == TRIAL
        own = [
            sample(0, 100.0 + ahead_s, 101.0 + ahead_s, host)
            for ahead_s, host in zip(AHEAD_S, Machines.homes, strict=True)
        ]
        return Rows(tuple(msgspec.structs.replace(each, rank=rank) for rank, each in enumerate(own)))


def test_rows_have_the_drivers_times_and_machines_measure_by_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ClockReading, "now", lambda: ClockReading("the driver's", 50.0, 1050.0))
    machines = Machines()
    clocks = _Clocks(cast("_Machines", machines))
    meter = _ClusterMeter(cast("_Machines", machines), clocks)
    ranks = _RanksByOneClock(cast("Any", Session()), clocks, (0, 1))
    with meter.measuring():
        assert machines.told == [protocol.BeginTrial()] * 2
        rows = ranks.run(TRIAL)
    first, second = rows.samples
    assert (first.start_s, second.start_s) == (100.0, 100.0)
    meter.used(TRIAL, rows.samples)
    told = [request.samples[0].start_s for request in machines.told]
    assert told == [100.0, 600.0]
