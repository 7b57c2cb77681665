"""What the commands for a host of a run have in common: their arguments, and a netlink refusal.

In: words of a command line. Out: typer's annotations; the kernel's refusal as a line on stderr. Owns nothing.
"""

from __future__ import annotations

import errno
import sys
from typing import Annotated, Any

import typer

from commands.running import RunningError
from nodes.client.host import Host, HostError
from topologies.mininet.inventory import RunningHost, listens

HostName = Annotated[str, typer.Argument(help="A host of the run.", metavar="HOST")]
RunId = Annotated[str | None, typer.Option("--run", help="Which run.  [default: the only one]")]
# What follows HOST belongs to the command inside, dashes and all.
PASS_ON: dict[str, Any] = {"allow_interspersed_args": False, "ignore_unknown_options": True}


def reach(found: RunningHost) -> Host:
    """The host's endpoint, as an application reaches it. Raises HostError, RunningError when it is down."""
    try:
        return Host(found.channel)
    except HostError:
        if listens(found.channel):
            raise
        raise RunningError(
            f"host {found.name} is down, its endpoint has ended; `run.py respawn {found.name}` starts it "
            "again"
        ) from None


def netlink_error(refusal: OSError) -> int:
    """Print errno, reason and attribute as extack has them; returns the exit status."""
    attribute = getattr(refusal, "attribute", "")
    where = f" (bad-attr: .{attribute})" if attribute else ""  # as the kernel's ynl names it
    names = {**errno.errorcode, errno.EOPNOTSUPP: "EOPNOTSUPP"}  # Python says ENOTSUP
    number = names.get(refusal.errno or 0, str(refusal.errno))
    print(f"netlink error: {number}: {refusal.strerror or refusal}{where}", file=sys.stderr)
    return 1
