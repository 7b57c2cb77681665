"""Memory controllers of machines that are directories: what is counted, and what is said where nothing is."""

from __future__ import annotations

import errno
import mmap
import os
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.descriptors import open_descriptors
from tests.workloads.experiment.test_usage import READINGS, SAMPLES, TRIAL
from workloads.experiment.memory_counters import (
    MovedByMachine,
    NoCounters,
    memory_counters,
    perf_event_open,
)
from workloads.experiment.memory_usage import memory_usage
from workloads.experiment.observer import Observer
from workloads.experiment.usage import Reading, Watched

PMUS = "sys/bus/event_source/devices"
MIB_SCALE = "6.103515625e-5"  # 64 bytes as MiB
SERVER = {
    "format/event": "config:0-7", "format/umask": "config:8-15",
    "events/cas_count_read": "event=0x04,umask=0x03", "events/cas_count_write": "event=0x04,umask=0x0c",
}  # fmt: skip
SCALES = {
    f"events/cas_count_{what}.{name}": value
    for what in ("read", "write")
    for name, value in (("scale", MIB_SCALE), ("unit", "MiB"))
}


def pmu(root: Path, name: str, files: Mapping[str, str], cpus: str = "0") -> None:
    for file, text in {"type": "14", "cpumask": cpus, **files}.items():
        place = root / PMUS / name / file
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"{text}\n")


class Events:
    """Opens events as pipes that hold what is to be read: by config, (count, enabled, running)."""

    def __init__(self, counts: Mapping[int, tuple[int, int, int]]) -> None:
        self.counts = counts
        self.opened: list[tuple[int, int, int]] = []

    def __call__(self, kind: int, config: int, cpu: int) -> int:
        self.opened.append((kind, config, cpu))
        read, write = os.pipe()
        os.write(write, struct.pack("=QQQ", *self.counts[config]))
        os.close(write)
        return read


@pytest.fixture(autouse=True)
def nothing_stays_open() -> Iterator[None]:
    before = len(open_descriptors())
    yield
    assert len(open_descriptors()) == before


def test_controllers_of_a_server_are_added_up_by_socket(tmp_path: Path) -> None:
    for name in ("uncore_imc_0", "uncore_imc_1"):
        pmu(tmp_path, name, SERVER | SCALES, cpus="0,56")
    events = Events({0x304: (1000, 10, 10), 0xC04: (500, 10, 10)})
    counters = memory_counters(tmp_path, events)
    assert counters.read() == MovedByMachine(4 * 1500 * 64.0, 4 * 1000 * 64.0, 4 * 500 * 64.0)
    each = [(14, config, cpu) for config in (0x304, 0xC04) for cpu in (0, 56)]
    assert sorted(events.opened) == sorted(each * 2)
    assert counters.source == "perf, 2 memory controllers"
    counters.close()


def test_a_counter_that_was_lent_to_others_is_scaled_up(tmp_path: Path) -> None:
    pmu(tmp_path, "uncore_imc", SERVER)
    counters = memory_counters(tmp_path, Events({0x304: (1000, 10, 5), 0xC04: (500, 10, 0)}))
    assert counters.read() == MovedByMachine(2000 * 64.0, 2000 * 64.0, 0.0)
    counters.close()


def test_a_clients_free_running_counters_are_found_by_their_names(tmp_path: Path) -> None:
    files = {
        "format/event": "config:0-7", "format/umask": "config:8-15",
        "events/data_read": "event=0xff,umask=0x20", "events/data_write": "event=0xff,umask=0x30",
        "events/data_read.scale": "1", "events/data_read.unit": "Bytes",
        "events/data_write.scale": "1", "events/data_write.unit": "Bytes",
    }  # fmt: skip
    pmu(tmp_path, "uncore_imc_free_running_0", files)
    counters = memory_counters(tmp_path, Events({0x20FF: (7, 1, 1), 0x30FF: (3, 1, 1)}))
    assert counters.read() == MovedByMachine(10.0, 7.0, 3.0)
    counters.close()


def test_amds_controllers_are_asked_for_reads_and_for_writes(tmp_path: Path) -> None:
    files = {"format/event": "config:0-7", "format/rdwrmask": "config:8-9"}
    pmu(tmp_path, "amd_umc_0", files)
    counters = memory_counters(tmp_path, Events({0x10A: (100, 1, 1), 0x20A: (50, 1, 1)}))
    assert counters.read() == MovedByMachine(150 * 64.0, 100 * 64.0, 50 * 64.0)
    counters.close()


def test_bits_of_a_term_that_is_in_two_places_are_put_there(tmp_path: Path) -> None:
    files = {"format/event": "config:0-3,8-11", "format/rdwrmask": "config:12-13"}
    pmu(tmp_path, "amd_umc_0", files)
    events = Events({0x100A: (1, 1, 1), 0x200A: (1, 1, 1)})
    memory_counters(tmp_path, events).close()
    assert [config for _, config, _ in events.opened] == [0x100A, 0x200A]


