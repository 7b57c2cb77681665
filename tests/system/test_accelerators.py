"""Hosts with several NICs and accelerators: ranks on all of them, and PCIe bytes of the closed form."""

from __future__ import annotations

import csv
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from commands.checks import memory_bytes
from commands.network import NetworkRequest, start_network
from commands.placement import placement
from commands.topology import topology_of
from commands.watched import directions
from nodes.client.host import Host
from nodes.client.runtime import MACHINE
from nodes.machine.accelerator import Slot
from nodes.machine.routes import totals
from tests.docs.pages import block
from tests.system.network import Network
from tests.workloads.ring import Ring
from workloads.collective import CollectiveOptions
from workloads.experiment.link_usage import sent
from workloads.experiment.rank import Rank
from workloads.experiment.records import ExperimentConfig, LocalRank, NicPlace, RankPlace
from workloads.machine import RECEIVE_BYTES, Machine
from workloads.registry import PATHS, WORKLOADS
from workloads.transports.transport import Transport

pytestmark = [pytest.mark.system, pytest.mark.timeout(150)]

PROJECT = Path(__file__).resolve().parents[2]
RAILS = shlex.split(block("docs/topologies.md", "python3 run.py --topology rail_optimized"))[2:]
KIB = 1024
EACH = 100 * KIB
NO_OPTIONS = 66 - 42  # an ARP packet is so much shorter than a header
AGAIN = 16 * KIB  # a tail loss probe meets a host that waits for its bus

# Both NICs of a host on one switch, or each on another.
TWIN = """\
hosts: {{h1: , h2: }}
switches: {{s1: , s2: }}
links:
- endpoints: [h1, {0}]
- endpoints: [h2, {0}]
- endpoints: [h1, {1}]
- endpoints: [h2, {1}]
- endpoints: [s1, s2]
"""

# Two networks that share nothing but hosts. The second host's PCIe is slow.
PLANES = """\
hosts:
  h1: {accelerators: {a0: {nic: h1-eth0, memory: 80M}, a1: {nic: h1-eth1}}}
  h2: {accelerators: 2, pcie_bw: 1MB/s}
switches: {s1: , s2: }
links:
- endpoints: [h1, s1]
- endpoints: [h1, s2]
- endpoints: [h2, s1]
- endpoints: [h2, s2]
"""


