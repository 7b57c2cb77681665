"""The model of a network is what its links were found to be; without a rate there is none."""

from __future__ import annotations

import pytest

from commands.prediction import model_of, predicted_s, predictions
from topologies.calibration import LinkCalibration
from topologies.shapes.registry import build
from topologies.topology import Topology
from workloads.collective import CollectiveOptions
from workloads.experiment.records import ExperimentConfig
from workloads.patterns.traffic import MessagesOptions
from workloads.registry import WORKLOADS
from workloads.stream import StreamOptions
from workloads.trace.dry_run import Model


def calibrated(network: Topology, rate_bps: float = 1e9, delay_s: float = 1e-4) -> list[LinkCalibration]:
    ends = [(link.a.interface, link.b.interface) for link in network.links]
    asked = 10**9 if rate_bps else 0
    return [LinkCalibration(*way, asked, rate_bps, 0.0, delay_s) for end in ends for way in (end, end[::-1])]


def test_a_way_delays_as_its_links_do_and_is_as_fast_as_the_slowest() -> None:
    star = build("star", 3)
    links = calibrated(star, 0.95e9)
    links[0] = LinkCalibration(links[0].sender, links[0].receiver, 10**9, 0.9e9, 0.0, 4e-4)
    found = model_of(star, links, ["h1", "h2", "h3"], 1500)
    assert found is not None
    # One of the three hosts has 4e-4 in one direction: it is in a third of the ways.
    assert found.latency_s == pytest.approx(2e-4 + 3e-4 / 3)
    assert found.s_per_byte == pytest.approx(8 / 0.9e9 * 1514 / 1448)


def test_there_is_no_model_without_a_rate_or_where_a_line_is_shared() -> None:
    star = build("star", 2)
    assert model_of(star, [], ["h1", "h2"], 1500) is None
    assert model_of(star, calibrated(star, 0.0), ["h1", "h2"], 1500) is None
    assert model_of(star, calibrated(star), ["h1", "h1"], 1500) is None
    assert model_of(star, calibrated(star), ["h1", "h2"], 1500) is not None
    rails = build("rail_optimized")  # hosts with a NIC a rail
    names = [host.name for host in rails.hosts]
    assert model_of(rails, calibrated(rails), names, 1500) is None


def test_each_size_has_the_mean_of_its_ranks() -> None:
    own = CollectiveOptions()
    config = ExperimentConfig("star", 4, "broadcast", (4096, 8192), ("devmem",), own)
    small, large = predictions(config, Model(0.0, 1e-6))
    assert (small.size_bytes, large.size_bytes) == (4096, 8192)
    # The root has sent it after one array's time, and the others are done soon after that.
    assert 4096e-6 <= small.time_s < large.time_s
    assert predictions(config, None) == ()
    stream = ExperimentConfig("star", 2, "stream", (4096,), ("devmem",), StreamOptions())
    assert predictions(stream, Model(0.0, 1e-6)) == ()


def test_a_pattern_is_predicted_until_its_last_rank_has_ended() -> None:
    config = ExperimentConfig("star", 4, "incast", (4096,), ("devmem",), MessagesOptions(messages=1))
    (found,) = predictions(config, Model(0.0, 1e-6))
    assert found.time_s == pytest.approx(3 * 4096e-6)


def test_before_a_run_links_are_as_asked_and_accelerators_compute() -> None:
    network = build("star", 4, link="10Mbit,5ms")
    own = CollectiveOptions(place="out")
    config = ExperimentConfig("star", 4, "all_reduce", (64 << 20,), ("devmem",), own, ranks=4)
    # A ring sends 2 x 3/4 of the array, and 52 + 14 bytes of headers with 1448 of payload.
    expected_s = 1.5 * (64 << 20) * 8 / 10e6 * 1514 / 1448
    assert predicted_s(config, network)[64 << 20] == pytest.approx(expected_s, rel=0.05)
    assert predicted_s(config, build("star", 4)) == {64 << 20: 0.0}
    moe = WORKLOADS["moe"]
    stepping = ExperimentConfig("star", 4, "moe", (0,), ("devmem",), moe.options(), ranks=4)
    assert predicted_s(stepping, build("star", 4))[0] > 0.05, "its accelerators compute"
    stream = ExperimentConfig("star", 4, "stream", (4096,), ("devmem",), StreamOptions())
    assert predicted_s(stream, network) == {}
