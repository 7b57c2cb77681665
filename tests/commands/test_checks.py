"""What a cgroup does not allow is refused before anything starts."""

from __future__ import annotations

import pytest

from commands import checks
from commands.usage import UsageError
from topologies.mininet.cgroup import Room
from workloads.collective import CollectiveOptions
from workloads.experiment.records import ExperimentConfig

CONFIG = ExperimentConfig("star", 2, "all_reduce", (1 << 20,), ("bounce",), CollectiveOptions())


@pytest.mark.parametrize(
    ("allowed", "sentence"),
    [
        (Room(300 << 20, None), "hosts and sizes need 738 MiB and the cgroup's limit on memory leaves 300"),
        (Room(1 << 20, None), "the cgroup's limit on memory leaves 1; ask for fewer or smaller ones"),
        (Room(None, 150), "Ray need 244 processes and threads and the cgroup's pids.max leaves 150"),
    ],
)
def test_a_cgroups_limit_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, allowed: Room, sentence: str
) -> None:
    monkeypatch.setattr(checks, "room", lambda: allowed)
    with pytest.raises(UsageError, match=sentence):
        checks.check_workload(CONFIG)


def test_enough_room_is_nothing_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "room", lambda: Room(1 << 30, 1000))
    checks.check_workload(CONFIG)
