"""The netdev netlink family as applications use it: dictionaries in and out, as the spec names them.

    host.netdev.bind_rx({"ifindex": 2, "fd": fd, "queues": [{"type": "rx", "id": 1}]})  ->  {"id": 1}

Source: Documentation/netlink/specs/netdev.yaml. Refusals are OSError with errno, text, `attribute`: the
endpoint checks, in the kernel's order.
"""

from __future__ import annotations

import errno
from typing import Any

import msgspec

from nodes.client.calls import Calls, SystemCallError
from nodes.uapi.syscalls import Netlink, NetlinkReply

Attributes = dict[str, Any]


class Family:
    """One generic netlink family: do and dump by operation name.

    Raises OSError: EOPNOTSUPP for an operation that does not exist, EPERM, EINVAL for attributes that are
    unknown, missing or of another type, ERANGE for numbers outside their range, and what else the
    operation's own table says.
    """

    def __init__(self, calls: Calls, name: str) -> None:
        self._calls = calls
        self._name = name

    def do(self, operation: str, attributes: Attributes | None = None) -> Any:
        """Ask for one thing; the reply's attributes, or None."""
        return self._ask(operation, attributes or {}, dump=False)

    def dump(self, operation: str, attributes: Attributes | None = None) -> list[Attributes]:
        """Everything there is, narrowed by `attributes` where the operation has any."""
        return list(self._ask(operation, attributes or {}, dump=True))

    def _ask(self, operation: str, attributes: Attributes, dump: bool) -> Any:
        try:
            encoded = msgspec.Raw(msgspec.msgpack.encode(attributes))
        except (TypeError, OverflowError) as e:
            raise SystemCallError(errno.EINVAL, f"{self._name} {operation}: {e}") from None
        fd = attributes.get("fd")
        fds = (fd,) if type(fd) is int and 0 <= fd < 1 << 31 else ()
        request = Netlink(self._name, operation, encoded, dump)
        try:
            reply = self._calls.call(request, NetlinkReply, fds)
        except OSError as e:
            if e.errno != errno.EBADF or not fds:
                raise
            # sendmsg refuses to pass what is not open; what else may be wrong comes first
            reply = self._calls.call(request, NetlinkReply)
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

    def dev_get(self) -> list[Attributes]:
        """A dump; so are those below. One thing alone: `do`."""
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
