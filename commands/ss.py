"""The command ss: the sockets of a run's hosts, as `ss -tia` shows a machine's.

In: words of a command line. Out: tables on stdout, an exit status. Owns nothing.
"""

from __future__ import annotations

from contextlib import closing
from typing import Annotated, Any

import typer

from commands.host_command import RunId, reach
from commands.running import RunningError, find_host, find_run
from nodes.client.host import HostError
from nodes.client.ss import table
from topologies.mininet.inventory import listens

CONTEXT_SETTINGS: dict[str, Any] = {}
FAILURES = (HostError, RunningError)


def command(
    host: Annotated[str | None, typer.Argument(help="A host of the run.  [default: each]")] = None,
    run: RunId = None,
) -> int:
    """Sockets of a run's hosts: state, queues, ends, and what TCP_INFO tells, like `ss -tia`."""
    hosts = [find_host(host, run)] if host is not None else find_run(run).hosts
    for number, each in enumerate(hosts):
        if host is None and not listens(each.channel):
            print(f"{'' if number == 0 else chr(10)}{each.name} is down", flush=True)
            continue
        with closing(reach(each)) as client:
            rows = client.sockets()
        if host is None:
            print(f"{'' if number == 0 else chr(10)}{each.name}")
        print(table(rows), flush=True)
    return 0
