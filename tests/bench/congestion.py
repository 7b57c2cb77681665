"""TCP on a path with a round trip: a relay in the link, which may be a bad one, and a bottleneck by TBF.

In: delay, impairments, rate. Out: the goodput of each flow from h1 to h2, each end our stack or Linux. Owns
the network, the relay, and what they were set to: all lives in the builder's namespace and ends with it. The
figures of it are in tests.bench.fairness.
"""

from __future__ import annotations

import socket as linux
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass

from nodes.client.host import Host
from nodes.client.socket import Socket
from nodes.nic.impairment import parse
from nodes.relay.config import RelayConfig, RelayWay, encode
from tests.bench.network import PROJECT, Network

OURS, LINUX = "ours", "linux"
_OFFLOADS = "tso off gso off gro off tx off rx off sg off"
_WRITE = 1 << 18
_PORT = 6000
_CONNECTS = 10
_LOOK_S = 0.005
_Sock = Socket | linux.socket


@dataclass(frozen=True)
class Path:
    """`impairment`: as `--impair` takes it, in each direction. `rate`: as tc writes it, none if empty, with
    `buffer_bytes` in front of it."""

    impairment: str
    rate: str = ""
    buffer_bytes: int = 0


class LongLink:
    """A star of two hosts with offloads off, and a cable of some length between the switch and h2."""

    def __init__(self, stack: ExitStack, path: Path) -> None:
        self.network = Network(stack, shape="star")
        for host in self.network.topology.hosts:
            words = ["ethtool", "-K", host.nics[0].interface, *_OFFLOADS.split()]
            assert self.network.fabric.run(host.name, words, 10).status == 0
        # Linux's own: a buffer of 64 KiB for each wire packet would make the window a fortieth.
        stack.enter_context(self.network.endpoints(niov_bytes=4096))
        self._inside = ["nsenter", "-t", str(self.network.fabric.pids[1]), "-n"]
        self._cut_in(stack, path)
        self.h1 = stack.enter_context(closing(Host(self.network.channel("h1"))))
        self.h2 = stack.enter_context(closing(Host(self.network.channel("h2"))))

    def _cut_in(self, stack: ExitStack, path: Path) -> None:
        """s1 -- near -- far -- relay -- s1-eth2 -- h2."""
        port = next(e.interface for link in self.network.topology.links for e in link.ends
                    if e.node == "s1" and "h2" in (link.a.node, link.b.node))  # fmt: skip
        self._do(f"ip link set {port} nomaster; ip link add near type veth peer name far")
        self._do(f"ethtool -K near {_OFFLOADS} >/dev/null; ethtool -K far {_OFFLOADS} > /dev/null")
        self._do("ip link set near master s1; ip link set near up; ip link set far up")
        ready = self.network.directory / "relay.ready"
        way = RelayWay(impairment=parse(path.impairment))
        config = RelayConfig(interfaces=("far", port), ways=(way, way), ready=str(ready))
        argv = [*self._inside, sys.executable, "-m", "nodes.relay", "--config", encode(config)]
        relay = stack.enter_context(subprocess.Popen(argv, cwd=PROJECT, stdout=subprocess.DEVNULL))
        stack.callback(relay.kill)
        while not ready.exists():
            assert relay.poll() is None
            time.sleep(0.01)
        if path.rate:
            # Behind the relay: in front of it a frame that waits is still its sender's, and small queues keep
            # Linux alone from filling the buffer (tcp_small_queue_check).
            self._do(f"tc qdisc add dev {port} root tbf rate {path.rate} burst 16k limit {path.buffer_bytes}")

    def _do(self, command: str) -> None:
        subprocess.run([*self._inside, "sh", "-ec", command], check=True, timeout=10)

    def flows(
        self, flows: Sequence[tuple[str, str]], seconds: float, look: Callable[[_Sock], None] | None = None
    ) -> list[float]:
        """Mb/s of goodput of flows that begin together: of each its sender and its receiver, OURS or LINUX.
        `look` is called with each sender's socket, again and again."""
        with ExitStack() as stack, ThreadPoolExecutor(2 * len(flows)) as pool:
            pairs = [self._connect(stack, *flow, _PORT + n) for n, flow in enumerate(flows)]
            end = time.monotonic() + seconds
            counts = [pool.submit(_count, receiver, end) for _, receiver in pairs]
            sent = [pool.submit(_fill, sender, end) for sender, _ in pairs]
            while look is not None and time.monotonic() < end:
                for sender, _ in pairs:
                    look(sender)
                time.sleep(_LOOK_S)
            result = [count.result() * 8 / seconds / 1e6 for count in counts]
            for _, receiver in pairs:  # a sender that waits for room is told
                receiver.shutdown(linux.SHUT_RDWR)
                receiver.close()
            for each in sent:
                each.result()
        return result

    def _connect(self, stack: ExitStack, sender: str, receiver: str, port: int) -> tuple[_Sock, _Sock]:
        ours = receiver == OURS
        listener = stack.enter_context(closing(self.h2.socket() if ours else self.h2.kernel_socket()))
        address = self.network.topology.host("h2").nics[0]
        where = (address.endpoint_address if ours else address.kernel_address).partition("/")[0]
        listener.setsockopt(linux.SOL_SOCKET, linux.SO_REUSEADDR, 1)
        listener.bind((where, port))
        listener.listen()
        client = self._connected(sender, (where, port))
        return stack.enter_context(closing(client)), stack.enter_context(closing(listener.accept()[0]))

    def _connected(self, sender: str, where: tuple[str, int]) -> _Sock:
        """A connection to `where`. A bad wire may lose every ARP request of one attempt."""
        for left in reversed(range(_CONNECTS)):
            client: _Sock = self.h1.socket() if sender == OURS else self.h1.kernel_socket()
            client.setsockopt(linux.IPPROTO_TCP, linux.TCP_CONGESTION, b"cubic")
            client.settimeout(30)
            try:
                client.connect(where)
            except OSError:
                client.close()
                if not left:
                    raise
            else:
                return client
        raise AssertionError


def _fill(sender: _Sock, end: float) -> None:
    block = bytes(_WRITE)
    try:
        while time.monotonic() < end:
            sender.sendall(block)
    except OSError:
        return  # the receiver has seen enough


def _count(receiver: _Sock, end: float) -> int:
    buffer, count = bytearray(_WRITE), 0
    while (left := end - time.monotonic()) > 0:
        receiver.settimeout(left)
        try:
            count += receiver.recv_into(buffer)
        except TimeoutError:
            break
    return count
