"""A host's buses: one for its memory, and two for the PCIe switch of each NIC, each with its own queue."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from nodes.machine.bandwidth import QUEUE_S
from nodes.machine.buses import MEMORY, Buses, down, up

NICS = ("eth0", "eth1")


@pytest.fixture
def buses() -> Iterator[Buses]:
    each = Buses.create(1000.0, 100.0, NICS)
    yield each
    each.close()


def test_a_bus_without_a_limit_is_not_there() -> None:
    assert Buses.create(None, None, NICS).names == ()
    for memory, pcie, names in ((1e6, None, (MEMORY,)), (None, 1e6, ("eth0 up", "eth0 down"))):
        made = Buses.create(memory, pcie, ["eth0"])
        assert made.names == names
        assert made.reserve({MEMORY: 0, up("eth9"): 10**9}, 7.0) == 7.0
        made.close()


def test_the_slowest_of_the_buses_is_waited_for(buses: Buses) -> None:
    now = 50.0
    assert buses.reserve({MEMORY: 1000, up("eth0"): 50}, now) == pytest.approx(51 - QUEUE_S)
    assert buses.reserve({MEMORY: 0, down("eth0"): 300}, now) == pytest.approx(53 - QUEUE_S)


def test_each_direction_and_each_switch_has_a_queue_of_its_own(buses: Buses) -> None:
    now = 50.0
    for name in (up("eth0"), down("eth0"), up("eth1"), down("eth1")):
        assert buses.reserve({name: 100}, now) == pytest.approx(51 - QUEUE_S), name
    assert buses.reserve({up("eth1"): 100}, now) == pytest.approx(52 - QUEUE_S)


def test_other_processes_share_them_by_their_names(buses: Buses) -> None:
    theirs = Buses.shared(buses.names, [os.dup(fd) for fd in buses.fds])
    assert theirs.names == (MEMORY, "eth0 up", "eth0 down", "eth1 up", "eth1 down")
    buses.reserve({down("eth1"): 100}, 50.0)
    assert theirs.reserve({down("eth1"): 100}, 50.0) == pytest.approx(52 - QUEUE_S)
    assert theirs.reserve({up("eth1"): 100}, 50.0) == pytest.approx(51 - QUEUE_S)
    theirs.close()
