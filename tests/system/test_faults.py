"""Faults on purpose, for real: what must survive survives, and what happened is on record."""

from __future__ import annotations

import hashlib
import json
import shlex
import socket as linux
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from nodes.client.socket import Socket
from tests.docs.pages import block
from tests.system.network import Network, accept, connect_when_open, listen
from tests.system.standing import PROJECT
from tests.system.test_routed import FLOWS, addresses, sent_packets
from topologies.mininet.fabric import Fabric
from topologies.shapes.registry import build

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

MIB = 1 << 20
HURT, STANDING = block("docs/faults.md", "python3 run.py --topology pair").splitlines()
SCHEDULE = block("docs/faults.md", "# faults.yaml")
PATIENCE_S = 60.0
AnySocket = Socket | linux.socket

# Arguments: role, directory, then addresses. The server echoes. The client keeps four connections to each
# address; when a file roundN appears it sends on all of them, and answers with doneN when all were echoed.
ECHO = """
import pathlib, selectors, socket, sys, time
role, place, *addresses = sys.argv[1:]
place = pathlib.Path(place)
if role == "server":
    ready = selectors.DefaultSelector()
    listener = socket.create_server(("::", 7), family=socket.AF_INET6, dualstack_ipv6=True)
    ready.register(listener, selectors.EVENT_READ)
    (place / "listening").touch()
    while True:
        for key, _ in ready.select():
            if key.fileobj is listener:
                ready.register(listener.accept()[0], selectors.EVENT_READ)
            elif data := key.fileobj.recv(100):
                key.fileobj.sendall(data)
            else:
                ready.unregister(key.fileobj)
connections = [socket.create_connection((address, 7), 60) for address in addresses for _ in range(4)]
for number in range(3):
    while not (place / f"round{number}").exists():
        time.sleep(0.01)
    for connection in connections:
        connection.sendall(b"round")
    for connection in connections:
        assert connection.recv(100)
    (place / f"done{number}").touch()
"""


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


class Transfer:
    """A stream over connected sockets, until it is told to end."""

    def __init__(self, sender: AnySocket, receiver: AnySocket) -> None:
        self._sender, self._receiver = sender, receiver
        self._ending = threading.Event()
        self.received = 0

    def send(self) -> str:
        """SHA-256 of what was sent."""
        digest, block = hashlib.sha256(), bytearray(256 << 10)
        number = 0
        while not self._ending.is_set():
            block[:8] = number.to_bytes(8, "big")
            digest.update(block)
            self._sender.sendall(block)
            number += 1
        self._sender.shutdown(linux.SHUT_WR)
        return digest.hexdigest()

    def receive(self) -> str:
        digest, into = hashlib.sha256(), bytearray(256 << 10)
        while got := self._receiver.recv_into(into):
            digest.update(memoryview(into)[:got])
            self.received += got
        return digest.hexdigest()

    def end(self) -> None:
        self._ending.set()


def test_a_transfer_of_either_stack_goes_on_after_its_link_was_down(network: Network) -> None:
    with ExitStack() as stack:
        h1, h2 = (stack.enter_context(closing(network.host(name))) for name in ("h1", "h2"))
        listener = listen(stack, h2)
        ours = connect_when_open(stack, h1, (h2.address, 7000))
        theirs, at_home = (stack.enter_context(closing(host.kernel_socket())) for host in (h1, h2))
        at_home.bind((network.kernel_address("h2"), 7001))
        at_home.listen()
        theirs.connect(at_home.getsockname())
        accepted = stack.enter_context(closing(at_home.accept()[0]))
        transfers = Transfer(ours, accept(stack, listener)), Transfer(theirs, accepted)
        for sock in (ours, theirs, accepted):
            sock.settimeout(PATIENCE_S)
        with ThreadPoolExecutor(4) as pool:
            try:
                sums = [(pool.submit(each.send), pool.submit(each.receive)) for each in transfers]
                until(lambda: min(each.received for each in transfers) > MIB)
                network.fabric.set_links(["h2-eth0"])
                time.sleep(0.3)
                before = [each.received for each in transfers]
                network.fabric.set_links()
                until(lambda: all(e.received > b + MIB for e, b in zip(transfers, before, strict=True)))
            finally:
                for each in transfers:
                    each.end()
            for sent, received in sums:
                assert sent.result(PATIENCE_S) == received.result(PATIENCE_S)


