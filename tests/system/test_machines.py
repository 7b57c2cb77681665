"""One emulated network across machines, for which namespaces stand, each with a node of a Ray cluster: values
are exact, packets cross in tunnels, links are what was asked; what fails is told and leaves nothing.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from commands.topology import topology_of
from tests.docs.pages import ROOT, block
from tests.system.ray_machines import RUN_S, Clocks, Run
from tests.system.test_run import no_directories_left
from topologies.mininet.enclosure import enclosed
from topologies.topology import Topology
from workloads.experiment.records import NetworkConfig

pytestmark = [pytest.mark.system, pytest.mark.timeout(500)]
__all__ = ["no_directories_left"]  # a fixture

SHOWN = block("docs/machines.md", "python3 run.py --topology leaf_spine")
LONG = "run.py --topology star --hosts 2 --across 2 --size 64K --iters 2 --path devmem --repeat 400"
MTU = 1600  # of the machines' own network


class Asked(NamedTuple):
    """A run: words of its command line, what is ended in its midst, the machine that it is started on."""

    words: str
    ends: str = ""
    on: int = 1


def carried_out(directory: Path, runs: list[Asked], ahead: Clocks | None = None) -> list[dict[str, Any]]:
    """What tests.system.ray_machines found of runs. `ahead`: what the second machine's clocks are."""
    asked = [
        Run(
            (*run.words.split(), "--results", str(directory), "--run-id", f"run{at}"),
            str(directory / f"run{at}" / "samples.csv"),
            run.ends,
            run.on,
        )
        for at, run in enumerate(runs)
    ]
    plan, found = directory / "plan.json", directory / "found.json"
    plan.write_bytes(msgspec.json.encode({"mtu": MTU, "runs": asked, "ahead": ahead or Clocks()}))
    with tempfile.TemporaryDirectory(prefix="r-", dir="/tmp") as short:
        words = ["-m", "tests.system.ray_machines", short, str(plan), str(found)]
        argv = [*enclosed(Path(short)), sys.executable, *words]
        with open(directory / "err", "w") as err:
            cluster = subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stderr=err)
        with cluster:
            assert cluster.wait(RUN_S * len(runs)) == 0, (directory / "err").read_text()
    done: list[dict[str, Any]] = json.loads(found.read_text())
    return done


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def has_vxlan() -> bool:
    made = ["unshare", "-n", "ip", "link", "add", "t0", "type", "vxlan", "id", "1", "dstport", "4789"]
    return subprocess.run(made, capture_output=True, check=False).returncode == 0


@pytest.fixture
def vxlan() -> None:
    if not has_vxlan():
        pytest.skip("this kernel has no vxlan")


@pytest.mark.usefixtures("vxlan")
def test_a_network_across_machines_and_the_end_of_an_endpoint_on_one(tmp_path: Path) -> None:
    of_page = f"{SHOWN.removeprefix('python3 ').strip()} --allow-uncalibrated"  # this machine may be busy
    shown, killed = carried_out(tmp_path, [Asked(of_page), Asked(LONG, "endpoint")])
    assert (shown["left"], killed["left"]) == ([], [])
    assert shown["status"] == 0, shown["err"]
    _check_results(tmp_path / "run0", shown)
    said = "machine 10.77.0.2: the endpoint of host h2 ended with signal 9"
    _check_failure(tmp_path / "run1", killed, said)
    assert (tmp_path / "run1" / "h2.log").exists()


@pytest.mark.soak
@pytest.mark.usefixtures("vxlan")
def test_what_cannot_be_divided_is_refused_and_a_lost_machine_is_named(tmp_path: Path) -> None:
    three = LONG.replace("--across 2", "--across 3").replace("--hosts 2", "--hosts 3")
    runs = [Asked(f"{LONG} --mtu 1551"), Asked(three), Asked(LONG, "ray")]
    large, many, lost = carried_out(tmp_path, runs)
    assert [each["left"] for each in (large, many, lost)] == [[], [], []]
    said = "eth0, which leads to 10.77.0.2, has MTU 1600, and packets of link h2-eth0"
    sentence = _check_failure(tmp_path / "run0", large, said)
    assert sentence.endswith("headers; raise that, or give --mtu 1550")
    _check_failure(tmp_path / "run1", many, "--across 3: the Ray cluster at auto has 2 machines")
    _check_failure(tmp_path / "run2", lost, "machine 10.77.0.2 was lost")


def _check_failure(run_dir: Path, found: dict[str, Any], said: str) -> str:
    """The last line of a run that failed, which its manifest has too."""
    assert found["status"] == 1, found["err"]
    sentence = str(found["err"].strip().splitlines()[-1])
    assert said in sentence
    manifest = json.loads((run_dir / "manifest.json").read_text())
    assert manifest["status"] == "failed"
    assert f"run.py: {manifest['error']}" == sentence
    return sentence


def _check_results(run_dir: Path, found: dict[str, Any]) -> None:
    """Of the run that the page shows."""
    samples = rows(run_dir / "samples.csv")
    assert {row["path"] for row in samples} == {"devmem", "kernel"}
    assert {row["wrong_elements"] for row in samples} == {"0"}
    manifest = json.loads((run_dir / "manifest.json").read_text())
    assert manifest["status"] == "complete"
    first, second = manifest["machines"]
    assert [each["address"] for each in (first, second)] == ["10.77.0.1", "10.77.0.2"]
    assert [each["hosts"] for each in (first, second)] == [["h1", "h2"], ["h3", "h4"]]
    clocks = [(each["clock_offset_s"], each["clock_uncertainty_s"]) for each in (first, second)]
    assert clocks == [(0.0, 0.0)] * 2, "these machines have the driver's clocks"
    assert sorted(found["vnis"]) == sorted(str(each["vni"]) for each in second["tunnels"])
    assert all(packets > 20 for packets in found["vnis"].values()), "nothing but probes crossed"
    network = topology_of("leaf_spine", 4, NetworkConfig(link="50Mbit,2ms"))
    assert len(manifest["links"]) == 2 * len(network.links)
    tunnelled = {each["link"] for each in first["tunnels"]}
    assert tunnelled
    for link in manifest["links"]:
        assert link["asked_bps"] == 50e6
        assert 0.5 < link["achieved_bps"] / link["asked_bps"] < 2  # a busy machine is off, and not by more
        assert 0.0019 < link["achieved_delay_s"] < 0.01
    built = msgspec.json.decode((run_dir / "topology.json").read_bytes(), type=Topology)
    assert built.hosts == network.hosts
    sent = {row["sender"]: int(row["sent_bytes"]) for row in rows(run_dir / "link_usage.csv")}
    assert len(sent) == 2 * len(network.links)
    cores = {row["name"].partition(":")[0] for row in rows(run_dir / "usage.csv") if row["kind"] == "core"}
    assert cores == {"10.77.0.1", "10.77.0.2"}
    for name in ("h1.log", "h4.log", "fabric-10.77.0.2.log"):
        assert (run_dir / name).exists()
