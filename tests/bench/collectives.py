"""all_reduce on 4, 8 and 16 hosts around a switch.

In: a Bench. Out: its figures of part all-reduce. Owns the networks.
"""

from __future__ import annotations

import statistics
from contextlib import ExitStack

from tests.bench.figure import at_least, at_most
from tests.bench.network import Network
from tests.bench.rounds import Bench, Round
from workloads.collective import CollectiveOptions
from workloads.experiment.records import ExperimentConfig

SIZES = {64 << 20: ("64 MiB", 0.6), 1 << 20: ("1 MiB", 0.35)}
MANY = (8, 16)
_GROWTH = 16 << 20


def time_ms(network: Network, hosts: int, path: str, size: int) -> float:
    """The median iteration, each as long as its slowest rank. SystemExit where values are wrong."""
    options = CollectiveOptions(iterations=10 if size < 4 << 20 else 3, warmup=2, place="in")
    config = ExperimentConfig(
        topology="star", hosts=hosts, workload="all_reduce", sizes_bytes=(size,), paths=(path,),
        options=options, timeout_s=30,
    )  # fmt: skip
    rows = [row for row in network.trial(config, path) if not row.warmup]
    if sum(row.wrong_elements or 0 for row in rows):
        raise SystemExit(f"bench: values of an all_reduce over {path} are wrong")
    slowest: dict[int, float] = {}
    for row in rows:
        slowest[row.iteration] = max(slowest.get(row.iteration, 0.0), row.time_s)
    return statistics.median(slowest.values()) * 1e3


def on_four(bench: Bench) -> None:
    with ExitStack() as stack:
        network = Network(stack, shape="star", hosts=4)
        stack.enter_context(network.endpoints())

        def one_round() -> Round:
            return {
                f"{path} {label}": size / time_ms(network, 4, path, size) / 1e6
                for size, (label, _) in SIZES.items()
                for path in ("devmem", "kernel")
            }

        rounds = bench.measure("all_reduce on 4 hosts", one_round)
    for label, low in SIZES.values():
        ours, theirs = ([r[f"{path} {label}"] for r in rounds] for path in ("devmem", "kernel"))
        bench.add(f"all_reduce on 4 hosts, {label}", ours, "GB/s", at_least(low), theirs, "kernel")


def on_many(bench: Bench) -> None:
    """Every one of n ranks sends 2 (n - 1) / n of the size, so that a machine whose CPUs are the limit takes
    n - 1 times as long as one byte sent by each: 7/3 on 8 hosts and 15/3 on 16, of the time on 4."""
    found: dict[int, list[float]] = {}
    for hosts in (4, *MANY):
        with ExitStack() as stack:
            network = Network(stack, shape="star", hosts=hosts)
            stack.enter_context(network.endpoints())
            name = f"all_reduce of 16 MiB on {hosts} hosts"

            def one_round(network: Network = network, hosts: int = hosts) -> Round:
                return {"ms": time_ms(network, hosts, "devmem", _GROWTH)}

            found[hosts] = [r["ms"] for r in bench.measure(name, one_round)]
    for hosts in MANY:
        closed_form = [ms * (hosts - 1) / 3 for ms in found[4]]
        name = f"all_reduce of 16 MiB on {hosts} hosts"
        bench.add(name, found[hosts], "ms", at_most(1.25), closed_form, "closed form")
