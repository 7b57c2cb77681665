"""What an application writes is copied once into host pages, and small writes share one."""

from __future__ import annotations

import errno

import pytest

from nodes.machine.cpu import Cpu
from nodes.machine.ledger import Ledger
from nodes.skb import Frags
from nodes.sock.send_pages import SEND_PAGE_BYTES, SendPages
from tests.sock.payloads import contents

LIMIT = 4 * SEND_PAGE_BYTES


class Made:
    def __init__(self) -> None:
        self.ledger = Ledger()
        self.pages = SendPages(Cpu(self.ledger), LIMIT)

    def copy(self, data: bytes) -> Frags:
        return self.pages.copy_from_user(memoryview(data))

    def end(self) -> None:
        self.pages.close()
        assert self.pages.inflight == 0


def test_small_writes_share_a_page() -> None:
    made = Made()
    first, second = made.copy(b"first"), made.copy(b"second")
    (a,), (b,) = first.frags, second.frags
    assert a.netmem is b.netmem
    assert a.offset + a.size == b.offset
    assert contents([a, b]) == b"firstsecond"
    assert made.pages.inflight == 1
    first.release()
    second.release()
    made.end()


def test_neighbouring_writes_join_into_one_fragment() -> None:
    made = Made()
    payload = made.copy(b"first")
    payload.extend(made.copy(b"second"))
    (frag,) = payload.frags
    assert contents([frag]) == b"firstsecond"
    payload.release()
    made.end()


def test_a_large_write_fills_the_page_and_goes_on() -> None:
    made = Made()
    small = made.copy(b"x" * 100)
    data = bytes(range(256)) * 512  # two pages of bytes, in three
    payload = made.copy(data)
    assert [f.size for f in payload.frags] == [SEND_PAGE_BYTES - 100, SEND_PAGE_BYTES, 100]
    assert contents(payload.frags) == data
    assert not payload.unreadable
    small.release()
    payload.release()
    made.end()


def test_each_byte_is_read_and_written_once() -> None:
    made = Made()
    made.copy(b"x" * 100_000).release()
    assert made.ledger.host_dram_bytes == 200_000
    made.end()


def test_without_pages_a_write_is_enobufs_and_undone() -> None:
    made = Made()
    held = made.copy(bytes(LIMIT - SEND_PAGE_BYTES - 10))
    with pytest.raises(OSError, match="no host pages left") as caught:
        made.copy(bytes(2 * SEND_PAGE_BYTES))
    assert caught.value.errno == errno.ENOBUFS
    assert sum(f.netmem.pp_ref_count for f in held.frags) == len(held.frags)  # only the write that succeeded
    payload = made.copy(b"y" * SEND_PAGE_BYTES)  # and the memory is there for a smaller one
    assert contents(payload.frags) == b"y" * SEND_PAGE_BYTES
    payload.release()
    held.release()
    made.end()


def test_memory_returns_when_the_last_write_of_a_page_is_acknowledged() -> None:
    made = Made()
    for _ in range(20):  # five times the limit in all
        made.copy(bytes(SEND_PAGE_BYTES)).release()
    made.end()


def test_pages_in_flight_outlive_close() -> None:
    made = Made()
    payload = made.copy(b"data")
    made.pages.close()
    assert made.pages.inflight == 1
    assert contents(payload.frags) == b"data"
    payload.release()
    assert made.pages.inflight == 0
