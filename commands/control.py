"""The commands for a host of a living run: netdev, ethtool, exec, and down for the run itself.

In: words of a command line. Out: text on stdout, refusals on stderr, an exit status: 0, or 1 when the host
refused. Owns nothing. Typer reads the signatures; run.py registers the functions.
"""

from __future__ import annotations

import errno
import json
import sys
import time
from contextlib import ExitStack, closing
from typing import Annotated, Any

import typer

from commands.living import execute, find_host, take_down
from commands.stop import Stop
from nodes.client import ethtool_command
from nodes.client.ethtool_command import EthtoolUsage
from nodes.client.host import Host
from nodes.machine import dmabuf
from nodes.machine.memory import Region

HostName = Annotated[str, typer.Argument(help="A host of the run.", metavar="HOST")]
RunId = Annotated[str | None, typer.Option("--run", help="Which living run.  [default: the newest]")]
# What follows HOST belongs to the command, dashes and all.
PASS_ON = {"allow_interspersed_args": False, "ignore_unknown_options": True}


class ControlUsage(ValueError):
    """Options that cannot be; one sentence."""


def down(run: RunId = None) -> int:
    """End a run that `up` started."""
    print(f"run {take_down(run)} is down")
    return 0


def exec_(
    host: HostName,
    command: Annotated[list[str], typer.Argument(help="What to run, after --.", metavar="-- COMMAND...")],
    run: RunId = None,
) -> int:
    """Run a command inside a host of a living run; its exit status is ours."""
    argv = command[1:] if command[0] == "--" else command
    if not argv:
        raise ControlUsage("the command is missing; give it after --")
    execute(find_host(host, run), argv)


def ethtool(
    host: HostName,
    words: Annotated[list[str], typer.Argument(help="ethtool's own.", metavar="-l|-L|-g|-G|-k|-K|-n|...")],
    run: RunId = None,
) -> int:
    """ethtool for a host's emulated NIC: -l -L -g -G -k -K -n -N -x -X -S, as ethtool has them."""
    with closing(Host(find_host(host, run).channel)) as client:
        try:
            text = ethtool_command.run(client, words)
        except EthtoolUsage as wrong:
            raise ControlUsage(f"ethtool: {wrong}") from None
        except OSError as refusal:
            return _refused(refusal)
    if text:
        print(text)
    return 0


def netdev(
    host: HostName,
    do: Annotated[str | None, typer.Option("--do", help="An operation, as bind-rx.")] = None,
    dump: Annotated[str | None, typer.Option("--dump", help="An operation, as queue-get.")] = None,
    attributes: Annotated[str, typer.Option("--json", help="Its attributes, as an object.")] = "{}",
    dmabuf_size: Annotated[
        int | None,
        typer.Option("--dmabuf", help="Bytes of a new dma-buf for `fd`; stay until Ctrl-C.", min=1),
    ] = None,
    run: RunId = None,
) -> int:
    """One operation of the netdev netlink family in a host, as Documentation/netlink/specs/netdev.yaml
    names it; the reply as JSON."""
    if (do is None) == (dump is None):
        raise ControlUsage("give one of --do OPERATION and --dump OPERATION")
    wanted = _object(attributes)
    with ExitStack() as stack:
        client = stack.enter_context(closing(Host(find_host(host, run).channel)))
        if dmabuf_size is not None:
            stop = Stop()
            stack.enter_context(stop)
            wanted["fd"] = stack.enter_context(closing(_new_dmabuf(dmabuf_size))).fd
        try:
            reply = client.netdev.dump(dump, wanted) if dump else client.netdev.do(str(do), wanted)
        except OSError as refusal:
            return _refused(refusal)
        print(json.dumps(reply, indent=2), flush=True)
        if dmabuf_size is not None:  # a binding ends with the process that made it
            while True:
                stop.check()
                time.sleep(0.1)
    return 0


def _new_dmabuf(size: int) -> Region:
    try:
        return dmabuf.export(size)
    except (OSError, OverflowError) as e:
        why = getattr(e, "strerror", None) or e
        raise ControlUsage(f"--dmabuf {size}: no dma-buf of that size ({why}); ask for fewer bytes") from None


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as e:
        raise ControlUsage(f"--json {text!r} is not JSON ({e}); write it like '{{\"ifindex\": 2}}'") from None
    if not isinstance(found, dict):
        raise ControlUsage(f"--json {text!r} is not an object; write it like '{{\"ifindex\": 2}}'")
    return found


def _refused(refusal: OSError) -> int:
    attribute = getattr(refusal, "attribute", "")
    where = f" (attribute {attribute})" if attribute else ""
    names = {**errno.errorcode, errno.EOPNOTSUPP: "EOPNOTSUPP"}  # Python says ENOTSUP
    number = names.get(refusal.errno or 0, str(refusal.errno))
    print(f"netlink error: {number}: {refusal.strerror or refusal}{where}", file=sys.stderr)
    return 1
