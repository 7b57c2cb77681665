"""The command down: ends a run that `up` started.

In: words of a command line. Out: a line on stdout when the run has gone, an exit status. Owns nothing.
"""

from __future__ import annotations

import signal
import time
from typing import Any

from commands.host_command import RunId
from commands.running import RunningError, check_seen, find_run
from topologies.mininet.inventory import is_alive, signal_process

CONTEXT_SETTINGS: dict[str, Any] = {}
FAILURES = (RunningError,)
_END_S = 30.0


def command(run: RunId = None) -> int:
    """End a run that `up` started."""
    print(f"run {_take_down(run)} is down")
    return 0


def _take_down(run_id: str | None) -> str:
    """Ask the run's owner to end and wait until it has; returns the run's name. Raises RunningError."""
    run = find_run(run_id)
    if not run.standing:
        raise RunningError(
            f"run {run.run_id} is measuring; let it finish, end it where it was started, or name another "
            "with --run"
        )
    check_seen(run)
    signal_process(run.owner, signal.SIGTERM)
    give_up_at = time.monotonic() + _END_S
    while is_alive(run.owner):
        if time.monotonic() > give_up_at:
            raise RunningError(f"run {run.run_id} has not ended in {_END_S:g} s; end process {run.owner.pid}")
        time.sleep(0.05)
    return run.run_id
