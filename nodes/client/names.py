"""Names of hosts: the endpoints of one network have their channels in one directory, h1.sock, h2.sock, ...

In: the path of a host's channel; names and addresses. Out: the endpoints' addresses, asked of the endpoints
themselves (Hello). Owns what it was told. No name server is asked.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

from nodes.client.calls import Calls
from nodes.client.runtime import Runtime
from nodes.uapi.nic_records import NicInfo
from nodes.uapi.syscalls import Welcome

_PATIENCE_S = 2.0
_SUFFIX = ".sock"


class HostNames:
    """As the host knows them whose channel is `path` and whose own name and NICs `welcome` has."""

    def __init__(self, path: str, welcome: Welcome, runtime: Runtime) -> None:
        self._directory = Path(path).parent
        self._runtime = runtime
        self._known: dict[str, tuple[NicInfo, ...]] = {welcome.name: welcome.nics}

    def resolve(self, name: str, family: int) -> str | None:
        """The address of the host's first NIC; None for an unknown name, and for a host without one."""
        nics = self._nics(name)
        first = nics[0] if nics else None
        if first is None:
            return None
        return (first.address6 if family == socket.AF_INET6 else first.address) or None

    def name_of(self, address: str) -> str | None:
        """Whose endpoint has `address`."""
        for path in sorted(self._directory.glob(f"*{_SUFFIX}")):
            self._nics(path.name.removesuffix(_SUFFIX))
        return next((name for name, nics in self._known.items() if address in _addresses(nics)), None)

    def _nics(self, name: str) -> tuple[NicInfo, ...]:
        if name not in self._known and name and "/" not in name and "\0" not in name:
            asked = self._ask(str(self._directory / f"{name}{_SUFFIX}"))
            if asked is None:
                return ()
            self._known[name] = asked.nics
        return self._known.get(name, ())

    def _ask(self, path: str) -> Welcome | None:
        try:
            calls = Calls(path, self._runtime)
        except OSError:
            return None
        try:
            welcome, fds = calls.hello(_PATIENCE_S)
        except OSError:
            return None
        finally:
            calls.close()
        for fd in fds:
            os.close(fd)
        return welcome


def _addresses(nics: tuple[NicInfo, ...]) -> set[str]:
    return {address for nic in nics for address in (nic.address, nic.address6) if address}
