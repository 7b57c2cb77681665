"""What a cgroup does not allow is refused before anything starts."""

from __future__ import annotations

import msgspec
import pytest

from commands import checks
from commands.offer import Given
from commands.placement import placement
from commands.run import settled
from commands.usage import UsageError
from nodes.machine.accelerator import Slot
from topologies.mininet.cgroup import Room
from topologies.shapes.registry import build
from workloads.collective import CollectiveOptions
from workloads.experiment.records import ExperimentConfig
from workloads.machine import RECEIVE_BYTES

ONE_A_HOST = placement(build("star", 2))
PLACES = placement(build("rail_optimized:rails=2,accelerators=4"))
CONFIG = ExperimentConfig("star", 2, "all_reduce", (1 << 20,), ("bounce",), CollectiveOptions())


@pytest.mark.parametrize(
    ("allowed", "sentence"),
    [
        (Room(300 << 20, None), "hosts and sizes need 740 MiB and the cgroup's limit on memory leaves 300"),
        (Room(1 << 20, None), "the cgroup's limit on memory leaves 1; ask for fewer or smaller ones"),
        (Room(None, 150, "ulimit -u"), "Ray need 244 processes and threads and ulimit -u leaves 150"),
        (Room(None, 150), "Ray need 244 processes and threads and the cgroup's pids.max leaves 150"),
    ],
)
def test_a_cgroups_limit_is_a_sentence(allowed: Room, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        checks.check_room(CONFIG, ONE_A_HOST, allowed)


def test_enough_room_is_nothing_to_say() -> None:
    checks.check_room(CONFIG, ONE_A_HOST, Room(1 << 30, 1000))


def test_more_ranks_than_hosts_need_more_of_both() -> None:
    for allowed, sentence in (
        (Room(1 << 30, None), "need 1532 MiB and the cgroup's limit on memory leaves 1024"),
        (Room(None, 390), "Ray need 394 processes and threads"),
    ):
        with pytest.raises(UsageError, match=sentence):
            checks.check_room(CONFIG, PLACES, allowed)
        checks.check_room(CONFIG, ONE_A_HOST, allowed)


@pytest.mark.parametrize(
    ("shape", "flows", "further"),
    [
        ("rail_optimized:rails=4,accelerators=1", 4, [3, 3]),
        ("rail_optimized:rails=4,accelerators=1", 2, [1, 1]),
        ("rail_optimized:rails=4,accelerators=1", 1, [0, 0]),
        ("rail_optimized:rails=8,accelerators=2", 4, [3, 3, 3, 3]),
        ("rail_optimized:rails=2,accelerators=4", 4, [0] * 8),
    ],
)
def test_a_rank_receives_into_memory_of_each_of_its_nics(shape: str, flows: int, further: list[int]) -> None:
    config = msgspec.structs.replace(
        CONFIG, options=CollectiveOptions(flows=flows), paths=("bounce", "devmem")
    )
    places = placement(build(shape, 2))
    needed = checks.memory_bytes(config, places)
    staged = checks.memory_bytes(msgspec.structs.replace(config, paths=("bounce", "kernel")), places)
    assert [len(each.nics_for(flows)) - 1 for each in places] == further
    assert needed - staged == sum(further) * RECEIVE_BYTES
    if sum(further):
        with pytest.raises(UsageError, match=f"need {needed >> 20} MiB and the cgroup's limit"):
            checks.check_room(config, places, Room(staged, None))


@pytest.mark.parametrize("queues", [2, 3])
def test_a_nic_has_a_queue_for_each_of_its_ranks_and_one_more(queues: int) -> None:
    config = msgspec.structs.replace(CONFIG, rx_queues=queues, paths=("devmem",))
    if queues == 3:
        checks.check_ranks(config, PLACES)
        return
    with pytest.raises(UsageError, match=r"--queues 2: .* and h1-eth0 has 2 ranks; ask for 3 or more"):
        checks.check_ranks(config, PLACES)
    checks.check_ranks(msgspec.structs.replace(config, paths=("bounce", "kernel")), PLACES)


@pytest.mark.parametrize("size", [1 << 20, 8 << 20])
def test_what_does_not_fit_into_an_accelerator_is_refused(size: int) -> None:
    config = msgspec.structs.replace(CONFIG, sizes_bytes=(4, size))
    place = msgspec.structs.replace(PLACES[6], slot=Slot("accel2", "h2-eth1", 70 << 20))
    if size == 1 << 20:
        checks.check_ranks(config, [place])
        return
    said = "accelerator accel2 of host h2 has 70 MiB of memory, and a rank needs 89 for these sizes"
    with pytest.raises(UsageError, match=said):
        checks.check_ranks(config, [place])


@pytest.mark.parametrize(
    ("given", "paths"),
    [
        ({}, ("devmem", "bounce", "kernel")),
        ({"--impair": "loss=0.1"}, ("devmem", "bounce")),
        ({"--impair": "loss=0.1", "--clean-kernel-wire": True}, ("devmem", "bounce", "kernel")),
    ],
)
def test_paths_meet_one_wire_unless_that_is_not_wanted(
    given: dict[str, object], paths: tuple[str, ...]
) -> None:
    assert settled(Given(given)).config.paths == paths
