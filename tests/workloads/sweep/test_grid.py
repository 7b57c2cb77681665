"""The cells of a sweep: every combination, in an order of chance, each named by its options alone."""

from __future__ import annotations

import pytest

from workloads.sweep import grid
from workloads.sweep.cell import Cell, Setting, ValueProblem, run_options

OPTIONS = run_options()


def setting(name: str, *written: str | None) -> Setting:
    return Setting.of(OPTIONS[name], *written)


def listed(name: str, *written: str | None) -> list[Setting]:
    return [setting(name, each) for each in written]


COMMON = [setting("repeat", "1"), setting("fault", "rate:h1-eth0,at=1s", "rate:h2-eth0,at=1s")]
LISTS = [
    listed("path", "devmem", "bounce"),
    listed("size", "1K", "2K", "4K"),
    listed("no-check", "true", "no"),
]


def test_cells_are_the_product_of_the_lists_the_last_varying_fastest() -> None:
    cells = grid.cells(COMMON, LISTS)
    assert [cell.label for cell in cells[:3]] == [
        "path=devmem size=1K no-check=true",
        "path=devmem size=1K",
        "path=devmem size=2K no-check=true",
    ]
    assert len({cell.id for cell in cells}) == len(cells) == 2 * 3 * 2
    assert grid.cells(COMMON, [])[0].label == "the only cell"


def test_a_cells_words_are_those_of_a_command_line() -> None:
    assert grid.cells(COMMON, LISTS)[1].words == (
        "--repeat=1",
        "--fault=rate:h1-eth0,at=1s",
        "--fault=rate:h2-eth0,at=1s",
        "--path=devmem",
        "--size=1K",
    )
    assert grid.cells(COMMON, LISTS)[0].words[-1] == "--no-check"
    assert setting("impair", None).words == ()
    assert setting("custom", "pair").words == ("--topology=pair",)


def test_a_cells_id_is_that_of_its_options_wherever_they_stand() -> None:
    repeat, seed, size = setting("repeat", "1"), setting("seed", "2"), setting("size", "1K")
    one = Cell((repeat,), (seed, size))
    assert one.id == Cell((size, repeat), (seed,)).id == Cell((), (size, seed, repeat)).id
    assert one.id == Cell((repeat, setting("impair", None)), (seed, size)).id
    assert one.id != Cell((repeat,), (setting("seed", "3"), size)).id
    assert one.id == "35edd4339f"  # of a ledger that was written long ago


def test_a_seed_is_an_order_and_another_seed_another_one() -> None:
    cells = grid.cells(COMMON, LISTS)
    first, again, other = (grid.shuffled(cells, seed) for seed in (1, 1, 2))
    assert first == again
    assert set(first) == set(other) == set(cells)
    assert len({first, other, cells}) == 3


def test_a_value_that_an_option_cannot_have_is_a_sentence() -> None:
    with pytest.raises(ValueProblem, match=r"^--size takes one value; move the list to grid$"):
        setting("size", "1K", "2K")
    with pytest.raises(ValueProblem, match=r"^--pcap is 'maybe'; write true or false$"):
        setting("pcap", "maybe")