def settings(fabric: Fabric) -> dict[str, str]:
    """Every address and route of every node but link-local ones, which have a number of their interface."""
    commands = [f"ip -{version} {what}" for version in (4, 6) for what in ("addr", "route show table all")]
    topology = fabric.topology
    nodes = [host.name for host in topology.hosts] + [router.name for router in topology.routers]
    return {
        node: "\n".join(
            sorted(
                line
                for command in commands
                for line in fabric.run(node, command.split()).stdout.splitlines()
                if "inet" in line or "via" in line or " dev " in line
                if "fe80" not in line and "ff00" not in line
            )
        )
        for node in nodes
    }


def test_flows_take_the_other_path_while_one_is_down_and_all_of_them_afterwards(tmp_path: Path) -> None:
    topology = build("leaf_spine:leaves=2,spines=2,hosts=2")
    leaf = topology.switch("leaf1")
    first, second = (port.interface for port in leaf.uplinks)
    far = list(addresses(topology, "h1"))
    with Fabric(topology, tmp_path) as fabric:
        before = settings(fabric)
        fabric.spawn("h2", ["python3", "-c", ECHO, "server", str(tmp_path)], "server.log")
        until((tmp_path / "listening").exists)
        fabric.spawn("h1", ["python3", "-c", ECHO, "client", str(tmp_path), *far], "client.log")

        def echo(number: int) -> None:
            (tmp_path / f"round{number}").touch()
            until((tmp_path / f"done{number}").exists)

        echo(0)
        fabric.set_links([first])
        at_first = sent_packets(fabric, leaf.name)
        echo(1)
        went = sent_packets(fabric, leaf.name)
        assert went[first] == at_first[first]
        assert went[second] > at_first[second]
        fabric.set_links(["h1-eth0"])  # the uplink is up again, and a host loses all of its routes
        fabric.set_links()
        echo(2)
        assert settings(fabric) == before
        for address in far:
            at_first = sent_packets(fabric, leaf.name)
            assert fabric.run("h1", ["python3", "-c", FLOWS, address]).status == 0
            went = sent_packets(fabric, leaf.name)
            assert min(went[name] - at_first[name] for name in (first, second)) >= 8, address


def run_py(line: str, tmp_path: Path, *more: str) -> subprocess.Popen[str]:
    words = [*shlex.split(line)[2:], "--results", str(tmp_path), "--run-id", "it", *more]
    argv = [sys.executable, str(PROJECT / "run.py"), *words]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path)


def recorded(tmp_path: Path) -> list[dict[str, object]]:
    lines = (tmp_path / "it" / "events.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_a_run_with_a_fault_records_it_and_its_values_are_right(tmp_path: Path) -> None:
    more = "pool:h2,at=1s,for=100ms,value=50%", "accelerator-slow:rank1,at=1400ms,for=200ms,value=3"
    killed = "application-killed:rank0,at=500s"
    run = run_py(HURT, tmp_path, *(word for text in (*more, killed) for word in ("--fault", text)))
    out, said = run.communicate(timeout=120)
    assert run.returncode == 0, said
    happened = recorded(tmp_path)
    actions = ["down", "up", "shrunk", "as before", "slower", "as before"]
    assert [each["action"] for each in happened] == actions
    asked_s = [float(str(each["asked_s"])) for each in happened]
    assert asked_s == pytest.approx([0.5, 0.8, 1.0, 1.1, 1.4, 1.6])
    assert all(float(str(each["actual_s"])) >= float(str(each["asked_s"])) for each in happened)
    manifest = json.loads((tmp_path / "it" / "manifest.json").read_text())
    assert manifest["faults"][:6] == happened
    assert (manifest["faults"][6]["action"], manifest["faults"][6]["time_s"]) == ("killed", None)
    assert "events.jsonl" in manifest["files"]
    assert "figures/timeline.png" in manifest["files"]
    assert "# Fault link-down:h1-eth0,at=500ms,for=300ms: down at 0." in out
    assert "# Out of bounds values : 0 OK" in out


def test_a_schedule_hurts_a_network_that_is_up(tmp_path: Path) -> None:
    (tmp_path / "faults.yaml").write_text(SCHEDULE)
    up = run_py(STANDING, tmp_path)
    try:
        assert up.stdout is not None
        told: list[str] = []
        while sum(line.startswith("fault ") for line in told) < 16 or told[-1] != "host h3 is up again":
            line = up.stdout.readline()
            assert line, up.stderr.read() if up.stderr else ""
            told.append(line.rstrip())
    finally:
        up.terminate()
        up.communicate(timeout=60)
    actions = [str(each["action"]) for each in recorded(tmp_path)]
    assert sorted(actions) == sorted(
        ["down", "up"] * 4
        + ["other rate", "own rate", "cut off", "joined", "shrunk", "as before", "killed", "started again"]
    )
