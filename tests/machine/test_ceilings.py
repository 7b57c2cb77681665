"""The memory bus serves the requests of all processes in order, at its rate; `bandwidth` agrees with it."""

from __future__ import annotations

import os
import random
import struct
import subprocess
import sys
from collections.abc import Iterator

import pytest

from nodes.machine.bandwidth import QUEUE_S, BandwidthLimit
from nodes.machine.ceilings import Bus

RATE = 1000.0  # bytes per second


@pytest.fixture
def buses() -> Iterator[tuple[Bus, Bus]]:
    """One bus as two processes see it: the second maps a duplicate of the first's descriptor."""
    first = Bus.create(RATE)
    second = Bus(os.dup(first.fd))
    yield first, second
    second.close()
    first.close()


Buses = tuple[Bus, Bus]


def served(bus: Bus, count: int, now: float) -> float:
    """When the bus has served the accesses; the caller may continue QUEUE_S earlier."""
    return bus.reserve(count, now) + QUEUE_S


def test_a_caller_continues_at_once_while_the_backlog_is_short(buses: Buses) -> None:
    assert buses[0].reserve(int(RATE * QUEUE_S), now=10.0) == pytest.approx(10.0)
    assert buses[0].reserve(1000, now=10.0) == pytest.approx(11.0)


def test_the_rate_travels_with_the_descriptor(buses: Buses) -> None:
    assert [bus.bytes_per_second for bus in buses] == [RATE, RATE]


def test_an_idle_bus_serves_a_request_at_its_rate(buses: Buses) -> None:
    assert served(buses[0], 500, now=10.0) == pytest.approx(10.5)


def test_a_request_of_0_bytes_takes_no_time(buses: Buses) -> None:
    assert served(buses[0], 0, now=10.0) == pytest.approx(10.0)


def test_requests_of_two_processes_are_served_in_order(buses: Buses) -> None:
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
        now = min(max(now + chance.random() * 0.02, done - 5.0), done)  # before the bus is idle
    assert done - 100.0 == pytest.approx(total / RATE)


def test_the_limit_alone_answers_as_the_bus_does(buses: Buses) -> None:
    seed = 11
    print(f"seed {seed}")
    chance = random.Random(seed)
    limit, now = BandwidthLimit(RATE), 100.0
    for _ in range(300):
        count, now = chance.randrange(0, 100), now + chance.random() * 0.1
        assert limit.reserve(count, now) == pytest.approx(buses[0].reserve(count, now))


def test_two_limits_in_one_process_share_nothing() -> None:
    first, second = BandwidthLimit(RATE), BandwidthLimit(2 * RATE)
    assert first.reserve(1000, now=10.0) + QUEUE_S == pytest.approx(11.0)
    assert first.reserve(1000, now=10.5) + QUEUE_S == pytest.approx(12.0)
    assert second.reserve(1000, now=10.5) + QUEUE_S == pytest.approx(11.0)
    assert first.reserve(100, now=50.0) + QUEUE_S == pytest.approx(50.1)


def test_no_process_can_shrink_the_memory_of_the_bus(buses: Buses) -> None:
    for size in (0, 4096):
        with pytest.raises(PermissionError):
            os.ftruncate(buses[1].fd, size)


@pytest.mark.parametrize("nonsense", [(0.0, 1e300), (float("nan"), float("nan")), (-5.0, float("inf"))])
def test_an_impossible_time_in_the_shared_memory_is_ignored(
    buses: Buses, nonsense: tuple[float, float]
) -> None:
    os.pwrite(buses[1].fd, struct.pack("=dd", *nonsense), 0)
    assert served(buses[0], 500, now=10.0) == pytest.approx(10.5)


def test_a_caller_that_does_not_wait_for_the_lock_gets_blocking_io_error(buses: Buses) -> None:
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


def test_closing_one_mapping_of_the_bus_leaves_the_others_working(buses: Buses) -> None:
    first, second = buses
    third = Bus(os.dup(first.fd))
    third.reserve(1000, now=1.0)
    third.close()
    assert served(second, 1000, now=1.0) == pytest.approx(3.0)
