"""A measuring run under a simulated clock, from its command line to its files."""

from __future__ import annotations

import csv
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from commands.simulated_network import SimulatedNetwork, build, check_links
from commands.usage import UsageError
from nodes.client.host import Host
from nodes.host_config import HostConfig, NicConfig
from tests.docs.pages import block
from topologies.shapes import registry
from topologies.topology import Topology

ROOT = Path(__file__).parents[2]
GUIDE = block("docs/simulation.md", "python3 run.py --clock simulated --topology leaf_spine")
SMALL = (
    "--clock", "simulated", "--topology", "star", "--hosts", "3", "--link", "100Gbit,2us", "--size", "64K",
    "--repeat", "2", "--iters", "2", "--warmup", "1",
)  # fmt: skip


def run_py(results: Path, *words: str, hash_seed: str = "0") -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "run.py", "--results", str(results), *words]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    return subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100)


def shaped(shape: str, hosts: int, **asked: Any) -> Topology:
    network = registry.build(shape, hosts, 1500, 65536)
    links = tuple(msgspec.structs.replace(link, **asked) for link in network.links)
    return msgspec.structs.replace(network, links=links)


def simulated(network: Topology) -> SimulatedNetwork:
    def nic(each: Any) -> NicConfig:
        own = each.endpoint_address, each.endpoint_mac, each.gateway
        return NicConfig(interface=each.interface, address=own[0], mac=own[1], gateway=own[2])

    return build(
        network,
        {
            host.name: HostConfig(
                nics=tuple(map(nic, host.nics)), channel=host.name, name=host.name, dad=False
            )
            for host in network.hosts
        },
    )


def exchange(network: SimulatedNetwork, sender: str, receiver: str, port: int = 9000) -> bytes:
    """What `receiver` gets of 20,000 bytes that `sender` sends."""
    got: list[bytes] = []
    address: list[str] = []

    def take(host: Host) -> None:
        address.append(host.address)
        listener = host.socket()
        listener.bind(("", port))
        listener.listen()
        connection, _ = listener.accept()
        while data := connection.recv(1 << 16):
            got.append(data)

    def give(host: Host) -> None:
        host.runtime.sleep(0.001)
        sock = host.socket()
        sock.connect((address[0], port))
        sock.sendall(bytes(range(200)) * 100)
        sock.close()

    network.nodes[receiver].spawn(take)
    network.nodes[sender].spawn(give)
    network.simulation.run()
    return b"".join(got)


@pytest.mark.parametrize(("shape", "hosts"), [("pair", 2), ("star", 3), ("leaf_spine", 4), ("fat_tree", 4)])
def test_hosts_of_a_shape_reach_each_other_by_its_switches_and_routers(shape: str, hosts: int) -> None:
    network = simulated(shaped(shape, hosts, rate_bps=10**11, delay_s=1e-6))
    names = [*network.nodes]
    assert exchange(network, names[0], names[-1]) == bytes(range(200)) * 100
    assert [router.unrouted for router in network.routers.values()] == [0] * len(network.routers)
    network.simulation.close()


def test_flows_spread_over_the_spines_by_their_ports() -> None:
    network = simulated(shaped("leaf_spine", 4, rate_bps=10**11, delay_s=1e-6))
    uplinks = [
        each.line for each in network.lines if each.near.startswith("leaf1") and "spine" in each.far
    ]
    carried = []
    for port in range(9000, 9008):
        before = [line.carried_packets for line in uplinks]
        exchange(network, "h1", "h4", port)
        carried.append([line.carried_packets - count for line, count in zip(uplinks, before, strict=True)])
    network.simulation.close()
    assert len(uplinks) >= 2
    assert all(map(any, zip(*carried, strict=True)))
    assert all(sum(map(bool, flow)) == 1 for flow in carried), "a flow keeps to one"


