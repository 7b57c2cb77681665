"""What a fault may be, and when it happens."""

from __future__ import annotations

import pytest

from topologies.fault import KINDS, Fault, Scope, check, parse, steps
from topologies.shapes.registry import build
from topologies.topology_error import TopologyError

SCOPE = Scope(build("leaf_spine"), ranks=4)
STANDING = Scope(build("leaf_spine"), standing=True)


def fault(text: str, scope: Scope = SCOPE) -> Fault:
    found = check(parse(text), scope)
    assert isinstance(found, Fault), found
    return found


def problem(text: str, scope: Scope = SCOPE) -> str:
    try:
        found = check(parse(text), scope)
    except TopologyError as wrong:
        return str(wrong)
    assert not isinstance(found, Fault), found
    return " | ".join(f"{field}: {sentence}" for field, sentence in found.items())


def times(*texts: str, seed: int = 1) -> list[tuple[float, str]]:
    plan = steps([fault(text, STANDING if "endpoint" in text else SCOPE) for text in texts], seed)
    return [(round(each.at_s, 6), each.action) for each in plan]


@pytest.mark.parametrize(
    "text",
    [
        "link-down:h1-eth0,at=2s,for=500ms",
        "link-down:leaf1-eth1,at=2s..5s,until=6s",
        "link-down:h1-eth0,at=0",
        "flap:leaf1-eth1,at=1s,for=100ms,value=3",
        "rate:h1-eth0,at=1s,for=2s,value=100Mbit",
        "partition:h1+h2,at=1s,until=2s",
        "endpoint-killed:h1,at=1s",
        "application-killed:rank3,at=1s",
        "application-stopped:rank0,at=1s,for=300ms",
        "rx-ring:h2,at=1s,value=16",
        "pool:h2,at=1s,for=1s,value=90%",
        "accelerator-slow:rank1,at=1s,for=1s,value=4",
    ],
)  # fmt: skip
def test_a_fault_says_what_was_written(text: str) -> None:
    assert fault(text).text == text


def test_blanks_do_not_matter() -> None:
    assert fault(" link-down: h1-eth0, at = 2s ,for=1s").text == "link-down:h1-eth0,at=2s,for=1s"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("blob:h1,at=1s", "kind: there is no fault 'blob'; choose from link-down, flap, rate,"),
        ("link-down:h9-eth0,at=1s", "there is no link 'h9-eth0'; choose from h1-eth0, h2-eth0, h3-eth0, h4-"),
        ("partition:h1+h9,at=1s", "there is no host or switch 'h9'; choose from h1, h2, h3, h4, leaf1,"),
        ("partition:h1+h2+h3+h4+leaf1+leaf2+spine1+spine2,at=1s", "target: no link leads from h1+h2+"),
        ("endpoint-killed:leaf1,at=1s", "there is no host 'leaf1'; choose from h1, h2, h3, h4"),
        ("application-killed:4,at=1s", "there is no rank '4'; choose from rank0, rank1, rank2, rank3"),
        ("link-down:h1-eth0", "it is written KIND:TARGET,at=TIME, as link-down:h1-eth0,at=2s,for=500ms"),
        ("link-down", "it is written KIND:TARGET,at=TIME"),
        ("link-down:h1-eth0,at=2", "at: time '2' is not understood; write for example 50us, 1.5ms or 1s"),
        ("link-down:h1-eth0,at=5s..2s", "at: time '5s..2s' ends before it begins; write for example 2s..5s"),
        ("link-down:h1-eth0,at=1s,for=0", "for: for 0 is no time"),
        ("link-down:h1-eth0,at=1s,for=x", "for: time 'x' is not understood"),
        ("link-down:h1-eth0,at=1s..3s,until=2s", "until: until 2s is not after 1s..3s; write a later time"),
        ("link-down:h1-eth0,at=1s,for=1s,until=2s", "until: for and until are both given; give one"),
        ("link-down:h1-eth0,at=1s,value=3", "value: link-down has no value; leave it out"),
        ("link-down:h1-eth0,at=1s,when=3", "'when=3' is none of at=, for=, until= and value="),
        ("link-down:h1-eth0,at=1s,at=2s", "at= is there twice; give it once"),
        ("flap:h1-eth0,at=1s,value=3", "kind: flap has no for; say how long"),
        ("flap:h1-eth0,at=1s,value=3,until=4s", "until: a flap has no until; give for and value"),
        ("flap:h1-eth0,at=1s,for=1s", "kind: flap has no value; give one, as docs/faults.md says"),
        ("flap:h1-eth0,at=1s,for=1s,value=0", "value: value '0' is no number from 1 to 1000"),
        ("rate:h1-eth0,at=1s,value=5", "value: rate '5' is not understood"),
        ("rate:h1-eth0,at=1s,value=1bit", "value: rate 1bit is outside 8000 to 1000000000000 bit/s"),
        ("pool:h1,at=1s,value=0", "value: value '0' is less than 1 % of the memory; write for example 90%"),
        ("pool:h1,at=1s,value=2", "value: chance '2' is more than 1"),
        ("accelerator-slow:rank1,at=1s,value=0.5", "value: value '0.5' is no number from 1 to 1000"),
        ("application-killed:rank0,at=1s,for=1s", "for: application-killed ends the run, so it has no for"),
        ("endpoint-killed:h1,at=1s,for=1s", "for: endpoint-killed ends the run, so it has no for"),
    ],
)  # fmt: skip
def test_what_no_fault_can_be_is_refused_by_a_sentence(text: str, sentence: str) -> None:
    assert sentence in problem(text)


