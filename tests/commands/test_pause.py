"""The time between iterations that --pause asks for, and what it leaves of a congestion window."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.commands.simulated_run import measured, simulated_run
from workloads.experiment.rank import Rank

RUN = (
    "--topology", "pair", "--link", "1Gbit,10ms", "--path", "devmem", "--size", "64K", "--place", "out",
    "--repeat", "2", "--iters", "2", "--warmup", "1",
)  # fmt: skip
_CHECK_S = 0.1


def gaps_s(rows: list[dict[str, str]]) -> list[float]:
    """From the end of each iteration on its last rank to the beginning of the next one of its trial."""
    times: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for row in rows:
        iteration = row["repetition"], int(row["iteration"])
        times.setdefault(iteration, []).append((float(row["start_s"]), float(row["end_s"])))
    return [
        min(start for start, _ in times[trial, at + 1]) - max(end for _, end in each)
        for (trial, at), each in times.items()
        if (trial, at + 1) in times
    ]


def test_an_iteration_begins_a_pause_after_the_last_whatever_checking_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = Rank._checked

    def slowly(rank: Rank, *given: Any) -> Any:
        rank._machine.runtime.sleep(_CHECK_S)
        return checked(rank, *given)

    monkeypatch.setattr(Rank, "_checked", slowly)
    for pause_s, gap_s in ((0.0, _CHECK_S), (0.05, _CHECK_S), (3.0, 3.0)):
        rows = simulated_run(tmp_path / str(pause_s), *RUN, "--pause", str(pause_s))
        assert gaps_s(rows) == pytest.approx([gap_s] * 4, abs=1e-6)


def test_behind_a_pause_of_many_timeouts_an_iteration_is_in_slow_start_again(tmp_path: Path) -> None:
    """Each of the two messages has 23 segments, more than an initial window of 10. A round trip is 20 ms."""
    at_once, late = (
        measured(simulated_run(tmp_path / pause, *RUN, "--pause", pause)) for pause in ("0", "3")
    )
    longest, shortest = (
        max(float(row["time_s"]) for row in at_once),
        min(float(row["time_s"]) for row in late),
    )
    assert shortest > longest + 0.02
