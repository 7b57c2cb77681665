"""How far a send gets that leaves its dma-buf: whole skbs, by arithmetic as page by page."""

from __future__ import annotations

import random
import time

from nodes.sock.sendmsg import reach_inside
from nodes.uapi import socket as uapi

Iov = tuple[tuple[int, int], ...]
PAGE = uapi.PAGE_SIZE
MSS = 1448


def page_by_page(iov: Iov, size: int, most: int) -> int:
    """As zerocopy_fill_skb_from_devmem goes along."""
    queued = filled = frags = 0
    for offset, length in iov:
        while length:
            if filled == most or frags == uapi.MAX_SKB_FRAGS:
                queued, filled, frags = queued + filled, 0, 0
            if not 0 <= offset < size:
                return queued
            piece = min(PAGE - offset % PAGE, length, most - filled)
            offset, length, filled, frags = offset + piece, length - piece, filled + piece, frags + 1
    return queued + filled


def test_a_send_gets_as_far_as_page_by_page(soak: bool) -> None:
    seed = random.randrange(1 << 32) if soak else 5
    print(f"seed {seed}")
    chance = random.Random(seed)
    for _ in range(5000):
        size = chance.randrange(1, 100) * PAGE
        most = MSS * chance.choice([1, 3, 20, 45, 46, 47, 48, 49, 90, 300])
        iov = tuple(
            (
                chance.choice([0, PAGE, chance.randrange(-1, size + 1), chance.randrange(0, size + 1, PAGE)]),
                chance.choice([0, 1, PAGE, chance.randrange(3 * PAGE), chance.randrange(size)]),
            )
            for _ in range(chance.randrange(1, 12))
        )
        assert reach_inside(iov, size, most) == page_by_page(iov, size, most), (iov, size, most)


def test_a_long_way_takes_no_time() -> None:
    size = 1 << 40
    iov = ((0, size),) * 1023 + ((PAGE, size),)
    began = time.process_time()
    for most in (45 * MSS, 361 * MSS):
        inside = 1024 * size - PAGE
        assert inside - most < reach_inside(iov, size, most) <= inside
    assert time.process_time() - began < 1  # 2 ** 38 pages