def test_a_machine_without_any_says_what_it_has(tmp_path: Path) -> None:
    pmu(tmp_path, "software", {})
    pmu(tmp_path, "msr", {})
    with pytest.raises(NoCounters) as none:
        memory_counters(tmp_path)
    assert str(none.value) == (
        "perf knows no memory controller here (it has msr, software); "
        f"there is no {tmp_path}/sys/fs/resctrl/mon_data with memory bandwidth (resctrl)"
    )


def test_controllers_that_are_refused_are_named_with_the_reason_and_closed(tmp_path: Path) -> None:
    pmu(tmp_path, "uncore_imc_0", SERVER)
    opened: list[int] = []

    def refuse_the_second(_kind: int, _config: int, _cpu: int) -> int:
        if opened:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        opened.append(os.open("/dev/null", os.O_RDONLY))
        return opened[0]

    with pytest.raises(NoCounters, match=r"refuses the counters of uncore_imc_0 \(Permission denied\)"):
        memory_counters(tmp_path, refuse_the_second)


def domains(root: Path, **values: str) -> None:
    for name, text in values.items():
        place = root / "sys/fs/resctrl/mon_data" / name
        place.mkdir(parents=True)
        (place / "mbm_total_bytes").write_text(f"{text}\n")


def test_resctrl_is_next_and_tells_no_reads_from_writes(tmp_path: Path) -> None:
    domains(tmp_path, mon_L3_00="1000", mon_L3_01="234")
    counters = memory_counters(tmp_path)
    assert (counters.source, counters.read()) == ("resctrl", MovedByMachine(1234.0))
    counters.close()


@pytest.mark.parametrize("said", ["Unavailable", "Error", "Unassigned"])
def test_what_resctrl_says_instead_of_a_number_is_the_reason(tmp_path: Path, said: str) -> None:
    domains(tmp_path, mon_L3_00=said)
    with pytest.raises(NoCounters, match=f"says '{said}'"):
        memory_counters(tmp_path)


def test_perf_counts_page_faults_of_this_process_where_it_may() -> None:
    """The system call itself, on an event that every machine has."""
    try:
        file = perf_event_open(1, 2, cpu=-1, pid=0)
    except PermissionError:
        return  # which memory_counters turns into its reason
    try:
        before = struct.unpack("=QQQ", os.read(file, 24))
        with mmap.mmap(-1, 16 << 20) as fresh:  # unlike malloc's memory, of which pages may be there
            for at in range(0, len(fresh), mmap.PAGESIZE):
                fresh[at] = 1
        after = struct.unpack("=QQQ", os.read(file, 24))
    finally:
        os.close(file)
    assert after[0] > before[0]
    assert after[1] > before[1]


def with_memory(*moved: MovedByMachine | None) -> list[Reading]:
    return [each._replace(memory=memory) for each, memory in zip(READINGS, moved, strict=True)]


def test_a_trials_row_is_what_moved_around_its_timed_parts() -> None:
    moved = [MovedByMachine(1e6 * n * n, 4e5 * n * n, 6e5 * n * n) for n in range(5)]
    (row,) = memory_usage(TRIAL, SAMPLES, with_memory(*moved))
    assert (row.path, row.size_bytes, row.repetition, row.observed_s) == ("devmem", 4096, 1, 20.0)
    assert (row.total_bytes, row.read_bytes, row.write_bytes) == (8_000_000, 3_200_000, 4_800_000)


def test_a_sum_alone_leaves_reads_and_writes_empty() -> None:
    (row,) = memory_usage(TRIAL, SAMPLES, with_memory(*(MovedByMachine(float(n)) for n in range(5))))
    assert (row.total_bytes, row.read_bytes, row.write_bytes) == (2, None, None)


def test_counters_that_fail_in_the_middle_leave_no_row() -> None:
    moved = [MovedByMachine(1.0), MovedByMachine(2.0), None, MovedByMachine(3.0), MovedByMachine(4.0)]
    assert memory_usage(TRIAL, SAMPLES, with_memory(*moved)) == []
    assert memory_usage(TRIAL, SAMPLES, READINGS) == []


class Gone:
    """Counters that no longer answer."""

    source = "gone"

    def read(self) -> MovedByMachine:
        raise NoCounters("gone")

    def close(self) -> None:
        """Nothing is open."""


def test_an_observer_reads_the_counters_and_survives_their_end(tmp_path: Path) -> None:
    domains(tmp_path, mon_L3_00="7")
    for counters, expected in ((memory_counters(tmp_path), MovedByMachine(7.0)), (Gone(), None)):
        with Observer(Watched((), ()), counters).observing() as readings:
            pass
        assert {each.memory for each in readings} == {expected}
