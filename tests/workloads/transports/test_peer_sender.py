"""Which thread a send is made in: the caller's while the sending thread has nothing to do, else that one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any, cast

import pytest

from nodes.client.runtime import MACHINE
from nodes.machine.ledger import Ledger
from workloads.progress import Progress
from workloads.transports.peer_sender import PeerSender
from workloads.transports.send_queue import SendQueue


class Recorder:
    """A stack that takes `at_once` bytes of each send at once."""

    def __init__(self, at_once: int) -> None:
        self.at_once = at_once
        self.begun: list[tuple[int, int]] = []
        self.transmitted: list[tuple[int, int]] = []
        self.ended = 0
        self.may_end = threading.Event()
        self.may_end.set()
        self.links = False  # whether a call does both, a send and a receive
        self.linked: list[Callable[[int], object]] = []

    def link(self, offset: int, length: int, receiver: object, told: Callable[[int], object]) -> bool:  # noqa: ARG002
        if self.links:
            self.linked.append(told)
        return self.links

    def begin(self, offset: int, length: int) -> int:
        self.begun.append((offset, length))
        return min(self.at_once, length)

    def transmit(self, offset: int, length: int) -> None:
        self.may_end.wait()
        self.transmitted.append((offset, length))

    def job_ended(self) -> None:
        self.ended += 1

    def is_reusable(self, ticket: int) -> bool:
        assert self.ended >= ticket
        return True

    def wait_reusable(self, ticket: int) -> None:
        assert self.ended >= ticket


class Peer(PeerSender):
    """With a stack of `at_once` bytes."""

    def __init__(self, stack: ExitStack, at_once: int) -> None:
        self.recorder = Recorder(at_once)
        progress = stack.enter_context(closing(Progress(MACHINE, 5.0)))
        queue = stack.enter_context(closing(SendQueue(MACHINE, "test")))
        machine = cast(Any, type("Machine", (), {"runtime": MACHINE, "progress": progress}))
        super().__init__(machine, queue, cast(Any, None), self.recorder, Ledger())


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as found:
        yield found


def test_what_the_stack_takes_at_once_needs_no_sending_thread(stack: ExitStack) -> None:
    peer = Peer(stack, 100)
    assert [peer.send(0, 100), peer.send(100, 60), peer.send(0, 0)] == [1, 2, 3]
    peer.wait_reusable(3)
    assert (peer.recorder.begun, peer.recorder.transmitted) == ([(0, 100), (100, 60), (0, 0)], [])
    assert peer.recorder.ended == 3


def test_the_rest_goes_by_the_sending_thread_and_later_sends_behind_it(stack: ExitStack) -> None:
    peer = Peer(stack, 100)
    peer.recorder.may_end.clear()
    assert [peer.send(7, 250), peer.send(300, 50)] == [1, 2]
    peer.recorder.may_end.set()
    peer.wait_reusable(2)
    assert (peer.recorder.begun, peer.recorder.transmitted) == ([(7, 250)], [(107, 150), (300, 50)])
    assert (peer.send(0, 10), peer.recorder.begun[-1]) == (3, (0, 10))


def test_a_send_of_nothing_waits_for_the_sends_before_it(stack: ExitStack) -> None:
    peer = Peer(stack, 100)
    peer.recorder.may_end.clear()
    assert [peer.send(7, 250), peer.send(0, 0), peer.send(300, 50)] == [1, 2, 3]
    assert peer.recorder.ended == 0
    peer.recorder.may_end.set()
    peer.wait_reusable(3)
    assert peer.recorder.transmitted == [(107, 150), (0, 0), (300, 50)]


def test_a_stack_that_takes_nothing_at_once_is_left_to_the_sending_thread(stack: ExitStack) -> None:
    peer = Peer(stack, 0)
    peer.wait_accepted(peer.send(5, 10))
    assert peer.recorder.transmitted == [(5, 10)]


RECEIVER = cast(Any, object())


def test_a_send_that_goes_with_a_receive_is_done_when_that_says_so(stack: ExitStack) -> None:
    peer = Peer(stack, 100)
    peer.recorder.links = True
    assert (peer.send(7, 250, RECEIVER), peer.recorder.begun) == (1, [])
    assert not peer.is_reusable(1)
    peer.recorder.linked.pop()(250)
    assert peer.is_reusable(1)
    assert peer.send(7, 250, RECEIVER) == 2
    peer.recorder.linked.pop()(200)
    peer.wait_reusable(2)
    assert (peer.recorder.begun, peer.recorder.transmitted) == ([], [(207, 50)])


def test_a_send_goes_with_no_receive_where_no_call_does_both_or_others_wait(stack: ExitStack) -> None:
    peer = Peer(stack, 100)
    assert (peer.send(0, 100, RECEIVER), peer.recorder.begun) == (1, [(0, 100)])
    peer.recorder.links = True
    peer.recorder.may_end.clear()
    peer.send(0, 250)
    peer.send(300, 50, RECEIVER)
    peer.recorder.may_end.set()
    peer.wait_reusable(3)
    assert (peer.recorder.linked, peer.recorder.transmitted) == ([], [(100, 150), (300, 50)])
