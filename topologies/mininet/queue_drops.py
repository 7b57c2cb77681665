"""How many packets the queues in front of links have dropped, by interface.

In: processes in network namespaces. Out: counts of the root qdisc of every interface there. Owns a socket
while it asks. Without a rate an interface has no queue, and so no drop. Written by hand, as rtnetlink.py.
include/uapi/linux/rtnetlink.h, gen_stats.h; qdisc_graft and tc_fill_qdisc of net/sched/sch_api.c.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterable, Iterator, Mapping

from topologies.mininet.isolation import network_namespace_of

RTM_NEWQDISC, RTM_GETQDISC = 36, 38
NLM_F_REQUEST, NLM_F_DUMP = 1, 0x300
NLMSG_ERROR, NLMSG_DONE = 2, 3
TC_H_ROOT = 0xFFFFFFFF
TCA_STATS2, TCA_STATS_QUEUE = 7, 3

_NLMSGHDR = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_TCMSG = struct.Struct("=B3xiIII")  # family, ifindex, handle, parent, info
_RTATTR = struct.Struct("=HH")  # length, type
_QUEUE = struct.Struct("=IIIII")  # struct gnet_stats_queue: qlen, backlog, drops, requeues, overlimits


def queue_drops(pids: Iterable[int]) -> dict[str, int]:
    """By interface, of the namespaces of these processes; each namespace is asked once. Raises OSError."""
    namespaces = {os.stat(f"/proc/{pid}/ns/net").st_ino: pid for pid in pids}
    found: dict[str, int] = {}
    for pid in namespaces.values():
        with network_namespace_of(pid):
            names = dict(socket.if_nameindex())
            with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as asked:
                found |= _dumped(asked, names)
    return found


def _dumped(asked: socket.socket, names: Mapping[int, str]) -> dict[str, int]:
    length = _NLMSGHDR.size + _TCMSG.size
    header = _NLMSGHDR.pack(length, RTM_GETQDISC, NLM_F_REQUEST | NLM_F_DUMP, 1, 0)
    asked.send(header + _TCMSG.pack(socket.AF_UNSPEC, 0, 0, 0, 0))
    found: dict[str, int] = {}
    while True:
        for kind, body in messages(asked.recv(1 << 16)):
            if kind == NLMSG_DONE:
                return found
            if kind == NLMSG_ERROR:
                code = -struct.unpack_from("=i", body)[0]
                raise OSError(code, f"the kernel does not tell of its qdiscs: {os.strerror(code)}")
            if (drops := root_drops(body)) is not None and drops[0] in names:
                found[names[drops[0]]] = drops[1]


def messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and body of each message."""
    at = 0
    while at + _NLMSGHDR.size <= len(data):
        length, kind, *_ = _NLMSGHDR.unpack_from(data, at)
        yield kind, data[at + _NLMSGHDR.size : at + length]
        at += -(-length // 4) * 4


def root_drops(body: bytes) -> tuple[int, int] | None:
    """Ifindex and packets dropped, of an RTM_NEWQDISC; None for a qdisc within another one, whose drops its
    parent counts."""
    _, ifindex, _, parent, _ = _TCMSG.unpack_from(body)
    if parent != TC_H_ROOT:
        return None
    statistics = _attributes(body[_TCMSG.size :]).get(TCA_STATS2, b"")
    queue = _attributes(statistics).get(TCA_STATS_QUEUE)
    return (ifindex, _QUEUE.unpack_from(queue)[2]) if queue else (ifindex, 0)


def _attributes(data: bytes) -> dict[int, bytes]:
    found, at = {}, 0
    while at + _RTATTR.size <= len(data):
        length, kind = _RTATTR.unpack_from(data, at)
        found[kind & 0x3FFF] = data[at + _RTATTR.size : at + length]
        at += -(-max(length, _RTATTR.size) // 4) * 4
    return found
