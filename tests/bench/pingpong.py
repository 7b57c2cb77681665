"""Ping-pong over our stack and over Linux's, by the same Python, and what an idle endpoint costs.

In: a Bench. Out: its figures of part pingpong. Owns the network. The two programs of a ping-pong run outside
the hosts, as every rank does: `python -m tests.bench.pingpong ours|linux CHANNEL serve|ADDRESS`.
"""

from __future__ import annotations

import json
import socket as linux
import sys
import time
from contextlib import ExitStack, closing
from typing import Any

import numpy as np
import psutil

from nodes.client.host import Host
from tests.bench.figure import at_most
from tests.bench.network import Network, python
from tests.bench.rounds import Bench, Round

SIZES = (64, 4096)
_TIMES = 3000  # of a size; the first tenth is left out
_PORT = 7100
_IDLE_S = 5.0


def _read(sock: Any, view: memoryview) -> None:
    at = 0
    while at < len(view):
        count = sock.recv_into(view[at:])
        if not count:
            raise EOFError
        at += count


def serve(host: Host, ours: bool, stack: ExitStack) -> None:
    listener = stack.enter_context(closing(host.socket() if ours else host.kernel_socket()))
    listener.setsockopt(linux.SOL_SOCKET, linux.SO_REUSEADDR, 1)
    listener.bind((host.address if ours else host.kernel_address, _PORT))
    listener.listen()
    print("ready", flush=True)
    sock = stack.enter_context(closing(listener.accept()[0]))
    sock.setsockopt(linux.IPPROTO_TCP, linux.TCP_NODELAY, 1)
    for size in SIZES:
        view = memoryview(bytearray(size))
        for _ in range(_TIMES):
            _read(sock, view)
            sock.sendall(view)


def ask(host: Host, ours: bool, address: str, stack: ExitStack) -> dict[str, float]:
    """Microseconds there and back: median and 99th percentile of each size."""
    sock: Any = stack.enter_context(closing(host.socket() if ours else host.kernel_socket()))
    sock.connect((address, _PORT))
    sock.setsockopt(linux.IPPROTO_TCP, linux.TCP_NODELAY, 1)
    found: dict[str, float] = {}
    for size in SIZES:
        view, took = memoryview(bytearray(size)), []
        for _ in range(_TIMES):
            began = time.perf_counter()
            sock.sendall(view)
            _read(sock, view)
            took.append((time.perf_counter() - began) * 1e6)
        p50, p99 = np.percentile(took[_TIMES // 10 :], (50, 99))
        found |= {f"{size} B p50": float(p50), f"{size} B p99": float(p99)}
    return found


def measure(network: Network, kind: str) -> dict[str, float]:
    address = (network.address if kind == "ours" else network.kernel_address)("h2")
    with python("tests.bench.pingpong", kind, network.channel("h2"), "serve") as server:
        assert server.stdout is not None
        server.stdout.readline()
        with python("tests.bench.pingpong", kind, network.channel("h1"), address) as client:
            said = client.communicate(timeout=120)[0]
        server.kill()
    found: dict[str, float] = json.loads(said)
    return found


def pingpong(bench: Bench) -> None:
    with ExitStack() as stack:
        network = Network(stack)
        stack.enter_context(network.endpoints())

        def one_round() -> Round:
            found = {"idle_percent": _idle_percent(network)}
            for kind in ("ours", "linux"):
                found |= {f"{kind} {key}": us for key, us in measure(network, kind).items()}
            return found

        rounds = bench.measure("ping-pong", one_round)
    for size in SIZES:
        for percentile, times in (("p50", 3), ("p99", 5)):
            key = f"{size} B {percentile}"
            ours, theirs = ([r[f"{kind} {key}"] for r in rounds] for kind in ("ours", "linux"))
            bench.add(f"ping-pong {key}", ours, "us", at_most(times), theirs, "Linux sockets")
    bench.add("CPU of an idle endpoint", [r["idle_percent"] for r in rounds], "%", at_most(1, "value"))


def _idle_percent(network: Network) -> float:
    """Of a core, the busier endpoint's, while nothing happens."""
    processes = [psutil.Process(pid) for pid in network.pids.values()]
    before = [sum(each.cpu_times()[:2]) for each in processes]
    time.sleep(_IDLE_S)
    after = [sum(each.cpu_times()[:2]) for each in processes]
    return 100 * max(b - a for a, b in zip(before, after, strict=True)) / _IDLE_S


if __name__ == "__main__":
    kind, channel, role = sys.argv[1:]
    with ExitStack() as stack:
        host = stack.enter_context(closing(Host(channel)))
        if role == "serve":
            serve(host, kind == "ours", stack)
        else:
            print(json.dumps(ask(host, kind == "ours", role, stack)))
