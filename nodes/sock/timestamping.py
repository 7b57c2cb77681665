"""SO_TIMESTAMPING: when bytes came, left and were acknowledged, in software.

In: stream offsets with the time at which something happened to them. Out: stamps for recvmsg's control
messages and for the error queue, with SOF_TIMESTAMPING_OPT_STATS the connection's statistics beside them.
Owns the bytes that wait for a stamp. A stamp of a send is that of its last byte; each kind is given once, a
retransmission gives none.
Source: tcp_tx_timestamp, tcp_recv_timestamp (net/ipv4/tcp.c), tcp_ack_tstamp (net/ipv4/tcp_input.c),
__skb_tstamp_tx (net/core/skbuff.c), sock_set_timestamping (net/core/sock.c).
"""

from __future__ import annotations

import errno
import struct

from nodes.sock.errqueue import ErrQueue, Event
from nodes.sock.opt_stats import opt_stats
from nodes.tcp.connection import Connection
from nodes.uapi import socket as uapi
from nodes.uapi.socket import ExtendedErr

_SCM = struct.Struct("=6q")  # struct scm_timestamping: software, unused, hardware
_NS = 1_000_000_000
_TX = uapi.SOF_TIMESTAMPING_TX_SCHED | uapi.SOF_TIMESTAMPING_TX_SOFTWARE | uapi.SOF_TIMESTAMPING_TX_ACK


class Timestamping:
    """Stream offsets count payload bytes; times are the host's monotonic seconds, and `realtime` added to
    them gives CLOCK_REALTIME."""

    __slots__ = ("_acks", "_errqueue", "_received", "_sends", "ack_ttl", "flags", "key", "realtime")

    def __init__(self, errqueue: ErrQueue, realtime: float) -> None:
        self.flags = 0  # SOF_TIMESTAMPING_*
        self.key = 0  # with OPT_ID stamps are numbered by bytes from this offset on (sk_tskey)
        self.realtime = realtime
        self.ack_ttl = 0  # TTL or hop limit of the peer's last packet
        self._errqueue = errqueue
        # Lists: every socket has them, and an empty deque is large.
        self._sends: list[tuple[int, int]] = []  # end, flags: not yet transmitted
        self._acks: list[tuple[int, float]] = []  # end, when it left: not yet acknowledged
        self._received: list[tuple[int, int, float]] = []  # start, end, when

    def clear(self) -> None:
        """The connection is over."""
        self._sends.clear()
        self._acks.clear()
        self._received.clear()

    @property
    def waits(self) -> bool:
        """Whether a send waits for the stamp of its transmission."""
        return bool(self._sends)

    # --- sending

    def on_send(self, end: int, flags: int) -> None:
        """A call's last byte was queued at `end`; `flags`: the call's own, else the socket's."""
        if flags & _TX:
            self._sends.append((end, flags))

    def on_transmitted(self, offset: int, connection: Connection, now: float) -> None:
        """All bytes before `offset` have left."""
        while self._sends and self._sends[0][0] <= offset:
            end, flags = self._sends.pop(0)
            if flags & uapi.SOF_TIMESTAMPING_TX_SCHED:
                self._queue(uapi.SCM_TSTAMP_SCHED, end, now, self._stats(connection, now, now))
            if flags & uapi.SOF_TIMESTAMPING_TX_SOFTWARE:
                self._queue(uapi.SCM_TSTAMP_SND, end, now, self._stats(connection, now, now))
            if flags & uapi.SOF_TIMESTAMPING_TX_ACK:
                self._acks.append((end, now))

    def on_acknowledged(self, connection: Connection, now: float) -> None:
        """The peer has acknowledged more."""
        while self._acks and self._acks[0][0] <= connection.bytes_acked:
            end, left_at = self._acks.pop(0)
            stats = self._stats(connection, now, left_at, self.ack_ttl)
            self._queue(uapi.SCM_TSTAMP_ACK, end, now, stats)

    def _stats(self, connection: Connection, now: float, left_at: float, ttl: int | None = None) -> bytes:
        if not self.flags & uapi.SOF_TIMESTAMPING_OPT_STATS:
            return b""
        sender = connection.tcb.sender
        queued = sender.queue.bytes + sender.snd_nxt - sender.snd_una
        return opt_stats(connection.info(now), queued, left_at, ttl)

    def _queue(self, kind: int, end: int, now: float, stats: bytes) -> None:
        key = end - 1 - self.key & 0xFFFFFFFF if self.flags & uapi.SOF_TIMESTAMPING_OPT_ID else 0
        extended_err = ExtendedErr(errno.ENOMSG, uapi.SO_EE_ORIGIN_TIMESTAMPING, 0, 0, 0, kind, key)
        self._errqueue.add(Event(extended_err, now, stats))

    # --- receiving

    def on_received(self, start: int, end: int, at: float) -> None:
        """The bytes from `start` to `end` came at `at`."""
        if self.flags & uapi.SOF_TIMESTAMPING_RX_SOFTWARE:
            self._received.append((start, end, at))

    def received_at(self, offset: int, peek: bool) -> float | None:
        """When the byte before `offset` came; None without a stamp. What is before it is forgotten, unless
        the call was a peek."""
        found = None
        for start, end, at in self._received:
            if start < offset <= end:
                found = at
            if end >= offset:
                break
        while not peek and self._received and self._received[0][1] <= offset:
            self._received.pop(0)
        return found

    # --- control messages

    def control(self, at: float | None, stats: bytes = b"") -> tuple[tuple[int, int, bytes], ...]:
        """The control messages that tell `at` and the statistics of that moment, if the application wants
        software stamps and there is one."""
        if at is None or not self.flags & uapi.SOF_TIMESTAMPING_SOFTWARE:
            return ()
        nanoseconds = round((at + self.realtime) * 1e9)
        body = _SCM.pack(nanoseconds // _NS, nanoseconds % _NS, 0, 0, 0, 0)
        stamp = (uapi.SOL_SOCKET, uapi.SCM_TIMESTAMPING, body)
        if not stats:
            return (stamp,)
        return stamp, (uapi.SOL_SOCKET, uapi.SCM_TIMESTAMPING_OPT_STATS, stats)
