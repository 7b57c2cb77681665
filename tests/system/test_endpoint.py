"""Endpoints in Mininet hosts, against each other and against Linux: real processes, real wire."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import select
import signal
import socket as linux
import sys
import threading
import time
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from nodes.client.host import Host
from nodes.machine import dmabuf
from nodes.uapi import socket as uapi
from tests.system.network import (
    MIB,
    PORT,
    Network,
    accept,
    bind_rx,
    connect_when_open,
    listen,
    receive_devmem,
)

pytestmark = pytest.mark.system

@pytest.mark.usefixtures("hosts")
def test_ping_reaches_the_endpoint_and_the_kernel_of_the_same_host(network: Network) -> None:
    for address in (network.address("h2"), network.kernel_address("h2")):
        done = network.fabric.run("h1", ["ping", "-c", "2", "-i", "0.1", "-W", "5", address], 15)
        assert done.status == 0, done.stdout


def test_a_ping_larger_than_the_mtu_is_answered_in_fragments(
    network: Network, hosts: tuple[Host, Host]
) -> None:
    for address in (network.address("h2"), network.address6("h2")):
        ping = ["ping", "-c", "2", "-i", "0.1", "-W", "5", "-s", "4000", address]
        done = network.fabric.run("h1", ping, 20)
        assert done.status == 0, done.stdout
    counters = hosts[1].snmp()
    assert (counters["IpFragOKs"], counters["Ip6FragOKs"]) == (2, 2)
    assert counters["IpFragCreates"] == counters["Ip6FragCreates"] == 2 * 3


@pytest.mark.parametrize("niov_size", [4096, 65536])
def test_devmem_stream_between_endpoints_is_exact(hosts: tuple[Host, Host], niov_size: int) -> None:
    h1, h2 = hosts
    content = random.Random(1).randbytes(8 * MIB)
    with ExitStack() as stack:
        memory = bind_rx(stack, h2, niov_size=niov_size)
        listener = listen(stack, h2)
        source = stack.enter_context(closing(dmabuf.export(len(content))))
        source.view[:] = content
        tx_id = h1.netdev.bind_tx({"ifindex": h1.ifindex, "fd": source.fd})["id"]
        client = stack.enter_context(closing(h1.socket()))
        client.settimeout(20)
        client.setsockopt(uapi.SOL_SOCKET, uapi.SO_ZEROCOPY, 1)
        client.connect((h2.address, PORT))
        server = accept(stack, listener)

        def send() -> None:
            control = [(uapi.SOL_SOCKET, uapi.SCM_DEVMEM_DMABUF, uapi.TX_DMABUF_ID.pack(tx_id))]
            at = 0
            while at < len(content):
                at += client.sendmsg([(at, min(MIB, len(content) - at))], control, uapi.MSG_ZEROCOPY)
            client.wait_completions(1)
            client.shutdown(linux.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        digest = hashlib.sha256()
        assert receive_devmem(server, memory, digest) == len(content)
        sender.join(10)
        assert digest.digest() == hashlib.sha256(content).digest()
        for host in hosts:
            payload = [m for m in host.stats().ledger if m.route.what == "payload"]
            assert all("host" not in (m.route.source, m.route.destination) for m in payload)
        qstats = h2.netdev.qstats_get({"ifindex": h2.ifindex, "scope": "queue"})
        assert qstats[7]["rx-bytes"] > len(content)


def test_linux_sends_into_device_memory(network: Network, hosts: tuple[Host, Host]) -> None:
    """nc of the other host's kernel to a devmem socket: SHA-256 of 32 MiB."""
    _, h2 = hosts
    content = random.Random(2).randbytes(32 * MIB)
    file = network.directory / "content"
    file.write_bytes(content)
    with ExitStack() as stack:
        memory = bind_rx(stack, h2, niov_size=65536)
        listener = listen(stack, h2)
        network.fabric.spawn("h1", ["sh", "-c", f"nc -N {h2.address} {PORT} < {file}"], "nc.log")
        digest = hashlib.sha256()
        assert receive_devmem(accept(stack, listener), memory, digest) == len(content)
        assert digest.digest() == hashlib.sha256(content).digest()


