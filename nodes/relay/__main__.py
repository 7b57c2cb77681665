"""The middle of a link as a process: `python -m nodes.relay --config JSON`.

In: the JSON of a RelayConfig. Out: frames between its two interfaces, until SIGTERM; at the end a line a
direction on stdout. Owns the only clock and the only sleep of the process. It is the link, so it comes before
what uses the link: its sleeps end in time (PR_SET_TIMERSLACK), and the scheduler prefers it (nice -20).
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import os
import select
import signal
import sys
import time
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from types import FrameType

from nodes.relay.config import RelayConfig, RelayConfigError, decode
from nodes.relay.port import Port, PortError
from nodes.relay.relay import Relay
from nodes.standard_error import standard_error

_PR_SET_TIMERSLACK = 29
_NICE = -20
_WAIT_MAX_S = 3600.0


def main() -> int:
    sys.stderr = standard_error()
    signal.signal(signal.SIGTERM, _end)
    parser = argparse.ArgumentParser(prog="nodes.relay", description="The middle of a link.")
    parser.add_argument(
        "--config", required=True, metavar="JSON", help="a RelayConfig of nodes/relay/config.py"
    )
    try:
        _run(decode(parser.parse_args().config))
    except (RelayConfigError, PortError) as reason:
        print(f"relay: {reason}", file=sys.stderr)
        return 1
    return 0


def _run(config: RelayConfig) -> None:
    _be_prompt()
    with ExitStack() as stack:
        ports = [stack.enter_context(closing(Port(each))) for each in config.interfaces]
        relay = Relay(config, (ports[0], ports[1]))
        stack.callback(_report, config, relay, ports)
        if config.ready:
            Path(config.ready).touch()
        _serve(relay, ports)


def _be_prompt() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, ctypes.c_ulong(1), 0, 0, 0)
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, _NICE)
    gc.disable()  # nothing here is in a cycle


def _serve(relay: Relay, ports: list[Port]) -> None:
    """Until SIGTERM. select(2) counts microseconds, where epoll counts milliseconds."""
    numbers = {port: number for number, port in enumerate(ports)}
    while True:
        due = relay.next_timeout()
        wait_s = _WAIT_MAX_S if due is None else min(max(0.0, due - time.monotonic()), _WAIT_MAX_S)
        for port in select.select(ports, (), (), wait_s)[0]:
            relay.receive(numbers[port])
        relay.send_due(time.monotonic())


def _report(config: RelayConfig, relay: Relay, ports: list[Port]) -> None:
    for sender, direction, port in zip(config.interfaces, relay.directions, ports, strict=True):
        print(
            f"from {sender}: {direction.summary()}, {port.overruns()} came too fast, {port.refused} refused"
        )
    if relay.unknown:
        print(f"{relay.unknown} super-packets were dropped, which are not TCP's")


def _end(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)


if __name__ == "__main__":
    sys.exit(main())