def run(directory: Path, *options: str) -> subprocess.CompletedProcess[str]:
    where = ["--results", str(directory), "--run-id", "it", "--iters", "1", "--warmup", "0", "--place", "in"]
    command = [sys.executable, str(PROJECT / "run.py"), *options, *where]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def table(directory: Path, name: str) -> list[dict[str, Any]]:
    with open(directory / "it" / name, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_all_ranks_of_hosts_with_rails_reduce_right_on_every_path(tmp_path: Path) -> None:
    found = run(tmp_path, *RAILS)
    assert found.returncode == 0, found.stderr
    samples = table(tmp_path, "samples.csv")
    assert {row["wrong_elements"] for row in samples} == {"0"}
    assert {path: sum(row["path"] == path for row in samples) for path in ("devmem", "bounce", "kernel")} == {
        "devmem": 8, "bounce": 8, "kernel": 8,
    }  # fmt: skip
    ranks = json.loads((tmp_path / "it" / "manifest.json").read_text())["ranks"]
    assert [(each["host"], each["accelerator"], each["nic"]) for each in ranks[1:7:3]] == [
        ("h1", "accel1", "h1-eth0"), ("h2", "accel0", "h2-eth0"),
    ]  # fmt: skip
    share = 2 * 7 * 64 * KIB // 8  # what a rank sends, and what it receives
    for row in samples:
        between_hosts = (row["rank"] in "37") + (row["rank"] in "04")  # sends to, hears of another host
        assert int(row["payload_local_bytes"]) == share * (2 - between_hosts)
        assert int(row["fabric_bytes"]) == share * (row["rank"] not in "04")
    by_nic = table(tmp_path, "nics.csv")
    assert len(by_nic) == 3 * 2 * 2
    for row in by_nic:
        assert float(row["network_payload_bytes"]) == share
        if row["path"] == "kernel":
            assert float(row["pcie_root_bytes"]) == float(row["pcie_switch_bytes"]) > 2 * share
            continue
        for what in ("switch", "root"):
            shorter = float(row[f"expected_{what}_bytes"]) - float(row[f"pcie_{what}_bytes"])
            assert shorter in {number * NO_OPTIONS for number in range(5)}, row


def test_a_nic_of_another_switch_crosses_the_root_and_a_slow_one_is_waited_for(tmp_path: Path) -> None:
    """Rank 1 reaches rank 2 by the NIC of the other network alone, and so does rank 3 rank 0."""
    file = tmp_path / "planes.yaml"
    file.write_text(PLANES)
    options = CollectiveOptions(warmup=0, iterations=1, place="in")
    asked = ExperimentConfig(str(file), 2, "all_reduce", (64 * KIB,), ("devmem",), options, ranks=4)
    topology = topology_of(str(file), None, asked)
    with ExitStack() as stack:
        started = start_network(NetworkRequest(topology, tmp_path, asked), lambda: None, stack)
        channels = {host.name: host.channel for host in started.hosts}
        ranks = Ring(asked, places=placement(topology, None, channels))
        ranks.connect()
        rows = ranks.run()
        for end in (Rank.disconnect, Rank.restore, Rank.close):
            ranks.each(end)
    assert {row.wrong_elements for row in rows} == {0}
    share = 2 * 3 * 64 * KIB // 4
    for nic, crossed in (("h1-eth0", share), ("h1-eth1", 0), ("h2-eth0", share), ("h2-eth1", 0)):
        of_nic = [row for row in rows if row.nic == nic]
        headers = 66 * sum((row.rx_packets or 0) + (row.tx_packets or 0) for row in of_nic)
        beyond_headers = sum(row.pcie_root_bytes for row in of_nic) - headers
        assert -5 * NO_OPTIONS <= beyond_headers - crossed < AGAIN
    assert max(row.time_s for row in rows) > 0.9 * share / 1e6


@pytest.mark.parametrize("name", ["moe", "ingest"])
def test_patterns_take_every_nic_and_several_connections(tmp_path: Path, name: str) -> None:
    file = tmp_path / "planes.yaml"
    file.write_text(PLANES.replace(", pcie_bw: 1MB/s", ""))
    own: dict[str, Any] = {"moe": {"layers": 1, "tokens": 64, "tflops": 10.0}, "ingest": {"compute_ms": 1.0}}
    options = WORKLOADS[name].options(warmup=0, iterations=1, flows=2, **own[name])
    size = 0 if name == "moe" else 100_003
    asked = ExperimentConfig(
        str(file), 2, name, (size,), ("devmem",), options, ranks=4, hosts_of_ranks=(0, 0, 1, 1)
    )
    topology = topology_of(str(file), None, asked)
    with ExitStack() as stack:
        started = start_network(NetworkRequest(topology, tmp_path, asked), lambda: None, stack)
        channels = {host.name: host.channel for host in started.hosts}
        ranks = Ring(asked, places=placement(topology, None, channels))
        ranks.connect()
        rows = ranks.run()
        for end in (Rank.disconnect, Rank.restore, Rank.close):
            ranks.each(end)
    assert {row.wrong_elements for row in rows} == {0}
    assert sum(row.payload_staged_bytes for row in rows) == 0
    assert sum(row.payload_local_bytes for row in rows) > 0
    assert {row.nic for row in rows if row.tx_packets and row.rx_packets} == {
        "h1-eth0", "h1-eth1", "h2-eth0", "h2-eth1",
    }  # fmt: skip


@pytest.mark.parametrize("switches", [("s1", "s2"), ("s1", "s1")])
def test_one_rank_a_host_uses_both_nics_on_every_path(tmp_path: Path, switches: tuple[str, str]) -> None:
    """With two connections to its peer; every byte is right, and each link carried half of the payload."""
    file, size = tmp_path / "twin.yaml", 512 * KIB
    file.write_text(TWIN.format(*switches))
    options = CollectiveOptions(warmup=0, iterations=1, place="in", flows=2, chunk_bytes=32 * KIB)
    asked = ExperimentConfig(str(file), 2, "all_reduce", (size,), ("devmem",), options)
    staged = msgspec.structs.replace(asked, paths=("bounce", "kernel"))
    topology = topology_of(str(file), None, asked)
    with ExitStack() as stack:
        started = start_network(NetworkRequest(topology, tmp_path, asked), lambda: None, stack)
        channels = {host.name: host.channel for host in started.hosts}
        links = [each for each in directions(topology, started) if each.sender.startswith("h")]
        received_into: list[int] = []
        for path in ("devmem", "bounce", "kernel"):
            before = sent(links)
            ranks = Ring(
                msgspec.structs.replace(asked, paths=(path,)), places=placement(topology, None, channels)
            )
            ranks.connect()
            rows = ranks.run()
            received_into.append(_dmabufs(RECEIVE_BYTES))
            for end in (Rank.disconnect, Rank.restore, Rank.close):
                ranks.each(end)
            assert {(row.wrong_elements, row.payload_sent_bytes) for row in rows} == {(0, size)}
            assert {row.payload_far_bytes for row in rows} == {size if path == "devmem" else 0}
            carried = {
                each.sender: now.bytes - was.bytes
                for each, was, now in zip(links, before, sent(links), strict=True)
            }
            assert len(carried) == 4
            assert all(size / 2 < count < 0.6 * size for count in carried.values()), (path, carried)
    assert received_into == [4, 0, 0]
    known = [memory_bytes(each, placement(topology)) for each in (asked, staged)]
    assert known[0] - known[1] == (4 - 2) * RECEIVE_BYTES, "what the first NICs receive into is in both"


def _dmabufs(size: int) -> int:
    """How many of that size this process, which all ranks are in, has."""
    files = [os.stat(each) for each in Path("/proc/self/fd").iterdir() if each.exists()]
    return len({each.st_ino for each in files if each.st_size == size})


def places(network: Network) -> Iterator[RankPlace]:
    """Two ranks on each host, whose NIC they share."""
    for number, host in enumerate(("h1", "h2")):
        nic = network.nic(host).interface
        local = tuple(LocalRank(2 * number + each, nic) for each in (0, 1))
        for each in local:
            slot, nics = Slot(nic=nic), (NicPlace(nic, network.kernel_address(host)),)
            yield RankPlace(each.rank, host, network.channel(host), slot, nics, local)


def settings(host: Host) -> tuple[Any, Any, Any, list[int]]:
    ethtool = host.ethtool
    bound = [queue["id"] for queue in host.netdev.queue_get() if "dmabuf" in queue]
    return ethtool.rings_get(), ethtool.rss_get()["indir"], ethtool.ntuple_get(), bound


def test_ranks_that_share_a_nic_all_exchange_with_all(network: Network, hosts: tuple[Host, Host]) -> None:
    before = [settings(host) for host in hosts]
    for path in ("devmem", "bounce", "kernel"):
        _, table, _, bound = exchange_all(path, network, hosts[0])
        assert bound == ([6, 7] if path == "devmem" else [])
        assert set(table) == {*range(6 if path == "devmem" else 8)}, "queues that others may hash to"
        assert [settings(host) for host in hosts] == before


def exchange_all(path: str, network: Network, host: Host) -> tuple[Any, Any, Any, list[int]]:
    """Four ranks on one path; returns the settings of the host's NIC meanwhile."""
    ranks = range(4)
    config = ExperimentConfig("star", 2, "all_reduce", (4 * EACH,), (path,), CollectiveOptions(), ranks=4)
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(4))
        machines = [
            stack.enter_context(closing(Machine(place, config, 12 * EACH, MACHINE)))
            for place in places(network)
        ]
        for machine in machines:
            if machine.place.leads_nic:
                PATHS[path](machine).prepare_nic(machine.place.nic, stack)
        transports: list[Transport[Any]] = [
            stack.enter_context(closing(Transport(each, PATHS[path](each)))) for each in machines
        ]
        others = [[peer for peer in ranks if peer != rank] for rank in ranks]
        at = list(pool.map(lambda rank: transports[rank].listen(others[rank]), ranks))

        def exchange(rank: int) -> None:
            transport, view = transports[rank], machines[rank].data.view
            transport.connect({peer: at[peer][rank] for peer in others[rank]})
            view[:EACH] = bytes([rank + 1]) * EACH
            tickets = [transport.send(peer, 0, EACH) for peer in others[rank]]
            for peer in others[rank]:
                transport.receive_into(peer, (peer + 1) * EACH, EACH)
            for ticket in tickets:
                transport.wait_reusable(ticket)

        list(pool.map(exchange, ranks))
        for rank in ranks:
            for peer in others[rank]:
                came = machines[rank].data.view[(peer + 1) * EACH : (peer + 2) * EACH]
                assert came == bytes([peer + 1]) * EACH, f"rank {peer} to {rank}"
            remote = 0 if path == "devmem" else 2 * EACH  # each way
            assert transports[rank].moved() == (2 * remote, 2 * EACH, remote, 0)
            moved = transports[rank].counters(machines[rank].host.stats()).moved
            assert totals(moved).fabric_bytes == EACH + 1  # its greeting
        return settings(host)
