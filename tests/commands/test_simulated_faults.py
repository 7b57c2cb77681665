"""Faults on purpose in a simulation: links, hosts, accelerators and pools, at the simulated time."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import msgspec
import pytest

from commands.faults import EVENTS_NAME, check_clock
from commands.simulated_faults import SimulatedFaults
from commands.usage import UsageError
from tests.commands.simulated_run import measured, simulated_run
from tests.commands.test_faults import plan
from tests.commands.test_simulate import exchange, shaped, simulated
from tests.docs.pages import block
from topologies.fault import Event

STREAM = (
    "--topology", "pair", "--link", "1Gbit,50us", "--workload", "stream", "--duration", "0.5",
    "--size", "64K", "--path", "devmem", "--repeat", "1", "--payload", "counted",
)  # fmt: skip
RING = (
    "--topology", "star", "--hosts", "3", "--link", "100Gbit,5us", "--size", "3M", "--iters", "6",
    "--warmup", "0", "--place", "out", "--path", "devmem", "--repeat", "1", "--payload", "counted",
    "--machine", "a3-high",
)  # fmt: skip
GUIDE = block("docs/simulation.md", "python3 run.py --clock simulated --payload counted --topology pair")
ALL = bytes(range(200)) * 100


def received(rows: list[dict[str, str]]) -> int:
    return sum(int(row["payload_received_bytes"]) for row in measured(rows))


def test_a_link_that_is_down_loses_what_is_on_it_and_tcp_goes_on(tmp_path: Path) -> None:
    """For 20 ms; what is sent again waits for TCP's shortest timer, 200 ms."""
    whole = simulated_run(tmp_path / "whole", *STREAM)
    rows = simulated_run(tmp_path / "run", *STREAM, "--fault", "link-down:h1-eth0,at=100ms,for=20ms")
    assert sum(int(row["tcp_retrans_segs"]) for row in rows) > 0
    assert sum(int(row["tcp_retrans_segs"]) for row in whole) == 0
    assert 0.5 * received(whole) < received(rows) < 0.65 * received(whole)
    lines = (tmp_path / "run" / EVENTS_NAME).read_bytes().splitlines()
    events = [msgspec.json.decode(line, type=Event) for line in lines]
    assert [(each.action, each.asked_s, each.actual_s) for each in events] == [
        ("down", 0.1, 0.1), ("up", pytest.approx(0.12), 0.12),
    ]  # fmt: skip
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert [each["time_s"] for each in manifest["faults"]] == [each.time_s for each in events]
    (down_s, up_s) = (each.time_s or 0 for each in events)
    starts = [float(row["start_s"]) for row in rows]
    assert min(starts) < down_s < up_s < max(float(row["end_s"]) for row in rows), "one clock"


def test_two_runs_with_faults_are_equal_to_the_bit(tmp_path: Path) -> None:
    fault = "--fault", "link-down:h1-eth0,at=10ms..40ms,for=5ms"
    for name in ("one", "two"):
        simulated_run(tmp_path / name, *STREAM, *fault)
    one, two = (json.loads((tmp_path / name / "manifest.json").read_text()) for name in ("one", "two"))
    assert one["journal"] == two["journal"]


def test_routers_take_the_other_way_while_a_link_is_down_and_both_afterwards() -> None:
    topology = shaped("leaf_spine", 4, rate_bps=10**11, delay_s=1e-6)
    network = simulated(topology)
    faults = SimulatedFaults(network, topology)
    of_leaf = [each for each in network.lines if each.near.startswith("leaf1") and "spine" in each.far]
    uplinks = {each.near: each for each in of_leaf}
    first, second = uplinks
    carried = dict.fromkeys(uplinks, 0)

    def sent(port: int) -> dict[str, int]:
        assert exchange(network, "h1", "h4", port) == ALL
        before = dict(carried)
        carried.update({name: each.line.carried_packets for name, each in uplinks.items()})
        return {name: carried[name] - before[name] for name in uplinks}

    (link,) = [each.name for each in topology.links if first in (each.a.interface, each.b.interface)]
    faults.set_links({link}, {})
    for port in range(9000, 9006):
        assert sent(port)[first] == 0
        assert carried[second] > 0
    faults.set_links((), {})
    assert any(sent(port)[first] for port in range(9006, 9014))
    assert uplinks[first].line.lost_packets == 0, "routers knew at once"
    network.simulation.close()


