"""Rates, times, chances and sizes as people write them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nodes import quantity as of_nodes
from topologies import link_options, quantity
from topologies.link import Quality
from topologies.link_options import LinkOptions
from topologies.topology_error import TopologyError


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (quantity.bit_rate, "100Mbit", 100_000_000),
        (quantity.bit_rate, "2.5Gbit/s", 2_500_000_000),
        (quantity.bit_rate, "64kbit", 64_000),
        (quantity.bit_rate, "9600 bit", 9600),
        (quantity.duration, "5us", 5e-6),
        (quantity.duration, "1.5ms", 1.5e-3),
        (quantity.duration, "2s", 2.0),
        (quantity.duration, "100ns", 1e-7),
        (quantity.duration, "0", 0.0),
        (quantity.chance, "0.01", 0.01),
        (quantity.chance, "1%", 0.01),
        (quantity.chance, "1", 1.0),
        (quantity.size, "64K", 65536),
        (quantity.size, "16GiB", 16 << 30),
        (quantity.byte_rate, "2GB/s", 2e9),
    ],
)
def test_a_quantity_is_read(parse: Callable[[str], float], text: str, value: float) -> None:
    assert parse(text) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (quantity.bit_rate, "100"),
        (quantity.bit_rate, "100Mbps"),
        (quantity.bit_rate, "0Mbit"),
        (quantity.bit_rate, "-1Mbit"),
        (quantity.bit_rate, "9" * 400 + "bit"),
        (quantity.duration, "5"),
        (quantity.duration, "5min"),
        (quantity.chance, "2"),
        (quantity.chance, "101%"),
        (quantity.chance, "-1%"),
        (quantity.size, "64KB/s"),
        (quantity.byte_rate, "2Gbit"),
    ],
)
def test_another_text_is_refused_with_an_example(parse: Callable[[str], float], text: str) -> None:
    with pytest.raises(TopologyError, match="; write ") as refused:
        parse(text)
    assert repr(text) in str(refused.value)


@pytest.mark.parametrize("text", ["64K", "1.5M", "16GiB", "100"])
def test_sizes_are_those_of_hosts_options(text: str) -> None:
    assert quantity.size(text) == of_nodes.parse_size(text)


@pytest.mark.parametrize("text", ["2GB/s", "1.5 MB/s"])
def test_byte_rates_are_those_of_hosts_options(text: str) -> None:
    assert quantity.byte_rate(text) == of_nodes.parse_rate(text)


def test_a_link_in_a_word_or_two_has_a_rate_a_delay_or_both() -> None:
    assert link_options.parse("1Gbit,50us") == link_options.parse("50us, 1Gbit")
    assert link_options.parse("1Gbit,50us") == LinkOptions(rate="1Gbit", delay="50us")
    assert link_options.parse("") == LinkOptions()
    for text in ("1Gbit,2Gbit", "1ms,2ms", "fast", "1Gbit,loss=1"):
        with pytest.raises(TopologyError, match=f"link '{text}' is not a rate, a delay or both"):
            link_options.parse(text)
    with pytest.raises(TopologyError, match="rate_bps 1 is outside"):
        link_options.parse("1bit")


def test_every_option_of_a_link_reaches_its_quality() -> None:
    asked = LinkOptions(
        rate="1Gbit", delay="1ms", jitter="100us", loss="1%", reorder=0.02, duplicate="0.03", corrupt=1e-05,
        queue_packets=100, ecn_threshold="30K",
    )  # fmt: skip
    assert asked.quality() == Quality(
        rate_bps=10**9, delay_s=1e-3, jitter_s=1e-4, loss=0.01, reorder=0.02, duplicate=0.03, corrupt=1e-05,
        queue_packets=100, ecn_threshold_bytes=30 << 10,
    )  # fmt: skip
    assert LinkOptions().quality() == Quality()


def test_what_a_link_does_not_say_is_the_defaults() -> None:
    defaults, asked = LinkOptions(rate="1Gbit", delay="1ms"), LinkOptions(delay="2ms", loss=0.0)
    assert asked.over(defaults) == LinkOptions(rate="1Gbit", delay="2ms", loss=0.0)
