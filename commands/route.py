"""The command route: the routing table of a host's endpoint, with the words and the output of `ip route`.

In: words of a command line. Out: text on stdout, a refusal on stderr, an exit status. Owns nothing.
"""

from __future__ import annotations

from contextlib import closing
from typing import Annotated

import typer

from commands.host_command import PASS_ON, HostName, RunId, netlink_error
from commands.running import RunningError, find_host
from commands.usage import UsageError
from nodes.client import route_command
from nodes.client.host import Host, HostError
from nodes.client.route_command import RouteUsage

CONTEXT_SETTINGS = PASS_ON
FAILURES = (HostError, RunningError)


def command(
    host: HostName,
    words: Annotated[
        list[str] | None, typer.Argument(help="ip route's own.", metavar="[-6] show|get|add|del|...")
    ] = None,
    run: RunId = None,
) -> int:
    """ip route for a host's endpoint: show get add append prepend replace change del, as ip has them."""
    with closing(Host(find_host(host, run).channel)) as client:
        try:
            text = route_command.run(client, words or [])
        except RouteUsage as wrong:
            raise UsageError(f"route: {wrong}") from None
        except OSError as refusal:
            return netlink_error(refusal)
    if text:
        print(text)
    return 0
