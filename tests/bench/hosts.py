"""What a host costs by itself: net_iovs, a packet's code, and what a ceiling of its memory does.

In: a Bench. Out: its figures of parts netmem, packet and ceiling. Owns the network of the last.
"""

from __future__ import annotations

from contextlib import ExitStack

from nodes.compiled.state import state
from tests.bench import netmem as pools
from tests.bench.figure import Goal, at_most
from tests.bench.network import Network
from tests.bench.packet_path import packet_us
from tests.bench.rounds import Bench, Round
from tests.bench.streams import stream


def ceiling(bench: Bench) -> None:
    """A quarter of the host memory bandwidth that bounce wants, in the same round as without."""
    with ExitStack() as stack:
        network = Network(stack)

        def one_round() -> Round:
            with network.endpoints():
                bounce, devmem = (stream(network, path, bench.seconds)[0] for path in ("bounce", "devmem"))
            limit = bounce * 1e9 / 8  # bounce wants four accesses a byte
            free = {"bounce free_gbps": bounce, "devmem free_gbps": devmem}
            with network.endpoints(host_mem_bw=limit):
                bounce, devmem = (stream(network, path, bench.seconds)[0] for path in ("bounce", "devmem"))
            return {**free, "bounce_gbps": bounce, "devmem_gbps": devmem}

        rounds = bench.measure("ceiling", one_round)
    for path, goal in (("bounce", Goal(0.22, 0.28)), ("devmem", Goal(0.95, 1.05))):
        name = f"{path} at 1/4 of the memory bounce wants"
        bench.against(name, rounds, f"{path}_gbps", f"{path} free_gbps", "Gb/s", goal)


def netmem(bench: Bench) -> None:
    """A net_iov against a host page in the same pool, and what a bind of 256 MiB costs."""

    def one_round() -> Round:
        ns = pools.recycle_ns()
        cost = {"bind_ms": pools.bind_ms(), "niov_bytes": pools.niov_bytes()}
        return {"net_iov_ns": ns["net_iov"], "host page_ns": ns["page"], **cost}

    rounds = bench.measure("netmem", one_round)
    name = "page_pool alloc and recycle, net_iov"
    bench.against(name, rounds, "net_iov_ns", "host page_ns", "ns", at_most(1.125))
    name = "bind of 256 MiB at 4 KiB net_iovs"
    bench.add(name, [r["bind_ms"] for r in rounds], "ms", at_most(100, "value"))
    bench.add("host memory of a net_iov", [r["niov_bytes"] for r in rounds], "B", at_most(200, "value"))


def packet(bench: Bench) -> None:
    """The Python of a 64 KiB packet, as it runs here (docs/performance.md)."""
    rounds = bench.measure("packet", lambda: {"us": packet_us()})
    how = "compiled" if state().compiled else "pure Python"
    bench.add(
        f"64 KiB packet, both ends, CPU time ({how})", [r["us"] for r in rounds], "us", at_most(20, "value")
    )
