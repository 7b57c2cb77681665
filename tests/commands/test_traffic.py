"""Background traffic: processes are told who sends to whom, they begin together, and end with a report."""

from __future__ import annotations

import csv
import os
import signal
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

from commands.network import StartedNetwork
from commands.traffic import MODULE, BackgroundTraffic, asked_traffic
from commands.usage import UsageError
from topologies.file.load import load
from topologies.mininet.fabric import FabricError
from topologies.net import Net
from topologies.shapes.registry import build
from topologies.topology import Topology
from workloads.experiment.records import NetworkConfig
from workloads.traffic import config
from workloads.traffic.config import TrafficConfig
from workloads.traffic.tally import Tally

STAR = build("star", 4, link="100Mbit", mtu=1400)


class Network:
    """Notes which processes it is asked to start and to end; each reports as it is told."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: dict[str, TrafficConfig] = {}
        self.did: list[object] = []
        self.on_record: list[int] = []
        self.silent: set[str] = set()
        self._directory = directory
        fields: dict[str, Any] = dict.fromkeys(StartedNetwork.__dataclass_fields__)
        fields |= {"spawn": self.spawn, "terminate": self.terminate, "inventory": self, "watch": self.watch}
        self.started = StartedNetwork(**fields)
        monkeypatch.setattr(os, "kill", lambda pid, number: self.did.append((pid, number)))

    def make_directory(self) -> Path:
        return self._directory

    def add_process(self, pid: int) -> None:
        self.on_record.append(pid)

    def watch(self) -> None:
        self.did.append("watch")

    def spawn(self, host: str, argv: Sequence[str], log_name: str) -> int:
        assert argv[1:4] == ["-m", MODULE, "--config"]
        assert log_name == f"{host}.traffic.log"
        self.asked[host] = config.decode(argv[4])
        Path(self.asked[host].ready).touch()
        return 100 + len(self.asked)

    def terminate(self, pid: int) -> int:
        self.did.append(pid)
        name = list(self.asked)[pid - 101]
        tally = Tally()
        if name == "h1":
            tally.offered(0, "10.0.0.3", 0).bytes = 1000
        elif name == "h3":
            tally.delivered(0, "10.0.0.1", 0).bytes = 900
        if name not in self.silent:
            Path(self.asked[name].report).write_bytes(msgspec.json.encode(tally.report(2.0)))
        return 0


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Network:
    (tmp_path / "files").mkdir()
    return Network(tmp_path / "files", monkeypatch)


def background(run_dir: Path, *texts: str, topology: Topology = STAR) -> BackgroundTraffic:
    return BackgroundTraffic(asked_traffic(NetworkConfig(traffic=texts), topology, 7), 7, run_dir)


def test_hosts_that_send_or_receive_have_a_process_and_others_none(network: Network, tmp_path: Path) -> None:
    with background(tmp_path, "constant:load=0.1,from=h1,to=h3", "poisson:rate=9Mbit,from=h3,to=h1") as found:
        found.start(network.started, STAR)
        assert list(network.asked) == list(found.pids) == ["h1", "h3"]
        assert network.on_record == [101, 102]
        h1, h3 = network.asked.values()
    assert (h1.address, h3.address) == ("10.0.0.1", "10.0.0.3")
    assert h1.datagram_bytes == 1400 - 28
    (sent,) = h1.sources
    assert (sent.entry, sent.kind, sent.rate_bps, sent.peers) == (0, "constant", 10e6, ("10.0.0.3",))
    (back,) = h3.sources
    assert (back.entry, back.kind, back.rate_bps, back.peers) == (1, "poisson", 9e6, ("10.0.0.1",))
    assert sent.seed != back.seed
    assert len(back.sizes) > 10


def test_all_begin_at_once_and_stop_before_the_first_one_ends(network: Network, tmp_path: Path) -> None:
    with background(tmp_path, "constant:load=0.1,from=h1,to=h3") as found:
        found.start(network.started, STAR)
        found.begin()
    begun, stopped = signal.SIGUSR1, signal.SIGUSR2
    assert network.did == [(101, begun), (102, begun), (101, stopped), (102, stopped), 101, 102]


def test_what_it_got_is_in_the_record_and_in_the_file(network: Network, tmp_path: Path) -> None:
    with background(tmp_path, "constant:load=0.1,from=h1,to=h3") as found:
        found.start(network.started, STAR)
    (record,) = found.records
    assert (record.traffic, record.offered_bytes, record.delivered_bytes) == (
        "constant:from=h1,to=h3,load=0.1", 1000, 900,
    )  # fmt: skip
    (row,) = csv.DictReader((tmp_path / "traffic.csv").read_text().splitlines())
    assert (row["source"], row["destination"], row["delivered_bytes"]) == ("h1", "h3", "900")


def test_a_process_without_a_report_fails_a_run_that_was_well(network: Network, tmp_path: Path) -> None:
    network.silent.add("h3")
    with pytest.raises(FabricError, match=r"the traffic of h3 ended with status 0 and no report; see .*h3"):
        started(network, tmp_path)
    with pytest.raises(ZeroDivisionError), background(tmp_path, "constant:load=0.1,from=h1,to=h3") as found:
        found.start(network.started, STAR)
        raise ZeroDivisionError
    assert found.records == ()


def started(network: Network, tmp_path: Path) -> None:
    with ExitStack() as stack:
        stack.enter_context(background(tmp_path, "constant:load=0.1,from=h1,to=h3")).start(
            network.started, STAR
        )


def test_without_traffic_nothing_is_started_or_written(network: Network, tmp_path: Path) -> None:
    with background(tmp_path) as found:
        found.start(network.started, STAR)
        found.begin()
    assert (network.asked, network.did, found.records) == ({}, [], ())
    assert not (tmp_path / "traffic.csv").exists()


def test_a_files_traffic_comes_before_the_command_lines(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(
        "hosts: {h1: , h2: }\nlinks: [{endpoints: [h1, h2]}]\ntraffic: [{kind: constant, rate: 1Mbit}]\n"
    )
    asked = NetworkConfig(traffic=("constant:rate=2Mbit",))
    found = asked_traffic(asked, load(tmp_path / "net.yaml", Net()), 1)
    assert [each.text for each in found] == ["constant:rate=1Mbit", "constant:rate=2Mbit"]
    assert all(sender.receivers for each in found for sender in each.senders)


@pytest.mark.parametrize("text", ["constant:rate=x", "poison:rate=1Mbit"])
def test_a_refusal_repeats_what_was_written(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        asked_traffic(NetworkConfig(traffic=(text,)), STAR, 1)
    assert str(refused.value).startswith(f"--traffic {text}: ")
