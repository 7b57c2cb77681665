"""--payload counted: payload that has a length and no content."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from nodes.client.host import Host
from nodes.simulation.simulation import Simulation
from tests.commands.simulated_run import simulated_run
from tests.commands.test_simulate import SMALL, run_py

ASKED = (
    "--topology", "leaf_spine", "--hosts", "4", "--link", "100Gbit,2us", "--machine", "ddr5-half",
    "--size", "256K", "--repeat", "1", "--iters", "1", "--path", "devmem,bounce",
)  # fmt: skip
CHECKED = {"wrong_elements", "checked_bytes"}


@pytest.mark.parametrize(
    "workload", [("all_reduce",), ("all_to_all",), ("all_reduce", "--op", "avg", "--nic", "gve")]
)
def test_counted_payload_takes_the_times_packets_and_ledger_of_carried(
    tmp_path: Path, workload: tuple[str, ...]
) -> None:
    carried, counted = (
        simulated_run(tmp_path / payload, *ASKED, "--workload", *workload, "--payload", payload)
        for payload in ("carried", "counted")
    )
    assert len(carried) == len(counted) > 0
    for one, other in zip(carried, counted, strict=True):
        assert {name for name in one if one[name] != other[name]} == CHECKED
        assert (one["wrong_elements"], other["wrong_elements"], other["checked_bytes"]) == ("0", "", "0")
        assert int(one["checked_bytes"]) > 0
    manifests = [tmp_path / payload / "manifest.json" for payload in ("carried", "counted")]
    journals = [json.loads(each.read_text())["journal"] for each in manifests]
    assert journals[0] == journals[1]


def test_without_a_check_counted_and_carried_payload_write_the_same_files(tmp_path: Path) -> None:
    """A check reads the accelerator's memory, which ledger.csv has."""
    for payload in ("carried", "counted"):
        simulated_run(tmp_path / payload, *ASKED, "--no-check", "--payload", payload)
    for name in ("samples.csv", "ledger.csv", "link_usage.csv"):
        carried, counted = ((tmp_path / payload / name).read_bytes() for payload in ("carried", "counted"))
        assert carried == counted


def test_a_counted_stream_is_not_said_to_be_right(tmp_path: Path) -> None:
    rows = simulated_run(
        tmp_path / "run", "--topology", "pair", "--link", "1Gbit,2us", "--workload", "stream",
        "--size", "64K", "--duration", "0.1", "--repeat", "1", "--path", "devmem", "--payload", "counted",
    )  # fmt: skip
    assert {(row["wrong_elements"], row["checked_bytes"]) for row in rows} == {("", "0")}
    assert sum(int(row["payload_received_bytes"]) for row in rows) > 11 << 20


def test_the_ledger_tells_how_full_the_hosts_page_pools_were(tmp_path: Path) -> None:
    """What waits for a lost segment fills the receiver's, and leaves it again."""
    rows = simulated_run(
        tmp_path / "run", "--topology", "pair", "--link", "200Mbit,1ms", "--impair", "loss=0.01",
        "--workload", "stream", "--size", "64K", "--duration", "0.5", "--repeat", "1",
        "--path", "devmem,bounce",
    )  # fmt: skip
    with open(tmp_path / "run" / "ledger.csv", newline="") as file:
        ledger = [*csv.DictReader(file)]
    for path in ("devmem", "bounce"):
        sender, receiver = (
            [float(each["rx_pool_peak_share"]) for each in ledger if (each["path"], each["host"]) == of]
            for of in ((path, "h1"), (path, "h2"))
        )
        assert max(sender) < max(receiver) < 1
        of_path = [row for row in rows if (row["path"], row["host"]) == (path, "h2")]
        assert max(receiver) == max(float(row["rx_pool_peak_share"]) for row in of_path)
        assert receiver != sorted(receiver), "an interval has its own peak"


@pytest.mark.parametrize("carried", [True, False])
def test_counted_payload_has_no_memory(carried: bool) -> None:
    """Of what was sent, kept and received, in registered memory and in page pools."""
    blocks: list[int] = []
    got: list[bytes] = []
    with Simulation(carried=carried) as simulation:
        a, b = simulation.add_host("a", "10.0.0.1/24"), simulation.add_host("b", "10.0.0.2/24")
        simulation.join(a, b, 100_000_000_000, 1_000)

        def take(host: Host) -> None:
            listener = host.socket()
            listener.bind(("", 7000))
            listener.listen()
            connection, _ = listener.accept()
            memory = host.memory(1 << 20)
            count = 0
            while count < 1 << 20:
                count += connection.recv_into(memory.view[count:])
            blocks.append(memory.region.allocated_bytes)
            got.append(connection.recv(5))

        def give(host: Host) -> None:
            memory = host.memory(1 << 20)
            host.runtime.sleep(1e-3)
            sock = host.socket()
            sock.connect(("10.0.0.2", 7000))
            sock.sendall(memory.view)
            blocks.append(memory.region.allocated_bytes)
            sock.sendall(b"bytes")
            sock.close()

        b.spawn(take)
        a.spawn(give)
        simulation.run()
    assert blocks == [(1 << 20) * carried] * 2
    assert got == [b"bytes" if carried else bytes(5)]


def test_a_counted_run_says_that_its_values_were_not_checked(tmp_path: Path) -> None:
    done = run_py(tmp_path, *SMALL, "--path", "devmem", "--payload", "counted")
    assert done.returncode == 0, done.stderr
    assert "(2 of 2 rows above were not checked)" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--topology", "pair"), "--payload counted is for simulated hosts: add --clock simulated"),
        ((*SMALL, "--impair", "loss=0.01"), "--impair does not go with --payload counted: it holds"),
    ],
)
def test_what_counted_payload_does_not_go_with_is_refused(
    tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    done = run_py(tmp_path, *words, "--payload", "counted")
    assert (done.returncode, [*tmp_path.iterdir()]) == (2, [])
    assert said in " ".join(done.stderr.split())