@pytest.mark.parametrize("offloads", ["on", "off"])
def test_device_memory_is_sent_to_linux(network: Network, hosts: tuple[Host, Host], offloads: str) -> None:
    """From a dma-buf to nc of the other host's kernel, with its offloads on and off."""
    h1, _ = hosts
    size = 32 * MIB if offloads == "on" else 8 * MIB
    content = random.Random(3).randbytes(size)
    interface = network.nic("h2").interface
    if offloads == "off":
        flags = [w for f in ("tso", "gso", "gro", "tx", "rx", "sg") for w in (f, "off")]
        assert network.fabric.run("h2", ["ethtool", "-K", interface, *flags], 10).status == 0
    output = network.directory / "sum"
    receiver = f"nc -l -p {PORT} -s {network.kernel_address('h2')} | sha256sum > {output}"
    pid = network.fabric.spawn("h2", ["sh", "-c", receiver], "nc.log")
    with ExitStack() as stack:
        source = stack.enter_context(closing(dmabuf.export(size)))
        source.view[:] = content
        tx_id = h1.netdev.bind_tx({"ifindex": h1.ifindex, "fd": source.fd})["id"]
        client = connect_when_open(stack, h1, (network.kernel_address("h2"), PORT))
        client.setsockopt(uapi.SOL_SOCKET, uapi.SO_ZEROCOPY, 1)
        control = [(uapi.SOL_SOCKET, uapi.SCM_DEVMEM_DMABUF, uapi.TX_DMABUF_ID.pack(tx_id))]
        assert client.sendmsg([(0, size)], control, uapi.MSG_ZEROCOPY) == size
        client.wait_completions(1)
        client.shutdown(linux.SHUT_WR)
        deadline = time.monotonic() + 20
        while not (output.exists() and output.read_text()) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert output.read_text().split()[0] == hashlib.sha256(content).hexdigest(), pid


def test_linux_peer_with_offloads_off_sends_into_device_memory(
    network: Network, hosts: tuple[Host, Host]
) -> None:
    """Ordinary frames with whole checksums: the NIC verifies them."""
    _, h2 = hosts
    interface = network.nic("h1").interface
    flags = [w for f in ("tso", "gso", "gro", "tx", "rx", "sg") for w in (f, "off")]
    assert network.fabric.run("h1", ["ethtool", "-K", interface, *flags], 10).status == 0
    file = network.directory / "content"
    content = random.Random(4).randbytes(4 * MIB)
    file.write_bytes(content)
    with ExitStack() as stack:
        memory = bind_rx(stack, h2)
        listener = listen(stack, h2)
        network.fabric.spawn("h1", ["sh", "-c", f"nc -N {h2.address} {PORT} < {file}"], "nc.log")
        digest = hashlib.sha256()
        assert receive_devmem(accept(stack, listener), memory, digest) == len(content)
        assert digest.digest() == hashlib.sha256(content).digest()


@pytest.mark.parametrize("registered", [True, False])
def test_ordinary_reads_and_writes_work_from_any_buffer(hosts: tuple[Host, Host], registered: bool) -> None:
    h1, h2 = hosts
    content = random.Random(5).randbytes(3 * MIB + 7)
    with ExitStack() as stack:
        listener = listen(stack, h2, 5000)
        client = stack.enter_context(closing(h1.socket()))
        client.settimeout(20)
        client.connect((h2.address, 5000))
        server = accept(stack, listener)
        out: memoryview | bytearray = bytearray(content)
        into: memoryview | bytearray = bytearray(len(content))
        if registered:
            sent, taken = h1.memory(len(content)), h2.memory(len(content))
            stack.callback(sent.close)
            stack.callback(taken.close)
            sent.view[:] = content
            out, into = sent.view, taken.view

        def send() -> None:
            client.sendall(out)
            client.shutdown(linux.SHUT_WR)

        thread = threading.Thread(target=send)
        thread.start()
        at, view = 0, memoryview(into)
        while count := server.recv_into(view[at : at + MIB]):
            at += count
        thread.join(10)
        assert bytes(into) == content
        assert server.recv(1) == b""
        del view


def test_bind_rx_is_refused_as_the_kernel_refuses(hosts: tuple[Host, Host]) -> None:
    _, h2 = hosts
    with closing(dmabuf.export(MIB)) as memory:
        request = {"ifindex": h2.ifindex, "fd": memory.fd, "queues": [{"type": "rx", "id": 1}]}

        def refusal(**changed: object) -> int | None:
            with pytest.raises(OSError) as e:
                h2.netdev.bind_rx({**request, **changed})
            return e.value.errno

        assert refusal() == errno.EINVAL  # header split is not enabled
        h2.ethtool.rings_set({"tcp-data-split": "enabled", "hds-thresh": 0})
        assert refusal(ifindex=999) == errno.ENODEV
        assert refusal(queues=[]) == errno.EINVAL
        assert refusal(queues=[{"type": "tx", "id": 1}]) == errno.EINVAL
        assert refusal(queues=[{"type": "rx", "id": 8}]) == errno.EINVAL
        assert refusal(fd=987) == errno.EBADF
        assert refusal(fd=1) == errno.EINVAL
        assert refusal(**{"rx-page-size": 5000}) == errno.EINVAL
        assert refusal(**{"no-such-attribute": 1}) == errno.EINVAL
        assert h2.netdev.bind_rx(request) == {"id": 2}  # the refusal at a queue used up id 1
        assert refusal() == errno.EEXIST
        assert h2.netdev.queue_get({"ifindex": h2.ifindex})[1]["dmabuf"] == 2


def test_a_dead_process_loses_its_binding_and_its_peer_a_reset(
    network: Network, hosts: tuple[Host, Host]
) -> None:
    """kill -9 of an application that holds tokens: the kernel, here the endpoint, cleans up after it."""
    h1, h2 = hosts
    ready = network.directory / "ready"
    program = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from nodes.client.host import Host
