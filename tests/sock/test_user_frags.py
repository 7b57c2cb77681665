"""Tokens as an xarray gives them and as SO_DEVMEM_DONTNEED takes them back."""

from __future__ import annotations

import random

import pytest

from nodes.sock.user_frags import UserFrags
from nodes.uapi.socket import MAX_DONTNEED_FRAGS
from tests.sock.payloads import Payloads


def filled(payloads: Payloads, count: int) -> UserFrags:
    table = UserFrags()
    assert [table.add(payloads.netmem()) for _ in range(count)] == list(range(1, count + 1))
    return table


def test_tokens_start_at_1_and_the_lowest_free_one_comes_first(payloads: Payloads) -> None:
    table = filled(payloads, 5)
    assert table.dontneed([(4, 1), (2, 1)]) == 2
    assert [table.add(payloads.netmem()) for _ in range(3)] == [2, 4, 6]
    assert table.dontneed([(1, 6)]) == 6
    assert table.add(payloads.netmem()) == 1
    table.release_all()


def test_returning_a_token_puts_one_reference(payloads: Payloads) -> None:
    table, netmem = UserFrags(), payloads.netmem()
    netmem.get()
    assert table.add(netmem) == 1
    assert table.dontneed([(1, 1)]) == 1
    assert netmem.pp_ref_count == 1
    netmem.put()


def test_one_netmem_may_have_many_tokens(payloads: Payloads) -> None:
    table, netmem = UserFrags(), payloads.netmem()
    netmem.get()
    assert [table.add(netmem), table.add(netmem)] == [1, 2]
    assert table.dontneed([(2, 1)]) == 1
    assert (netmem.pp_ref_count, len(table)) == (1, 1)
    table.release_all()


def test_unknown_and_returned_tokens_are_skipped(payloads: Payloads) -> None:
    table = filled(payloads, 3)
    assert table.dontneed([(2, 1), (2, 1), (0, 1), (99, 5), (0xFFFFFFFF, 2), (3, 1)]) == 2
    assert table.dontneed([(1, 3)]) == 1
    assert table.dontneed([(1, 3)]) == 0


def test_a_count_of_0_does_nothing(payloads: Payloads) -> None:
    table = filled(payloads, 1)
    assert table.dontneed([(1, 0)]) == 0
    assert table.dontneed([]) == 0
    table.release_all()


def test_one_call_visits_1024_tokens(payloads: Payloads) -> None:
    table = filled(payloads, 1100)
    assert table.dontneed([(1, 1000), (1001, 1000)]) == MAX_DONTNEED_FRAGS
    assert len(table) == 76
    assert table.dontneed([(1025, 0xFFFFFFFF)]) == 76


def test_unknown_tokens_use_up_the_budget(payloads: Payloads) -> None:
    table = filled(payloads, 100)
    assert table.dontneed([(5000, 1000), (1, 100)]) == 24
    assert table.dontneed([(5000, 1024), (25, 76)]) == 0
    assert table.dontneed([(25, 76)]) == 76


def test_without_a_limit_all_of_a_range_goes_back_however_wide(payloads: Payloads) -> None:
    table = filled(payloads, 1500)
    assert table.dontneed([(2, 1200)], None) == 1200
    assert table.dontneed([(0xFFFFFFFE, 0xFFFFFFFF)], None) == 300


def test_token_numbers_wrap_at_32_bits(payloads: Payloads) -> None:
    table = filled(payloads, 3)
    assert table.dontneed([(0xFFFFFFFF, 3)]) == 1  # 0xFFFFFFFF, 0 and 1
    assert table.dontneed([(2, 2)]) == 2


def test_a_close_returns_everything(payloads: Payloads) -> None:
    table = filled(payloads, 50)
    table.dontneed([(10, 5)])
    table.release_all()
    assert len(table) == 0
    assert table.dontneed([(1, 100)]) == 0


@pytest.mark.parametrize("seed", range(4))
def test_tokens_are_always_the_lowest_free(payloads: Payloads, seed: int) -> None:
    print(f"seed {seed}")
    chance = random.Random(seed)
    table, held = UserFrags(), set[int]()
    for _ in range(1500):
        if chance.random() < 0.55:
            lowest = next(i for i in range(1, len(held) + 2) if i not in held)
            assert table.add(payloads.netmem()) == lowest
            held.add(lowest)
        else:
            start, count = chance.randrange(0, 60), chance.randrange(0, 6)
            returned = held & set(range(start, start + count))
            assert table.dontneed([(start, count)]) == len(returned)
            held -= returned
        assert len(table) == len(held)
    table.release_all()
