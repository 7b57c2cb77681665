"""Notifications: what members of multicast groups hear of changes at the host.

In: netlink sockets that have joined a group; the host's settings and page pools, which are asked for every
PERIOD_S while somebody listens. Out: messages of ethtool's group monitor and of netdev's group page-pool.
Owns a thread and a control channel of its own, while there are members.
A change is told of, whoever has made it: this program, another one, or run.py. Two changes within PERIOD_S
are one notification. netdev's group mgmt and nlctrl's are silent: a host's NICs and families never change.
Source: ethnl_default_notify (net/ethtool/netlink.c), netdev_nl_page_pool_event (net/core/page_pool_user.c).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any
from weakref import WeakSet

from nodes.client.host import Host, HostError
from nodes.supervisor.netlink import nlmsg
from nodes.supervisor.netlink.attributes import Values, encode
from nodes.supervisor.netlink.control_plane import COMPACT_BITSETS, ControlPlane
from nodes.supervisor.netlink.families import FAMILIES, Family, Operation
from nodes.supervisor.netlink.netlink_file import NetlinkFile

PERIOD_S = 0.05
_END_S = 1.0  # an endpoint that is stopped holds up nobody
_BY_NAME = {family.name: family for family in FAMILIES}
_MONITOR, _PAGE_POOL = _BY_NAME["ethtool"].groups["monitor"], _BY_NAME["netdev"].groups["page-pool"]
GROUPS = {_MONITOR: ("ethtool", ("features-get", "rings-get", "channels-get", "rss-get")),
          _PAGE_POOL: ("netdev", ("page-pool-get",))}  # fmt: skip
# Commands of the notifications: of what was changed, of what is new, of what is gone (0: there is none)
_COMMANDS = {
    "features-get": (13, 0, 0), "rings-get": (17, 0, 0), "channels-get": (19, 0, 0), "rss-get": (50, 52, 53),
    "page-pool-get": (8, 6, 7),
}  # fmt: skip
_COUNTS = ("inflight", "inflight-mem")  # which no notification is about

# What the operations say, by their names, the device, and the context or the pool
State = dict[tuple[str, Any, Any], Values]


def _nobody(fd: int) -> int:
    raise OSError(f"no question brings descriptor {fd}")


def state(host: Host, group: int) -> State:
    """What the notifications of a group are about, as it is now. Raises OSError."""
    ask = ControlPlane(host, _nobody)
    family, operations = GROUPS[group]
    found: State = {}
    for operation in operations:
        values = {"header": {"flags": COMPACT_BITSETS}} if operation == "features-get" else {}
        for reply in ask(family, operation, values, True):
            device = reply["header"]["dev-index"] if family == "ethtool" else reply.get("ifindex", 0)
            found[operation, device, reply.get("context", reply.get("id", 0))] = reply
    return found


def changes(group: int, before: State, after: State) -> Iterator[bytes]:
    """The notifications between two states."""
    family = _BY_NAME[GROUPS[group][0]]
    by_name = {operation.name: operation for operation in family.operations.values()}
    for key in [*before, *(each for each in after if each not in before)]:
        old, new = before.get(key), after.get(key)
        changed, added, deleted = _COMMANDS[key[0]]
        command = added if old is None else deleted if new is None else changed if _differ(old, new) else 0
        if command:
            yield _notification(family, by_name[key[0]], command, new or old or {})


def _differ(old: Values, new: Values) -> bool:
    return any(old.get(name) != new.get(name) for name in {*old, *new} if name not in _COUNTS)


def _notification(family: Family, operation: Operation, command: int, values: Values) -> bytes:
    return nlmsg.notification(family.id, command, family.version, encode(values, operation.attributes))


class Notifications:
    """`reach` opens a control channel. A member leaves by its `groups`, or as it is closed."""

    def __init__(self, reach: Callable[[], Host], period_s: float = PERIOD_S) -> None:
        self._reach = reach
        self._period_s = period_s
        self._host: Host | None = None
        self._members: WeakSet[NetlinkFile] = WeakSet()
        self._lock = threading.Lock()
        self._known: dict[int, State] = {}
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()

    def joined(self, file: NetlinkFile) -> int:
        """The file hears of what changes after this, which waits for the endpoint. Returns 0."""
        with self._lock:
            self._members.add(file)
            if self.tell() and self._thread is None:
                self._thread = threading.Thread(target=self._listen, daemon=True)
                self._thread.start()
        return 0

    def _listen(self) -> None:
        while not self._ended.wait(self._period_s):
            with self._lock:
                if not self.tell():
                    break
        with self._lock:
            self._thread = None
            if self._host is not None:
                self._host.close()
                self._host = None

    def tell(self) -> bool:
        """The members what has changed since the last time. False where nobody listens, and when the endpoint
        is gone."""
        groups = [group for group in GROUPS if any(group in file.groups for file in self._members)]
        self._known = {group: self._known[group] for group in groups if group in self._known}
        try:
            for group in groups:
                self._host = self._host or self._reach()
                now = state(self._host, group)
                for each in changes(group, self._known.get(group, now), now):
                    for file in self._members:
                        if group in file.groups:
                            file.notify(each)
                self._known[group] = now
        except (HostError, OSError):
            return False
        return bool(groups)

    def close(self) -> None:
        """The program has ended."""
        self._ended.set()
        thread = self._thread
        if thread is not None:
            thread.join(_END_S)
