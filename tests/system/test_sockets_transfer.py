"""Data through a client's sockets: whole reads and sends, errors on the way, timeouts of a whole call."""

from __future__ import annotations

import socket as linux
import struct
import threading
import time
from contextlib import ExitStack, closing
from typing import Any

import pytest

from nodes.client.host import Host
from nodes.uapi import socket as uapi
from nodes.uapi.syscalls import INLINE_BYTES
from tests.system.both_stacks import CONTENT, PATIENCE_S, PORT, all_arrived, our_pair, reset, sending

pytestmark = pytest.mark.system


def test_msg_waitall_fills_any_buffer_of_any_length(hosts: tuple[Host, Host]) -> None:
    size = len(CONTENT)
    with our_pair(hosts) as pair:
        for timeout in (None, PATIENCE_S):
            pair.far.settimeout(timeout)
            buffer = bytearray(size)
            with sending(pair.near, CONTENT):
                assert pair.far.recv_into(buffer, 0, uapi.MSG_WAITALL) == size
            assert buffer == CONTENT
            with sending(pair.near, CONTENT[:400_000]):
                assert pair.far.recv(400_000, uapi.MSG_WAITALL) == CONTENT[:400_000]
        with sending(pair.near, CONTENT):
            assert pair.far.recvmsg(size, 0, uapi.MSG_WAITALL) == (CONTENT, [], 0, None)
        parts = bytearray(100), bytearray(size - 300), bytearray(200)
        with sending(pair.near, CONTENT):
            assert pair.far.recvmsg_into(parts, 0, uapi.MSG_WAITALL)[0] == size
        assert b"".join(parts) == CONTENT


def test_a_read_gives_all_that_is_there_and_never_more_than_its_buffers_hold(
    hosts: tuple[Host, Host],
) -> None:
    with our_pair(hosts, rcvbuf_bytes=1 << 20) as pair:
        for size in (INLINE_BYTES, INLINE_BYTES + 1, 500_000):
            pair.near.sendall(CONTENT[:size])
            all_arrived(hosts[1], pair.far, size)
            assert pair.far.recv(1 << 20) == CONTENT[:size]
        pair.near.sendall(CONTENT[:1000])
        all_arrived(hosts[1], pair.far, 1000)
        buffer = bytearray(100)
        assert pair.far.recvmsg_into([buffer, 5000], 4096, uapi.MSG_SOCK_DEVMEM)[0] == 100
        assert buffer == CONTENT[:100]
        assert pair.far.recv(1000) == CONTENT[100:1000]


def test_what_came_before_a_reset_is_returned_and_the_reset_told_next(hosts: tuple[Host, Host]) -> None:
    with our_pair(hosts, rcvbuf_bytes=1 << 20) as pair:
        pair.near.sendall(CONTENT[:300_000])
        all_arrived(hosts[1], pair.far, 300_000)
        reset(pair.near)
        assert pair.far.recv(1 << 20, uapi.MSG_WAITALL) == CONTENT[:300_000]
        with pytest.raises(ConnectionResetError):
            pair.far.recv(1)
        assert pair.far.recv(1) == b""


def test_a_send_that_fails_on_its_way_returns_the_count_and_the_next_one_fails(
    hosts: tuple[Host, Host],
) -> None:
    with our_pair(hosts) as pair:
        pair.near.settimeout(None)
        counts: list[int] = []
        size = 64 << 20
        sender = threading.Thread(target=lambda: counts.append(pair.near.send(bytes(size))))
        sender.start()
        assert pair.far.recv(1000, uapi.MSG_WAITALL) == bytes(1000)
        reset(pair.far)
        sender.join(PATIENCE_S)
        assert 1000 <= counts[0] < size
        with pytest.raises(ConnectionResetError):
            pair.near.send(b"x")
        with pytest.raises(BrokenPipeError):
            pair.near.send(b"x")


def test_a_timeout_bounds_the_whole_call_and_loses_no_count(hosts: tuple[Host, Host]) -> None:
    with our_pair(hosts) as pair, closing(hosts[0].memory(64 << 20)) as memory:
        for data in (bytes(64 << 20), memory.view):
            near = pair.open()
            near.connect(pair.far.getsockname())
            near.settimeout(0.3)
            started = time.monotonic()
            sent = near.send(data)
            assert time.monotonic() - started >= 0.3
            assert 0 < sent < len(data)
            with pytest.raises(TimeoutError):
                while True:
                    near.sendall(data)


def half_a_second(sock: Any, number: int) -> None:
    """SO_RCVTIMEO or SO_SNDTIMEO, set through a dup."""
    sock.settimeout(None)
    with sock.dup() as twin:
        twin.setsockopt(linux.SOL_SOCKET, number, struct.pack("=qq", 0, 500_000))


def test_so_rcvtimeo_bounds_the_whole_call(hosts: tuple[Host, Host]) -> None:
    """Each part comes in time; all parts together do not."""
    part, parts, over = bytes(INLINE_BYTES), 20, threading.Event()
    with our_pair(hosts, rcvbuf_bytes=1 << 20) as pair, ExitStack() as stack:
        pair.near.sendall(2 * part)
        all_arrived(hosts[1], pair.far, len(2 * part))
        half_a_second(pair.far, uapi.SO_RCVTIMEO)

        def send_slowly() -> None:
            for _ in range(parts):
                over.wait(0.25)
                pair.near.sendall(part)

        sender = threading.Thread(target=send_slowly)
        sender.start()
        stack.callback(sender.join, PATIENCE_S)
        stack.callback(over.set)
        count = len(pair.far.recv((2 + parts) * len(part), uapi.MSG_WAITALL))
        assert len(2 * part) <= count < (2 + parts) * len(part)


def test_so_sndtimeo_bounds_the_whole_call(hosts: tuple[Host, Host]) -> None:
    data, over = bytes(3 << 20), threading.Event()
    with ExitStack() as stack:
        listener = stack.enter_context(hosts[1].socket())
        listener.setsockopt(linux.SOL_SOCKET, linux.SO_RCVBUF, 32768)
        listener.bind(("", PORT))
        listener.listen()
        near = stack.enter_context(hosts[0].socket())
        near.setsockopt(linux.SOL_SOCKET, linux.SO_SNDBUF, 65536)
        near.connect((hosts[1].address, PORT))
        far = stack.enter_context(listener.accept()[0])
        half_a_second(near, uapi.SO_SNDTIMEO)

        def receive_slowly() -> None:
            while far.recv(65536, uapi.MSG_WAITALL):
                over.wait(0.1)

        receiver = threading.Thread(target=receive_slowly)
        receiver.start()
        stack.callback(receiver.join, PATIENCE_S)
        stack.callback(near.shutdown, linux.SHUT_WR)
        stack.callback(over.set)
        assert 0 < near.send(data) < len(data)
