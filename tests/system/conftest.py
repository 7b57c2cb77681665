"""What every system test stands on: root, the installed commands, and that nothing is left when it has ended,
no bug of ours in a log either.

A test's processes are known by a token in their environment, which everything they start inherits. Each
worker of pytest-xdist has a network and a /dev/shm of its own, so that what is left there was left by
its own test.
"""

from __future__ import annotations

import os
import shutil
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from nodes.client.host import Host
from tests.system.network import Network
from tests.system.standing import up as up
from topologies.mininet.builder import COMMANDS
from topologies.mininet.fabric import Fabric
from topologies.mininet.isolation import (
    CLONE_NEWNET,
    CLONE_NEWNS,
    MS_REC,
    MS_SLAVE,
    mount,
    network_namespace_of,
    unshare,
)
from topologies.mininet.rtnetlink import LinkSocket
from topologies.shapes import registry

TOKEN_VARIABLE = "DEVMEM_TESTBED_TEST"
PATIENCE_S = 5.0  # the kernel takes a namespace down after its last process has ended


def processes_with(token: str) -> dict[int, str]:
    """Living processes that carry the token, this one excepted: pid -> command line."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            carries = f"{TOKEN_VARIABLE}={token}".encode() in (entry / "environ").read_bytes()
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if carries and int(entry.name) != os.getpid():
            found[int(entry.name)] = command
    return found


def interfaces() -> set[str]:
    """Of the namespace that the tests run in."""
    return {name for _, name in socket.if_nameindex()}


@pytest.fixture(scope="session", autouse=True)
def worker_of_its_own(worker_id: str) -> None:
    """One of several workers leaves the machine's network and shared memory to the others."""
    if worker_id == "master" or os.geteuid() != 0:
        return
    unshare(CLONE_NEWNET | CLONE_NEWNS)
    mount("none", "/", None, MS_REC | MS_SLAVE)
    mount("tmpfs", "/dev/shm", "tmpfs", 0)
    with LinkSocket() as links:
        links.up("lo")


@pytest.fixture
def token() -> str:
    """Marks this test's processes."""
    return uuid.uuid4().hex


@pytest.fixture(autouse=True)
def leftovers(token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """After the test: no process of its, no new interface, nothing new in /dev/shm, no run on record, and no
    traceback in the logs of what it started."""
    if os.geteuid() != 0:
        pytest.skip(f"building a network needs root, and this is user id {os.geteuid()}")
    missing = [command for command in COMMANDS if shutil.which(command) is None]
    assert not missing, f"{missing[0]} is missing; run `make setup`"
    state = tmp_path / "state"
    monkeypatch.setenv(TOKEN_VARIABLE, token)
    monkeypatch.setenv("DEVMEM_TESTBED_STATE", str(state))
    before = interfaces(), set(os.listdir("/dev/shm"))
    yield
    deadline = time.monotonic() + PATIENCE_S
    while (left := _left(token, state, *before)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not left, f"left behind: {left}"
    for log in tmp_path.rglob("*.log"):
        said = log.read_text(errors="replace")
        assert "Traceback" not in said, f"{log.name}: {said[-2000:]}"


def _left(token: str, state: Path, interfaces_before: set[str], shared_before: set[str]) -> list[str]:
    left = [f"process {pid}: {command}" for pid, command in processes_with(token).items()]
    left += [f"interface {name}" for name in interfaces() - interfaces_before]
    left += [f"/dev/shm/{name}" for name in set(os.listdir("/dev/shm")) - shared_before]
    return left + [f"record {path}" for path in state.glob("*.json")]


@pytest.fixture
def machines_network() -> Iterator[None]:
    """The test runs in the network that the tests were started in, where alone some sysctls are, and a
    resolver of names."""
    with network_namespace_of(os.getppid()):
        before = interfaces()
        yield
        assert interfaces() == before


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    directory = tmp_path / "run"
    directory.mkdir()
    with Fabric(registry.build("star", 2), directory) as fabric:
        network = Network(fabric, directory, {})
        for host in fabric.topology.hosts:
            network.start(host.name)
        yield network


@pytest.fixture
def hosts(network: Network) -> Iterator[tuple[Host, Host]]:
    with closing(network.host("h1")) as h1, closing(network.host("h2")) as h2:
        yield h1, h2
