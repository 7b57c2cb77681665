"""Whether our congestion control is Linux's: shares of a bottleneck, and goodput over bad wires.

In: a Bench. Out: its figures of parts fairness, loss and bad-nic. Owns nothing; a LongLink is made for each
path.
"""

from __future__ import annotations

import functools
import itertools
import statistics
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from tests.bench.congestion import LINUX, OURS, LongLink, Path
from tests.bench.figure import Goal, at_least
from tests.bench.rounds import Bench, Round
from workloads.transports.tcp_info import tcp_info

_BAD_NIC = "loss=0.05,reorder=0.05,duplicate=0.05,corrupt=0.01"
_TWO_BAD_NICS = "loss=0.1,reorder=0.1,duplicate=0.1,corrupt=0.02"
BAD_NICS = {
    "1 % loss, 20 ms": "delay=10ms,loss=0.01",
    "5 % loss, 20 ms": "delay=10ms,loss=0.05",
    "a bad NIC": _BAD_NIC,
    "a bad NIC, 2 ms": f"delay=1ms,{_BAD_NIC}",
    "a bad NIC, 20 ms": f"delay=10ms,{_BAD_NIC}",
    "two bad NICs, 20 ms": f"delay=10ms,{_TWO_BAD_NICS}",
}
LOSSES = (0.001, 0.01, 0.03)
FLOWS = 4  # side by side: of one flow, the goodput of seconds hangs on a few timeouts
PRODUCT_BYTES = 250_000  # 200 Mbit/s times 10 ms
PRODUCTS = (0.5, 1.0, 2.0)
LONG = 20  # times the bench's seconds: 60 s of 3
PAIRS = ((OURS, LINUX), (LINUX, OURS), (OURS, OURS), (LINUX, LINUX))


def jain(rates: Sequence[float]) -> float:
    """Jain's fairness index: 1 when all are equal, 1/n when one has everything."""
    return sum(rates) ** 2 / (len(rates) * sum(rate * rate for rate in rates))


def fairness(bench: Bench) -> None:
    """Two flows through 200 Mbit/s and 10 ms, each of the two senders ours or Linux's, the first of a pair
    ahead; and one alone."""
    for products in PRODUCTS:
        label = f"{products:g} products of buffer"
        path = Path("delay=5ms", rate="200mbit", buffer_bytes=round(products * PRODUCT_BYTES))
        with ExitStack() as stack:
            link = LongLink(stack, path)

            def one_round(link: LongLink = link) -> Round:
                found: Round = {}
                for pair in PAIRS:
                    rates = link.flows([(sender, LINUX) for sender in pair], LONG * bench.seconds)
                    name = " then ".join(pair)
                    found |= {f"{name} {n}_mbps": rate for n, rate in enumerate(rates)} | {name: jain(rates)}
                for sender in (OURS, LINUX):
                    (found[f"{sender} alone"],) = link.flows([(sender, LINUX)], LONG * bench.seconds)
                return found

            rounds = bench.measure(label, one_round)
        _shares(bench, rounds, label)


def _shares(bench: Bench, rounds: list[Round], label: str) -> None:
    theirs = [r[f"{LINUX} then {LINUX}"] for r in rounds]
    for pair in PAIRS[:3]:
        name = " then ".join(pair)
        ours = [r[name] for r in rounds]
        near = Goal(-0.05, 0.05, "difference")
        bench.add(f"Jain, {name}, {label}", ours, "", near, theirs, "Linux, Linux")
        if statistics.median(theirs) >= 0.95:
            bench.add(f"Jain where Linux makes 0.95, {name}, {label}", ours, "", at_least(0.95, "value"))
    alone, linux = ([r[f"{sender} alone"] for r in rounds] for sender in (OURS, LINUX))
    bench.add(f"alone, {label}", alone, "Mb/s", at_least(0.98), linux, "Linux alone")


def _note_window(windows: list[int], sock: Any) -> None:
    windows.append(tcp_info(sock).cwnd_segs)


def loss(bench: Bench) -> None:
    """Our sender and Linux's, to a Linux receiver, over 1 ms of a wire that loses packets: goodput, and the
    mean congestion window, which does not hang on how quickly the ends and the relay answer."""
    for share in LOSSES:
        label = f"{share:.1%} loss, 1 ms"
        with ExitStack() as stack:
            link = LongLink(stack, Path(f"delay=500us,loss={share:g}"))

            def one_round(link: LongLink = link) -> Round:
                found: Round = {}
                for sender in (OURS, LINUX):
                    windows: list[int] = []
                    look = functools.partial(_note_window, windows)
                    rates = link.flows([(sender, LINUX)] * FLOWS, 4 * bench.seconds, look)
                    found |= {f"{sender}_mbps": sum(rates), f"{sender}_cwnd": statistics.mean(windows)}
                return found

            rounds = bench.measure(label, one_round)
        bench.against(f"sender, {label}", rounds, f"{OURS}_mbps", f"{LINUX}_mbps", "Mb/s", Goal(0.9, 1.1))
        name = f"congestion window, {label}"
        bench.against(name, rounds, f"{OURS}_cwnd", f"{LINUX}_cwnd", "segments", Goal(0.9, 1.1))


def bad_nic(bench: Bench) -> None:
    """Goodput over bad wires: each end ours or Linux's, against both Linux's over the very same wire. The
    impairments hit wire packets, and no end coalesces or cuts any. Without delay the wire's round trip is
    shorter than the time in which a Python process answers, and goodput under loss falls with the round trip:
    at 2 ms the same wire shows the recovery alone."""
    for wire, impairment in BAD_NICS.items():
        with ExitStack() as stack:
            link = LongLink(stack, Path(impairment))

            def one_round(link: LongLink = link) -> Round:
                kinds = itertools.product((LINUX, OURS), repeat=2)
                return {f"{a} to {b}": sum(link.flows([(a, b)] * FLOWS, 4 * bench.seconds)) for a, b in kinds}

            rounds = bench.measure(wire, one_round)
        reference = f"{LINUX} to {LINUX}"
        for ends in (f"{OURS} to {LINUX}", f"{LINUX} to {OURS}", f"{OURS} to {OURS}"):
            bench.against(f"{ends}, {wire}", rounds, ends, reference, "Mb/s", at_least(0.8))