def test_in_a_run_of_up_a_host_boots_again_and_there_are_no_ranks() -> None:
    assert fault("endpoint-killed:h1,at=1s,for=1s", STANDING).lasts_s == 1
    assert problem("application-killed:rank0,at=1s", STANDING) == (
        "target: there is no rank 'rank0'; `up` has no ranks"
    )


def test_a_link_is_either_of_its_ends() -> None:
    assert fault("link-down:spine1-eth1,at=1s").links == fault("link-down:leaf1-eth1,at=1s").links
    assert len(fault("link-down:spine1-eth1,at=1s").links) == 1


def test_a_partition_cuts_the_links_that_lead_out_of_it() -> None:
    assert fault("partition:h1+h2,at=1s").links == ("h1-eth0", "h2-eth0")
    assert fault("partition:h1+h2+leaf1,at=1s").links == ("leaf1-eth1", "leaf1-eth2")


def test_steps_are_in_the_order_of_time() -> None:
    assert times(
        "link-down:h1-eth0,at=2s,for=500ms", "rate:h2-eth0,at=1s,until=3s,value=1Mbit",
        "rx-ring:h1,at=2.2s,value=1",
    ) == [(1, "other rate"), (2, "down"), (2.2, "shrunk"), (2.5, "up"), (3, "own rate")]  # fmt: skip


def test_a_link_that_flaps_is_down_so_many_times() -> None:
    assert times("flap:h1-eth0,at=1s,for=100ms,value=2") == [
        (1, "down"), (1.1, "up"), (1.2, "down"), (1.3, "up"),
    ]  # fmt: skip


def test_a_range_is_drawn_from_by_the_seed_alone() -> None:
    one, other = "link-down:h1-eth0,at=2s..5s,for=1s", "link-down:h2-eth0,at=0s..1s,until=2s"
    drawn = times(one, other)
    assert drawn == times(one, other)
    assert drawn != times(one, other, seed=2)
    assert set(times(one)) < set(drawn), "one more fault changes no other's time"
    down, up = times(one)
    assert 2 <= down[0] <= 5
    assert up[0] == pytest.approx(down[0] + 1)
    assert times(other)[1] == (2, "up")
    assert len({times(one, seed=seed)[0][0] for seed in range(20)}) == 20


def test_every_kind_has_a_word_for_its_beginning() -> None:
    assert all(kind.words[0] and kind.meaning.endswith(".") for kind in KINDS.values())


def test_a_share_of_a_pool_is_in_percent() -> None:
    assert fault("pool:h1,at=1s,value=90%").value == fault("pool:h1,at=1s,value=0.9").value == 90
