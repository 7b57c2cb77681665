"""The netdev netlink family as applications use it: dictionaries in and out, as the spec names them.

    host.netdev.bind_rx({"ifindex": 2, "fd": fd, "queues": [{"type": "rx", "id": 1}]})  ->  {"id": 1}

A refusal is an OSError with errno, text and `attribute`. The endpoint checks a request, in the kernel's
order. Source: Documentation/netlink/specs/netdev.yaml.
"""

from __future__ import annotations

import errno
from typing import Any

import msgspec

from nodes.client.calls import Calls
from nodes.client.failure import SystemCallError
from nodes.uapi.syscalls import Netlink, NetlinkReply

Attributes = dict[str, Any]
_BINDS = ("bind-rx", "bind-tx")


class Family:
    """One generic netlink family: do and dump by operation name.

    Raises OSError: EOPNOTSUPP for an operation that does not exist, EPERM without CAP_NET_ADMIN, EINVAL for
    attributes that are unknown, missing or of another type, ERANGE for numbers outside their range;
    operations have refusals of their own, which docs/semantics.md lists.
    """

    def __init__(self, calls: Calls, name: str) -> None:
        self._calls = calls
        self._name = name

    def do(self, operation: str, attributes: Attributes | None = None) -> Any:
        """One operation; returns the reply's attributes, or None when the operation has no reply."""
        return self._ask(operation, attributes or {}, dump=False)

    def dump(self, operation: str, attributes: Attributes | None = None) -> list[Attributes]:
        """A list of records: every one, or those that `attributes` select where the operation has
        attributes."""
        return list(self._ask(operation, attributes or {}, dump=True))

    def _ask(
        self, operation: str, attributes: Attributes, dump: bool, descriptor: int | None = None
    ) -> Any:
        try:
            encoded = msgspec.Raw(msgspec.msgpack.encode(attributes))
        except (TypeError, OverflowError) as e:
            raise SystemCallError(errno.EINVAL, f"{self._name} {operation}: {e}") from None
        fd = attributes.get("fd") if descriptor is None else descriptor
        fds = (fd,) if type(fd) is int and 0 <= fd < 1 << 31 else ()
        request = Netlink(self._name, operation, encoded, dump)
        try:
            reply = self._calls.call(request, NetlinkReply, fds)
        except OSError as e:
            if e.errno != errno.EBADF or not fds:
                raise
            # sendmsg cannot pass a descriptor that is not open. The endpoint gets the request without it:
            # the request's other errors come before EBADF.
            reply = self._calls.call(request, NetlinkReply)
        return msgspec.msgpack.decode(reply.result)


class Netdev(Family):
    """A binding ends when the Host that made it is closed, or when its process ends. It also ends when Host
    and Netdev are collected, with a ResourceWarning."""

    def __init__(self, calls: Calls) -> None:
        super().__init__(calls, "netdev")

    def do(
        self, operation: str, attributes: Attributes | None = None, descriptor: int | None = None
    ) -> Any:
        """`descriptor`: this process's, where attributes["fd"] is the number of it in another process (-1: it
        is not open there)."""
        reply = self._ask(operation, attributes or {}, dump=False, descriptor=descriptor)
        if operation in _BINDS:
            self._calls.bindings.add(reply["id"])
        return reply

    def bind_rx(self, attributes: Attributes) -> Attributes:
        """Bind a dma-buf to rx queues; returns {"id": dmabuf_id}. Needs CAP_NET_ADMIN."""
        return dict(self.do("bind-rx", attributes))

    def bind_tx(self, attributes: Attributes) -> Attributes:
        """Bind a dma-buf for sending; returns {"id": dmabuf_id}."""
        return dict(self.do("bind-tx", attributes))

    def dev_get(self) -> list[Attributes]:
        """Every device. This and the methods below are dumps: use `do` for one record."""
        return self.dump("dev-get")

    def queue_get(self, attributes: Attributes | None = None) -> list[Attributes]:
        return self.dump("queue-get", attributes)

    def napi_get(self, attributes: Attributes | None = None) -> list[Attributes]:
        return self.dump("napi-get", attributes)

    def page_pool_get(self) -> list[Attributes]:
        return self.dump("page-pool-get")

    def page_pool_stats_get(self) -> list[Attributes]:
        return self.dump("page-pool-stats-get")

    def qstats_get(self, attributes: Attributes | None = None) -> list[Attributes]:
        return self.dump("qstats-get", attributes)
