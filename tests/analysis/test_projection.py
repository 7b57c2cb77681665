"""What a projection computes: published figures, where paths saturate, collectives as schedules move them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from analysis.machines import MACHINES, Machine
from analysis.memory_model import AS_COUNTED, MemoryModel
from analysis.projection import (
    COLLECTIVES,
    PATHS,
    Wire,
    accelerator_counts,
    collective_projections,
    cost,
    path_projection,
)
from analysis.projection_text import Projection, text
from workloads.schedules.algorithms import ALGORITHMS
from workloads.schedules.schedule import Call, Send

A3 = MACHINES["a3-high"]
WIRE = Wire()
TINY = Machine("tiny", 1, 80e9, 2, 20e9, 15e9)  # 10 GB/s of line


def projection(machine: Machine = A3, wire: Wire = WIRE, model: MemoryModel = AS_COUNTED) -> Projection:
    paths = tuple(path_projection(path, machine, wire, model) for path in PATHS)
    counts = accelerator_counts(machine.accelerators, 64)
    together = collective_projections("all_reduce", 1 << 30, counts, machine, wire, model)
    return Projection(machine, wire, model, paths, "all_reduce", 1 << 30, tuple(together))


def test_machines_are_what_their_sources_and_parts_say() -> None:
    assert MACHINES["a3-high"].dram_bytes_per_s == pytest.approx(614.4e9)
    (pcie,) = {each.pcie_bytes_per_s for each in MACHINES.values()}
    assert pcie == pytest.approx(63.015e9, rel=1e-4)
    assert (MACHINES["a3-high"].nics, MACHINES["a3-mega"].nics) == (4, 8)
    for machine in MACHINES.values():
        assert machine.assumed
        assert machine.sources
        assert all(source.startswith("https://") for source in machine.sources)


def test_bounce_at_four_times_200_gbit_needs_800_gb_per_s_for_payload() -> None:
    """The figure of docs/host-memory.md, less what headers take of the line, and with their own accesses."""
    found = path_projection("bounce", A3, WIRE)
    payload = 4 * 2 * 25e9 * WIRE.payload_share
    headers = 2 * 66 / WIRE.mss
    assert found.needs_dram_GB_per_s == pytest.approx(payload * (4 + headers) / 1e9)
    assert payload * 4 / WIRE.payload_share == pytest.approx(800e9)
    assert found.needs_dram_GB_per_s > 614.4
    assert (found.limited_by, found.line_share < 0.8) == ("DRAM", True)


def test_devmem_reaches_the_line_and_needs_headers_alone() -> None:
    found = path_projection("devmem", A3, WIRE)
    assert (found.limited_by, found.line_share) == ("line", 1.0)
    assert found.needs_dram_GB_per_s == pytest.approx(200e9 * WIRE.payload_share * 132 / 8192 / 1e9)


def test_a_path_is_held_up_by_the_resource_that_it_exhausts_first() -> None:
    wire = Wire(mtu=65535)  # headers are next to nothing
    by_memory = path_projection("bounce", TINY, wire)
    assert by_memory.limited_by == "DRAM"
    assert by_memory.rate_gbit_per_s == pytest.approx(20.0, rel=1e-2), "20 GB/s over 8 accesses"
    more = Machine("more", 1, 80e9, 2, 200e9, 15e9)
    by_pcie = path_projection("bounce", more, wire)
    assert by_pcie.limited_by == "PCIe"
    assert by_pcie.rate_gbit_per_s == pytest.approx(60.0, rel=1e-2), "15 GB/s, twice through the root port"
    assert path_projection("bounce", more, Wire(65535, both_ways=False)).limited_by == "line"
    assert path_projection("devmem", TINY, wire).limited_by == "line"


def test_more_nics_share_the_hosts_memory_and_not_its_pcie_ports() -> None:
    one, two = (Machine("x", nics, 80e9, 2, 200e9, 15e9) for nics in (1, 2))
    first, second = (path_projection("bounce", each, WIRE) for each in (one, two))
    assert second.saturates_dram_gbit_per_s == pytest.approx(first.saturates_dram_gbit_per_s / 2)
    assert second.saturates_pcie_gbit_per_s == first.saturates_pcie_gbit_per_s


def test_the_models_parameters_change_the_need_of_memory() -> None:
    plain, rfo = cost("bounce", WIRE).dram, cost("bounce", WIRE, MemoryModel(rfo=True)).dram
    assert rfo - plain == pytest.approx(2 + 66 / WIRE.mss)
    assert plain - cost("bounce", WIRE, MemoryModel(ddio=0.5)).dram == pytest.approx(1 + 66 / WIRE.mss)
    one_way = Wire(both_ways=False)
    assert cost("bounce", one_way, MemoryModel(ddio=1.0)).dram == pytest.approx(4 + 2 * 66 / WIRE.mss), (
        "who sends needs more than who receives"
    )


def crossing(name: str, nranks: int, each_host: int, size: int) -> Mapping[str, int]:
    """Bytes that the second host's ranks send to other hosts in the collective's first algorithm."""
    algorithm = next(iter(ALGORITHMS[name].values()))
    sent = 0
    for rank in range(each_host, 2 * each_host):
        call = Call(rank=rank, nranks=nranks, count=size // 4, element_bytes=4, scratch=size)
        for action in algorithm(call):
            if isinstance(action, Send) and action.peer // each_host != 1:
                sent += action.chunk.length
    return {"sent": sent}


@pytest.mark.parametrize("name", COLLECTIVES)
@pytest.mark.parametrize(("nranks", "each_host"), [(8, 2), (12, 4), (6, 1)])
def test_a_host_sends_what_the_collectives_schedule_sends(name: str, nranks: int, each_host: int) -> None:
    size = nranks * 4096
    assert crossing(name, nranks, each_host, size)["sent"] == COLLECTIVES[name](nranks, each_host, size)


def test_a_collective_takes_as_long_as_its_bytes_over_all_nics() -> None:
    rows = {(each.accelerators, each.path): each for each in projection().collectives}
    assert sorted({count for count, _ in rows}) == [16, 32, 64]
    at = rows[64, "devmem"]
    moved = 2 * 63 / 64 * (1 << 30)
    assert at.hosts == 8
    assert at.host_network_GB == pytest.approx(moved / 1e9)
    assert at.seconds == pytest.approx(moved / (4 * 25e9 * WIRE.payload_share))
    bounce = rows[64, "bounce"]
    assert bounce.times_devmem == pytest.approx(1 / path_projection("bounce", A3, WIRE).line_share)
    assert bounce.host_dram_GB == pytest.approx(moved * cost("bounce", WIRE).dram / 1e9)


def test_counts_double_up_to_the_limit() -> None:
    assert accelerator_counts(8, 4096)[-1] == 4096
    assert accelerator_counts(8, 100) == [16, 32, 64]
    assert accelerator_counts(8, 15) == []


def test_text_and_document_say_that_nothing_was_measured() -> None:
    printed = text(projection())
    assert printed.startswith("# PROJECTION, nothing measured: A3 High")
    assert not re.search(r"\x1b", printed)
    for source in A3.sources:
        assert f"# Source: {source}\n" in printed
    document = json.loads(json.dumps(projection().document()))
    assert document["kind"] == "projection"
    assert "nothing was measured" in document["label"]
    assert [each["path"] for each in document["paths"]] == list(PATHS)


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_a_figure_is_drawn_alike_each_time_and_says_what_it_is(tmp_path: Path, suffix: str) -> None:
    from analysis.projection_plot import write

    written = []
    for name in ("a", "b"):
        write(projection(), tmp_path / f"{name}{suffix}")
        written.append((tmp_path / f"{name}{suffix}").read_bytes())
    assert written[0] == written[1]
    if suffix == ".svg":
        assert b"Projection, nothing measured" in written[0]


def test_the_crossover_map_has_the_dram_at_which_bounce_falls_behind() -> None:
    """8 accesses a byte each way: four NICs of 200 Gbit/s of payload and headers need 800 GB/s."""
    from matplotlib.figure import Figure

    from analysis.projection_plot import crossover_map

    axes, of = Figure().subplots(), projection()
    crossover_map(axes, of)
    lines = {str(line.get_label()): line for line in axes.lines}
    assert [*lines] == ["1 NIC", "2 NICs", "4 NICs", "8 NICs", "this machine, 4 NICs"]
    rates, needed = (np.asarray(each, float).tolist() for each in lines["4 NICs"].get_data())
    at = rates.index(200)
    payload = of.wire.payload_share * 25
    assert needed[at] == pytest.approx(4 * cost("bounce", of.wire, of.model).dram * payload)
    assert needed[at] == pytest.approx(800, rel=0.02)
    assert np.asarray(lines["1 NIC"].get_ydata(), float)[at] == pytest.approx(needed[at] / 4)
