"""Ctrl-C, SIGTERM and a closed terminal (SIGHUP): noted when they come, acted upon where a command asks.

In: signals. Out: Interrupted, raised only by `check` and at the end of a `with` block, so that nothing is
left half made and taking a network down is not interrupted. Owns the process's handlers of the three signals.
"""

from __future__ import annotations

import signal
from types import FrameType, TracebackType


class Interrupted(Exception):
    """A signal asked the command to end. `status`: 128 and the signal's number, as shells have it."""

    def __init__(self, signum: int) -> None:
        super().__init__(
            f"stopped by {signal.Signals(signum).name}; everything it had started has been taken down"
        )
        self.status = 128 + signum


class Stop:
    """As a context: an exception that comes after a signal is taken for its consequence (the same Ctrl-C has
    reached other processes, too) and is replaced by Interrupted."""

    def __init__(self) -> None:
        self._signum = 0
        signal.signal(signal.SIGINT, self._note)
        signal.signal(signal.SIGTERM, self._note)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup ignores it
            signal.signal(signal.SIGHUP, self._note)

    def check(self) -> None:
        """Raise Interrupted if a signal has come."""
        if self._signum:
            raise Interrupted(self._signum)

    def __enter__(self) -> None:
        self.check()

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.check()

    def _note(self, signum: int, _frame: FrameType | None) -> None:
        self._signum = self._signum or signum
