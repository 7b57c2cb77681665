"""Every algorithm of every collective, run by a model in which an element knows what it sums up."""

from __future__ import annotations

import itertools
import statistics
from collections import Counter
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given, settings, strategies

from tests.workloads.schedule_model import Element, Memory, Model
from workloads.schedules import hierarchical
from workloads.schedules.algorithms import ALGORITHMS
from workloads.schedules.contract import CONTRACTS
from workloads.schedules.direct import skewed_lengths
from workloads.schedules.schedule import (
    Action,
    Average,
    Call,
    Chunk,
    Copy,
    Receive,
    Send,
    chunks,
    overwrites,
)

ELEMENT = 4
EVERY = [(name, algorithm) for name, algorithms in ALGORITHMS.items() for algorithm in algorithms]


def calls(nranks: int, count: int, in_place: bool, **others: object) -> list[Call]:
    """Each rank's part: input, then scratch, then output; `others` as Call's."""
    size = max(count, nranks) * ELEMENT
    common = {"nranks": nranks, "count": count, "element_bytes": ELEMENT, "scratch": size, **others}
    output = 0 if in_place else 2 * size
    return [Call(rank=rank, output=output, **common) for rank in range(nranks)]  # type: ignore[arg-type]


def plans(name: str, algorithm: str, parts: list[Call]) -> list[list[Action]]:
    return [ALGORITHMS[name][algorithm](call) for call in parts]


