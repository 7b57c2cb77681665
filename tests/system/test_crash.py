"""kill -9 at random moments: of an application that holds tokens, of an endpoint with applications attached.

What must follow: bindings, tokens and memory of the dead are gone, all net_iovs are accounted for, the peer
sees a reset, or its TCP_USER_TIMEOUT when no endpoint is left to send one.
"""

from __future__ import annotations

import os
import random
import signal
import socket as linux
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress

import pytest

from nodes.client.host import Host
from tests.system.network import PORT, Network

pytestmark = pytest.mark.system

MOMENTS = 10
TCP_USER_TIMEOUT = 18

# Receives into device memory for ever and returns only every other token.
_HOARDER = """
import sys
from nodes.uapi import socket as uapi
from nodes.client.host import Host
from nodes.machine import dmabuf
host, port = Host(sys.argv[1]), int(sys.argv[2])
memory = dmabuf.export(4 << 20)
host.ethtool.rings_set({"tcp-data-split": "enabled", "hds-thresh": 0})
host.ethtool.ntuple_insert({"dst-port": port, "queue": 3, "location": 0})
host.netdev.bind_rx({"ifindex": host.ifindex, "fd": memory.fd, "queues": [{"type": "rx", "id": 3}]})
listener = host.socket(); listener.bind((host.address, port)); listener.listen()
print("ready", flush=True)
sock, _ = listener.accept()
while True:
    _, control, _, _ = sock.recvmsg_into([1 << 16], 4000, uapi.MSG_SOCK_DEVMEM)
    for _, _, body in control[::2]:
        token = uapi.DMABUF_CMSG.unpack(body)[2]
        sock.setsockopt(uapi.SOL_SOCKET, uapi.SO_DEVMEM_DONTNEED, uapi.DMABUF_TOKEN.pack(token, 1))
"""


@contextmanager
def hoarder(network: Network, port: int) -> Iterator[subprocess.Popen[str]]:
    argv = [sys.executable, "-c", _HOARDER, network.channel("h2"), str(port)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def pour(sock: linux.socket, for_s: float) -> None:
    """Send as much as the other end takes."""
    sock.setblocking(False)
    until = time.monotonic() + for_s
    while time.monotonic() < until:
        with suppress(BlockingIOError):
            sock.send(bytes(1 << 16))
        time.sleep(0.001)
    sock.setblocking(True)


def eventually(done: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 10
    while not done():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def nothing_bound(host: Host) -> bool:
    """No queue is bound, no page pool of a dma-buf waits for its net_iovs."""
    pools = host.netdev.page_pool_get()
    return not any("dmabuf" in each for each in (*host.netdev.queue_get(), *pools))


def mapped_dmabufs(pid: int) -> int:
    """How many dma-bufs a process still maps."""
    with open(f"/proc/{pid}/maps") as maps:
        return sum("/memfd:dmabuf" in line for line in maps)


def test_a_killed_application_leaves_no_token_no_binding_and_no_memory(network: Network, soak: bool) -> None:
    seed = 20261
    print(f"seed {seed}")
    chance = random.Random(seed)
    network.host("h1").close()
    with closing(network.host("h2")) as h2:
        for moment in range(50 if soak else MOMENTS):
            port = PORT + moment
            with hoarder(network, port) as process, kernel_socket(network) as peer:
                peer.connect((network.address("h2"), port))
                pour(peer, chance.uniform(0.0, 0.25))
                process.send_signal(signal.SIGKILL)
                with pytest.raises((ConnectionResetError, BrokenPipeError)):
                    while True:
                        peer.send(bytes(1 << 16))
            eventually(lambda: nothing_bound(h2), f"moment {moment}: {h2.netdev.page_pool_get()}")
            eventually(lambda: mapped_dmabufs(network.pids["h2"]) == 0, "the dma-buf is still mapped")


@contextmanager
def kernel_socket(network: Network) -> Iterator[linux.socket]:
    """A Linux TCP socket of h1."""
    with closing(network.host("h1")) as h1, h1.kernel_socket() as sock:
        sock.settimeout(20)
        yield sock


def test_a_killed_endpoint_ends_its_calls_and_its_peers_by_user_timeout(
    network: Network, soak: bool
) -> None:
    seed = 20262
    print(f"seed {seed}")
    chance = random.Random(seed)
    network.host("h1").close()
    for _ in range(50 if soak else MOMENTS):
        network.host("h2").close()
        with hoarder(network, PORT) as process, kernel_socket(network) as peer:
            peer.connect((network.address("h2"), PORT))
            pour(peer, chance.uniform(0.0, 0.2))
            peer.setsockopt(linux.IPPROTO_TCP, TCP_USER_TIMEOUT, 300)
            os.kill(network.pids["h2"], signal.SIGKILL)
            assert process.wait(10) == 1  # ChannelClosed, a ConnectionError
            with pytest.raises(TimeoutError):
                while True:
                    peer.send(bytes(1 << 16))
            assert mapped_nowhere(network.pids["h2"])
        os.unlink(network.channel("h2"))
        network.start("h2")


def mapped_nowhere(pid: int) -> bool:
    with suppress(FileNotFoundError, ProcessLookupError):
        return mapped_dmabufs(pid) == 0
    return True
