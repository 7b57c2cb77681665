"""The thread that sends: order, tickets, failures."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from nodes.client.runtime import MACHINE
from workloads.transports.send_queue import SendQueue


@pytest.fixture
def queue() -> Iterator[SendQueue]:
    found = SendQueue(MACHINE, "test")
    yield found
    found.close()


def test_jobs_are_done_in_order_and_a_ticket_covers_all_before_it(queue: SendQueue) -> None:
    done: list[int] = []
    tickets = [queue.put(lambda n=number: done.append(n)) for number in range(50)]  # type: ignore[misc]
    assert tickets == list(range(1, 51))
    queue.wait(tickets[-1], 5.0)
    assert done == list(range(50))


def test_a_failure_is_raised_by_the_next_wait_and_by_the_next_put(queue: SendQueue) -> None:
    def fail() -> None:
        raise ConnectionResetError("gone")

    ticket = queue.put(fail)
    with pytest.raises(ConnectionResetError, match="gone"):
        queue.wait(ticket, 5.0)
    with pytest.raises(ConnectionResetError, match="gone"):
        queue.put(fail)


def test_waiting_for_a_stuck_send_ends_with_a_sentence(queue: SendQueue) -> None:
    release = threading.Event()

    def stick() -> None:
        release.wait(5.0)

    ticket = queue.put(stick)
    with pytest.raises(TimeoutError, match=r"not accepted within 0\.01 s"):
        queue.wait(ticket, 0.01)
    release.set()
    queue.wait(ticket, 5.0)
