"""What background traffic may be, who sends to whom, and how much."""

from __future__ import annotations

from pathlib import Path

import pytest

from topologies.shapes.registry import build
from topologies.topology import Topology
from topologies.topology_error import TopologyError
from topologies.traffic.check import Traffic, check, drawn
from topologies.traffic.entry import parse

RATED, PLAIN = build("star", 4, link="100Mbit"), build("star", 4)


def traffic(text: str, topology: Topology = RATED) -> Traffic:
    found = check(parse(text), topology)
    assert isinstance(found, Traffic), found
    return found


def pairs(text: str, seed: int = 1) -> dict[str, tuple[str, ...]]:
    (found,) = drawn([traffic(text)], RATED, seed)
    return {sender.host: sender.receivers for sender in found.senders}


def problem(text: str, topology: Topology = RATED) -> str:
    try:
        found = check(parse(text), topology)
    except TopologyError as wrong:
        return str(wrong)
    assert not isinstance(found, Traffic), found
    return " | ".join(f"{field}: {sentence}" for field, sentence in found.items())


@pytest.mark.parametrize(
    "text",
    [
        "poisson:from=h1,to=h4,load=0.3,sizes=data-mining",
        "constant:rate=200Mbit,protocol=udp",
        "on-off:from=h1+h2,rate=1Gbit,on=10ms,off=40ms",
    ],
)
def test_traffic_says_what_was_written(text: str) -> None:
    assert traffic(text).text == text


def test_names_and_blanks_may_be_written_otherwise() -> None:
    assert pairs(" poisson : load = 0.3 , from=h1-kernel, to=h4-kernel") == {"h1": ("h4",)}


def test_load_is_a_share_of_the_senders_link() -> None:
    assert {each.rate_bps for each in traffic("poisson:load=30%").senders} == {30e6}
    assert {each.rate_bps for each in traffic("constant:rate=200Mbit", PLAIN).senders} == {200e6}


def test_every_named_sender_sends_to_every_named_receiver_but_itself() -> None:
    assert pairs("constant:rate=1Mbit,from=h1+h2,to=h2+h3") == {"h1": ("h2", "h3"), "h2": ("h3",)}
    assert pairs("constant:rate=1Mbit,to=h1+h2") == {"h3": ("h1", "h2"), "h4": ("h1", "h2")}
    assert pairs("constant:rate=1Mbit,from=h1+h2,to=h1") == {"h2": ("h1",)}


@pytest.mark.parametrize("seed", range(20))
def test_where_all_send_each_receives_from_one_and_never_from_itself(seed: int) -> None:
    found = pairs("constant:rate=1Mbit", seed)
    assert sorted(found) == sorted(to for (to,) in found.values()) == ["h1", "h2", "h3", "h4"]
    assert all(host != to for host, (to,) in found.items())
    assert found == pairs("constant:rate=1Mbit", seed)


def test_the_seed_draws_receivers_and_one_entry_changes_no_others() -> None:
    assert len({str(pairs("constant:rate=1Mbit", seed)) for seed in range(20)}) > 3
    assert {pairs("constant:rate=1Mbit,from=h1", seed)["h1"] for seed in range(30)} == {
        ("h2",), ("h3",), ("h4",),
    }  # fmt: skip
    one, two = traffic("constant:rate=1Mbit"), traffic("poisson:load=0.1")
    assert drawn([one, two], RATED, 1)[0] == drawn([one], RATED, 1)[0]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("posson:load=1", "there is no traffic 'posson'; choose from constant, on-off, poisson"),
        ("constant", "kind: constant has no rate and no load; give one, as load=0.3"),
        ("constant:rate=1Mbit,load=0.1", "load: rate and load are both given; give one of them"),
        ("constant:rate=1Mbit,rate=2Mbit", "rate= is there twice; give it once"),
        ("constant:speed=1", "'speed=1' is none of from=, to=, rate=, load=, sizes=, on=, off=, protocol= "),
        ("constant:rate=", "'rate=' is none of"),
        ("constant:rate=1", "rate: rate '1' is not understood; write for example 100Mbit or 2.5Gbit"),
        ("constant:rate=1bit", "rate: rate 1bit is outside 8000 to 1000000000000 bit/s"),
        ("constant:load=1.5", "load: chance '1.5' is more than 1"),
        ("constant:load=0", "load: load 0 is no traffic; give more than 0, up to 1"),
        ("constant:rate=1Mbit,from=h9", "from: there is no host 'h9'; choose from h1, h2, h3, h4"),
        ("constant:rate=1Mbit,to=h1+h1", "to: host h1 is there twice; name it once"),
        ("constant:rate=1Mbit,from=h1,to=h1", "to: nobody is left who sends to another host"),
        ("constant:rate=1Mbit,sizes=hadoop", "sizes: constant has no sizes; leave it out, or choose poisson"),
        ("poisson:load=0.1,on=1ms", "on: poisson has no on; leave it out, or choose on-off"),
        ("poisson:load=0.1,protocol=udp", "protocol: poisson sends flows that end, which are tcp"),
        ("poisson:load=0.1,protocol=sctp", "there is no protocol 'sctp'; choose from tcp, udp"),
        (
            "poisson:load=0.1,sizes=video",
            "sizes: there is no distribution of sizes 'video'; choose from web-",
        ),
        ("poisson:rate=100Gbit,sizes=hadoop", "kind: these are 103803 flows a second of a host, and 2000 "),
        ("on-off:rate=1Mbit,on=10us", "on: on 10us is outside 1ms to 3600s; choose another"),
    ],
)
def test_what_cannot_be_is_refused_by_a_sentence(text: str, sentence: str) -> None:
    assert problem(text).startswith(sentence)


def test_a_share_of_a_link_without_a_rate_is_refused() -> None:
    assert problem("poisson:load=0.3,from=h2", PLAIN) == (
        "load: load is a share of a link's rate, and the link of h2-eth0 has none; give it one (--link "
        "1Gbit), or give rate instead of load"
    )


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ("size,cdf\n1,0\n2,1\n", "it begins otherwise"),
        ("bytes,cdf\n1,0\n2,x\n", "it has other lines"),
        ("bytes,cdf\n1,0\n2,0.5\n", "its points do not lead from cdf 0 to 1"),
        ("bytes,cdf\n5,0\n2,1\n", "its points do not ascend"),
        ("", "it has other lines"),
    ],
)
def test_a_file_that_is_no_distribution_is_refused(tmp_path: Path, lines: str, why: str) -> None:
    (tmp_path / "own.csv").write_text(lines)
    text = f"poisson:load=0.1,sizes={tmp_path}/own.csv"
    assert problem(text).startswith(f"sizes: sizes {tmp_path}/own.csv is no distribution: {why}")


def test_a_distribution_of_ones_own_is_read(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text("bytes,cdf\n1000,0\n1000,0.5\n3000,1\n")
    found = traffic(f"poisson:load=0.1,sizes={tmp_path}/own.csv")
    assert found.sizes == ((1000, 0), (1000, 0.5), (3000, 1))
    assert problem("poisson:load=0.1,sizes=no.csv").startswith("sizes: sizes no.csv cannot be read (No such")
