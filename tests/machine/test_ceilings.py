"""The memory bus serves whoever asks in order, at its rate, whichever process asks."""

from __future__ import annotations

import os
import random
import struct
import subprocess
import sys
from collections.abc import Iterator

import pytest

from nodes.machine.bandwidth import QUEUE_S
from nodes.machine.ceilings import MemoryBus

RATE = 1000.0  # bytes per second


@pytest.fixture
def buses() -> Iterator[tuple[MemoryBus, MemoryBus]]:
    """One bus as two processes see it: the second maps a duplicate of the first's descriptor."""
    first = MemoryBus.create(RATE)
    second = MemoryBus(os.dup(first.fd))
    yield first, second
    second.close()
    first.close()


Buses = tuple[MemoryBus, MemoryBus]


def served(bus: MemoryBus, count: int, now: float) -> float:
    """When the bus has served the accesses; who made them may go on QUEUE_S earlier."""
    return bus.reserve(count, now) + QUEUE_S


def test_whoever_asks_goes_on_while_the_bus_has_little_to_do(buses: Buses) -> None:
    assert buses[0].reserve(int(RATE * QUEUE_S), now=10.0) == pytest.approx(10.0)
    assert buses[0].reserve(1000, now=10.0) == pytest.approx(11.0)


def test_the_rate_travels_with_the_descriptor(buses: Buses) -> None:
    assert [bus.bytes_per_second for bus in buses] == [RATE, RATE]


def test_an_idle_bus_serves_at_once_for_as_long_as_it_takes(buses: Buses) -> None:
    assert served(buses[0], 500, now=10.0) == pytest.approx(10.5)


def test_nothing_takes_no_time(buses: Buses) -> None:
    assert served(buses[0], 0, now=10.0) == pytest.approx(10.0)


def test_the_second_waits_for_the_first(buses: Buses) -> None:
    first, second = buses
    assert served(first, 1000, now=10.0) == pytest.approx(11.0)
    assert served(second, 1000, now=10.2) == pytest.approx(12.0)
    assert served(first, 1000, now=10.4) == pytest.approx(13.0)


def test_idle_time_is_not_saved_up(buses: Buses) -> None:
    first, second = buses
    first.reserve(1000, now=10.0)
    assert served(second, 100, now=50.0) == pytest.approx(50.1)


def test_a_busy_bus_moves_exactly_its_rate(buses: Buses) -> None:
    seed = 7
    print(f"seed {seed}")
    chance = random.Random(seed)
    total, done, now = 0, 0.0, 100.0
    for _ in range(1000):
        count = chance.randrange(1, 100)
        finished = served(chance.choice(buses), count, now)
        assert finished >= done  # first come, first served
        total, done = total + count, finished
        now = min(max(now + chance.random() * 0.02, done - 5.0), done)  # asks again before the bus is idle
    assert done - 100.0 == pytest.approx(total / RATE)


def test_nobody_can_shrink_the_bus_under_the_others(buses: Buses) -> None:
    for size in (0, 4096):
        with pytest.raises(PermissionError):
            os.ftruncate(buses[1].fd, size)


@pytest.mark.parametrize("nonsense", [(0.0, 1e300), (float("nan"), float("nan")), (-5.0, float("inf"))])
def test_what_an_application_scribbles_there_harms_nobody(
    buses: Buses, nonsense: tuple[float, float]
) -> None:
    os.pwrite(buses[1].fd, struct.pack("=dd", *nonsense), 0)
    assert served(buses[0], 500, now=10.0) == pytest.approx(10.5)


def test_who_will_not_wait_is_told_that_another_process_is_at_it(buses: Buses) -> None:
    holder = "import fcntl, sys; fcntl.lockf(int(sys.argv[1]), fcntl.LOCK_EX); print(flush=True); input()"
    argv, fd = [sys.executable, "-c", holder, str(buses[1].fd)], buses[1].fd
    with subprocess.Popen(
        argv, pass_fds=[fd], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(BlockingIOError):
            buses[0].reserve(500, now=10.0, wait=False)
        other.kill()
    assert buses[0].reserve(500, now=10.0, wait=False) + QUEUE_S == pytest.approx(10.5)


def test_a_closed_view_of_the_bus_leaves_the_other_working(buses: Buses) -> None:
    first, second = buses
    third = MemoryBus(os.dup(first.fd))
    third.reserve(1000, now=1.0)
    third.close()
    assert served(second, 1000, now=1.0) == pytest.approx(3.0)
