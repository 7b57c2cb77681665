"""The netdev netlink family as applications use it: dictionaries in and out, as the spec names them.

    host.netdev.bind_rx({"ifindex": 2, "fd": fd, "queues": [{"type": "rx", "id": 1}]})  ->  {"id": 1}

Source: Documentation/netlink/specs/netdev.yaml. Refusals are OSError with errno, text, `attribute`.
"""

from __future__ import annotations

import errno
from typing import Any

import msgspec

from nodes import netlink
from nodes.channel import Netlink, NetlinkReply
from nodes.client.calls import Calls, SystemCallError

Attributes = dict[str, Any]


class Family:
    """One generic netlink family: do and dump by operation name."""

    def __init__(self, calls: Calls, name: str) -> None:
        self._calls = calls
        self._name = name

    def do(self, operation: str, attributes: Attributes) -> Any:
        """Ask for one operation. EOPNOTSUPP for one that does not exist, EINVAL for bad attributes."""
        kind = netlink.OPERATIONS.get((self._name, operation))
        if kind is None:
            raise SystemCallError(errno.EOPNOTSUPP, f"family {self._name!r} has no operation {operation!r}")
        try:
            record = netlink.validate(attributes, kind)
        except msgspec.ValidationError as e:
            raise SystemCallError(errno.EINVAL, f"{self._name} {operation}: {e}", str(e)) from None
        fd = getattr(record, "fd", None)
        request = Netlink(self._name, operation, msgspec.Raw(msgspec.msgpack.encode(record)))
        try:
            reply = self._calls.call(request, NetlinkReply, () if fd is None else (fd,))
        except OSError as e:
            if e.errno == errno.EBADF and fd is not None:  # sendmsg refuses to pass what is not open
                raise SystemCallError(errno.EBADF, f"file descriptor {fd} is not open", "fd") from None
            raise
        return msgspec.msgpack.decode(reply.result)


class Netdev(Family):
    """Bindings end when the Host that made them is closed, or its process."""

    def __init__(self, calls: Calls) -> None:
        super().__init__(calls, "netdev")

    def bind_rx(self, attributes: Attributes) -> Attributes:
        """Bind a dma-buf to rx queues; returns {"id": dmabuf_id}. Needs CAP_NET_ADMIN."""
        return dict(self.do("bind-rx", attributes))

    def bind_tx(self, attributes: Attributes) -> Attributes:
        """Bind a dma-buf for sending; returns {"id": dmabuf_id}."""
        return dict(self.do("bind-tx", attributes))

    def dev_get(self, attributes: Attributes | None = None) -> list[Attributes]:
        return list(self.do("dev-get", attributes or {}))

    def queue_get(self, attributes: Attributes | None = None) -> list[Attributes]:
        return list(self.do("queue-get", attributes or {}))

    def page_pool_get(self, attributes: Attributes | None = None) -> list[Attributes]:
        return list(self.do("page-pool-get", attributes or {}))

    def page_pool_stats_get(self, attributes: Attributes | None = None) -> list[Attributes]:
        return list(self.do("page-pool-stats-get", attributes or {}))

    def qstats_get(self, attributes: Attributes | None = None) -> list[Attributes]:
        return list(self.do("qstats-get", attributes or {}))
