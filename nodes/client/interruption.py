"""Ctrl-C, SIGTERM and SIGHUP as an exception, for a program that has something to restore when it ends.

In: signals. Out: the exception Stopped, raised once, at any point of the program outside of `uninterrupted`.
Owns the process's handlers of the three signals.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(BaseException):
    """A signal asked the program to end."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signal = signal.Signals(signum)


def catch_signals() -> None:
    """From here on the first of the signals raises Stopped; later ones are ignored."""

    def stop(signum: int, _frame: FrameType | None) -> None:
        ignore_signals()
        raise Stopped(signum)

    for each in _SIGNALS:
        if signal.getsignal(each) is not signal.SIG_IGN:  # a shell's background job ignores SIGINT
            signal.signal(each, stop)


def ignore_signals() -> None:
    """From here on no signal interrupts the program while it restores what it has changed."""
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_IGN)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """The signals are blocked until the end of the block."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
