"""Streams over any socket, ours or Linux's, and what became of them.

In: connected sockets, a size, a seed. Out: the SHA-256 of what was sent and of what came. Owns nothing but
the threads of one call, which have ended when it returns.
"""

from __future__ import annotations

import hashlib
import re
import socket as linux
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass

import numpy as np
import pytest

from nodes.client.host import Host
from nodes.client.socket import Socket
from tests.system.network import MIB, Network, accept, connect_when_open, listen

AnySocket = Socket | linux.socket
_BUFFER = MIB


@dataclass
class Stream:
    """One connection between our stack on h2 and Linux on h1, and memory on each side."""

    ours: AnySocket
    peer: AnySocket
    our_memory: memoryview

    def sends(self, size: int, seed: int = 1, pause: Callable[[int], None] = lambda _: None) -> None:
        """Our stack sends `size` bytes to Linux, exactly; `pause` is called with each count received."""
        _exact(self.ours, self.our_memory, self.peer, memoryview(bytearray(_BUFFER)), (size, seed), pause)

    def receives(self, size: int, seed: int = 2, pause: Callable[[int], None] = lambda _: None) -> None:
        """Linux sends `size` bytes to our stack, exactly."""
        _exact(self.peer, memoryview(bytearray(_BUFFER)), self.ours, self.our_memory, (size, seed), pause)


def _exact(
    sender: AnySocket, out: memoryview, receiver: AnySocket, into: memoryview, what: tuple[int, int],
    pause: Callable[[int], None],
) -> None:  # fmt: skip
    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(send, sender, out, *what)
        digest, count = hashlib.sha256(), 0
        while count < what[0] and (got := receiver.recv_into(into)):
            digest.update(into[:got])
            count += got
            pause(count)
        assert count == what[0]
        assert digest.hexdigest() == sent.result(30)


def blocks(size: int, seed: int) -> Iterator[bytes]:
    random = np.random.default_rng(seed)
    for at in range(0, size, _BUFFER):
        yield random.bytes(min(_BUFFER, size - at))


def send(sock: AnySocket, out: memoryview, size: int, seed: int) -> str:
    """SHA-256 of the bytes sent."""
    digest = hashlib.sha256()
    for block in blocks(size, seed):
        digest.update(block)
        out[: len(block)] = block
        sock.sendall(out[: len(block)])
    return digest.hexdigest()


def both_ways(peers: Peers, size: int, congestion: str = "cubic") -> None:
    """Each role once, each direction once, on each connection."""
    for number, stream in enumerate((peers.we_listen(congestion), peers.we_connect(congestion))):
        stream.sends(size, 10 + number)
        stream.receives(size, 20 + number)


class Peers:
    """Linux sockets of h1 and sockets of our stack on h2."""

    def __init__(self, stack: ExitStack, network: Network, first_port: int = 5000) -> None:
        self.network = network
        self.h1 = stack.enter_context(closing(network.host("h1")))
        self.h2 = stack.enter_context(closing(network.host("h2")))
        self._sockets = stack.enter_context(ExitStack())
        memory = self.h2.memory(_BUFFER)
        self._sockets.callback(memory.close)
        self._memory = memory.view
        self._port = first_port

    def close(self) -> None:
        """Every socket and what it needs: then an endpoint may be stopped."""
        self._sockets.close()

    def linux_socket(self, congestion: str = "cubic") -> linux.socket:
        sock = self._sockets.enter_context(closing(self.h1.kernel_socket()))
        sock.settimeout(30)
        try:
            sock.setsockopt(linux.IPPROTO_TCP, linux.TCP_CONGESTION, congestion.encode())
        except FileNotFoundError:
            pytest.skip(f"this kernel has no congestion control {congestion}")
        return sock

    def we_listen(self, congestion: str = "cubic") -> Stream:
        """Linux connects to us."""
        self._port += 1
        listener = listen(self._sockets, self.h2, self._port)
        peer = self.linux_socket(congestion)
        peer.connect((self.h2.address, self._port))
        return Stream(accept(self._sockets, listener), peer, self._memory)

    def we_connect(self, congestion: str = "cubic") -> Stream:
        """We connect to Linux."""
        self._port += 1
        listener = self.linux_socket(congestion)
        where = (self.network.kernel_address("h1"), self._port)
        listener.bind(where)
        listener.listen()
        ours = connect_when_open(self._sockets, self.h2, where)
        peer = self._sockets.enter_context(closing(listener.accept()[0]))
        peer.settimeout(30)
        return Stream(ours, peer, self._memory)


def lost(host: Host) -> int:
    """Wire packets that the host's bad wire has lost so far, both ways."""
    return sum(lane.lost for lane in host.stats().impaired)


def until(condition: Callable[[], object], patience_s: float = 10.0) -> None:
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


# --- what lies between


def shell(network: Network, host: str, command: str) -> str:
    """What a command in a host says."""
    done = network.fabric.run(host, ["sh", "-ec", command], 30)
    assert done.status == 0, done.stderr
    return done.stdout


def _switch(network: Network, command: str, text: str = "") -> str:
    """A command where the bridge and its ports are, `text` its input."""
    place = ["nsenter", "-t", str(network.fabric.pids[1]), "-n", "sh", "-ec", command]
    return subprocess.run(place, check=True, timeout=10, input=text, stdout=subprocess.PIPE, text=True).stdout


def rules_at_bridge(network: Network, *rules: str) -> None:
    """Every port of the switch applies nft's `rules` to arriving frames, super-packets as they are."""
    ports = [end.interface for link in network.fabric.topology.links for end in link.ends if end.node == "s1"]
    lines = ["add table netdev t"]
    for port in ports:
        chain = f"netdev t {port.replace('-', '_')}"
        lines.append(f"add chain {chain} {{ type filter hook ingress device {port} priority 0; }}")
        lines += [f"add rule {chain} {rule}" for rule in rules]
    _switch(network, "nft -f -", "\n".join(lines))


def dropped(network: Network) -> list[int]:
    """What the counters in the ports' rules say, port by port."""
    rules = _switch(network, "nft list ruleset")
    return [int(count) for count in re.findall(r"counter packets (\d+)", rules)]
