"""A host's kernel, as an application reaches it: by the path of its system-call channel.

    host = Host("/run/.../h1.sock"); sock = host.socket(); host.netdev.bind_rx({...})

In: calls of the application. Out: sockets, registered memory, counters. Owns the control channel: when it
closes, the endpoint drops what was registered and unbinds what was bound through it.
"""

from __future__ import annotations

import errno
import socket as linux

from nodes.client.calls import Calls
from nodes.client.ethtool import Ethtool
from nodes.client.fork import survives_fork
from nodes.client.memory import MemoryRegistry, UserMemory
from nodes.client.names import HostNames
from nodes.client.netdev import Netdev
from nodes.client.route import Route
from nodes.client.runtime import MACHINE, Runtime
from nodes.client.socket import Socket
from nodes.client.socket_calls import SocketCalls
from nodes.machine.buses import MEMORY, down, up
from nodes.uapi.socket_row import SocketRow
from nodes.uapi.syscalls import (
    Done,
    GetSnmp,
    GetSockets,
    GetStats,
    OpenKernelSocket,
    Snmp,
    Sockets,
    Stats,
    Welcome,
    WithholdMemory,
)

_HELLO_S = 10.0
_TYPE_FLAGS = linux.SOCK_NONBLOCK | linux.SOCK_CLOEXEC
HostStats = Stats  # what Host.stats() returns


class HostError(RuntimeError):
    """The host cannot be reached; one sentence."""


