"""Connections between processes of a simulated host: records in order, descriptors, ends, timeouts."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator

import pytest

from nodes.simulation.local_socket import SimulatedSocket
from nodes.simulation.simulation import Simulation

Ends = tuple[SimulatedSocket, SimulatedSocket]


@pytest.fixture
def simulation() -> Iterator[Simulation]:
    with Simulation() as made:
        yield made


def connected(simulation: Simulation) -> Ends:
    """A connecting end and the one that accepted it."""
    listener, near = simulation.runtime.local_socket(), simulation.runtime.local_socket()
    listener.bind(("", 0))
    listener.listen()
    near.connect(listener.getsockname())
    far, _ = listener.accept()
    return near, far


def run(simulation: Simulation, *programs: Callable[[], None]) -> None:
    for program in programs:
        simulation.runtime.spawn(program, program.__name__)
    simulation.run()


def test_a_process_waits_for_records_and_has_them_one_by_one(simulation: Simulation) -> None:
    near, far = connected(simulation)
    got: list[tuple[float, bytes]] = []

    def take() -> None:
        while record := far.recv(16):
            got.append((round(simulation.runtime.monotonic(), 6), record))

    def give() -> None:
        simulation.runtime.sleep(0.5)
        near.send(b"one")
        near.send(b"two")
        simulation.runtime.sleep(0.5)
        near.shutdown(socket.SHUT_WR)

    run(simulation, take, give)
    assert got == [(1.5, b"one"), (1.5, b"two")]


def test_a_listener_waits_for_a_connection(simulation: Simulation) -> None:
    listener, near = simulation.runtime.local_socket(), simulation.runtime.local_socket()
    listener.bind(("", 0))
    got: list[bytes] = []

    def take() -> None:
        got.append(listener.accept()[0].recv(16))

    def give() -> None:
        simulation.runtime.sleep(0.1)
        near.connect(listener.getsockname())
        near.send(b"hello")

    run(simulation, take, give)
    assert got == [b"hello"]


def test_a_descriptor_arrives_as_another_one_of_the_same_file(simulation: Simulation) -> None:
    near, far = connected(simulation)
    fd = os.memfd_create("passed")
    near.send_descriptor(fd)
    found = far.receive_descriptor()
    assert found is not None
    assert found != fd
    assert os.path.sameopenfile(fd, found)
    os.close(found)
    near.send_descriptor(fd)  # which nobody takes
    before = len(os.listdir("/proc/self/fd"))
    far.close()
    assert len(os.listdir("/proc/self/fd")) == before - 1
    os.close(fd)


def test_waiting_ends_after_the_timeout(simulation: Simulation) -> None:
    near, _far = connected(simulation)
    near.settimeout(0.25)
    ended: list[float] = []

    def take() -> None:
        with pytest.raises(TimeoutError):
            near.recv(1)
        ended.append(simulation.runtime.monotonic())

    run(simulation, take)
    assert ended == [1.25]


def test_a_closed_end_is_told(simulation: Simulation) -> None:
    near, far = connected(simulation)
    far.close()
    assert near.recv(1) == b""
    assert near.receive_descriptor() is None
    with pytest.raises(BrokenPipeError):
        near.send(b"x")
    with pytest.raises(ConnectionRefusedError, match="local port 99"):
        simulation.runtime.local_socket().connect(("", 99))
