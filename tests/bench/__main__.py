"""`make bench`: how fast the testbed is, always against something measured in the same round.

`make bench ONLY=64k,linux` measures these parts alone; `python -m tests.bench --help` has all options. Rounds
are repeated when the machine lost more than 2 % of its CPU time to others. Prints a table and writes
results/bench-<time>.json, which `make bench-compare OLD=FILE NEW=FILE` compares with another. Nothing passes
or fails here: a figure that is short of its goal is said, not asserted. "?" behind a verdict: the interval
reaches across the goal.
"""

from __future__ import annotations

import argparse
import datetime
import sys
from collections.abc import Callable, Sequence

import msgspec
from rich.console import Console
from rich.table import Table

from tests.bench import collectives, fairness, hosts, programs, startup, streams, transfers
from tests.bench.figure import Figure, Result, row
from tests.bench.network import PROJECT
from tests.bench.pingpong import pingpong
from tests.bench.rounds import Bench, machine

PARTS: dict[str, Callable[[Bench], None]] = {
    "64k": lambda bench: streams.one_way(bench, 65536),
    "512k": lambda bench: streams.one_way(bench, streams.BIG_TCP),
    "linux": transfers.from_linux,
    "both-ways": streams.both_ways,
    "niov": streams.small_niovs,
    "shaped": transfers.shaped,
    "pingpong": pingpong,
    "all-reduce": collectives.on_four,
    "hosts": collectives.on_many,
    "flows": transfers.many_flows,
    "fairness": fairness.fairness,
    "loss": fairness.loss,
    "bad-nic": fairness.bad_nic,
    "ceiling": hosts.ceiling,
    "netmem": hosts.netmem,
    "packet": hosts.packet,
    "startup": startup.startup,
    "analysis": startup.analysis,
    "programs": programs.programs,
}


def parts(text: str) -> list[str]:
    """Of a comma-separated list, in the order of PARTS. Raises ArgumentTypeError."""
    names = {name for name in text.split(",") if name}
    if unknown := sorted(names - {*PARTS}):
        known = ", ".join(PARTS)
        raise argparse.ArgumentTypeError(f"there is no part {unknown[0]!r}; choose from {known}")
    return [name for name in PARTS if name in names]


def table(figures: Sequence[Figure], title: str) -> Table:
    made = Table("figure", "ours", "reference", "ratio", "95 % interval", "goal", "met", title=title)
    part = ""
    for figure in figures:
        if part not in ("", figure.part):
            made.add_section()
        part = figure.part
        made.add_row(*row(figure))
    return made


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3.0, help="of one measurement")
    parser.add_argument("--only", type=parts, default=list(PARTS), help=", ".join(PARTS), metavar="PART,...")
    options = parser.parse_args(argv)
    bench, began, around = Bench(options.rounds, options.seconds), datetime.datetime.now(), machine()
    out = PROJECT / "results" / f"bench-{began:%Y%m%d-%H%M%S}.json"
    out.parent.mkdir(exist_ok=True)
    try:
        for name in options.only or PARTS:
            bench.part = name
            PARTS[name](bench)
    finally:  # what was measured is kept, though a later part failed
        result = Result(
            began=began.isoformat(timespec="seconds"), machine=around, rounds=bench.rounds,
            seconds=bench.seconds, figures=tuple(bench.figures), raw=tuple(bench.raw),
        )  # fmt: skip
        out.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1))
        title = f"{bench.rounds} rounds of {bench.seconds:g} s; {', '.join(around.values())}"
        Console(width=None if sys.stdout.isatty() else 160).print(table(bench.figures, title))
        print(f"# Raw values: {out.relative_to(PROJECT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
