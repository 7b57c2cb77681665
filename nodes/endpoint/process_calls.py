"""System calls of a process's control channel: who are you, memory, statistics, netlink.

In: a session's request. Out: an attempt that answers it. What a process registers or binds here is undone
when its channel closes.
"""

from __future__ import annotations

import errno
import os
import resource
import socket
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import astuple
from typing import Any

import msgspec

from nodes.control import families, policy
from nodes.control.netlink_error import NetlinkError
from nodes.endpoint.host_parts import HostParts
from nodes.endpoint.session import Attempt, Session, refusing
from nodes.endpoint.user_memory import UserMemory
from nodes.nic.impairment import Impairment
from nodes.sock import inet_diag
from nodes.uapi import netlink, syscalls


class ProcessCalls:
    """`calls`: by the request's type, what makes its attempt from (session, request, descriptor or -1)."""

    def __init__(self, host: HostParts, memory: UserMemory) -> None:
        self._host = host
        self._memory = memory
        self._netlink_answers = families.answers(host.netdev.devices, host.ethtool)
        self.calls: dict[type, Callable[..., Attempt]] = {
            syscalls.Hello: self._hello,
            syscalls.RegisterMemory: self._register_memory,
            syscalls.UnregisterMemory: self._unregister_memory,
            syscalls.OpenKernelSocket: self._open_kernel_socket,
            syscalls.GetStats: self._get_stats,
            syscalls.GetSnmp: self._get_snmp,
            syscalls.GetSockets: self._get_sockets,
            syscalls.Netlink: self._netlink,
        }

    def _hello(self, session: Session, _: syscalls.Hello, __: int) -> Attempt:
        def hello(_: float) -> None:
            bus = self._host.bus
            session.send_with(self._host.welcome, (bus.fd,) if bus else ())

        return hello

    def _register_memory(self, session: Session, _: syscalls.RegisterMemory, fd: int) -> Attempt:
        if fd < 0:
            return refusing(errno.EBADF, "RegisterMemory brought no descriptor")

        def register(_: float) -> syscalls.Done:
            memory = self._memory.register(fd)
            session.owned.callback(self._memory.drop, memory)
            return syscalls.Done(memory)

        return register

    def _unregister_memory(self, _: Session, request: syscalls.UnregisterMemory, __: int) -> Attempt:
        def unregister(_: float) -> syscalls.Done:
            if not self._memory.drop(request.memory):
                raise OSError(errno.EINVAL, "no such registered memory")
            return syscalls.Done()

        return unregister

    def _open_kernel_socket(self, session: Session, _: syscalls.OpenKernelSocket, __: int) -> Attempt:
        def open_kernel_socket(_: float) -> None:
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
                session.send_with(syscalls.Done(), (sock.fileno(),))

        return open_kernel_socket

    def _get_stats(self, _: Session, __: syscalls.GetStats, ___: int) -> Attempt:
        host = self._host

        def stats(_: float) -> syscalls.Stats:
            usage = resource.getrusage(resource.RUSAGE_SELF)
            rx = [q.counters for q in host.device.all_rx_queues]
            tx = host.device.tx.counters
            return syscalls.Stats(
                ledger=host.ledger.snapshot(),
                cpu_s=usage.ru_utime + usage.ru_stime,
                rx_packets=sum(q.rx_packets for q in rx),
                rx_bytes=sum(q.rx_bytes for q in rx),
                rx_wire_packets=sum(q.rx_wire_packets for q in rx),
                rx_alloc_fail=sum(q.rx_alloc_fail for q in rx),
                rx_hw_drops=sum(q.rx_hw_drops for q in rx),
                rx_hw_drop_overruns=sum(q.rx_hw_drop_overruns for q in rx) + host.device.overruns(),
                tx_packets=tx.tx_packets,
                tx_bytes=tx.tx_bytes,
                tx_wire_packets=tx.tx_wire_packets,
                tcp_retrans_segs=host.stack.tcp.mib.TcpRetransSegs,
                impaired=_impaired(host.impairment),
            )

        return stats

    def _get_snmp(self, _: Session, __: syscalls.GetSnmp, ___: int) -> Attempt:
        return lambda _: syscalls.Snmp(inet_diag.snmp(self._host.stack))

    def _get_sockets(self, _: Session, request: syscalls.GetSockets, __: int) -> Attempt:
        return lambda _: inet_diag.sockets(self._host.stack, max(0, request.first))

    # --- netlink

    def _netlink(self, session: Session, request: syscalls.Netlink, fd: int) -> Attempt:
        def netlink_call(_: float) -> syscalls.NetlinkReply:
            with ExitStack() as undo:
                if fd >= 0:
                    undo.callback(os.close, fd)
                attributes = self._permitted(session, request)
                if isinstance(attributes, netlink.BindRx | netlink.BindTx):
                    undo.pop_all()
                    return _netlink_reply(self._bind_dmabuf(session, attributes, fd))
                mode: netlink.Mode = "dump" if request.dump else "do"
                answer = self._netlink_answers[request.family, request.operation, mode]
                return _netlink_reply(answer(attributes))

        return netlink_call

    @staticmethod
    def _permitted(session: Session, request: syscalls.Netlink) -> netlink.Attributes:
        """The attributes, when there is such an operation and the caller may ask for it; in this order, the
        kernel's (genl_family_rcv_msg): EOPNOTSUPP, EPERM, then the policy."""
        family, operation = request.family, request.operation
        kind = netlink.OPERATIONS.get((family, operation, "dump" if request.dump else "do"))
        if kind is None:
            what = f"{'dump' if request.dump else 'do'} {operation!r}"
            raise NetlinkError(errno.EOPNOTSUPP, f"family {family!r} has no operation {what}")
        if netlink.needs_admin(family, operation) and not session.privileged:
            raise NetlinkError(errno.EPERM, f"{operation} needs CAP_NET_ADMIN")
        return policy.parse(request.attributes, kind)

    def _bind_dmabuf(
        self, session: Session, request: netlink.BindRx | netlink.BindTx, fd: int
    ) -> netlink.Dmabuf:
        """The binding ends with the channel that made it (netdev_nl_sock_priv_destroy)."""
        netdev = self._host.netdev
        if isinstance(request, netlink.BindRx):
            rx = netdev.bind_rx(request, fd, session.privileged)
            session.owned.callback(netdev.unbind, rx)
            return netlink.Dmabuf(rx.dmabuf_id)
        tx = netdev.bind_tx(request, fd)
        session.owned.callback(netdev.unbind, tx)
        return netlink.Dmabuf(tx.dmabuf_id)


def _netlink_reply(result: Any) -> syscalls.NetlinkReply:
    return syscalls.NetlinkReply(msgspec.Raw(msgspec.msgpack.encode(result)))


def _impaired(impairment: Impairment | None) -> tuple[syscalls.Impaired, ...]:
    if impairment is None:
        return ()
    lanes = (("rx", impairment.rx), ("tx", impairment.tx))
    return tuple(syscalls.Impaired(name, *astuple(lane.counters)) for name, lane in lanes)
