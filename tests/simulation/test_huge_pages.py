from __future__ import annotations

from nodes.simulation.huge_pages import HUGE_BYTES, collapse, ranges


def test_whole_huge_pages_of_the_heap_and_of_memory_without_a_name_are_taken() -> None:
    maps = """\
55e000000000-55e000600000 rw-p 00000000 00:00 0                          [heap]
7f0000100000-7f0000900000 rw-p 00000000 00:00 0
7f0001000000-7f00011ff000 rw-p 00000000 00:00 0
7f0002000000-7f0002400000 ---p 00000000 00:00 0
7f0003000000-7f0003400000 r-xp 00000000 fe:00 4711                       /usr/lib/libc.so.6
7f0004000000-7f0004400000 rw-p 00000000 fe:00 4711                       /usr/lib/libc.so.6
7f0005000000-7f0005400000 rw-s 00000000 00:01 4712                       /memfd:data (deleted)
7ffc00000000-7ffc00400000 rw-p 00000000 00:00 0                          [stack]
"""
    assert ranges(maps.splitlines()) == [
        (0x55E000000000, 3 * HUGE_BYTES),
        (0x7F0000200000, 3 * HUGE_BYTES),
    ]


def test_this_process_is_as_it_was_with_its_memory_in_huge_pages() -> None:
    kept = [bytes([number]) * 1000 for number in range(256)] * 40
    before = b"".join(kept)
    assert collapse() % HUGE_BYTES == 0
    assert b"".join(kept) == before