class Host:
    """`name`; `nics`, and of the first NIC `ifname`, `ifindex`, `mtu`, `address` and `address6` (the
    endpoint's; None without IPv6), and `kernel_address` (Linux's own on that link, or None). `netdev`,
    `ethtool` and `route` are netlink families. `buses` are those whose bandwidth is limited. `runtime` is
    where its calls, and what an application does with it, wait. `names` knows the hosts of the network."""

    def __init__(self, path: str, patience_s: float = _HELLO_S, runtime: Runtime = MACHINE) -> None:
        """Raises HostError when no endpoint listens at `path`, or it does not answer within `patience_s`."""
        self.runtime = runtime
        try:
            self._calls = Calls(path, runtime)
        except OSError as e:
            raise HostError(
                f"no endpoint listens at {path!r} ({e.strerror}): "
                "start one with .venv/bin/python -m nodes.endpoint"
            ) from None
        welcome, fds = self._hello(patience_s)
        self.name = welcome.name
        self.names = HostNames(path, welcome, runtime)
        self.kernel_address = welcome.kernel_address or None
        self.nics = welcome.nics
        first = welcome.nics[0]
        self.ifname, self.ifindex, self.mtu = first.ifname, first.ifindex, first.mtu
        self.address = first.address
        self.address6 = first.address6 or None
        self.buses = runtime.buses(path, welcome.buses, fds)
        self.netdev = Netdev(self._calls)
        self.ethtool = Ethtool(self._calls, self.ifindex)
        self.route = Route(self._calls)
        self._registry = MemoryRegistry()
        survives_fork(self)

    def renew(self) -> None:
        """In a forked child: the object opens a control channel of its own when it is used. Bindings and
        registered memory stay the parent's."""
        self._calls.renew()
        self._registry.clear()
        self.buses.renew()

    def _hello(self, patience_s: float) -> tuple[Welcome, list[int]]:
        path = self._calls.path
        try:
            return self._calls.hello(patience_s)
        except TimeoutError:
            self._calls.close()
            raise HostError(
                f"the endpoint at {path!r} has not answered for {patience_s:g} s: it hangs or is stopped; "
                "end it and start another"
            ) from None
        except ConnectionError:
            self._calls.close()
            raise HostError(f"the endpoint at {path!r} ended before it answered; see what it said") from None

    @property
    def path(self) -> str:
        """Of the system-call channel."""
        return self._calls.path

    def settimeout(self, patience_s: float | None) -> None:
        """Calls of this object and of its netlink families that are not answered within `patience_s` raise
        TimeoutError, as with an endpoint that is stopped; None, as at the start: they wait for ever."""
        self._calls.settimeout(patience_s)

    def socket(self, family: int = linux.AF_INET, type: int = linux.SOCK_STREAM, proto: int = 0) -> Socket:
        """A new TCP socket of the host's stack, with the arguments of socket.socket: AF_INET or AF_INET6,
        SOCK_STREAM (SOCK_NONBLOCK may be set), 0 or IPPROTO_TCP. With AF_INET6 it speaks IPv4 too, to
        addresses like ::ffff:10.0.0.1, unless IPV6_V6ONLY is set. Raises OSError EPROTONOSUPPORT and
        ESOCKTNOSUPPORT for other kinds of sockets."""
        if type & ~_TYPE_FLAGS != linux.SOCK_STREAM:
            raise OSError(errno.ESOCKTNOSUPPORT, f"socket type {type}: a host has SOCK_STREAM (TCP) alone")
        if proto not in (0, linux.IPPROTO_TCP):
            raise OSError(errno.EPROTONOSUPPORT, f"protocol {proto}: a host has 0 or IPPROTO_TCP alone")
        calls = SocketCalls.open(self._calls.path, family, self.runtime)
        sock = Socket(calls, self._registry, self.names.resolve, family, proto)
        if type & linux.SOCK_NONBLOCK:
            sock.setblocking(False)
        return sock

    def kernel_socket(self) -> linux.socket:
        """A TCP socket of Linux, made in the host's network namespace: it keeps that namespace in whichever
        process it is used."""
        _, fds = self._calls.call_for_fds(OpenKernelSocket(), Done)
        return linux.socket(fileno=fds[0])

    def memory(self, size: int) -> UserMemory:
        """`size` bytes of registered host memory."""
        return UserMemory(self._calls, self._registry, size, self.runtime.counted)

    def withhold_memory(self, share: float) -> None:
        """A fault on purpose: page pools of all rx queues have this share (0 to 1) less of bound dma-bufs,
        until another share is given. Raises OSError: EPERM without CAP_NET_ADMIN."""
        self._calls.call(WithholdMemory(share), Done)

    def stats(self, restart_peak: bool = False, restart_recent: bool = False) -> HostStats:
        """The endpoint's ledger, CPU seconds and device counters so far. `restart_peak`, `restart_recent`:
        the next one's highest use of page pools of that name is that of the time from now on. Raises
        OSError: EPERM for that without CAP_NET_ADMIN."""
        return self._calls.call(GetStats(restart_peak, restart_recent), Stats)

    def snmp(self) -> dict[str, int]:
        """The stack's counters so far, by the names of nstat: TcpRetransSegs, TcpExtListenDrops, ..."""
        return self._calls.call(GetSnmp(), Snmp).counters

    def sockets(self) -> list[SocketRow]:
        """All sockets of the host's stack that are connected or listen, as `ss` shows them."""
        rows: list[SocketRow] = []
        more = True
        while more:
            page = self._calls.call(GetSockets(len(rows)), Sockets)
            rows += page.rows
            more = page.more
        return rows

    def turn(self, dram_bytes: int, nic: str = "", up_bytes: int = 0, down_bytes: int = 0) -> None:
        """Wait until the host's buses have served `dram_bytes` of accesses to memory, and so many bytes up
        and down through the PCIe switch of the interface `nic`; return at once where none has a limit."""
        if self.buses.by_name:
            now = self.runtime.monotonic()
            counts = {MEMORY: dram_bytes, up(nic): up_bytes, down(nic): down_bytes}
            self.runtime.sleep(self.buses.reserve(counts, now) - now)

    def close(self) -> None:
        """Unbind and unregister what was bound and registered through this object; that is done when it
        returns. Sockets stay open: they have channels of their own. A forked child ends what the child has
        bound and registered."""
        self._calls.hang_up()
        self.buses.close()
