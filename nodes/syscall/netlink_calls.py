"""Operations of netlink families, asked by system call.

In: a family, an operation, encoded attributes, a descriptor for those that bind a dma-buf. Out: the encoded
result, or NetlinkError with the attribute that is wrong. Owns nothing: what a process binds ends with the
channel it was bound through (netdev_nl_sock_priv_destroy).
Source: genl_family_rcv_msg (net/netlink/genetlink.c), rtnetlink_rcv_msg (net/core/rtnetlink.c),
netdev_nl_bind_rx_doit (net/core/netdev-genl.c).
"""

from __future__ import annotations

import errno
import os
from contextlib import ExitStack

import msgspec

from nodes.control import policy
from nodes.control.netlink_error import NetlinkError
from nodes.syscall.system_call import Caller
from nodes.uapi import netlink, rtnetlink, syscalls

_OPERATIONS = netlink.OPERATIONS | rtnetlink.OPERATIONS
_encode = msgspec.msgpack.Encoder().encode


class NetlinkCall:
    """Takes the descriptor over (-1: none came), and closes it when the operation wants none."""

    __slots__ = ("_caller", "_fd", "_request")

    def __init__(self, request: syscalls.Netlink, caller: Caller, fd: int) -> None:
        self._request = request
        self._caller = caller
        self._fd = fd

    def attempt(self, _now: float, _wait: bool) -> syscalls.NetlinkReply:
        with ExitStack() as undo:
            if self._fd >= 0:
                undo.callback(os.close, self._fd)
            attributes = self._permitted()
            result: object
            if isinstance(attributes, netlink.BindRx | netlink.BindTx):
                undo.pop_all()
                result = self._bind_dmabuf(attributes)
            else:
                request = self._request
                mode: netlink.Mode = "dump" if request.dump else "do"
                result = self._caller.kernel.netlink[request.family, request.operation, mode](attributes)
            return syscalls.NetlinkReply(msgspec.Raw(_encode(result)))

    def _permitted(self) -> netlink.Attributes:
        """The attributes, when there is such an operation and the caller may ask for it. Checked in the
        kernel's order (genl_family_rcv_msg): EOPNOTSUPP, EPERM, then the policy."""
        request = self._request
        family, operation = request.family, request.operation
        kind = _OPERATIONS.get((family, operation, "dump" if request.dump else "do"))
        if kind is None:
            what = f"{'dump' if request.dump else 'do'} {operation!r}"
            raise NetlinkError(errno.EOPNOTSUPP, f"family {family!r} has no operation {what}")
        if netlink.needs_admin(family, operation) and not self._is_admin(operation):
            raise NetlinkError(errno.EPERM, f"{operation} needs CAP_NET_ADMIN")
        return policy.parse(request.attributes, kind)

    def _is_admin(self, operation: str) -> bool:
        """Operations with GENL_ADMIN_PERM ask for the capability in the initial user namespace."""
        caller = self._caller
        initial = operation == "bind-rx" and not caller.kernel.host.devices.kernel.bind_rx_userns
        return caller.init_privileged if initial else caller.privileged

    def _bind_dmabuf(self, request: netlink.BindRx | netlink.BindTx) -> netlink.Dmabuf:
        caller = self._caller
        netdev = caller.kernel.host.netdev
        if isinstance(request, netlink.BindRx):
            rx = netdev.bind_rx(request, self._fd, self._is_admin("bind-rx"))
            caller.owned.callback(netdev.unbind, rx)
            return netlink.Dmabuf(rx.dmabuf_id)
        tx = netdev.bind_tx(request, self._fd)
        caller.owned.callback(netdev.unbind, tx)
        return netlink.Dmabuf(tx.dmabuf_id)
