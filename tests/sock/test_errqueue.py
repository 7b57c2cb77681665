"""Zero-copy completions: numbered by send, merged while they are neighbours."""

from __future__ import annotations

from nodes.sock.errqueue import CODE_COPIED, NOTIFIERS_MAX, ErrQueue, Event
from nodes.uapi.socket import (
    EXTENDED_ERR,
    SO_EE_ORIGIN_ICMP,
    SO_EE_ORIGIN_TIMESTAMPING,
    SO_EE_ORIGIN_ZEROCOPY,
    ExtendedErr,
)


def read_all(queue: ErrQueue) -> list[tuple[int, int, int]]:
    """(first, last, code) of every range."""
    errors = [event.extended_err for event in iter(queue.read, None)]
    return [(e.ee_info, e.ee_data, e.ee_code) for e in errors]


def with_sends(*sends: tuple[int, int]) -> ErrQueue:
    queue = ErrQueue()
    for end_offset, code in sends:
        queue.sent(end_offset, code)
    return queue


def test_nothing_completes_before_its_last_byte_is_acknowledged() -> None:
    queue = with_sends((100, 0))
    assert not queue.acknowledged(99)
    assert queue.read() is None
    assert queue.acknowledged(100)
    assert not queue.acknowledged(100)
    assert read_all(queue) == [(0, 0, 0)]


def test_a_completion_is_what_the_kernel_reports() -> None:
    queue = with_sends((1, 0))
    queue.acknowledged(1)
    event = queue.read()
    assert event == Event(ExtendedErr(0, SO_EE_ORIGIN_ZEROCOPY, 0, 0, 0, 0, 0))
    assert len(EXTENDED_ERR.pack(*event.extended_err)) == 16


def test_neighbours_merge_until_they_are_read() -> None:
    queue = with_sends((10, 0), (20, 0), (30, 0), (40, 0))
    queue.acknowledged(10)
    queue.acknowledged(30)
    assert read_all(queue) == [(0, 2, 0)]
    queue.acknowledged(40)
    assert read_all(queue) == [(3, 3, 0)]


def test_a_range_keeps_the_code_of_its_first_send() -> None:
    queue = with_sends((1, 0), (2, 0), (3, CODE_COPIED))
    queue.acknowledged(3)
    assert read_all(queue) == [(0, 2, 0)]
    queue.sent(4, CODE_COPIED)
    queue.sent(5, 0)
    queue.acknowledged(5)
    assert read_all(queue) == [(3, 4, CODE_COPIED)]


def test_notifiers_run_out_until_completions_are_read() -> None:
    queue = ErrQueue()
    for number in range(NOTIFIERS_MAX):
        assert not queue.full
        queue.sent(number + 1, 0)
    assert queue.full
    queue.acknowledged(2)
    assert not queue.full  # one range in place of two sends


def test_a_send_behind_unsent_bytes_shares_a_notifier() -> None:
    queue = with_sends((10, 0))
    for number in range(2 * NOTIFIERS_MAX):
        queue.sent(11 + number, 0, shared=True)
    assert not queue.full
    queue.abort()
    assert read_all(queue) == [(0, 2 * NOTIFIERS_MAX, 0)]


def test_one_acknowledgement_may_complete_several_and_part_of_none() -> None:
    queue = with_sends((10, 0), (20, 0), (30, 0))
    assert queue.acknowledged(25)
    assert (queue.completed, read_all(queue)) == (2, [(0, 1, 0)])


def test_a_dead_connection_completes_everything() -> None:
    queue = with_sends((10, 0), (20, CODE_COPIED))
    queue.acknowledged(10)
    queue.abort()
    assert read_all(queue) == [(0, 1, 0)]
    assert queue.completed == 2
    queue.abort()
    assert queue.read() is None


def test_numbers_go_on_after_an_abort() -> None:
    queue = with_sends((10, 0))
    queue.abort()
    read_all(queue)
    queue.sent(20, 0)
    queue.acknowledged(20)
    assert read_all(queue) == [(1, 1, 0)]


def test_a_stamp_keeps_its_place_and_completions_do_not_merge_across_it() -> None:
    queue = with_sends((1, 0), (2, 0))
    stamp = Event(ExtendedErr(42, SO_EE_ORIGIN_TIMESTAMPING, 0, 0, 0, 0, 7), 5.0)
    queue.acknowledged(1)
    queue.add(stamp)
    queue.acknowledged(2)
    assert queue.queued == 3
    first, second, third = (queue.read() for _ in range(3))
    assert second == stamp
    assert first is not None
    assert third is not None
    assert (first.extended_err.ee_data, third.extended_err.ee_info) == (0, 1)
    for _ in range(600):
        queue.add(stamp)
    assert len([*iter(queue.read, None)]) == 512
    assert not queue.unread


def test_a_purge_takes_icmp_errors_alone() -> None:
    queue = with_sends((1, 0))
    queue.acknowledged(1)
    stamp = Event(ExtendedErr(42, SO_EE_ORIGIN_TIMESTAMPING, 0, 0, 0, 0, 7), 5.0)
    queue.add(Event(ExtendedErr(113, SO_EE_ORIGIN_ICMP, 3, 1, 0, 0, 0)))
    queue.add(stamp)
    queue.purge()
    queue.read()
    assert [*iter(queue.read, None)] == [stamp]


def test_completions_merge_across_an_icmp_error_that_was_purged() -> None:
    queue = with_sends((1, 0), (2, 0))
    queue.acknowledged(1)
    queue.add(Event(ExtendedErr(113, SO_EE_ORIGIN_ICMP, 3, 1, 0, 0, 0)))
    queue.purge()
    queue.acknowledged(2)
    assert read_all(queue) == [(0, 1, 0)]


def test_a_range_that_was_looked_at_still_grows() -> None:
    queue = with_sends((1, CODE_COPIED), (2, 0))
    queue.acknowledged(1)
    assert queue.unread
    assert queue.first is not None
    queue.acknowledged(2)
    assert queue.unread
    assert read_all(queue) == [(0, 1, CODE_COPIED)]
    assert not queue.unread


def test_an_event_that_waits_behind_the_one_read_wakes_those_who_poll() -> None:
    queue = ErrQueue()
    for kind in (3, 11):
        queue.add(Event(ExtendedErr(113, SO_EE_ORIGIN_ICMP, kind, 1, 0, 0, 0)))
    queue.read()
    assert queue.queued == 3
    queue.read()
    assert queue.queued == 3
