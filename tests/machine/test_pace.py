"""A slow accelerator takes its factor times as long, on the average of short operations, too."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from nodes.machine.accelerator import Accelerator, Operator
from nodes.machine.ledger import Ledger
from nodes.machine.pace import Pace, write_factor


class Clock:
    """Time passes when it is told, and in a sleep, which lasts a little too long."""

    def __init__(self) -> None:
        self.now = 100.0
        self.sleeps: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds + 0.0001


def worked(pace: Pace, clock: Clock, *seconds: float) -> float:
    """How long operations of that length took."""
    began = clock.now
    for each in seconds:
        with pace:
            clock.now += each
    return clock.now - began


@pytest.fixture
def clock() -> Clock:
    return Clock()


def made(tmp_path: Path, clock: Clock, factor: float) -> Pace:
    write_factor(tmp_path / "p", factor)
    return Pace(tmp_path / "p", clock.monotonic, clock.sleep)


def test_an_operation_takes_its_factor_times_as_long(tmp_path: Path, clock: Clock) -> None:
    with closing(made(tmp_path, clock, 4)) as pace:
        assert worked(pace, clock, 0.01) == pytest.approx(0.0401)
        assert worked(pace, clock, *[0.01] * 10) == pytest.approx(0.4, rel=0.001), "what was too long is owed"


def test_short_operations_are_lengthened_together(tmp_path: Path, clock: Clock) -> None:
    with closing(made(tmp_path, clock, 3)) as pace:
        assert worked(pace, clock, *[0.00002] * 1000) == pytest.approx(0.06, abs=0.002)
    assert min(clock.sleeps) >= 0.001


def test_a_factor_holds_from_when_it_is_written(tmp_path: Path, clock: Clock) -> None:
    with closing(made(tmp_path, clock, 1)) as pace:
        assert worked(pace, clock, 0.01) == pytest.approx(0.01)
        write_factor(tmp_path / "p", 2)
        assert worked(pace, clock, 0.01) == pytest.approx(0.02, abs=0.0002)
        write_factor(tmp_path / "p", 1)
        assert worked(pace, clock, 0.01) == pytest.approx(0.01)


def test_every_timed_operation_of_the_accelerator_is_lengthened(tmp_path: Path, clock: Clock) -> None:
    began: list[float] = []

    def ticking() -> float:
        clock.now += 0.01  # an operation takes that long
        began.append(clock.now)
        return clock.now

    write_factor(tmp_path / "p", 3)
    with closing(Pace(tmp_path / "p", ticking, clock.sleep)) as pace:
        accelerator = Accelerator(Ledger(), pace=pace)
        with closing(accelerator):
            memory, source, host = accelerator.alloc(4096), accelerator.alloc(4096), bytearray(64)
            reduction = accelerator.reduction(memory, 0, 0, Operator(np.dtype(np.float32), np.add))
            for operation in (
                lambda: accelerator.unpack(memory, 0, source, [(0, 64)]),
                lambda: accelerator.copy_to_host(memory, 0, memoryview(host)),
                lambda: accelerator.copy_to_device(memoryview(host), memory, 0),
                lambda: reduction.add(source, [(0, 64)]),
            ):
                slept = len(clock.sleeps)
                operation()
                assert len(clock.sleeps) == slept + 1
            accelerator.fill(memory, 0, np.zeros(4, np.float32))
            accelerator.compare(memory, 0, np.zeros(4, np.float32))
            assert len(clock.sleeps) == 4
