"""What the interface's queueing discipline says that waits in it."""

from __future__ import annotations

import struct

from nodes.nic.own_queue import backlog


def attribute(kind: int, content: bytes) -> bytes:
    return (struct.pack("=HH", 4 + len(content), kind) + content).ljust(4 + -(-len(content) // 4) * 4, b"\0")


def answer(kind: int, *attributes: bytes) -> bytes:
    body = struct.pack("=B3xiIII", 0, 2, 0, 0xFFFFFFFF, 2) + b"".join(attributes)
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body


QUEUE = attribute(3, struct.pack("=IIIII", 7, 10_598, 0, 0, 0))


def test_the_backlog_lies_among_the_statistics() -> None:
    found = answer(36, attribute(1, b"tbf\0"), attribute(7, attribute(1, bytes(12)) + QUEUE))
    assert backlog(found) == 10_598


def test_what_tells_of_no_queue_has_no_backlog() -> None:
    assert backlog(answer(36, attribute(1, b"noqueue\0"))) == 0
    assert backlog(answer(36, attribute(7, attribute(1, bytes(12))))) == 0
    assert backlog(answer(2, attribute(7, QUEUE))) == 0  # NLMSG_ERROR
    assert backlog(answer(36)) == 0


def test_an_attribute_without_a_length_ends_nothing_but_itself() -> None:
    assert backlog(answer(36, struct.pack("=HH", 0, 9), attribute(7, QUEUE))) == 10_598
