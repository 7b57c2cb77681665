"""Loss in bursts has the statistics of tc-netem's chain, drawn packet by packet here."""

from __future__ import annotations

import math
import random
from itertools import groupby

import pytest

from nodes.nic.gilbert_elliott import GilbertElliott, WireEvents
from nodes.nic.impairment import ImpairmentError, parse

PACKETS = 200_000
MODELS = [
    GilbertElliott(0.01, 0.3),
    GilbertElliott(0.001, 0.1, 0.9, 0.001),
    GilbertElliott(0.3, 0.5, 0.5, 0.02),
    GilbertElliott(0.05, 0.95),
    GilbertElliott(0.2, 0.2, 0.4, 0.0),
]


def events(model: GilbertElliott | None, *others: float, seed: int = 1, loss: float = 0.0) -> list[int]:
    """What happens to each packet: 0 nothing, 1 lost, 2 and more another event."""
    drawn, found = WireEvents((loss, *others, 0.0), model, random.Random(seed)), list[int]()
    while len(found) < PACKETS:
        found += [0] * min(drawn.until, PACKETS - len(found))
        which = drawn.next()
        found.append(0 if which is None else which + 1)
    return found[:PACKETS]


def netem(model: GilbertElliott, seed: int = 2) -> list[int]:
    """The kernel's loss_gilb_ell: the state changes, and the packet meets the one before."""
    chance, bad, found = random.Random(seed), False, []
    for _ in range(PACKETS):
        met, bad = bad, (chance.random() >= model.r) if bad else (chance.random() < model.p)
        found.append(int(chance.random() < (model.lost_bad if met else model.lost_good)))
    return found


def bursts(found: list[int]) -> list[int]:
    """Lengths of runs of lost packets."""
    return [len(list(run)) for lost, run in groupby(found) if lost]


def together(found: list[int], distance: int) -> float:
    """How often two packets so far apart are both lost."""
    return sum(a & b for a, b in zip(found, found[distance:], strict=False)) / len(found)


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_as_many_are_lost_as_in_the_long_run_of_the_chain(model: GilbertElliott) -> None:
    found = events(model)
    share, kept = sum(found) / PACKETS, 1 - model.p - model.r
    bad = model.p / (model.p + model.r)
    spread = bad * (1 - bad) * (model.lost_bad - model.lost_good) ** 2
    variance = model.loss * (1 - model.loss) + 2 * spread * kept / (1 - kept)
    assert share == pytest.approx(model.loss, abs=4 * math.sqrt(variance / PACKETS))


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_bursts_are_as_long_and_as_close_as_netems(model: GilbertElliott) -> None:
    ours, theirs = events(model), netem(model)
    mean, other = (sum(bursts(each)) / len(bursts(each)) for each in (ours, theirs))
    assert mean == pytest.approx(other, rel=0.05)
    bad = model.p / (model.p + model.r)
    spread = bad * (1 - bad) * (model.lost_bad - model.lost_good) ** 2
    for distance in (1, 2, 5, 20):
        expected = model.loss**2 + spread * (1 - model.p - model.r) ** distance
        for found in (ours, theirs):
            assert together(found, distance) == pytest.approx(expected, rel=0.12, abs=3e-4)


def test_simple_gilbert_loses_whole_bursts_of_geometric_length() -> None:
    found = bursts(events(GilbertElliott(0.01, 0.25)))
    assert sum(found) / len(found) == pytest.approx(4, rel=0.08)
    assert sum(length == 1 for length in found) / len(found) == pytest.approx(0.25, abs=0.03)


def test_a_chain_that_never_turns_bad_loses_what_the_good_state_loses() -> None:
    assert sum(events(GilbertElliott(0.0, 1.0))) == 0
    assert sum(events(GilbertElliott(0.0, 1.0, 1.0, 0.1))) / PACKETS == pytest.approx(0.1, abs=0.004)
    assert events(GilbertElliott(1.0, 0.0))[1:] == [1] * (PACKETS - 1), "the first packet meets the good one"


def test_other_events_hit_packets_that_are_not_lost() -> None:
    found = events(GilbertElliott(0.1, 0.1), 0.2)
    lost, other = (found.count(each) / PACKETS for each in (1, 2))
    assert lost == pytest.approx(0.5, abs=0.02)
    assert other == pytest.approx(0.5 * 0.2, abs=0.01)


def test_rare_events_are_as_rare_as_asked_though_states_change_often() -> None:
    """A draw ends after some states, and the packet behind them has its chance, too."""
    found = events(GilbertElliott(0.9, 0.9, 0.001, 0.0005))
    assert sum(found) / PACKETS == pytest.approx(0.00075, abs=4 * math.sqrt(0.00075 / PACKETS))
    assert sum(events(GilbertElliott(0.9, 0.9, 1e-12, 0.0))) == 0


def test_the_same_seed_loses_the_same_packets() -> None:
    model = MODELS[1]
    assert events(model) == events(model)
    assert events(model) != events(model, seed=2)


def test_without_a_model_losses_are_independent() -> None:
    found = events(None, loss=0.1)
    assert sum(found) / PACKETS == pytest.approx(0.1, abs=0.003)
    assert together(found, 1) == pytest.approx(0.01, rel=0.1)


def test_impair_takes_the_words_of_netem() -> None:
    config = parse("loss=gemodel:0.01,0.3,0.9,0.001,reorder=0.1,seed=7")
    assert config.gemodel == GilbertElliott(0.01, 0.3, 0.9, 0.001)
    assert (config.loss, config.reorder, config.seed) == (0.0, 0.1, 7)
    assert config.lost == config.gemodel.loss
    assert parse("loss=gemodel:0.1").gemodel == GilbertElliott(0.1, 0.9)
    assert parse("loss=gemodel:.1,.2").gemodel == GilbertElliott(0.1, 0.2)
    for text in ("gemodel:", "gemodel:0,0", "gemodel:2", "gemodel:.1,.1,.1,.1,.1", "gemodel"):
        with pytest.raises(ImpairmentError, match="--impair: loss="):
            parse(f"loss={text}")
