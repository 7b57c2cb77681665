"""Signals become one exception, where a command looks and nowhere else."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from commands.stop import Interrupted, Stop

SIGNALS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = [(number, signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    yield
    for number, handler in before:
        signal.signal(number, handler)


@SIGNALS
def test_a_signal_is_raised_where_the_command_looks(number: signal.Signals) -> None:
    stop = Stop()
    stop.check()
    signal.raise_signal(number)
    with pytest.raises(Interrupted, match=f"stopped by {number.name}") as raised:
        stop.check()
    assert raised.value.status == 128 + number


@SIGNALS
def test_what_fails_after_a_signal_is_the_signals_consequence(number: signal.Signals) -> None:
    stop = Stop()
    with pytest.raises(Interrupted, match=number.name), stop:
        signal.raise_signal(number)
        raise OSError("the network's builder ended with status -2")


def test_a_failure_without_a_signal_is_a_failure() -> None:
    with pytest.raises(OSError, match="the link is down"), Stop():
        raise OSError("the link is down")


def test_the_first_signal_counts() -> None:
    stop = Stop()
    signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGINT)
    with pytest.raises(Interrupted, match="SIGTERM"):
        stop.check()