from nodes.machine import dmabuf
h = Host({network.channel("h2")!r})
h.ethtool.rings_set({{"tcp-data-split": "enabled", "hds-thresh": 0}})
m = dmabuf.export(1 << 20)
h.ethtool.ntuple_insert({{"dst-port": {PORT}, "queue": 3}})
h.netdev.bind_rx({{"ifindex": h.ifindex, "fd": m.fd, "queues": [{{"type": "rx", "id": 3}}]}})
s = h.socket(); s.bind((h.address, {PORT})); s.listen()
open({str(ready)!r}, "w").close()
c, _ = s.accept()
print(c.recvmsg_into([1000], 4096, {uapi.MSG_SOCK_DEVMEM}), flush=True)
open({str(ready)!r} + "2", "w").close()
import time; time.sleep(60)
"""
    pid = os.posix_spawn(sys.executable, [sys.executable, "-c", program], os.environ)
    try:
        wait_for(ready)
        with closing(h1.socket()) as client:
            client.settimeout(10)
            client.connect((h2.address, PORT))
            client.sendall(b"x" * 5000)
            wait_for(Path(f"{ready}2"))
            assert h2.netdev.queue_get()[3]["dmabuf"] == 1
            os.kill(pid, signal.SIGKILL)
            with pytest.raises(ConnectionResetError):
                while client.recv(1):
                    pass
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert "dmabuf" not in h2.netdev.queue_get()[3]
    pools = h2.netdev.page_pool_get()
    assert all("dmabuf" not in pool for pool in pools)


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 10
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not come"
        time.sleep(0.02)


def test_the_memory_ceiling_slows_copies_and_not_device_memory(network: Network) -> None:
    """64 MB/s of host memory: 4 MiB of ordinary data take their four accesses' time at least."""
    network.fabric.terminate(network.pids["h2"])
    network.start("h2", "--host-mem-bw", "64e6")
    with ExitStack() as stack:
        h1 = stack.enter_context(closing(network.host("h1")))
        h2 = stack.enter_context(closing(network.host("h2")))
        assert h2.buses.by_name["memory"].bytes_per_second == 64e6
        listener = listen(stack, h2, 5000)
        client = stack.enter_context(closing(h1.socket()))
        client.settimeout(20)
        client.connect((h2.address, 5000))
        server = accept(stack, listener)
        size = 4 * MIB
        started = time.monotonic()
        thread = threading.Thread(target=client.sendall, args=(bytes(size),))
        thread.start()
        got = 0
        while got < size:
            got += len(server.recv(MIB))
        took = time.monotonic() - started
        thread.join(10)
        assert took >= 3 * size / 64e6  # the NIC's write, the copy's read and write


def test_two_sockets_watched_by_poll_wake_it(hosts: tuple[Host, Host]) -> None:
    h1, h2 = hosts
    with ExitStack() as stack:
        listener = listen(stack, h2, 5000)
        client = stack.enter_context(closing(h1.socket()))
        client.settimeout(10)
        poll = select.poll()
        poll.register(listener.fileno(), select.POLLIN)
        assert poll.poll(50) == []
        client.connect((h2.address, 5000))
        assert poll.poll(5000) != []
        server = accept(stack, listener)
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.recv(10)
        poll.register(server.fileno(), select.POLLIN)
        poll.unregister(listener.fileno())
        client.sendall(b"abc")
        assert poll.poll(5000) != []
        assert server.recv(2) == b"ab"
        assert poll.poll(1000) != []  # still readable
        assert server.recv(2) == b"c"


def test_a_closed_host_has_been_unbound(network: Network, hosts: tuple[Host, Host]) -> None:
    """When close() returns the endpoint has undone it, as a kernel has when close(2) of netlink returns."""
    h1, _ = hosts
    h1.ethtool.rings_set({"tcp-data-split": "enabled"})
    for _ in range(20):
        owner = network.host("h1")
        with closing(dmabuf.export(1 << 20)) as memory:
            request = {"ifindex": h1.ifindex, "fd": memory.fd, "queues": [{"type": "rx", "id": 3}]}
            owner.netdev.bind_rx(request)
            owner.close()
            owner.close()
        assert "dmabuf" not in h1.netdev.queue_get()[3]


def test_nonsense_from_an_application_is_refused_and_ends_no_other(hosts: tuple[Host, Host]) -> None:
    h1, h2 = hosts
    with ExitStack() as stack:
        listener = listen(stack, h2, 5000)
        client = stack.enter_context(closing(h1.socket()))
        for call in (client.connect, client.bind):
            with pytest.raises(OverflowError):
                call((h2.address, 70000))
        client.connect((h2.address, 5000))
        server = accept(stack, listener)
        server.dontneed(b"")  # refused without a word: the next call gets its own answer
        client.sendall(b"still here")
        with pytest.raises(ValueError, match="negative"):
            server.recv(-1)
        assert server.recv(100) == b"still here"
        waiting = threading.Thread(target=client.recv, args=(1,))
        waiting.start()
        with closing(client.dup()) as other:
            other.shutdown(linux.SHUT_RDWR)
        waiting.join(5)
        assert not waiting.is_alive()
