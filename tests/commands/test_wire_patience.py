"""How long a run is patient by default: as long as its wire explains."""

from __future__ import annotations

import random

import msgspec

from commands import wire_patience
from commands.wire_patience import QUIET_S
from topologies.shapes.registry import build


def wire_patience_s(impair: str | None, link: str = "") -> float:
    return wire_patience.wire_patience_s(impair, build("star", 3, link=link))


def test_the_delay_of_links_adds_the_round_trip_of_the_longest_path() -> None:
    assert wire_patience_s(None, "100Mbit,100ms") == QUIET_S + 0.4


def test_a_good_wire_has_the_shortest_patience() -> None:
    assert wire_patience_s(None) == QUIET_S
    assert wire_patience_s("reorder=0.5,duplicate=0.5") == QUIET_S


def test_a_delay_adds_the_round_trip_of_two_nics_each_way() -> None:
    assert wire_patience_s("delay=1s,jitter=500ms") == QUIET_S + 6.0


def test_a_wire_that_carries_nothing_is_not_waited_for() -> None:
    assert wire_patience_s("loss=1") == QUIET_S
    assert wire_patience_s("loss=0.5,corrupt=0.5") == QUIET_S


def test_retransmission_timers_in_a_row_are_waited_for() -> None:
    """In a thousand runs of lost packets none lasts longer than the patience."""
    chance = random.Random(1)
    for loss, delay in ((0.01, 0.0), (0.05, 0.001), (0.1, 1.0)):
        patience_s = wire_patience_s(f"loss={loss},delay={delay}s")
        for _ in range(1000):
            rto_s, silence_s = max(1.0, 4 * delay), 4 * delay
            while chance.random() > (1 - loss) ** 4:
                silence_s, rto_s = silence_s + rto_s, 2 * rto_s
            assert silence_s < patience_s


def test_patience_ends_where_tcp_gives_up() -> None:
    at_most = QUIET_S + 40 + 15 * 120
    assert wire_patience_s("loss=0.9,delay=10s") <= at_most


def test_packets_that_links_lose_are_waited_for_as_those_of_nics_are() -> None:
    clean = build("star", 3)
    losing = [msgspec.structs.replace(link, loss=0.05) for link in clean.links]
    bad = msgspec.structs.replace(clean, links=tuple(losing))
    assert wire_patience.wire_patience_s(None, bad) == wire_patience_s("loss=0.05")


def test_of_directions_that_differ_the_worse_one_counts() -> None:
    assert wire_patience_s(None, "1ms/100ms") == wire_patience_s(None, "100ms")
    assert wire_patience_s(None, "loss=0/5%") == wire_patience_s(None, "loss=5%/0") > QUIET_S


def test_a_burst_that_only_retransmissions_end_is_waited_for() -> None:
    """Of a packet in 1000 a burst begins, and each retransmission ends it with a chance of a fifth."""
    same = wire_patience_s("loss=gemodel:0.001,0.2")
    assert same == wire_patience_s("loss=0.8")
    assert wire_patience_s(None, "loss=gemodel:0.001,0.9") == wire_patience_s(None, "loss=0.1")
