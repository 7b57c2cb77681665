"""Socket addresses as Python's socket module takes them.

In: the address argument of bind and connect. Out: a numeric address and a port. Owns nothing. No name server
is asked: names are localhost and those of hosts (nodes.client.names).
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

Address = Any  # (host, port), and for AF_INET6 also (host, port, flowinfo, scope_id), as Python has it
Resolve = Callable[[str, int], str | None]  # a host's name and a family -> its address
_LOCALHOST = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}


def numeric(address: Address, family: int, call: str, resolve: Resolve) -> tuple[str, int]:
    """Raises TypeError and OverflowError as socket.socket does, gaierror for a name."""
    kind = socket.AddressFamily(family).name
    if not isinstance(address, tuple):
        raise TypeError(f"{call}(): {kind} address must be tuple, not {type(address).__name__}")
    if not (len(address) == 2 or (family == socket.AF_INET6 and len(address) in (3, 4))):
        form = "(host, port)" if family == socket.AF_INET else "(host, port[, flowinfo[, scopeid]])"
        raise TypeError(f"{kind} address must be a tuple {form}")
    host, port = address[:2]
    if not isinstance(port, int):
        raise TypeError(f"{call}(): port must be an integer, not {type(port).__name__}")
    if not 0 <= port <= 0xFFFF:
        raise OverflowError(f"{call}(): port must be 0-65535.")
    return _host(host.decode() if isinstance(host, bytes) else host, family, resolve), port


def of_end(end: tuple[str, int], family: int) -> Address:
    """An end's address as Python has it, with flowinfo and scope_id for AF_INET6."""
    return (*end, 0, 0) if family == socket.AF_INET6 else end


def _host(host: str, family: int, resolve: Resolve) -> str:
    if host == "localhost":
        return _LOCALHOST[socket.AddressFamily(family)]
    if host and not (_is(host, socket.AF_INET) or _is(host, socket.AF_INET6)):
        address = resolve(host, family)
        if address is None:
            raise socket.gaierror(
                socket.EAI_NONAME, f"{host!r} is neither an address nor the name of a host of this network"
            )
        return address
    return host


def _is(host: str, family: int) -> bool:
    try:
        socket.inet_pton(family, host)
    except OSError:
        return False
    return True
