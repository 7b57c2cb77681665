"""What --across goes with, and which machine a host is on."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from commands.machines import Division, Machines, division
from commands.usage import UsageError
from topologies.shapes.registry import build
from topologies.traffic.entry import TrafficEntry
from workloads.collective import CollectiveOptions
from workloads.experiment.records import ExperimentConfig

CONFIG = ExperimentConfig("star", 4, "all_reduce", (1 << 20,), ("devmem",), CollectiveOptions())
STAR = build("star", 4)


def test_one_machine_is_not_divided() -> None:
    assert division(Machines(), CONFIG, STAR) is None


def test_hosts_are_divided_and_placed_as_asked() -> None:
    found = division(Machines(across=2, on=("s1=2",), ray_address="h:1", tunnel_port=99), CONFIG, STAR)
    assert found == Division(2, {"h1": 0, "h2": 0, "h3": 1, "h4": 1, "s1": 1}, "h:1", 99)


@pytest.mark.parametrize(
    ("asked", "config", "said"),
    [
        ({"on": ("h1=2",)}, {}, "--on, --ray-address and --tunnel-port go with --across N"),
        ({"ray_address": "h:1"}, {}, "go with --across N"),
        ({"tunnel_port": 99}, {}, "go with --across N"),
        ({"across": 2}, {"fault": ("x",)}, "--fault does not go with --across"),
        ({"across": 2}, {"faults": "x"}, "--faults does not go with --across"),
        ({"across": 2}, {"traffic": ("x",)}, "--traffic does not go with --across"),
        ({"across": 2}, {"gso_max_bytes": 1 << 19}, "--gso-max 524288 does not go with --across"),
        ({"across": 5}, {}, "--across 5: machine 5 of 5 has no host of 4; ask for fewer machines"),
        ({"across": 2, "on": ("h1",)}, {}, "--on h1 is not NODE=M"),
        ({"across": 2, "on": ("h1=b",)}, {}, "--on h1=b is not NODE=M"),
        ({"across": 2, "on": ("h9=1",)}, {}, "--across 2: there is no host or switch 'h9'"),
        ({"across": 2, "on": ("h1=0",)}, {}, "--across 2: there is no machine 0; choose from 1 to 2"),
    ],
)
def test_what_does_not_go_together_is_refused(
    asked: dict[str, Any], config: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError) as refused:
        division(Machines(**asked), msgspec.structs.replace(CONFIG, **config), STAR)
    assert said in str(refused.value)


def test_a_files_own_traffic_is_refused() -> None:
    busy = msgspec.structs.replace(STAR, traffic=(TrafficEntry(kind="constant"),))
    with pytest.raises(UsageError, match="traffic does not go with --across"):
        division(Machines(across=2), CONFIG, busy)
