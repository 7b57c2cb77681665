"""An accelerator's own memory: copies and reductions take their bytes over its rate, one after the other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from nodes.machine.accelerator import Accelerator, Operator
from nodes.machine.ledger import Ledger
from nodes.simulation.machine_model import INFINITE, MachineSpec
from nodes.simulation.machines import MACHINES
from nodes.simulation.simulation import Simulation
from workloads.collective import CollectiveOptions
from workloads.experiment.records import ExperimentConfig, RankPlace
from workloads.machine import Machine

SIZE = 1 << 20
SLOW = MachineSpec("slow", device_bytes_per_second=1e9)
FLOATS = Operator(np.dtype(np.float32), np.add)
DOES: dict[str, tuple[Callable[[Accelerator, Machine], object], int]] = {
    "copy": (lambda made, m: made.copy(m.data, 0, SIZE, SIZE), 2),
    "divide": (lambda made, m: made.divide(m.data, 0, SIZE, FLOATS.dtype, 2), 2),
    "reduction": (lambda made, m: made.reduction(m.data, 0, 0, FLOATS).add(m.landing, [(0, SIZE)]), 3),
    "nothing": (lambda made, m: made.fill(m.data, 0, np.zeros(SIZE, np.uint8)), 0),
}


def took_s(spec: MachineSpec, memory: str, *calls: Callable[[Accelerator, Machine], object]) -> float:
    """Until all of them, each in a thread of its own, have ended on one accelerator of such a host."""
    config = ExperimentConfig("star", 1, "all_reduce", (SIZE,), ("devmem",), CollectiveOptions())
    ended: list[float] = []
    with Simulation() as simulation:
        simulation.add_host("h1", "10.0.0.1/24", machine=spec)

        def program() -> None:
            machine = Machine(RankPlace(0, "h1", "h1"), config, 2 * SIZE, simulation.runtime, 1, memory)  # type: ignore[arg-type]
            _ = machine.landing
            began = simulation.runtime.monotonic()

            def run(call: Callable[[Accelerator, Machine], object]) -> None:
                call(machine.accelerator_of(Ledger()), machine)
                ended.append(simulation.runtime.monotonic() - began)

            threads = [simulation.runtime.spawn(lambda call=call: run(call), "call") for call in calls]  # type: ignore[misc]
            for thread in threads:
                thread.join()
            machine.close()

        simulation.runtime.spawn(program, "program")
        simulation.run()
    return max(ended)


@pytest.mark.parametrize("name", DOES)
def test_an_operation_takes_what_it_reads_and_writes_over_the_rate(name: str) -> None:
    call, accesses = DOES[name]
    assert took_s(SLOW, "accelerator", call) == pytest.approx(accesses * SIZE / 1e9, abs=1e-8)


def test_threads_of_a_rank_share_the_memorys_rate() -> None:
    copy, _ = DOES["copy"]
    assert took_s(SLOW, "accelerator", copy, copy) == pytest.approx(4 * SIZE / 1e9, abs=1e-8)


def test_a_machine_without_a_rate_and_an_ssd_take_no_time() -> None:
    copy, _ = DOES["copy"]
    assert took_s(INFINITE, "accelerator", copy) == 0
    assert took_s(SLOW, "ssd", copy) == 0


def test_an_h100s_memory_is_that_of_its_data_sheet() -> None:
    copy, _ = DOES["copy"]
    assert took_s(MACHINES["a3-high"], "accelerator", copy) == pytest.approx(2 * SIZE / 3.35e12, abs=2e-9)