def test_a_rate_holds_until_it_is_given_back() -> None:
    topology = shaped("pair", 2, rate_bps=10**10, delay_s=1e-6)
    network = simulated(topology)
    faults = SimulatedFaults(network, topology)
    faults.set_links((), {topology.links[0].name: 10**8})
    assert [each.line.bits_per_second for each in network.lines] == [10**8] * 2
    assert exchange(network, "h1", "h2") == ALL
    faults.set_links((), {})
    assert [each.line.bits_per_second for each in network.lines] == [10**10] * 2
    network.simulation.close()


def test_one_slow_host_slows_the_ring_for_as_long_as_it_is_slow(tmp_path: Path) -> None:
    rows = simulated_run(tmp_path / "run", *RING, "--fault", "host-slow:h2,at=2ms,for=4ms,value=300")
    times = {int(row["iteration"]): float(row["time_s"]) for row in measured(rows, rank="0")}
    assert max(times.values()) > 3 * times[0]
    assert times[5] < 1.05 * times[1], "as before"


def test_a_slow_accelerator_computes_so_many_times_as_long(tmp_path: Path) -> None:
    words = (
        "--topology", "pair", "--link", "10Gbit,50us", "--workload", "data_parallel", "--path", "devmem",
        "--repeat", "1", "--iters", "1", "--warmup", "0", "--payload", "counted",
    )  # fmt: skip
    slow = simulated_run(tmp_path / "slow", *words, "--fault", "accelerator-slow:rank1,at=0,value=4")
    fast = simulated_run(tmp_path / "fast", *words)
    for rank, factor in (("0", 1), ("1", 4)):
        (ours,), (theirs,) = measured(slow, rank=rank), measured(fast, rank=rank)
        assert float(ours["compute_s"]) == pytest.approx(factor * float(theirs["compute_s"]), rel=1e-6)


def test_a_slow_accelerator_reduces_slowly_where_its_memory_has_a_rate(tmp_path: Path) -> None:
    words = *RING[:-1], "a3-high", "--fault", "accelerator-slow:rank1,at=0,value=1000"
    slow = simulated_run(tmp_path / "slow", *words)
    fast = simulated_run(tmp_path / "fast", *RING)
    spans = [min(float(row["time_s"]) for row in measured(rows, rank="0")) for rows in (slow, fast)]
    assert spans[0] > 1.5 * spans[1]
    none = simulated_run(tmp_path / "none", *RING[:-1], "infinite")
    words = *RING[:-1], "infinite", "--fault", "accelerator-slow:rank1,at=0,value=1000"
    same = simulated_run(tmp_path / "same", *words)
    assert [row["time_s"] for row in none] == [row["time_s"] for row in same]


def test_a_pool_that_shrinks_holds_a_stream_back_until_it_has_all_again(tmp_path: Path) -> None:
    whole = simulated_run(tmp_path / "whole", *STREAM)
    rows = simulated_run(tmp_path / "run", *STREAM, "--fault", "pool:h2,at=100ms,for=200ms,value=100%")
    assert 0.2 * received(whole) < received(rows) < 0.8 * received(whole)
    assert sum(int(row["rx_alloc_fail"]) for row in rows) > 0


def test_a_hosts_cpu_is_slowed_in_simulations_alone() -> None:
    asked = plan("host-slow:h1,at=0,value=2")
    check_clock(asked, simulated=True)
    with pytest.raises(UsageError, match="is for simulated hosts, whose CPU has a cost; add --clock"):
        check_clock(asked, simulated=False)


@pytest.mark.parametrize("shown", GUIDE.splitlines())
def test_the_guides_faults_happen(tmp_path: Path, shown: str) -> None:
    words = [word for word in shlex.split(shown)[2:] if word not in ("--clock", "simulated")]
    simulated_run(tmp_path / "run", *words)
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["faults"]
    assert all(each["time_s"] for each in manifest["faults"])
