"""What the kernel says of qdiscs: drops of the root of each interface, none of what is within it."""

from __future__ import annotations

import struct

from topologies.mininet.queue_drops import RTM_NEWQDISC, TC_H_ROOT, messages, queue_drops, root_drops


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def qdisc(ifindex: int, parent: int, drops: int) -> bytes:
    """The body of an RTM_NEWQDISC, as tc_fill_qdisc writes it: a kind, options, statistics."""
    queue = attribute(3, struct.pack("=IIIII", 5, 6000, drops, 1, 99))
    basic = attribute(1, struct.pack("=QI4x", 1234, 12))
    head = struct.pack("=B3xiIII", 0, ifindex, 0x80010000, parent, 2)
    return head + attribute(1, b"tbf\0") + attribute(2, bytes(7)) + attribute(7, basic + queue)


def test_the_roots_drops_are_told_and_those_within_it_are_not() -> None:
    assert root_drops(qdisc(4, TC_H_ROOT, 17)) == (4, 17)
    assert root_drops(qdisc(4, 0x80010001, 17)) is None


def test_a_qdisc_without_statistics_has_dropped_nothing() -> None:
    assert root_drops(struct.pack("=B3xiIII", 0, 9, 0, TC_H_ROOT, 2) + attribute(1, b"noqueue\0")) == (9, 0)


def test_messages_follow_each_other_at_multiples_of_four() -> None:
    bodies = [qdisc(1, TC_H_ROOT, 1), qdisc(2, TC_H_ROOT, 2)[:-3]]
    data = b"".join(
        struct.pack("=IHHII", 16 + len(body), RTM_NEWQDISC, 2, 1, 0) + body + bytes(-len(body) % 4)
        for body in bodies
    )
    assert list(messages(data)) == [(RTM_NEWQDISC, body) for body in bodies]


def test_nobody_is_asked_where_no_link_has_a_rate() -> None:
    assert queue_drops(()) == {}
