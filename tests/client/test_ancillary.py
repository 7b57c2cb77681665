"""What sendmsg makes of the ranges it is given."""

from __future__ import annotations

import errno

import pytest

from nodes.client.ancillary import dmabuf_range


def test_a_range_is_two_integers() -> None:
    assert dmabuf_range((4096, 100)) == (4096, 100)
    assert dmabuf_range([0, -1]) == (0, -1)  # for the endpoint to refuse, as the kernel does


@pytest.mark.parametrize("wrong", [(0,), (0, 1, 2), (0, 1.5), ("0", 1)])
def test_another_pair_is_a_type_error_that_shows_it(wrong: object) -> None:
    with pytest.raises(TypeError, match="a range of a dma-buf is"):
        dmabuf_range(wrong)


@pytest.mark.parametrize("wrong", [(1 << 64, 1), (-1, 1), (0, 1 << 64)])
def test_what_64_bits_cannot_hold_overflows(wrong: tuple[int, int]) -> None:
    with pytest.raises(OverflowError, match="64 bits"):
        dmabuf_range(wrong)


def test_an_ordinary_buffer_is_efault() -> None:
    """Even one of two bytes."""
    with pytest.raises(OSError) as caught:
        dmabuf_range(b"ab")
    assert caught.value.errno == errno.EFAULT
