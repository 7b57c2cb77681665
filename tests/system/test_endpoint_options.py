"""Options of the endpoint that change its device memory: --kernel, --nic, --trace."""

from __future__ import annotations

import errno
import hashlib
import json
import random
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack, closing

import pytest

from nodes.client.netdev import Attributes
from nodes.client.socket import Socket
from nodes.machine import dmabuf
from nodes.uapi import socket as uapi
from tests.system.network import PORT, Network, accept, bind_rx, listen, receive_devmem

pytestmark = pytest.mark.system


def restart(network: Network, *options: str) -> None:
    network.fabric.terminate(network.pids["h2"])
    network.start("h2", *options)


def test_a_trace_has_every_netmem_that_came_and_went(network: Network) -> None:
    trace = network.directory / "trace.jsonl"
    restart(network, "--kernel", "7.4-rc", "--trace", str(trace))
    with ExitStack() as stack:
        h2 = stack.enter_context(closing(network.host("h2")))
        memory = bind_rx(stack, h2)
        listener = listen(stack, h2)
        send = ["sh", "-c", f"head -c 300000 /dev/zero | nc -N {h2.address} {PORT}"]
        network.fabric.spawn("h1", send, "nc.log")
        server = accept(stack, listener)
        assert receive_devmem(server, memory, hashlib.sha256()) == 300_000
    network.fabric.terminate(network.pids["h2"])
    events = [json.loads(line) for line in trace.read_text().splitlines()]
    bound = [event for event in events if event.get("dmabuf_id")]
    held = [e["offset"] for e in bound if e["event"] == "page_pool_state_hold"]
    released = [e["offset"] for e in bound if e["event"] == "page_pool_state_release"]
    assert sorted(held) == sorted(released)
    assert len(held) % 64 == 0  # pools of 7.4 take 64 at once
    assert [e["hold"] for e in bound if "hold" in e] == [*range(1, len(held) + 1)]


def test_bind_tx_and_rx_page_size_exist_where_the_kernel_has_them(network: Network) -> None:
    absent = (errno.EOPNOTSUPP, errno.EINVAL)
    expected = {"6.12": absent, "7.2": (0, errno.EINVAL), "7.3": (0, 0)}
    for version, outcomes in expected.items():
        restart(network, "--kernel", version)
        with closing(network.host("h2")) as h2, closing(dmabuf.export(1 << 20)) as memory:
            h2.ethtool.rings_set({"tcp-data-split": "enabled"})
            request = {"ifindex": h2.ifindex, "fd": memory.fd}
            large = {**request, "queues": [{"type": "rx", "id": 1}], "rx-page-size": 16384}
            found = refusal(h2.netdev.bind_tx, request), refusal(h2.netdev.bind_rx, large)
            assert found == outcomes, version


@pytest.mark.parametrize(
    ("nic", "refusals"),
    [
        ("no-queue-management", (errno.EOPNOTSUPP, 0)),
        ("no-dma", (errno.EOPNOTSUPP, errno.EOPNOTSUPP)),
        ("no-netmem-tx", (0, errno.EOPNOTSUPP)),
        ("no-unreadable-pools", (errno.ENODATA, 0)),
        ("no-synced-pools", (errno.EOPNOTSUPP, 0)),
        ("no-order-0-pools", (errno.E2BIG, 0)),
    ],
)
def test_an_incomplete_driver_is_refused_by_the_kernels_errno(
    network: Network, nic: str, refusals: tuple[int, int]
) -> None:
    restart(network, "--nic", nic)
    with closing(network.host("h2")) as h2, closing(dmabuf.export(1 << 20)) as memory:
        h2.ethtool.rings_set({"tcp-data-split": "enabled"})
        request = {"ifindex": h2.ifindex, "fd": memory.fd}
        receiving = {**request, "queues": [{"type": "rx", "id": 1}]}
        assert (refusal(h2.netdev.bind_rx, receiving), refusal(h2.netdev.bind_tx, request)) == refusals
        assert not any("dmabuf" in queue for queue in h2.netdev.dump("queue-get")) or refusals[0] == 0


