"""Readings of ledgers become intervals of a host: equal ends, whole bytes, nothing lost between them."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from nodes.client.runtime import Thread
from nodes.machine import routes
from nodes.machine.ledger import Ledger
from nodes.machine.routes import ROUTES, Moved, add_moved
from tests.client.simulated import SimulatedRuntime
from tests.workloads.experiment.test_usage import TRIAL, sample
from workloads.experiment.ledger_series import (
    INTERVAL_S,
    Began,
    LedgerReader,
    LedgerReading,
    LedgerRow,
    ledger_rows,
    next_end_s,
)

BEGAN = Began(monotonic_s=90.0, unix_s=1000.0)


def reading(at_s: float, count: int, derived: int = 0) -> LedgerReading:
    """Every route has moved `count` bytes, times its number plus one."""
    return LedgerReading(at_s, tuple(count * (at + 1) for at in range(len(ROUTES))), derived)


def ranks(*hosts: str) -> list:  # type: ignore[type-arg]
    rows = [sample(0, 0.0, 1.0, host) for host in hosts]
    return [msgspec.structs.replace(row, rank=rank) for rank, row in enumerate(rows)]


def test_columns_stand_in_the_order_of_the_ledgers_routes() -> None:
    names = [
        name.lower() + "_bytes"
        for at in range(len(ROUTES))
        for name, value in vars(routes).items()
        if isinstance(value, int) and value == at and name.startswith(("NIC_", "CPU_", "ACC_", "SSD_"))
    ]
    assert list(LedgerRow.__struct_fields__[7:-2]) == names


def test_intervals_end_every_tenth_of_a_second_and_the_last_is_short() -> None:
    readings = [[reading(100.0, 500), reading(100.25, 750)]]
    rows = ledger_rows(TRIAL, ranks("h1"), readings, BEGAN)
    assert [(row.begin_s, row.end_s) for row in rows] == [(10.0, 10.1), (10.1, 10.2), (10.2, 10.25)]
    assert [row.time_s for row in rows] == [1010.0, 1010.1, 1010.2]
    assert [row.nic_wire_to_host_bytes for row in rows] == [100, 100, 50]
    assert {(row.path, row.size_bytes, row.repetition, row.host) for row in rows} == {
        ("devmem", 4096, 1, "h1")
    }


def test_intervals_of_a_trial_add_up_to_what_was_counted_to_the_byte() -> None:
    times = [100.0, 100.103, 100.21, 100.399, 100.777]
    readings = [[reading(at, 1_000_003 * n, 7 * n) for n, at in enumerate(times)]]
    rows = ledger_rows(TRIAL, ranks("h1"), readings, BEGAN)
    assert len(rows) == 8
    for at, name in enumerate(LedgerRow.__struct_fields__[7:-2]):
        assert sum(getattr(row, name) for row in rows) == 4 * 1_000_003 * (at + 1), name
    assert sum(row.host_dram_derived_bytes for row in rows) == 28


def test_ranks_of_one_host_are_one_row_and_hosts_share_their_ends() -> None:
    readings = [
        [reading(100.0, 0), reading(100.2, 200)],
        [reading(100.05, 10), reading(100.2, 310)],  # began later, and had counted before
        [reading(100.0, 0), reading(100.15, 30)],  # ended sooner
    ]
    rows = ledger_rows(TRIAL, ranks("h1", "h1", "h2"), readings, BEGAN)
    of = {host: [row.nic_wire_to_host_bytes for row in rows if row.host == host] for host in ("h1", "h2")}
    assert of == {"h1": [100 + 100, 100 + 200], "h2": [20, 10]}
    ends = {host: [row.end_s for row in rows if row.host == host] for host in ("h1", "h2")}
    assert ends["h1"] == ends["h2"] == [10.1, 10.2]


def occupied(*at: tuple[float, float | None]) -> list[LedgerReading]:
    return [msgspec.structs.replace(reading(at_s, 0), rx_pool_share=share) for at_s, share in at]


def test_an_interval_has_the_highest_occupancy_that_was_read_of_it() -> None:
    late = occupied((100.0, 0.9), (100.104, 0.2), (100.206, 0.7), (100.5, 0.4), (100.55, 0.1), (100.6, 0.3))
    follows = occupied((100.0, None), (100.6, None))
    rows = ledger_rows(TRIAL, ranks("h1", "h1"), [late, follows], BEGAN)
    shares = [row.rx_pool_peak_share for row in rows]
    # The first reading is of the time before; 0.294 s without a reading have one value.
    assert shares == [0.2, 0.7, 0.4, 0.4, 0.4, 0.3]
    assert {row.rx_pool_peak_share for row in ledger_rows(TRIAL, ranks("h1"), [follows], BEGAN)} == {None}


def test_intervals_of_a_long_trial_become_longer_and_stay_few() -> None:
    ends = [0.0]
    while ends[-1] < 3600:
        ends.append(next_end_s(ends[-1]))
    lengths = [round(b - a, 6) for a, b in itertools.pairwise(ends)]
    assert lengths[:600] == [INTERVAL_S] * 600
    assert lengths[600] == 2 * INTERVAL_S
    assert lengths == sorted(lengths)
    assert len(ends) < 3000


class StepRuntime(SimulatedRuntime):
    """Whose waits end at once, the time having passed, until the block has ended."""

    def __init__(self, waits: int) -> None:
        super().__init__(lambda _: None)
        self._waits = waits
        self.running: list[Thread] = []

    def condition(self):  # type: ignore[no-untyped-def]
        runtime, real = self, super().condition()

        class Steps:
            def __enter__(self) -> object:
                return real.__enter__()

            def __exit__(self, *of: object) -> None:
                real.__exit__(*of)  # type: ignore[arg-type]

            def wait_for(self, predicate, timeout):  # type: ignore[no-untyped-def]
                if runtime._waits == 0:
                    return real.wait_for(predicate, 10)
                runtime._waits -= 1
                runtime.now += timeout
                return predicate()

            def notify_all(self) -> None:
                real.notify_all()

        return Steps()


def test_a_reader_reads_before_within_and_after_the_block() -> None:
    runtime = StepRuntime(waits=3)
    reader = LedgerReader(runtime, lambda: reading(runtime.now, 1))
    with reader.reading() as readings:
        while len(readings) < 4:
            pass
    assert [round(each.at_s - 1000.0, 6) for each in readings] == [0.0, 0.1, 0.2, 0.3, 0.3]


def test_a_reader_whose_endpoint_has_gone_ends_and_does_not_raise() -> None:
    runtime = StepRuntime(waits=5)
    seen: list[int] = []

    def read() -> LedgerReading:
        seen.append(1)
        if len(seen) == 2:
            raise ConnectionError("gone")
        return reading(runtime.now, 1)

    with LedgerReader(runtime, read).reading() as readings:
        while len(seen) < 2:
            pass
    assert len(readings) == 2, "the first, and the one after the block"


def test_a_block_that_fails_is_not_read_after() -> None:
    runtime = StepRuntime(waits=0)
    seen: list[int] = []

    def read() -> LedgerReading:
        seen.append(1)
        return reading(runtime.now, 1)

    with pytest.raises(ZeroDivisionError), LedgerReader(runtime, read).reading():
        raise ZeroDivisionError
    assert len(seen) == 1


def test_a_ledgers_counts_are_those_of_its_snapshot_and_its_parts() -> None:
    ledger = Ledger()
    part = ledger.part()
    ledger.record(routes.CPU_HOST_TO_HOST, 100)
    ledger.derive(routes.NIC_HOST_TO_WIRE, 30)
    part.record_header(routes.NIC_HEADER_IN, 66, 45)
    by_counts, by_snapshot = [0] * len(ROUTES), [0] * len(ROUTES)
    assert ledger.add_to(by_counts) == 30, "a derived DMA reads once"
    assert add_moved(ledger.snapshot(), by_snapshot) == 30
    assert by_counts == by_snapshot
    assert by_counts[routes.NIC_HEADER_IN] == 66
    counts = [5] * len(ROUTES)
    add_moved([Moved(ROUTES[routes.NIC_HEADER_IN], 1, 1)], counts)
    assert counts[routes.NIC_HEADER_IN] == 6, "added to what is there"
