"""Flaps and partitions in simulated time: they do what docs/faults.md says, and end with all as it was."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from commands.faults import FaultInjector
from commands.simulated_faults import SimulatedFaults
from commands.simulated_network import SimulatedNetwork
from nodes.client.host import Host
from tests.commands.simulated_run import measured, simulated_run
from tests.commands.test_faults import plan
from tests.commands.test_simulate import exchange, shaped, simulated
from topologies.fault import Event, Scope
from topologies.topology import Topology

MS = 1_000_000
STREAM = (
    "--topology", "pair", "--link", "1Gbit,50us", "--workload", "stream", "--duration", "0.5", "--size",
    "64K", "--path", "devmem", "--repeat", "1", "--payload", "counted",
)  # fmt: skip


class Hurt:
    """A simulated topology and its faults. `down(ms)`: interfaces whose lines are down at that time."""

    def __init__(self, topology: Topology, run_dir: Path, *faults: str) -> None:
        self.network: SimulatedNetwork = simulated(topology)
        self._hands = SimulatedFaults(self.network, topology)
        self._injector = FaultInjector(plan(*faults, scope=Scope(topology)), run_dir)
        self._injector.begin_simulated(self.network.simulation.runtime, self._hands, ())

    def down(self, *times_ms: float) -> Iterator[set[str]]:
        clock = self.network.simulation.clock
        for at_ms in times_ms:
            seen: list[int] = []
            clock.at(1_000_000_000 + round(at_ms * MS), partial(seen.append, 0))
            while not seen:
                assert clock.step()
            yield {each.near for each in self.network.lines if not each.line.up}

    def events(self) -> Sequence[Event]:
        self._injector.check()
        return self._injector.events()


def test_a_flap_is_down_and_up_for_as_long_so_many_times(tmp_path: Path) -> None:
    topology = shaped("pair", 2, rate_bps=10**10, delay_s=1e-6)
    hurt = Hurt(topology, tmp_path, "flap:h1-eth0,at=10ms,for=4ms,value=3")
    ends = {"h1-eth0", "h2-eth0"}
    edges = [(9.9, 0), (10.1, 1), (13.9, 1), (14.1, 0), (17.9, 0), (18.1, 1), (22.1, 0), (26.1, 1), (30.1, 0)]
    for found, (at_ms, is_down) in zip(hurt.down(*(at for at, _ in edges)), edges, strict=True):
        assert found == (ends if is_down else set()), at_ms
    assert [(each.action, each.actual_s) for each in hurt.events()] == [
        ("down", 0.01), ("up", 0.014), ("down", 0.018), ("up", 0.022), ("down", 0.026), ("up", 0.03),
    ]  # fmt: skip
    assert exchange(hurt.network, "h1", "h2") == bytes(range(200)) * 100
    hurt.network.simulation.close()


def test_a_partition_cuts_its_nodes_off_and_leaves_them_their_own_links(tmp_path: Path) -> None:
    """h3, h4 and their leaf still reach each other; nobody else reaches them."""
    topology = shaped("leaf_spine", 4, rate_bps=10**10, delay_s=1e-6)
    hurt = Hurt(topology, tmp_path, "partition:h3+h4+leaf2,at=10ms,for=30ms")
    network = hurt.network
    came: list[str] = []

    def listen(host: Host) -> None:
        listener = host.socket()
        listener.bind(("", 9000))
        listener.listen()
        while True:
            connection, _ = listener.accept()
            came.append(connection.recv(9).decode())

    def ask(address: str, words: str, host: Host) -> None:
        host.runtime.sleep(0.011)
        sock = host.socket()
        sock.connect((address, 9000))
        sock.sendall(words.encode())

    h4 = next(host for host in topology.hosts if host.name == "h4")
    address = h4.nics[0].endpoint_address.partition("/")[0]
    network.nodes["h4"].spawn(listen)
    network.nodes["h3"].spawn(partial(ask, address, "beside it"), "beside")
    network.nodes["h1"].spawn(partial(ask, address, "elsewhere"), "elsewhere")
    before, cut, still, healed = hurt.down(9.9, 10.1, 39.9, 40.1)
    uplinks = {each for each in cut if "leaf2" in each}
    assert (before, still, healed) == (set(), cut, set())
    assert uplinks
    assert len(cut) == 2 * len(uplinks)  # both ends, and no host's link
    assert came == ["beside it"]
    assert [(each.action, each.actual_s) for each in hurt.events()] == [("cut off", 0.01), ("joined", 0.04)]
    tuple(hurt.down(5_000))
    assert came == ["beside it", "elsewhere"]
    network.simulation.close()


@pytest.mark.parametrize(
    "fault", ["flap:h1-eth0,at=100ms,for=5ms,value=3", "partition:h2,at=100ms,for=25ms"]
)
def test_a_stream_outlives_flaps_and_partitions(tmp_path: Path, fault: str) -> None:
    rows = simulated_run(tmp_path / "run", *STREAM, "--fault", fault)
    (row,) = measured(rows, rank="1")
    assert 15 << 20 < int(row["payload_received_bytes"]) < 55 << 20
    assert sum(int(each["tcp_retrans_segs"]) for each in rows) > 0
    faults = json.loads((tmp_path / "run" / "manifest.json").read_text())["faults"]
    assert len(faults) == (6 if fault.startswith("flap") else 2)
    assert all(each["actual_s"] == pytest.approx(each["asked_s"], abs=1e-6) for each in faults)


def test_rings_are_shrunk_for_as_long_as_asked(tmp_path: Path) -> None:
    hurt = Hurt(shaped("pair", 2), tmp_path, "rx-ring:h2,at=10ms,for=4ms,value=64")
    sizes: list[int] = []

    def look(host: Host) -> None:
        for _ in range(3):
            host.runtime.sleep(6e-3)
            sizes.append(host.ethtool.rings_get()["rx"])

    hurt.network.nodes["h2"].spawn(look)
    hurt.network.simulation.run()
    hurt.network.simulation.close()
    assert [each.action for each in hurt.events()] == ["shrunk", "as before"]
    assert sizes[1] == 64 < sizes[0] == sizes[2]
