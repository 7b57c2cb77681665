"""The command watch: what the hosts of a run do now, again and again.

In: words of a command line, a run in progress. Out: a dashboard on a terminal, else a table of text a
reading; with --metrics the same counters on loopback; an exit status. Owns the channels that it reads by, and
the port. The run goes on as if nobody watched.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from commands.live.rates import RunRates, links_of, run_rates
from commands.live.reader import RunReader
from commands.live.table import text
from commands.running import RunningError, become_its_root, check_seen, find_run, still_running
from commands.stop import Interrupted, Stop
from topologies.mininet import user_namespace
from topologies.mininet.inventory import Record
from topologies.mininet.isolation import CLONE_NEWNET, unshare
from topologies.topology import Topology

if TYPE_CHECKING:
    from commands.live.metrics_server import MetricsServer

CONTEXT_SETTINGS: dict[str, Any] = {}
FAILURES = (RunningError,)
_LOOK_S = 0.1  # for signals, and for the end of the run


def command(
    run: Annotated[str | None, typer.Argument(help="Which run.  [default: the only one]")] = None,
    interval: Annotated[
        float, typer.Option("--interval", help="Seconds between two readings.", min=0.1, max=3600)
    ] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="One table, after one interval.")] = False,
    metrics: Annotated[
        int | None,
        typer.Option(
            "--metrics",
            metavar="PORT",
            min=0,
            max=65535,
            help="Serve http://127.0.0.1:PORT/metrics, OpenMetrics; 0: any port.",
        ),
    ] = None,
) -> int:
    """What the hosts of a run do now: goodput, retransmits, drops, page pools, host memory, CPU."""
    found = find_run(run, "`run.py watch RUN`")
    check_seen(found)
    server = None if metrics is None else _server(metrics)  # its socket keeps the machine's network
    _enter_as_root(found)
    stop = Stop()
    try:
        with ExitStack() as stack:
            if server is not None:
                print(f"run.py: metrics at {stack.enter_context(server).url}", file=sys.stderr, flush=True)
            watch = _Watch(found, interval, stop, server)
            stack.callback(watch.close)
            return _show(watch, once, stack)
    except Interrupted as stopped:
        name = signal.Signals(stopped.status - 128).name
        print(f"run.py: stopped by {name}; run {found.run_id} goes on", file=sys.stderr)
        return stopped.status
    except BrokenPipeError:  # as of `| head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0


class _Watch:
    """Readings of `run`, one each `interval_s`, until it ends."""

    def __init__(self, run: Record, interval_s: float, stop: Stop, server: MetricsServer | None) -> None:
        self.run = run
        self._interval_s, self._stop, self._server = interval_s, stop, server
        self._reader = RunReader()
        self.close = self._reader.close

    def rates(self) -> Iterator[RunRates]:
        """The first comes after one interval. Raises Interrupted, RunningError."""
        due, before, topology = time.monotonic(), None, None
        while (run := self._wait(due)) is not None:
            if run.hosts:
                topology = topology or _topology(run)
                count = self._reader.read(run)
                if still_running(run) is None:  # then it had begun to end when it was read
                    return
                if not run.standing and any(host.state == "down" for host in count.hosts):
                    due += self._interval_s  # it ends with each of its hosts, and so does now
                    continue
                if self._server is not None:
                    self._server.show(run.run_id, count, topology)
                if before is not None:
                    yield run_rates(before, count, links_of(topology))
                before = count
            due = max(due + self._interval_s, time.monotonic())

    def _wait(self, due: float) -> Record | None:
        """The run's record at that time, None once it has ended."""
        while (run := still_running(self.run)) is not None:
            self._stop.check()
            left = due - time.monotonic()
            if left <= 0:
                return run
            time.sleep(min(left, _LOOK_S))
        return None


def _show(watch: _Watch, once: bool, stack: ExitStack) -> int:
    run = watch.run
    dashboard = None
    if not once and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        from commands.live.dashboard import Dashboard  # a pipe needs nothing of rich

        dashboard = stack.enter_context(Dashboard(run.run_id))
    for rates in watch.rates():
        if dashboard is not None:
            dashboard.show(rates)
            continue
        print(text(run.run_id, rates) + "\n" * (not once), flush=True)
        if once:
            return 0
    stack.close()  # the end is told below the dashboard
    where = "" if run.standing else f"; what it leaves is in {run.run_dir}"
    print(f"run {run.run_id} has ended{where}", flush=True)
    return 0


def _server(port: int) -> MetricsServer:
    from commands.live.metrics_server import MetricsServer  # who wants no metrics is spared it

    return MetricsServer(port)


def _enter_as_root(run: Record) -> None:
    """Go on where the queues of the run's networks can be read. The networks of a run without root are those
    of its user namespace, from which nobody there returns to the machine's own. Raises RunningError."""
    become_its_root(run)
    if not user_namespace.owns_network():
        unshare(CLONE_NEWNET)


def _topology(run: Record) -> Topology:
    """Raises RunningError."""
    if not run.run_dir:
        raise RunningError(
            f"run {run.run_id} was started by another version of this program, which has not put its "
            "directory on record; watch it with that version"
        )
    path = Path(run.run_dir) / "topology.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=Topology)
    except (OSError, ValueError) as reason:
        why = getattr(reason, "strerror", None) or reason
        raise RunningError(
            f"the topology of run {run.run_id} cannot be read in {path} ({why}); start the run anew"
        ) from None
