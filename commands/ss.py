"""The command ss: the sockets of a living run's hosts, as `ss -tia` shows a machine's.

In: words of a command line. Out: tables on stdout, an exit status. Owns nothing.
"""

from __future__ import annotations

from contextlib import closing
from typing import Annotated

import typer

from commands.control import RunId
from commands.living import find_host, find_run
from nodes.client.host import Host
from nodes.client.ss import table


def ss(
    host: Annotated[str | None, typer.Argument(help="A host of the run.  [default: each]")] = None,
    run: RunId = None,
) -> int:
    """Sockets of a living run's hosts: state, queues, ends, and what TCP_INFO tells, like `ss -tia`."""
    hosts = [find_host(host, run)] if host is not None else find_run(run).hosts
    for number, each in enumerate(hosts):
        with closing(Host(each.channel)) as client:
            rows = client.sockets()
        if host is None:
            print(f"{'' if number == 0 else chr(10)}{each.name}")
        print(table(rows), flush=True)
    return 0
