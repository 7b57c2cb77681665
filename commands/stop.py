"""Ctrl-C, SIGTERM and a closed terminal, noted when they come and acted upon where a command looks.

In: signals. Out: Interrupted, raised by `check` and at the end of a `with` block only: nothing is left half
made, and taking down is not interrupted. Owns the process's handlers of the three.
"""

from __future__ import annotations

import signal
from types import FrameType, TracebackType


class Interrupted(Exception):
    """A signal asked the command to end. `status` is the exit status of a shell's convention."""

    def __init__(self, signum: int) -> None:
        super().__init__(
            f"stopped by {signal.Signals(signum).name}; everything it had started has been taken down"
        )
        self.status = 128 + signum


class Stop:
    """As a context: what fails after a signal, in this process or in one that the same Ctrl-C has reached,
    is the signal's consequence and not reported."""

    def __init__(self) -> None:
        self._signum = 0
        self.arm()

    def arm(self) -> None:
        """Take the signals (again: Ray takes SIGTERM for itself)."""
        signal.signal(signal.SIGINT, self._note)
        signal.signal(signal.SIGTERM, self._note)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # which nohup has set
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
