"""The NIC's own queue: how much of what a socket has sent waits in front of its interface, and may.

In: an AF_PACKET socket whose send buffer is full. Out: a larger buffer, or the NIC stops until half of the
queue has left. Owns a netlink socket. Without it megabytes wait in a token bucket, ACKs behind them, and what
the bucket has no room for is lost: byte queue limits prevent that in a NIC (lib/dynamic_queue_limits.c).

Linux counts a frame to its socket until it is received: on a veth also when it has left the interface, in
bridges and in the queues of their ports (skb_scrub_packet keeps the socket). There it must hold nobody up, so
the interface's queueing discipline is asked what it has. packet_ioctl (net/packet/af_packet.c),
sock_writeable (include/net/sock.h), tc_get_qdisc (net/sched/sch_api.c).
"""

from __future__ import annotations

import fcntl
import socket
import struct

from nodes.nic.socket_buffer import set_send_buffer

LIMIT_BYTES = 512 << 10  # eight super-packets; there is time to wake up while four of them leave
_BUFFER_BYTES_MAX = 32 << 20

_SIOCOUTQ = 0x5411
_RTM_NEWQDISC, _RTM_GETQDISC = 36, 38
_NLM_F_REQUEST, _NLM_F_ECHO = 1, 8  # without ECHO Linux answers only those that listen to a group
_TC_H_ROOT = 0xFFFFFFFF
_TCA_STATS2, _TCA_STATS_QUEUE = 7, 3
_NLMSGHDR = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_TCMSG = struct.Struct("=B3xiIII")  # family, ifindex, handle, parent, info
_RTATTR = struct.Struct("=HH")  # length, type
_QUEUE = struct.Struct("=II")  # struct gnet_stats_queue: qlen, backlog, and more
_ANSWER_BYTES = 4096
_INT = struct.Struct("=i")


class OwnQueue:
    """`stopped`: the NIC sends nothing until `half_empty`."""

    def __init__(self, sock: socket.socket, ifindex: int) -> None:
        self.stopped = False
        self._sock = sock
        self._elsewhere = 0  # bytes of frames that have left the interface and still count
        self._goes_on_at = 0  # bytes that count to the socket when it may send again
        self._goes_on_with = 0  # of these, what then waits in the own queue
        self._netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        length = _NLMSGHDR.size + _TCMSG.size
        header = _NLMSGHDR.pack(length, _RTM_GETQDISC, _NLM_F_REQUEST | _NLM_F_ECHO, 0, 0)
        self._request = header + _TCMSG.pack(socket.AF_UNSPEC, ifindex, 0, _TC_H_ROOT, 0)

    def has_room(self) -> bool:
        """The send buffer is full. It grows if that is with frames which have left the interface; if not, the
        NIC is stopped, and poll(2) calls the socket writable when half of the queue has left."""
        own = self._ask()
        self.stopped = own >= LIMIT_BYTES // 2
        if self.stopped:
            self._goes_on_with = own // 2
            self._wait()
        else:
            self._open()
        return not self.stopped

    def look_again(self) -> None:
        """While the NIC is stopped: frames may have left the interface, and still count. Then poll(2) is told
        of a larger buffer, and `half_empty` at once, if half of the queue has left."""
        if self.stopped:
            self._ask()
            self._wait()

    def half_empty(self) -> bool:
        """Whether the NIC that was stopped goes on."""
        if self._counted() >= self._goes_on_at:
            return False
        self.stopped = False
        self._open()
        return True

    def _ask(self) -> int:
        """How many bytes of this socket wait in the interface's queue."""
        counted = self._counted()
        own = min(self._backlog(), counted)  # of more, the rest is others'
        self._elsewhere = counted - own
        return own

    def _wait(self) -> None:
        self._goes_on_at = self._elsewhere + self._goes_on_with
        set_send_buffer(self._sock, 2 * self._goes_on_at)  # sock_writeable: with less than half in use

    def _open(self) -> None:
        set_send_buffer(self._sock, min(self._elsewhere + LIMIT_BYTES, _BUFFER_BYTES_MAX))

    def _counted(self) -> int:
        return int(_INT.unpack(fcntl.ioctl(self._sock, _SIOCOUTQ, bytes(_INT.size)))[0])

    def _backlog(self) -> int:
        self._netlink.send(self._request)
        try:
            return backlog(self._netlink.recv(_ANSWER_BYTES, socket.MSG_DONTWAIT))
        except BlockingIOError:  # a kernel that does not tell: as without a queue
            return 0

    def close(self) -> None:
        self._netlink.close()


def backlog(answer: bytes) -> int:
    """Bytes that wait in the queueing discipline that a netlink message tells of; without one, 0."""
    length, kind, *_ = _NLMSGHDR.unpack_from(answer)
    if kind != _RTM_NEWQDISC:
        return 0
    message = answer[_NLMSGHDR.size + _TCMSG.size : length]
    queue = _attribute(_attribute(message, _TCA_STATS2), _TCA_STATS_QUEUE)
    return int(_QUEUE.unpack_from(queue)[1]) if queue else 0


def _attribute(data: bytes, wanted: int) -> bytes:
    at = 0
    while at + _RTATTR.size <= len(data):
        length, kind = _RTATTR.unpack_from(data, at)
        if kind == wanted:
            return data[at + _RTATTR.size : at + length]
        at += max(_RTATTR.size, -(-length // 4) * 4)
    return b""
