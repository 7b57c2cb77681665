"""Socket options that the application changes on a connection that exists: values in, changed parts out.

do_tcp_setsockopt (net/ipv4/tcp.c) and sk_setsockopt (net/core/sock.c). Owns nothing. Options that are set
before the connection exists are in TcpConfig.
"""

from __future__ import annotations

from dataclasses import replace

from nodes.tcp.keepalive import Keepalive
from nodes.tcp.tcb import Tcb


class Sockopt:
    """One method an option; each takes effect with the next segments_to_send."""

    __slots__ = ("_tcb",)

    def __init__(self, tcb: Tcb) -> None:
        self._tcb = tcb

    def set_nodelay(self, nodelay: bool) -> None:
        """TCP_NODELAY: Nagle's algorithm holds nothing back any more. Setting it pushes what is queued, also
        while TCP_CORK is set."""
        sender = self._tcb.sender
        sender.nodelay = nodelay
        if nodelay:
            sender.push()

    def set_cork(self, cork: bool) -> None:
        """TCP_CORK: while set, only full segments leave, and what has waited for 200 ms. Clearing it lets
        Nagle's algorithm decide, unless TCP_NODELAY is set."""
        sender = self._tcb.sender
        sender.cork = cork
        if not cork and sender.nodelay:
            sender.push()

    def set_user_timeout(self, seconds: float) -> None:
        """TCP_USER_TIMEOUT: how long data may stay unacknowledged; 0: as long as tcp_retries2 allows."""
        self._tcb.sender.user_timeout_s = seconds

    def set_linger2(self, seconds: int) -> None:
        """TCP_LINGER2: how long FIN_WAIT_2 lasts after close; 0: as tcp_fin_timeout says; below 0: the
        connection is reset instead."""
        self._tcb.config = replace(self._tcb.config, linger2_s=seconds)

    def set_congestion(self, name: str) -> None:
        """TCP_CONGESTION: cwnd and ssthresh stay. ValueError for a name that is not offered."""
        tcb = self._tcb
        tcb.config = replace(tcb.config, congestion=name)
        tcb.sender.set_congestion(name)
        tcb.output.all_ect = tcb.output.ecn and name == "dctcp"

    def set_send_buffer(self, size: int) -> None:
        """SO_SNDBUF, bytes: the buffer does not grow any more."""
        self._tcb.sender.buffer.lock(size)

    @property
    def send_buffer_bytes(self) -> int:
        """SO_SNDBUF: the size that the send buffer has grown to."""
        return self._tcb.sender.buffer.size

    def set_receive_buffer(self, size: int) -> None:
        """SO_RCVBUF, bytes: the buffer does not grow any more. The window stays what the agreed window scale
        can express."""
        tcb = self._tcb
        tcb.config = replace(tcb.config, receive_buffer_bytes=size, receive_buffer_max_bytes=0)
        tcb.receiver.set_buffer(size, 0.0)

    @property
    def receive_buffer_bytes(self) -> int:
        """SO_RCVBUF: the size that the receive buffer has grown to."""
        return self._tcb.receiver.buffer.size

    def set_rcvlowat(self, rcvlowat: int) -> None:
        """SO_RCVLOWAT, bytes: while fewer are unread, ACKs wait for no reader."""
        self._tcb.receiver.rcvlowat = rcvlowat

    def set_notsent_lowat(self, lowat: int) -> None:
        """TCP_NOTSENT_LOWAT: bytes that may be queued and not sent; 0: no limit but the send buffer."""
        self._tcb.sender.notsent_lowat = lowat

    def set_thin_linear_timeouts(self, linear: bool) -> None:
        """TCP_THIN_LINEAR_TIMEOUTS: the first six timeouts of a thin stream do not back off."""
        self._tcb.sender.thin_linear_timeouts = linear

    def set_quickack(self, quick: bool) -> None:
        """TCP_QUICKACK: acknowledge each of the next segments at once, or delay ACKs from now on."""
        self._tcb.receiver.set_quickack(quick)

    def set_max_pacing_rate(self, max_rate: int) -> None:
        """SO_MAX_PACING_RATE, bytes a second."""
        self._tcb.sender.set_max_pacing_rate(max_rate)

    def set_keepalive(self, options: Keepalive | None) -> None:
        """SO_KEEPALIVE with its times, or None to stop."""
        self._tcb.set_keepalive(options)