def refusal(call: Callable[[Attributes], object], request: Attributes) -> int | None:
    """The errno that the call is refused with, 0 if it is not."""
    try:
        call(request)
    except OSError as refused:
        return refused.errno
    return 0


@pytest.mark.parametrize("several", [False, True], ids=["recvmsg", "recvmsg_into two buffers"])
def test_the_client_gives_linear_bytes_as_data_in_control_message_order(
    network: Network, several: bool
) -> None:
    restart(network, "--nic", "fixed-split")
    content = random.Random(8).randbytes(200_000)
    file = network.directory / "content"
    file.write_bytes(content)
    with ExitStack() as stack:
        h2 = stack.enter_context(closing(network.host("h2")))
        memory = bind_rx(stack, h2)
        listener = listen(stack, h2)
        network.fabric.spawn("h1", ["sh", "-c", f"nc -N {h2.address} {PORT} < {file}"], "nc.log")
        server = accept(stack, listener)
        received, kinds = bytearray(), set()
        while len(received) < len(content):
            data, control = receive(server, several)
            at = 0
            for _, kind, body in control:
                kinds.add(kind)
                frag = uapi.DmabufCmsg(*uapi.DMABUF_CMSG.unpack(body))
                if kind == uapi.SCM_DEVMEM_LINEAR:
                    received += data[at : at + frag.frag_size]
                    at += frag.frag_size
                else:
                    received += memory.view[frag.frag_offset : frag.frag_offset + frag.frag_size]
                    server.dontneed(uapi.DMABUF_TOKEN.pack(frag.frag_token, 1))
            if not control:  # a packet so short that it lies in the header buffer
                received += data
        assert received == content
        assert kinds == {uapi.SCM_DEVMEM_LINEAR, uapi.SCM_DEVMEM_DMABUF}


def receive(sock: Socket, several: bool) -> tuple[bytes, list[tuple[int, int, bytes]]]:
    if not several:
        data, control, _, _ = sock.recvmsg(100_000, 10_000, uapi.MSG_SOCK_DEVMEM)
        return data, control
    buffers = [bytearray(50), bytearray(70_000)]
    count, control, _, _ = sock.recvmsg_into(buffers, 10_000, uapi.MSG_SOCK_DEVMEM)
    in_device = sum(
        uapi.DMABUF_CMSG.unpack(body)[1] for _, kind, body in control if kind == uapi.SCM_DEVMEM_DMABUF
    )
    return bytes(buffers[0] + buffers[1])[: count - in_device], control


def test_msg_waitall_gives_what_has_come_when_its_time_is_over(network: Network) -> None:
    with ExitStack() as stack:
        h1, h2 = (stack.enter_context(closing(network.host(name))) for name in ("h1", "h2"))
        listener = listen(stack, h2, 5000)
        client = stack.enter_context(closing(h1.socket()))
        client.connect((h2.address, 5000))
        server = accept(stack, listener)
        client.sendall(b"half")
        assert server.recv(4, uapi.MSG_PEEK | uapi.MSG_WAITALL) == b"half"
        server.settimeout(0.3)
        assert server.recv(8, uapi.MSG_WAITALL) == b"half"
        with pytest.raises(TimeoutError):
            server.recv(8, uapi.MSG_WAITALL)
        server.settimeout(20)
        later = threading.Timer(0.1, client.sendall, [b"otherhalf"])
        later.start()
        assert server.recv(9, uapi.MSG_WAITALL) == b"otherhalf"
        later.join()


def test_a_trace_that_cannot_be_written_is_refused(network: Network) -> None:
    interface = network.nic("h1").interface
    argv = [
        sys.executable, "-m", "nodes.endpoint", "--interface", interface, "--address", "10.0.9.9/16",
        "--channel", str(network.directory / "x.sock"), "--trace", "/nowhere/x",
    ]  # fmt: skip
    done = network.fabric.run("h1", argv, 20)
    assert done.status == 1
    assert done.stderr == "endpoint: --trace '/nowhere/x' cannot be written: No such file or directory\n"