def judged(name: str, algorithm: str, parts: list[Call]) -> list[list[Action]]:
    """Run the schedules, hold every rank's memory against the contract, return the schedules."""
    contract, schedules = CONTRACTS[name], plans(name, algorithm, parts)
    memory = [_filled(call, contract.inputs(call), contract.output_bytes(call)) for call in parts]
    found = Model(schedules, memory, ELEMENT).run()
    for call in parts:
        for result in contract.results(call):
            begin, first = result.chunk.offset // ELEMENT, result.offset // ELEMENT
            for index in range(result.chunk.length // ELEMENT):
                expected = _expected(call, result.source, first + index)
                assert found[call.rank][begin + index] == expected, f"rank {call.rank}, element {index}"
    return schedules


def _filled(call: Call, inputs: Chunk, output_bytes: int) -> Memory:
    memory: Memory = [Counter() for _ in range((2 * call.scratch + output_bytes) // ELEMENT)]
    for index in range(inputs.length // ELEMENT):
        memory[inputs.offset // ELEMENT + index] = Counter({(call.rank, index): 1})
    return memory


def _expected(call: Call, source: int | None, index: int) -> Element:
    if source is not None:
        return Counter({(source, index): 1})
    every: Element = Counter({(rank, index): 1 for rank in range(call.nranks)})
    return every + Counter({("average", 1): 1})


def cases(name: str, nranks: int) -> Iterator[list[Call]]:
    """Sizes from 0 elements on, odd ones, fewer than ranks; in place and not; whole and in pieces; roots."""
    for count, in_place, pipeline in itertools.product(
        (0, 1, 2, 5, 9, 64), (False, True), (1 << 62, 3 * ELEMENT)
    ):
        if in_place and not CONTRACTS[name].in_place:
            continue
        for root in {0, nranks - 1} if CONTRACTS[name].rooted else {0}:
            yield calls(nranks, count, in_place, pipeline_bytes=pipeline, root=root, seed=count)


@pytest.mark.parametrize("nranks", range(1, 10))
@pytest.mark.parametrize(("name", "algorithm"), EVERY)
def test_every_rank_ends_with_what_the_collective_promises(name: str, algorithm: str, nranks: int) -> None:
    for parts in cases(name, nranks):
        judged(name, algorithm, parts)


@settings(deadline=None, max_examples=60)
@given(
    strategies.sampled_from(EVERY), strategies.integers(1, 20), strategies.integers(0, 90), strategies.data()
)
def test_it_does_so_with_any_ranks_sizes_pieces_and_roots(
    what: tuple[str, str], nranks: int, count: int, data: strategies.DataObject
) -> None:
    in_place = CONTRACTS[what[0]].in_place and data.draw(strategies.booleans())
    pieces = data.draw(strategies.integers(1, 40)) * ELEMENT
    root = data.draw(strategies.integers(0, nranks - 1))
    judged(*what, calls(nranks, count, in_place, pipeline_bytes=pieces, root=root, seed=count))


@pytest.mark.parametrize("hosts", [(0, 0), (0, 0, 1, 1), (0, 1, 0, 1, 2, 2), (0,) * 3 + (1,) * 3 + (2,) * 3])
@pytest.mark.parametrize("in_place", [False, True])
def test_hierarchical_is_exact_with_several_ranks_a_host(hosts: tuple[int, ...], in_place: bool) -> None:
    for count in (0, 1, 7, 64):
        judged(
            "all_reduce",
            "hierarchical",
            calls(len(hosts), count, in_place, host_of=hosts, pipeline_bytes=2 * ELEMENT),
        )


def test_hierarchical_sends_less_between_hosts_than_a_flat_ring() -> None:
    hosts, count = (0,) * 4 + (1,) * 4, 64
    parts = calls(8, count, True, host_of=hosts)
    between = [
        sum(a.chunk.length for a in plan if isinstance(a, Send) and hosts[a.peer] != hosts[rank])
        for rank, plan in enumerate(judged("all_reduce", "hierarchical", parts))
    ]
    assert between == [count * ELEMENT // 4] * 8  # 2 (n-1)/n of a quarter, over two hosts


def test_hierarchical_refuses_hosts_with_unlike_numbers_of_ranks() -> None:
    (first, *_) = calls(3, 9, True, host_of=(0, 0, 1))
    with pytest.raises(ValueError, match="between 1 and 2 ranks"):
        hierarchical.all_reduce(first)


def sent_bytes(plan: list[Action]) -> int:
    return sum(action.chunk.length for action in plan if isinstance(action, Send))


@pytest.mark.parametrize("nranks", range(2, 10))
@pytest.mark.parametrize(
    ("name", "algorithm", "share"),
    [
        ("all_reduce", "ring", lambda n: 2 * (n - 1) / n),
        ("reduce_scatter", "ring", lambda n: (n - 1) / n),
        ("all_gather", "ring", lambda n: (n - 1) / n),
        ("all_to_all", "direct", lambda n: (n - 1) / n),
        ("sendrecv", "direct", lambda _: 1),
    ],
)
def test_every_rank_sends_the_share_of_the_array_that_the_formula_says(
    name: str, algorithm: str, share: object, nranks: int
) -> None:
    count = 2520  # of 1 to 9 each a multiple
    for plan in plans(name, algorithm, calls(nranks, count, False)):
        assert sent_bytes(plan) == pytest.approx(share(nranks) * count * ELEMENT)  # type: ignore[operator]


@pytest.mark.parametrize("name", ["broadcast", "reduce"])
@pytest.mark.parametrize("algorithm", ["ring", "tree"])
def test_n_minus_one_arrays_are_sent_for_one_that_has_a_root(name: str, algorithm: str) -> None:
    for nranks in range(1, 10):
        schedules = plans(name, algorithm, calls(nranks, 64, False, root=nranks // 2))
        assert sum(map(sent_bytes, schedules)) == (nranks - 1) * 64 * ELEMENT


@pytest.mark.parametrize(
    ("algorithm", "most"), [("ring", 14), ("halving_doubling", 6), ("tree", 6), ("hierarchical", 14)]
)
def test_eight_ranks_receive_as_often_as_the_algorithm_needs(algorithm: str, most: int) -> None:
    """A ring 2 (n-1) times, halving and doubling 2 log2(n) times, a tree twice from each neighbour in it."""
    for plan in plans("all_reduce", algorithm, calls(8, 64, True)):
        assert sum(isinstance(action, Receive) for action in plan) <= most


def test_a_ring_names_the_next_rank_and_the_one_before() -> None:
    for call in calls(5, 40, True):
        plan = ALGORITHMS["all_reduce"]["ring"](call)
        assert {action.peer for action in plan if isinstance(action, Send)} == {(call.rank + 1) % 5}
        assert {action.peer for action in plan if isinstance(action, Receive)} == {(call.rank - 1) % 5}


def test_pieces_are_forwarded_before_the_next_one_is_received() -> None:
    (_, call, *_) = calls(4, 64, True, pipeline_bytes=4 * ELEMENT)
    plan = ALGORITHMS["all_reduce"]["ring"](call)
    kinds = "".join(type(action).__name__[0] for action in plan)
    assert kinds.startswith("SSSS" + "RS" * 8 + "RA" * 4)  # four pieces a chunk, three turns


def test_a_barrier_hears_of_every_rank_in_log2_rounds() -> None:
    for nranks in range(1, 18):
        heard = [{rank} for rank in range(nranks)]
        schedules = plans("barrier", "dissemination", calls(nranks, 1, False))
        rounds = (nranks - 1).bit_length()
        assert {len(plan) for plan in schedules} == {2 * rounds}
        for turn in range(rounds):
            receives = [plan[2 * turn + 1] for plan in schedules]
            heard = [
                known | heard[action.peer]
                for known, action in zip(heard, receives, strict=True)
                if isinstance(action, Receive)
            ]
        assert all(known == set(range(nranks)) for known in heard)


def test_skewed_exchanges_have_a_popular_rank_and_whole_rows() -> None:
    skews = []
    for seed in range(21):
        (call, *_) = calls(8, 10_000, False, seed=seed)
        rows = skewed_lengths(call)
        assert {sum(row) for row in rows} == {10_000 * ELEMENT}
        assert rows == skewed_lengths(msgspec.structs.replace(call, rank=3))
        skews.append(max(sum(column) for column in zip(*rows, strict=True)) / (10_000 * ELEMENT))
    assert statistics.median(skews) > 1.5  # times what an even exchange gives each rank


@pytest.mark.parametrize("nranks", range(1, 10))
def test_a_transposed_exchange_takes_everything_back(nranks: int) -> None:
    room = nranks * 100 * ELEMENT  # the most that a rank can be sent
    there, back = (
        [
            msgspec.structs.replace(call, transposed=transposed, scratch=room, output=2 * room)
            for call in calls(nranks, 100, False, seed=7)
        ]
        for transposed in (False, True)
    )
    judged("all_to_allv", "direct", there)
    judged("all_to_allv", "direct", back)
    rows = skewed_lengths(there[0])
    assert skewed_lengths(back[0]) == tuple(zip(*rows, strict=True))


def test_overwrites_names_each_peers_last_send_of_bytes_that_are_replaced() -> None:
    left, right, both = Chunk(0, 4), Chunk(4, 4), Chunk(0, 8)
    plan: list[Action] = [
        Send("", 1, left),
        Send("", 1, left),
        Send("", 2, right),
        Receive("", 1, Chunk(8, 4)),
        Receive("", 1, left),
        Copy("", 8, both),
        Average("", right),
        Send("", 1, both),
    ]
    assert overwrites(plan) == [(), (), (), (), (1,), (1, 2), (2,), ()]


@strategies.composite
def some_actions(draw: strategies.DrawFn) -> list[Action]:
    chunk = strategies.builds(Chunk, strategies.integers(0, 12), strategies.integers(0, 6))
    a_send = strategies.builds(Send, strategies.just(""), strategies.integers(0, 1), chunk)
    return draw(
        strategies.lists(a_send | strategies.builds(Copy, strategies.just(""), strategies.just(0), chunk))
    )


@given(some_actions(), strategies.integers(1, 2))
def test_overwrites_finds_what_a_look_at_every_earlier_send_finds(actions: list[Action], flows: int) -> None:
    expected: list[tuple[int, ...]] = []
    for index, action in enumerate(actions):
        last: dict[tuple[int, int], int] = {}
        turns: Counter[int] = Counter()
        for earlier, sent in enumerate(actions[:index]):
            if isinstance(sent, Send):
                flow = sent.peer, turns[sent.peer] % flows
                turns[sent.peer] += 1
                if not isinstance(action, Send) and sent.chunk.overlaps(action.chunk):
                    last[flow] = earlier
        expected.append(tuple(sorted(last.values())))
    assert overwrites(actions, flows) == expected


def test_overwrites_does_not_look_at_every_earlier_send() -> None:
    """A ring of a thousand ranks has as many sends as actions: to compare them all takes minutes."""
    looks = Counter[str]()

    class Counted(Chunk, frozen=True):
        @property
        def end(self) -> int:
            looks["end"] += 1
            return self.offset + self.length

    for steps in (100, 1000):
        looks.clear()
        parts = [Counted(at, 1) for at in range(steps)]
        actions = [each for part in parts for each in (Send("", 1, part), Receive("", 2, part))]
        overwrites(actions)
        assert looks["end"] <= 6 * steps


@given(strategies.integers(0, 10_000), strategies.integers(1, 40), strategies.integers(0, 9))
def test_chunks_are_consecutive_even_and_on_element_boundaries(count: int, parts: int, begin: int) -> None:
    whole = Chunk(begin * ELEMENT, count * ELEMENT)
    spans = chunks(whole, parts, ELEMENT)
    assert len(spans) == parts
    assert (spans[0].offset, spans[-1].end) == (whole.offset, whole.end)
    assert all(a.end == b.offset for a, b in itertools.pairwise(spans))
    lengths = [span.length for span in spans]
    assert max(lengths) - min(lengths) <= ELEMENT


def test_bytes_that_are_no_whole_elements_are_refused() -> None:
    with pytest.raises(ValueError, match="10 bytes are not a whole number of elements of 4 bytes"):
        chunks(Chunk(0, 10), 2, ELEMENT)
