"""The notifications of rtnetlink as changes of the interfaces that are NICs."""

from __future__ import annotations

import errno
import socket
import struct
from contextlib import closing
from pathlib import Path

import pytest

from nodes.endpoint.link_monitor import LinkMonitor, LinkState

ETH0, OTHER = 2, 5
UP, DOWN = 0x1043, 0x1002  # up and running, broadcast, multicast; broadcast, multicast
NO_CARRIER = 0x1003
IS_UP, IS_DOWN = LinkState(up=True, carrier=True), LinkState(up=False, carrier=False)
NEWLINK, NEWADDR = 16, 20


def message(ifindex: int, flags: int, kind: int = NEWLINK, attributes: bytes = b"\0" * 13) -> bytes:
    """A message whose length is no multiple of four."""
    body = struct.pack("=BBHiII", 0, 0, 1, ifindex, flags, 0) + attributes
    header = struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0)
    return header + body + b"\0" * (-len(body) % 4)


class Told:
    """The kernel's end of the netlink socket: datagrams, and errors, in their order."""

    def __init__(self, *said: bytes | OSError) -> None:
        self._said = [*said]

    def recv(self, _size: int) -> bytes:
        if not self._said:
            raise BlockingIOError
        first = self._said.pop(0)
        if isinstance(first, OSError):
            raise first
        return first

    def close(self) -> None:
        """Nothing is open."""


def monitor(monkeypatch: pytest.MonkeyPatch, told: Told, asked: list[tuple[int, LinkState]]) -> LinkMonitor:
    found = LinkMonitor({"eth0": ETH0})
    found.close()
    monkeypatch.setattr(found, "_socket", told)
    monkeypatch.setattr(found, "_ask", lambda: iter(asked))
    return found


def test_each_change_is_told_once_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told(
        message(ETH0, UP) + message(ETH0, DOWN) + message(OTHER, DOWN) + message(ETH0, DOWN),
        message(ETH0, DOWN, NEWADDR) + message(ETH0, UP),
    )
    links = monitor(monkeypatch, told, [(ETH0, IS_UP)])
    assert list(links.changes()) == [(ETH0, IS_DOWN), (ETH0, IS_UP)]
    assert list(links.changes()) == []


def test_a_link_that_is_up_may_lose_its_carrier(monkeypatch: pytest.MonkeyPatch) -> None:
    links = monitor(monkeypatch, Told(message(ETH0, NO_CARRIER), message(ETH0, UP)), [(ETH0, IS_UP)])
    assert list(links.changes()) == [(ETH0, LinkState(up=True, carrier=False)), (ETH0, IS_UP)]


def test_what_was_so_before_the_start_is_told_first(monkeypatch: pytest.MonkeyPatch) -> None:
    links = monitor(monkeypatch, Told(message(ETH0, UP)), [(ETH0, IS_DOWN)])
    assert list(links.changes()) == [(ETH0, IS_DOWN), (ETH0, IS_UP)]


def test_after_a_notification_was_lost_the_kernel_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [(ETH0, IS_UP)]
    links = monitor(monkeypatch, Told(OSError(errno.ENOBUFS, "overrun")), asked)
    asked[:] = [(ETH0, IS_DOWN)]
    links._missed = False
    assert list(links.changes()) == [(ETH0, IS_DOWN)]


def test_the_kernel_is_asked_by_name() -> None:
    """An interface that does not exist is left out."""
    flags = int(Path("/sys/class/net/lo/flags").read_text(), 16)
    found = IS_UP if flags & 1 else IS_DOWN
    interfaces = {"lo": socket.if_nametoindex("lo"), "none such": 1 << 20}
    with closing(LinkMonitor(interfaces)) as links:
        assert dict(links._ask()) == {interfaces["lo"]: found}
        assert list(links.changes()) == ([] if flags & 1 else [(interfaces["lo"], IS_DOWN)])
