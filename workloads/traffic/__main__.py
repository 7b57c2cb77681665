"""The background traffic of a host as a process: `python -m workloads.traffic --config JSON`.

In: the JSON of a TrafficConfig; SIGUSR1, from which on it sends, SIGUSR2, from which on it does not; SIGTERM.
Out: traffic through the host's Linux stack, and at the end a Report in a file. Owns the only clock and the
only wait of the process. One process a host, which sends and receives: its CPU time is that of the traffic.
"""

from __future__ import annotations

import argparse
import os
import resource
import selectors
import signal
import socket
import sys
from pathlib import Path

import msgspec

from nodes.client.runtime import MachineRuntime
from workloads.traffic.config import Source, TrafficConfig, TrafficConfigError, decode
from workloads.traffic.sender import PacedSender, PoissonSender
from workloads.traffic.sink import Sink
from workloads.traffic.tally import Tally

_WAIT_MAX_S = 3600.0
_monotonic = MachineRuntime().monotonic
_TOLD = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM)


def main() -> int:
    parser = argparse.ArgumentParser(prog="workloads.traffic", description="Background traffic of a host.")
    parser.add_argument(
        "--config", required=True, metavar="JSON", help="a TrafficConfig of workloads/traffic/config.py"
    )
    try:
        _Process(decode(parser.parse_args().config)).run()
    except (TrafficConfigError, OSError) as reason:
        print(f"traffic: {reason}", file=sys.stderr)
        return 1
    return 0


class _Process:
    def __init__(self, config: TrafficConfig) -> None:
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        self._config, self._tally = config, Tally()
        self._selector = selectors.DefaultSelector()
        self._told, waker = socket.socketpair()
        self._waker = waker
        for end in (self._told, waker):
            end.setblocking(False)
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        for number in _TOLD:
            signal.signal(number, lambda *_: None)
        self._selector.register(self._told, selectors.EVENT_READ, self._heed)
        self._senders: list[PacedSender | PoissonSender] = []
        self._began = self._ended = 0.0
        self._goes_on = True
        self._sink = Sink(config.address, self._selector, self._tally)
        Path(config.ready).touch()

    def run(self) -> None:
        """Until SIGTERM."""
        while self._goes_on:
            now = _monotonic()
            due = min((each.next_at for each in self._senders), default=now + _WAIT_MAX_S)
            for key, events in self._selector.select(max(0.0, due - now)):
                key.data(events, _monotonic())
            now = _monotonic()
            for each in self._senders:
                if each.next_at <= now:
                    each.send(now)
        self._report()

    def _heed(self, _events: int, now: float) -> None:
        for number in self._told.recv(64):
            if number == signal.SIGUSR1:
                self._began = now
                self._senders = [self._sender(each) for each in self._config.sources]
            elif number == signal.SIGUSR2:
                self._stop(now)
            elif number == signal.SIGTERM:
                self._goes_on = False

    def _sender(self, source: Source) -> PacedSender | PoissonSender:
        if source.kind == "poisson":
            return PoissonSender(source, self._selector, self._tally, self._began)
        return PacedSender(source, self._selector, self._tally, self._began, self._config.datagram_bytes)

    def _stop(self, now: float) -> None:
        """Flows that are under way end where they are; what was received stays counted."""
        for each in self._senders:
            each.close()
        if self._senders:
            self._ended = now
        self._senders = []

    def _report(self) -> None:
        self._stop(_monotonic())
        report = self._tally.report(max(0.0, self._ended - self._began))
        new = Path(f"{self._config.report}.new")
        new.write_bytes(msgspec.json.encode(report))
        os.replace(new, self._config.report)


if __name__ == "__main__":
    sys.exit(main())
