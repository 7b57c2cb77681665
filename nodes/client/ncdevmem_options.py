"""ncdevmem's command line: what each option means, and which values it may have.

In: the command line, DEVMEM_CHANNEL. Out: a namespace of checked values, or WrongOption; no host has been
asked for anything by then. Owns nothing. The letters are those of
tools/testing/selftests/drivers/net/hw/ncdevmem.c.
"""

from __future__ import annotations

import argparse
import ipaddress
import os
from collections.abc import Callable
from typing import NoReturn

CHANNEL_VARIABLE = "DEVMEM_CHANNEL"
_PORT_MAX = 65535
_U32_MAX = (1 << 32) - 1


class WrongOption(ValueError):
    """One sentence, which names the option."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise WrongOption(message.removeprefix("argument "))


def parse(argv: list[str] | None) -> argparse.Namespace:
    """`server` and `client` are texts that ip_address accepts, or None; `probing`: both are None. Raises
    WrongOption."""
    options = command_line().parse_args(argv)
    options.probing = options.server is None and options.client is None
    _check(options)
    return options


def ip_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """A mapped address, ::ffff:a.b.c.d, becomes a.b.c.d. Raises ValueError."""
    address = ipaddress.ip_address(text)
    return getattr(address, "ipv4_mapped", None) or address


def command_line() -> argparse.ArgumentParser:
    """What docs/reference/commands.md is made of, too."""
    p = _Parser(
        prog=".venv/bin/python -m nodes.client.ncdevmem",
        description="Netcat over device memory. With -l receive, else send the lines of standard input; "
        "with neither -s nor -c check that the device refuses what it must. At the end the NIC is as it was "
        "before, except that earlier n-tuple rules are gone.",
    )
    add = p.add_argument
    add("-l", action="store_true", dest="listen", help="listen and receive")
    add("-s", dest="server", type=_address, metavar="ADDRESS", help="the server's address")
    add("-c", dest="client", type=_address, metavar="ADDRESS",
        help="the client's address; of a server: steer only its flow")  # fmt: skip
    add("-p", dest="port", type=_number(1, _PORT_MAX), metavar="PORT", help="the server's port")
    add("-v", dest="validate", type=_number(2, 256), metavar="N",
        help="expect bytes 1 to N-1 and a newline, repeated; N is 2 to 256")  # fmt: skip
    add("-q", dest="count", type=_number(1, _U32_MAX), metavar="N", help="number of rx queues to bind")
    add("-t", dest="first", type=_number(0, _U32_MAX), metavar="QUEUE", help="the first of them")
    add("-f", dest="ifname", required=True, metavar="NAME", help="the host's interface")
    add("-z", dest="chunk", type=_number(1, _U32_MAX), metavar="BYTES",
        help="send a line as pieces of so many bytes")  # fmt: skip
    add("-L", action="store_true", dest="no_linear", help="fail on any byte that came in host memory")
    add("-n", action="store_true", dest="keep_nic", help="leave the NIC's configuration alone")
    add("-b", dest="rx_page_size", type=_number(1, _U32_MAX), metavar="BYTES", help="size of the net_iovs")
    add("--channel", default=os.environ.get(CHANNEL_VARIABLE), metavar="PATH",
        help=f"the host's system calls; default: ${CHANNEL_VARIABLE}")  # fmt: skip
    return p


def _check(options: argparse.Namespace) -> None:
    """Options that need or exclude each other."""
    if not options.channel:
        raise WrongOption(f"no channel: give --channel PATH or set {CHANNEL_VARIABLE}")
    if (options.first is None) != (options.count is None):
        raise WrongOption("-t and -q go together: give both, or neither")
    steering = options.probing or (options.listen and not options.keep_nic)
    if steering and options.first == 0:
        raise WrongOption("-t 0: no queue is left for what is not steered; give 1 or more")
    if options.probing:
        return
    for name, value in (("-s", options.server), ("-p", options.port)):
        if value is None:
            raise WrongOption(f"{name} is missing: give the server's address and port")
    if options.client and ip_address(options.client).version != ip_address(options.server).version:
        raise WrongOption(f"-c {options.client}: give an address of the same family as -s {options.server}")


def _number(minimum: int, maximum: int) -> Callable[[str], int]:
    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no number; give {minimum} to {maximum}") from None
        if not minimum <= value <= maximum:
            raise argparse.ArgumentTypeError(f"{value} is out of range; give {minimum} to {maximum}")
        return value

    return convert


def _address(text: str) -> str:
    try:
        ip_address(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not an IP address; write it in numbers") from None
    return text
