"""The command respawn: starts the endpoint of a host again that has crashed, in a run of `up`.

In: words of a command line. Out: a line on stdout when the host is up, an exit status. Owns nothing: the
process of `up` starts the endpoint, and sees the file that asks for it.
"""

from __future__ import annotations

import time
from typing import Any

from commands.host_command import HostName, RunId
from commands.running import RunningError, check_seen, find_run, host_of, respawn_wish
from topologies.mininet.inventory import is_alive, listens

CONTEXT_SETTINGS: dict[str, Any] = {}
FAILURES = (RunningError,)


def command(host: HostName, run: RunId = None) -> int:
    """Start the endpoint of a host again that has crashed."""
    found = find_run(run)
    if not found.standing:
        raise RunningError(f"run {found.run_id} is measuring, and ends with each of its hosts")
    check_seen(found)
    crashed = host_of(found, host)
    if listens(crashed.channel):
        raise RunningError(f"host {host} is up; to crash it, kill its endpoint")
    wish = respawn_wish(crashed.channel)
    wish.touch()
    while wish.exists():
        if not is_alive(found.owner):
            raise RunningError(f"run {found.run_id} has ended")
        time.sleep(0.05)
    if not listens(crashed.channel):
        raise RunningError(f"host {host} did not start; `up` said why")
    print(f"host {host} is up again")
    return 0
