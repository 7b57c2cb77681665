"""Completions of zero-copy sends: how many there are, and the control message that reports them."""

from __future__ import annotations

import select
import socket as linux
import threading
from typing import Any

import pytest

from nodes.client.host import Host
from nodes.uapi import socket as uapi
from nodes.uapi.syscalls import INLINE_BYTES
from tests.system.both_stacks import CONTENT, PATIENCE_S, both, settled

pytestmark = pytest.mark.system


def test_one_zero_copy_send_is_one_completion_however_long(hosts: tuple[Host, Host]) -> None:
    with both(hosts) as pairs:
        numbers = []
        for pair in pairs:
            pair.near.setsockopt(linux.SOL_SOCKET, uapi.SO_ZEROCOPY, 1)
            for size in (1_000_000, 10, INLINE_BYTES, INLINE_BYTES + 1):
                taken = bytearray(size)
                reader = threading.Thread(target=pair.far.recv_into, args=(taken, 0, uapi.MSG_WAITALL))
                reader.start()
                assert pair.near.send(CONTENT[:size], uapi.MSG_ZEROCOPY) == size
                reader.join(PATIENCE_S)
                assert taken == CONTENT[:size]
            pair.near.settimeout(0.2)
            short = pair.near.send(bytes(64 << 20), uapi.MSG_ZEROCOPY)
            assert 0 < short < 64 << 20
            reader = threading.Thread(target=pair.far.recv, args=(short, uapi.MSG_WAITALL))
            reader.start()
            numbers.append(completions(pair.near, 5))
            reader.join(PATIENCE_S)
        assert numbers[0] == numbers[1] == [*range(5)]


def completions(sock: Any, count: int) -> list[int]:
    """The numbers of the first `count` zero-copy sends, read when poll says that there is one."""
    poll = select.poll()
    found: list[int] = []
    poll.register(sock.fileno(), 0)
    while len(found) < count:
        assert poll.poll(PATIENCE_S * 1000) == [(sock.fileno(), select.POLLERR)]
        _, control, _, _ = sock.recvmsg(0, 100, uapi.MSG_ERRQUEUE)
        done = uapi.ExtendedErr(*uapi.EXTENDED_ERR.unpack_from(control[0][2]))
        found += range(done.ee_info, done.ee_data + 1)
    return found


@pytest.mark.parametrize("family", [linux.AF_INET, linux.AF_INET6])
def test_completions_come_in_the_control_message_of_linux(hosts: tuple[Host, Host], family: int) -> None:
    with both(hosts, family) as pairs:
        found = []
        for pair in pairs:
            pair.near.setsockopt(linux.SOL_SOCKET, uapi.SO_ZEROCOPY, 1)
            answers = []
            for room in (0, 15, 16, 20, 32, 47, 48, 59, 60, 100):
                assert pair.near.send(b"x" * 1000, uapi.MSG_ZEROCOPY) == 1000
                assert len(pair.far.recv(1000, uapi.MSG_WAITALL)) == 1000
                assert settled(pair.near, select.POLLOUT | select.POLLERR) & select.POLLERR
                answers.append(pair.near.recvmsg(0, room, uapi.MSG_ERRQUEUE))
            with pytest.raises(BlockingIOError):
                pair.near.recvmsg(0, 100, uapi.MSG_ERRQUEUE)
            found.append(answers)
        assert found[0] == found[1]