def test_links_that_cannot_be_simulated_are_refused_by_name() -> None:
    with pytest.raises(UsageError, match="asks for loss, which simulated links do not have; take it away"):
        check_links(shaped("star", 2, loss=0.01))


def test_a_run_without_root_or_mininet_writes_what_every_run_writes(tmp_path: Path) -> None:
    done = run_py(tmp_path, *SMALL, "--run-id", "one", "--machine", "a3-high")
    assert done.returncode == 0, done.stderr
    assert "its seconds are those of the simulated machines and lines" in done.stdout
    assert "Out of bounds values : 0 OK" in done.stdout
    manifest = json.loads((tmp_path / "one" / "manifest.json").read_text())
    assert (manifest["status"], manifest["config"]["clock"], manifest["config"]["machine"]) == (
        "complete", "simulated", "a3-high",
    )  # fmt: skip
    assert len(manifest["journal"]) == 64
    assert (tmp_path / "one" / "report.html").stat().st_size > 10_000
    with open(tmp_path / "one" / "link_usage.csv", newline="") as file:
        rows = [*csv.DictReader(file)]
    assert {row["sender"] for row in rows} >= {"h1-eth0", "h2-eth0", "h3-eth0"}
    assert all(int(row["sent_bytes"]) > 0 for row in rows)


def test_the_guides_command_runs(tmp_path: Path) -> None:
    done = run_py(tmp_path, *shlex.split(GUIDE)[2:])
    assert done.returncode == 0, done.stderr
    assert "# all_reduce on leaf_spine, 4 hosts, 4 ranks, 2 repetitions" in done.stdout


def test_two_runs_of_one_seed_have_the_same_samples_to_the_byte(tmp_path: Path) -> None:
    for name, hash_seed in (("one", "1"), ("two", "99")):
        done = run_py(tmp_path, *SMALL, "--run-id", name, hash_seed=hash_seed)
        assert done.returncode == 0, done.stderr
    one, two = (tmp_path / name for name in ("one", "two"))
    assert (one / "samples.csv").read_bytes() == (two / "samples.csv").read_bytes()
    journals = [json.loads((each / "manifest.json").read_text())["journal"] for each in (one, two)]
    assert journals[0] == journals[1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("--path", "kernel"),
            "--path kernel does not go with --clock simulated: simulated hosts have no Linux",
        ),
        (("--across", "2"), "--across does not go with --clock simulated: a simulation is one process"),
        (("--machine", "cray"), "there is no --machine 'cray'; choose from infinite, a3-high"),
        (("--pcap",), "--pcap does not go with --clock simulated"),
        (("--traffic", "poisson:load=0.1,sizes=hadoop"), "--traffic does not go with --clock simulated"),
        (
            ("--fault", "application-killed:rank1,at=1s"),
            "application-killed:rank1,at=1s does not go with --clock simulated: it is done to a process",
        ),
        (
            ("--fault", "host-slow:h1,at=1s,value=2"),
            "slows a CPU, and that of --machine infinite costs nothing; choose another machine, as a3-high",
        ),
    ],
)
def test_what_a_simulation_cannot_do_is_refused_before_it_begins(
    tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    done = run_py(tmp_path, *SMALL, *words)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())
    assert [*tmp_path.iterdir()] == []


def test_a_machine_that_is_not_simulated_cannot_be_chosen(tmp_path: Path) -> None:
    done = run_py(tmp_path, "--topology", "pair", "--machine", "a3-high")
    assert (done.returncode, [*tmp_path.iterdir()]) == (2, [])
    assert "--machine is what simulated hosts are: add --clock simulated" in " ".join(done.stderr.split())


def test_wire_packets_are_of_simulated_lines(tmp_path: Path) -> None:
    done = run_py(tmp_path, "--topology", "pair", "--wire-packets")
    assert (done.returncode, [*tmp_path.iterdir()]) == (2, [])
    assert "--wire-packets is for simulated lines: add --clock simulated" in " ".join(done.stderr.split())
