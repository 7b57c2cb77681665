"""The command ethtool: a host's emulated NIC, with ethtool's own words and output.

In: words of a command line. Out: text on stdout, a refusal on stderr, an exit status. Owns nothing.
"""

from __future__ import annotations

from contextlib import closing
from typing import Annotated

import typer

from commands.host_command import PASS_ON, HostName, RunId, netlink_error, reach
from commands.running import RunningError, find_host
from commands.usage import UsageError
from nodes.client import ethtool_command
from nodes.client.ethtool_command import EthtoolUsage
from nodes.client.host import HostError

CONTEXT_SETTINGS = PASS_ON
FAILURES = (HostError, RunningError)


def command(
    host: HostName,
    words: Annotated[list[str], typer.Argument(help="ethtool's own.", metavar="-l|-L|-g|-G|-k|-K|-n|...")],
    run: RunId = None,
) -> int:
    """ethtool for a host's emulated NIC: -l -L -g -G -k -K -n -N -x -X -S -i, as ethtool has them."""
    with closing(reach(find_host(host, run))) as client:
        try:
            text = ethtool_command.run(client, words)
        except EthtoolUsage as wrong:
            raise UsageError(f"ethtool: {wrong}") from None
        except OSError as refusal:
            return netlink_error(refusal)
    if text:
        print(text)
    return 0
