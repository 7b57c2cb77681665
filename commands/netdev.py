"""The command netdev: one operation of the netdev netlink family in a host.

In: words of a command line. Out: the reply as JSON on stdout, a refusal on stderr, an exit status. Owns the
dma-buf that --dmabuf makes, and with it the binding, until Ctrl-C.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from contextlib import ExitStack, closing
from typing import Annotated, Any

import typer

from commands.host_command import HostName, RunId, netlink_error, reach
from commands.running import RunningError, find_host
from commands.stop import Interrupted, Stop
from commands.usage import UsageError
from nodes.client.host import HostError
from nodes.machine import dmabuf
from nodes.machine.memory import Region

CONTEXT_SETTINGS: dict[str, Any] = {}
FAILURES = (HostError, RunningError)
_BINDS = ("bind-rx", "bind-tx")


def command(
    host: HostName,
    do: Annotated[str | None, typer.Option("--do", help="An operation, as bind-rx.")] = None,
    dump: Annotated[str | None, typer.Option("--dump", help="An operation, as queue-get.")] = None,
    attributes: Annotated[str, typer.Option("--json", help="Its attributes, as an object.")] = "{}",
    dmabuf_size: Annotated[
        int | None,
        typer.Option("--dmabuf", help="Bytes of a new dma-buf for `fd`; stay until Ctrl-C.", min=1),
    ] = None,
    compact: Annotated[bool, typer.Option("--output-json", help="The reply on one line, as ynl's.")] = False,
    run: RunId = None,
) -> int:
    """One operation of the netdev netlink family in a host, as Documentation/netlink/specs/netdev.yaml
    names it; the reply as JSON."""
    if (do is None) == (dump is None):
        raise UsageError("give one of --do OPERATION and --dump OPERATION")
    wanted = _object(attributes)
    with ExitStack() as stack:
        client = stack.enter_context(closing(reach(find_host(host, run))))
        if dmabuf_size is not None:
            stop = Stop()
            wanted["fd"] = stack.enter_context(closing(_new_dmabuf(dmabuf_size))).fd
        try:
            reply = client.netdev.dump(dump, wanted) if dump else client.netdev.do(str(do), wanted)
        except OSError as refusal:
            return netlink_error(refusal)
        print(json.dumps(reply, indent=None if compact else 2), flush=True)
        if dmabuf_size is not None:  # a binding ends with the process that made it
            return _stay(stop, _taken_down(do, reply, dmabuf_size))
    return 0


def _taken_down(operation: str | None, reply: Any, size: int) -> str:
    """What ends with this process."""
    memory = f"the dma-buf of {size} bytes"
    return f"{memory} and its binding {reply['id']} end" if operation in _BINDS else f"{memory} ends"


def _stay(stop: Stop, end: str) -> int:
    """Until a signal comes, then say that this is the `end`; returns the exit status that it means."""
    try:
        while True:
            stop.check()
            time.sleep(0.1)
    except Interrupted as stopped:
        name = signal.Signals(stopped.status - 128).name
        print(f"run.py: stopped by {name}; {end}", file=sys.stderr)
        return stopped.status


def _new_dmabuf(size: int) -> Region:
    try:
        return dmabuf.export(size)
    except (OSError, OverflowError) as e:
        why = getattr(e, "strerror", None) or e
        raise UsageError(f"--dmabuf {size}: no dma-buf of that size ({why}); ask for fewer bytes") from None


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as e:
        raise UsageError(f"--json {text!r} is not JSON ({e}); write it like '{{\"ifindex\": 2}}'") from None
    if not isinstance(found, dict):
        raise UsageError(f"--json {text!r} is not an object; write it like '{{\"ifindex\": 2}}'")
    return found
