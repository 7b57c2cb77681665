"""Rates, times, chances and sizes as people write them."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from nodes import quantity as of_nodes
from topologies import link_options, quantity
from topologies.link import GilbertElliott, Quality
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
    for text in ("fast", "1Gbit,speed=1", "1Gbit,loss=", "1/2/3Mbit", "1Mbit/2ms"):
        with pytest.raises(TopologyError, match=f"link '{text}' is not a rate, a delay or NAME=VALUE"):
            link_options.parse(text)
    for text in ("1Gbit,2Gbit", "1Gbit,rate=2Gbit"):
        with pytest.raises(TopologyError, match=f"link '{text}' has rate twice; give it once"):
            link_options.parse(text)
    with pytest.raises(TopologyError, match="queue_packets 'x' is no number"):
        link_options.parse("queue_packets=x")
    with pytest.raises(TopologyError, match="rate_bps 1 is outside"):
        link_options.parse("1bit")


def test_every_option_of_a_link_reaches_its_quality() -> None:
    asked = LinkOptions(
        rate="1Gbit", delay="1ms", jitter="100us", loss="1%", reorder=0.02, duplicate="0.03", corrupt=1e-05,
        queue_packets=100, ecn_threshold="30K",
    )  # fmt: skip
    assert asked.ways()[0] == asked.ways()[1] == Quality(
        rate_bps=10**9, delay_s=1e-3, jitter_s=1e-4, loss=0.01, reorder=0.02, duplicate=0.03, corrupt=1e-05,
        queue_packets=100, ecn_threshold_bytes=30 << 10,
    )  # fmt: skip
    assert LinkOptions().ways() == (Quality(), Quality())


def test_anything_else_of_a_link_is_given_with_its_name() -> None:
    assert link_options.parse("1Gbit,loss=1%,queue_packets=50, ecn_threshold = 30K") == LinkOptions(
        rate="1Gbit", loss="1%", queue_packets=50, ecn_threshold="30K"
    )


def test_a_text_of_both_directions_is_up_and_down() -> None:
    up, down = link_options.parse("1Mbit/16Mbit,10ms,loss=0/1%").ways()
    assert up == Quality(rate_bps=10**6, delay_s=0.01)
    assert down == Quality(rate_bps=16 * 10**6, delay_s=0.01, loss=0.01)
    assert link_options.parse("1Mbit/s/16Mbit/s").ways()[1] == Quality(rate_bps=16 * 10**6)
    with pytest.raises(TopologyError, match="rate '1Mbit/2Mbit/3Mbit' is of more than two directions"):
        LinkOptions(rate="1Mbit/2Mbit/3Mbit").ways()
    assert LinkOptions(delay="1ms/2").problems() == {
        "delay": "time '2' is not understood; write for example 50us, 1.5ms or 1s"
    }


def test_loss_in_bursts_is_in_tc_netems_words_and_has_its_defaults() -> None:
    (up, down) = link_options.parse("1Gbit,loss=gemodel:1%,30%,90%,0.1%,1ms").ways()
    assert up == down == Quality(
        rate_bps=10**9, delay_s=1e-3, loss=up.loss, gemodel=GilbertElliott(0.01, 0.3, 0.9, 0.001)
    )
    assert up.loss == pytest.approx(0.01 / 0.31 * 0.9 + 0.3 / 0.31 * 0.001)
    assert link_options.parse("loss=0/gemodel:1%,30%,1ms").ways()[1].gemodel == GilbertElliott(0.01, 0.3)
    assert link_options.parse("loss=gemodel:1%,30%/0,1Mbit").ways() == (
        Quality(rate_bps=10**6, loss=0.01 / 0.31, gemodel=GilbertElliott(0.01, 0.3)), Quality(rate_bps=10**6),
    )  # fmt: skip
    assert quantity.gemodel("gemodel:0.1") == GilbertElliott(0.1, 0.9, 1.0, 0.0)
    for text, sentence in {
        "gemodel:1%,2": "chance '2' is more than 1",
        "gemodel:0,0": "loss 'gemodel:0,0': p and r of gemodel are both 0",
        "gemodel:0.1,0.1,1,0,0": "loss 'gemodel:0.1,0.1,1,0,0' is not gemodel:p,r,1-h,1-k",
        "gemodel:": "chance '' is not understood",
    }.items():
        with pytest.raises(TopologyError, match=re.escape(sentence)):
            quantity.gemodel(text)


def test_a_count_of_losses_in_bursts_varies_more_than_one_of_independent_losses() -> None:
    plain, bursts = Quality(loss=0.1), GilbertElliott(0.01, 0.09)
    burst = Quality(loss=bursts.loss, gemodel=bursts)
    assert plain.loss_deviation(1000) == pytest.approx((0.1 * 0.9 / 1000) ** 0.5)
    assert burst.loss == pytest.approx(0.1)
    # Of a chain whose autocorrelation is 0.9 to the distance: (1 + 0.9) / (1 - 0.9).
    assert burst.loss_deviation(1000) == pytest.approx(plain.loss_deviation(1000) * 19**0.5)


def test_what_a_link_does_not_say_is_the_defaults() -> None:
    defaults, asked = LinkOptions(rate="1Gbit", delay="1ms"), LinkOptions(delay="2ms", loss=0.0)
    assert asked.over(defaults) == LinkOptions(rate="1Gbit", delay="2ms", loss=0.0)
