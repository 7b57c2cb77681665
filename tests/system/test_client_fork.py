"""Objects of the client and os.fork: nothing of the parent's ends, and the child works."""

from __future__ import annotations

import gc
import os
import select
import socket as linux
import socketserver
import struct
import threading
import traceback
import warnings
from collections.abc import Callable
from contextlib import ExitStack, closing
from typing import Any, cast

import pytest

from nodes.client.host import Host
from nodes.machine import dmabuf
from tests.system.both_stacks import CONTENT, PATIENCE_S, World, answer_alike, our_pair, until
from tests.system.network import MIB, Network, bind_rx

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

Hosts = tuple[Host, Host]


def in_child(work: Callable[[], None]) -> int:
    """The exit status of a forked child that did `work`: 0, or 1 after a traceback."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    try:
        work()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def bound(host: Host) -> set[int]:
    return {queue["dmabuf"]["id"] if isinstance(queue["dmabuf"], dict) else 1
            for queue in host.netdev.queue_get() if "dmabuf" in queue}  # fmt: skip


def test_a_childs_close_ends_nothing_of_the_parents(hosts: Hosts) -> None:
    h1, _ = hosts
    with ExitStack() as stack, our_pair(hosts) as pair:
        bind_rx(stack, h1)
        memory = stack.enter_context(closing(h1.memory(4096)))
        before = bound(h1)
        assert before
        pair.near.fileno()

        def close_everything() -> None:
            memory.close()
            pair.near.close()
            pair.far.close()
            pair.listener.close()
            h1.close()

        assert in_child(close_everything) == 0
        assert bound(h1) == before
        pair.far.sendall(b"whole")
        assert pair.near.recv_into(memory.view[:5], 0, linux.MSG_WAITALL) == 5
        assert bytes(memory.view[:5]) == b"whole"


def test_a_child_works_with_every_object_that_it_inherits(hosts: Hosts) -> None:
    h1, _ = hosts
    with ExitStack() as stack, our_pair(hosts) as pair:
        memory = stack.enter_context(closing(h1.memory(4096)))
        pair.far.sendall(b"to the child")

        def use_everything() -> None:
            count = pair.near.recv_into(memory.view)
            assert bytes(memory.view[:count]) == b"to the child"
            pair.near.sendall(b"from the child")
            assert select.select([pair.near], [], [], 0)[0] == []
            assert h1.ethtool.rings_get()
            assert h1.netdev.dev_get()
            assert h1.stats().cpu_s > 0
            with closing(h1.memory(4096)) as own, closing(dmabuf.export(MIB)) as device:
                pair.near.send(own.view[:1])
                assert h1.netdev.bind_tx({"ifindex": h1.ifindex, "fd": device.fd})["id"]
            with h1.socket() as fresh:
                fresh.connect(pair.near.getpeername())
            h1.kernel_socket().close()
            h1.close()

        assert in_child(use_everything) == 0
        assert pair.far.recv(100, linux.MSG_WAITALL | linux.MSG_DONTWAIT) == b"from the child\0"
        pair.near.sendall(b"the parent's")
        assert pair.far.recv(100) == b"the parent's"


def test_a_child_forked_while_threads_are_blocked_neither_hangs_nor_disturbs(hosts: Hosts) -> None:
    with our_pair(hosts) as pair:
        got: list[bytes] = []
        readers = [threading.Thread(target=lambda: got.append(pair.near.recv(1))) for _ in range(3)]
        for reader in readers:
            reader.start()
        until(lambda: len(pair.near._calls._open) >= 3)

        def use_and_close() -> None:
            pair.near.sendall(b"c")
            pair.near.close()
            hosts[0].snmp()

        assert in_child(use_and_close) == 0
        assert pair.far.recv(1) == b"c"
        pair.far.sendall(b"xyz")
        for reader in readers:
            reader.join(PATIENCE_S)
        assert sorted(got) == [b"x", b"y", b"z"]


def test_a_parent_closes_its_host_while_the_child_has_it(hosts: Hosts, network: Network) -> None:
    with ExitStack() as stack:
        own = network.host("h1")
        bind_rx(stack, own)
        (leave_read, leave) = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(leave)
            os.read(leave_read, 1)
            os._exit(0 if own.netdev.dev_get() else 1)
        own.close()
        assert bound(hosts[0]) == set(), "close() returns when the bindings have ended"
        os.close(leave)
        os.close(leave_read)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_socket_lives_as_long_as_a_process_holds_it_as_in_linux(network: Network, hosts: Hosts) -> None:
    def handed_to_a_child(world: World) -> None:
        client, server = world.connected()
        go, going = os.pipe()
        pid = os.fork()
        if not pid:
            os.read(go, 1)
            server.sendall(b"from the child")
            server.close()
            os._exit(0)
        server.close()
        client.setblocking(False)
        world.ask(client.recv, 100)
        client.setblocking(True)
        os.write(going, b"1")
        world.ask(client.recv, 14, linux.MSG_WAITALL)
        world.ask(client.recv, 1)
        world.ask(os.waitstatus_to_exitcode, os.waitpid(pid, 0)[1])
        os.close(go)
        os.close(going)

    def shut_down_by_a_child(world: World) -> None:
        client, server = world.connected()
        world.ask(in_child, lambda: server.shutdown(linux.SHUT_WR))
        world.ask(client.recv, 1)
        world.ask(server.send, b"x")

    answer_alike(network, hosts, [handed_to_a_child, shut_down_by_a_child])


def test_a_forking_server_serves_every_connection(hosts: Hosts) -> None:
    h1, h2 = hosts

    class Echo(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            size = struct.unpack("!I", self.request.recv(4, linux.MSG_WAITALL))[0]
            self.request.sendall(self.request.recv(size, linux.MSG_WAITALL))

    class Server(socketserver.ForkingTCPServer):
        def __init__(self) -> None:
            socketserver.BaseServer.__init__(self, (h2.address, 7100), Echo)
            self.socket = cast(Any, h2.socket())
            self.server_bind()
            self.server_activate()

    with Server() as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.05,))
        serving.start()
        try:
            for size in (1, 1000, 200_000):
                with h1.socket() as sock:
                    sock.settimeout(PATIENCE_S)
                    sock.connect((h2.address, 7100))
                    sock.sendall(struct.pack("!I", size) + CONTENT[:size])
                    assert sock.recv(size, linux.MSG_WAITALL) == CONTENT[:size]
                    assert sock.recv(1) == b""
        finally:
            server.shutdown()
            serving.join(PATIENCE_S)


def test_a_binding_that_ends_with_a_collected_host_is_warned_of(network: Network) -> None:
    def leave_bound(closed: bool) -> None:
        host = network.host("h1")
        with closing(dmabuf.export(MIB)) as device:
            host.netdev.bind_tx({"ifindex": host.ifindex, "fd": device.fd})
        if closed:
            host.close()

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", ResourceWarning)
        leave_bound(closed=True)
        gc.collect()
        assert said == []
        leave_bound(closed=False)
        gc.collect()
    texts = [str(each.message) for each in said if "its bindings end (dmabuf_id" in str(each.message)]
    assert len(texts) == 1
    assert network.channel("h1") in texts[0]
