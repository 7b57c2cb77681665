"""A client's socket that threads share, that is closed during a call, or whose endpoint ends."""

from __future__ import annotations

import errno
import select
import threading
import time
from typing import Any

import pytest

from nodes.client.host import Host
from nodes.uapi import socket as uapi
from nodes.uapi.channel_closed import ChannelClosed
from tests.system.both_stacks import EVENTS, PATIENCE_S, our_pair, settled
from tests.system.network import Network

pytestmark = pytest.mark.system


def test_threads_share_a_socket(hosts: tuple[Host, Host]) -> None:
    """One receives, two send, on either end; no thread waits for another's call."""
    size = 2_000_000
    with our_pair(hosts) as pair:
        for sock in (pair.near, pair.far):
            sock.settimeout(PATIENCE_S)
        got: dict[Any, bytes] = {}

        def receive(sock: Any) -> None:
            got[sock] = sock.recv(2 * size, uapi.MSG_WAITALL)

        threads = [threading.Thread(target=receive, args=(sock,)) for sock in (pair.near, pair.far)]
        threads += [
            threading.Thread(target=sock.sendall, args=(letter * size,))
            for sock in (pair.near, pair.far)
            for letter in (b"a", b"b")
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)
        for sock in (pair.near, pair.far):
            assert (got[sock].count(b"a"), got[sock].count(b"b")) == (size, size)


def test_a_call_that_another_thread_is_blocked_in_outlives_close(hosts: tuple[Host, Host]) -> None:
    with our_pair(hosts) as pair:
        got: list[bytes] = []
        reader = threading.Thread(target=lambda: got.append(pair.near.recv(10)))
        reader.start()
        deadline = time.monotonic() + PATIENCE_S
        while pair.near._calls._idle:  # until the reader has taken the channel
            assert time.monotonic() < deadline
            time.sleep(0.005)
        pair.near.close()
        pair.far.sendall(b"late")
        reader.join(PATIENCE_S)
        assert got == [b"late"]
        assert pair.far.recv(1) == b""


def test_a_gone_endpoint_is_connection_reset(network: Network, hosts: tuple[Host, Host]) -> None:
    with our_pair(hosts) as pair:
        assert settled(pair.near, select.POLLOUT) == select.POLLOUT
        network.fabric.terminate(network.pids["h1"])
        assert settled(pair.near, EVENTS | select.POLLHUP) & select.POLLHUP
        for call in (lambda: pair.near.recv(1), lambda: pair.near.send(b"x"), pair.near.getsockname):
            with pytest.raises(ChannelClosed) as gone:
                call()
            assert gone.value.errno == errno.ECONNRESET
