"""Links with a relay for real: delay, loss, duplicates and wrong bits meet both stacks' packets."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import os
import random
import re
import signal
import socket as linux
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from functools import partial
from pathlib import Path

import msgspec
import pytest

from commands.network import NetworkRequest, StartedNetwork, start_network
from nodes.client.host import Host
from tests.system.conftest import processes_with
from tests.system.network import accept, bind_rx, connect_when_open, listen, receive_devmem
from topologies.calibration import DELAY_TOLERANCE_S, LOSS_PROBES, TOLERANCE
from topologies.link import GilbertElliott, Quality
from topologies.mininet.fabric import FabricError
from topologies.mininet.isolation import network_namespace_of
from topologies.shapes.registry import build
from topologies.topology import Topology
from workloads.experiment.records import NetworkConfig

pytestmark = pytest.mark.system

PROJECT = Path(__file__).resolve().parents[2]
DELAY_S = 0.005
LOSS, DUPLICATE, CORRUPT = 0.1, 0.05, 0.05
DATAGRAMS = 3000
DEVIATIONS = 5
PATIENCE_S = 20.0


def pair(**quality: object) -> Topology:
    plain = build("pair", 2)
    (link,) = plain.links
    return msgspec.structs.replace(plain, links=(msgspec.structs.replace(link, **quality),))


def started(stack: ExitStack, directory: Path, **quality: object) -> StartedNetwork:
    directory = directory / "it"
    directory.mkdir()
    config = NetworkConfig(allow_uncalibrated=True)  # the machine may be busy
    return start_network(NetworkRequest(pair(**quality), directory, config), lambda: None, stack)


def hosts(stack: ExitStack, network: StartedNetwork) -> tuple[Host, Host]:
    h1, h2 = (stack.enter_context(closing(Host(each.channel))) for each in network.hosts)
    return h1, h2


def holds(condition: Callable[[], bool]) -> bool:
    """Whether it comes true while we are patient."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := condition()) and time.monotonic() < deadline:
        pass
    return found


def round_trip_s(shell_pid: int, address: str) -> float:
    """The least of a few; infinite if nothing came back."""
    words = ["nsenter", "-t", str(shell_pid), "-n", "ping", "-q", "-c5", "-i0.02", "-W1", address]
    said = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False).stdout
    found = re.search(r"= ([0-9.]+)/", said)
    return float(found[1]) / 1e3 if found else float("inf")


def is_prompt(shell_pid: int, address: str) -> bool:
    return round_trip_s(shell_pid, address) <= 2 * (DELAY_S * (1 + TOLERANCE) + DELAY_TOLERANCE_S)


def watched(network: StartedNetwork) -> bool:
    """Nothing has died yet."""
    network.watch()
    return False


def shells(directory: Path) -> list[int]:
    """The processes that keep the hosts' namespaces open."""
    (record,) = (directory / "state").glob("*.json")
    return [host["shell"]["pid"] for host in json.loads(record.read_text())["hosts"]]


def test_both_stacks_meet_the_delay_and_device_memory_is_behind_it(tmp_path: Path, token: str) -> None:
    with ExitStack() as stack:
        network = started(stack, tmp_path, delay_s=DELAY_S)
        shell_pid, _ = shells(tmp_path)
        there, back = network.links
        assert (there.sender, there.receiver, back.sender) == ("h1-eth0", "h2-eth0", "h2-eth0")
        for address in ("10.0.0.2", "10.0.1.2", "fd00::2", "fd00::1:2"):
            assert round_trip_s(shell_pid, address) >= 2 * DELAY_S
            assert holds(partial(is_prompt, shell_pid, address)), address
        h1, h2 = hosts(stack, network)
        data = random.Random(1).randbytes(3_000_001)
        memory = bind_rx(stack, h2)
        listener = listen(stack, h2)
        with ThreadPoolExecutor(1) as pool:
            sender = connect_when_open(stack, h1, (h2.address, 7000))
            sending = pool.submit(sender.sendall, data)
            receiver, digest = accept(stack, listener), hashlib.sha256()
            pool.submit(sender.shutdown, linux.SHUT_WR)
            assert receive_devmem(receiver, memory, digest) == len(data)
            sending.result(PATIENCE_S)
        assert digest.digest() == hashlib.sha256(data).digest()
        network.watch()
        (relay,) = [pid for pid, command in processes_with(token).items() if "-m nodes.relay" in command]
        os.kill(relay, signal.SIGKILL)
        with pytest.raises(
            FabricError, match=r"^the relay of link h1-eth0<->h2-eth0 ended with signal 9; see"
        ):
            holds(partial(watched, network))


def datagrams(sender: linux.socket, receiver: linux.socket) -> list[bytes]:
    """What arrives of DATAGRAMS numbered ones."""
    receiver.bind(("10.0.0.2", 9000))
    receiver.setsockopt(linux.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
    for number in range(DATAGRAMS):
        sender.sendto(number.to_bytes(4, "big") * 100, ("10.0.0.2", 9000))
    arrived = []
    receiver.settimeout(2.0)
    with suppress(TimeoutError):
        while True:
            arrived.append(receiver.recv(2000))
    return arrived


def is_chance(found: int, chance: float) -> bool:
    return abs(found - chance * DATAGRAMS) < DEVIATIONS * math.sqrt(DATAGRAMS * chance * (1 - chance))


def datagram_socket(pid: int) -> linux.socket:
    with network_namespace_of(pid):
        return linux.socket(linux.AF_INET, linux.SOCK_DGRAM)


def test_a_bad_link_loses_duplicates_and_corrupts_as_asked_and_tcp_passes_it(tmp_path: Path) -> None:
    with ExitStack() as stack:
        network = started(stack, tmp_path, loss=LOSS, duplicate=DUPLICATE, corrupt=CORRUPT)
        pids = shells(tmp_path)
        ends = [stack.enter_context(datagram_socket(pid)) for pid in pids]
        for each in network.links:
            assert each.achieved_loss is not None
            assert abs(each.achieved_loss - LOSS) < DEVIATIONS * math.sqrt(LOSS * (1 - LOSS) / LOSS_PROBES)
        assert holds(lambda: round_trip_s(pids[0], "10.0.0.2") < PATIENCE_S)  # the neighbour is known
        arrived = datagrams(*ends)
        numbers = {each[:4] for each in arrived}
        assert all(each == each[:4] * 100 for each in arrived)  # the checksum reveals every wrong bit
        assert is_chance(DATAGRAMS - len(numbers), LOSS + CORRUPT)
        assert is_chance(len(arrived) - len(numbers), DUPLICATE)
        words = ["nsenter", "-t", str(pids[1]), "-n", "nstat", "-az", "UdpInCsumErrors"]
        said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        errors = int(said.split()[-2])
        assert CORRUPT / 2 * DATAGRAMS < errors < CORRUPT * 2 * DATAGRAMS
        h1, h2 = hosts(stack, network)
        data = random.Random(2).randbytes(100_000)
        listener = listen(stack, h2)
        sender = connect_when_open(stack, h1, (h2.address, 7000))
        receiver = accept(stack, listener)
        sender.sendall(data)
        got = b""
        while len(got) < len(data):
            got += receiver.recv(len(data))
        assert got == data


def test_a_run_across_a_link_with_a_rate_and_a_delay_ends_with_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory(prefix="t-", dir="/tmp") as place:  # short: Ray's sockets are in it
        monkeypatch.setenv("TMPDIR", place)
        options = "--topology pair --link 100Mbit,1ms --path devmem,kernel --size 64K --repeat 1 --iters 1"
        where = ["--results", str(tmp_path / "results"), "--run-id", "it", "--allow-uncalibrated"]
        argv = [sys.executable, str(PROJECT / "run.py"), *options.split(), *where]
        ended = subprocess.run(argv, capture_output=True, text=True, timeout=150, check=False)
    assert ended.returncode == 0, ended.stderr
    run_dir = tmp_path / "results" / "it"
    with open(run_dir / "samples.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["path"] for row in rows} == {"devmem", "kernel"}
    assert {row["wrong_elements"] for row in rows} == {"0"}
    assert min(float(row["time_s"]) for row in rows) > 0.001  # a delay at least
    links = json.loads((run_dir / "manifest.json").read_text())["links"]
    asked = {(each["asked_bps"], each["asked_delay_s"], each["asked_loss"]) for each in links}
    assert (len(links), asked) == (2, {(10**8, 0.001, 0.0)})
    assert "packets" in (run_dir / "w1.log").read_text()


def counted(log: str, interface: str) -> dict[str, int]:
    """What the relay says that it did to the packets from that interface."""
    (line,) = re.findall(rf"^from {interface}: (.*)$", log, re.MULTILINE)
    return {words: int(number) for number, words in re.findall(r"(\d+) (\w+)", line)}


def is_share(counts: dict[str, int], event: str, chance: float, burstiness: float = 1.0) -> bool:
    allowed = DEVIATIONS * math.sqrt(counts["packets"] * chance * (1 - chance) * burstiness)
    return abs(counts[event] - chance * counts["packets"]) < allowed


def test_each_direction_is_as_it_was_asked_to_be_and_its_relay_says_so(tmp_path: Path) -> None:
    bursts = GilbertElliott(0.02, 0.2, 0.8, 0.01)
    up = Quality(rate_bps=20_000_000, delay_s=0.004, reorder=0.1, duplicate=0.05)
    down = Quality(rate_bps=100_000_000, delay_s=0.001, loss=bursts.loss, gemodel=bursts)
    with ExitStack() as stack:
        network = started(stack, tmp_path, down=down, **msgspec.structs.asdict(up))
        pids = shells(tmp_path)
        assert len(datagrams(*(stack.enter_context(datagram_socket(pid)) for pid in pids))) > DATAGRAMS / 2
        there, back = network.links
        for found, asked in ((there, up), (back, down)):
            assert (found.asked_bps, found.asked_delay_s) == (asked.rate_bps, asked.delay_s)
            assert found.achieved_bps == pytest.approx(asked.rate_bps, rel=0.2), "no other direction's"
            assert found.achieved_delay_s is not None
            assert asked.delay_s <= found.achieved_delay_s + 1e-5
        assert there.achieved_loss is None
        assert back.achieved_loss is not None
        assert abs(back.achieved_loss - bursts.loss) < DEVIATIONS * down.loss_deviation(LOSS_PROBES)
        assert (there.achieved_delay_s or 0) > (back.achieved_delay_s or 0)
    log = (tmp_path / "it" / "w1.log").read_text()
    there_counts, back_counts = counted(log, "w1-eth0"), counted(log, "w1-eth1")
    assert there_counts["packets"] > DATAGRAMS / 2
    assert is_share(there_counts, "reordered", up.reorder)
    assert is_share(there_counts, "duplicated", up.duplicate)
    assert (there_counts["lost"], back_counts["reordered"], back_counts["duplicated"]) == (0, 0, 0)
    assert is_share(back_counts, "lost", bursts.loss, bursts.burstiness)
