"""The rarer timers of a connection: handshake, FIN_WAIT_2 and keepalive. `now` in, probes and ends out.

RFC 9293 section 3.10.8, RFC 6298 section 5.7; net/ipv4/tcp_timer.c tcp_keepalive_timer, tcp_retransmit_timer
(of a SYN), net/ipv4/tcp_minisocks.c. `connection` calls these when their deadline has passed; the sender's
timers are in `write_timer`. Owns nothing.
"""

from __future__ import annotations

import errno
from math import inf

from nodes.tcp.keepalive import KeepaliveAction, KeepaliveTimer
from nodes.tcp.tcb import Tcb


def on_deadline(tcb: Tcb, now: float) -> None:
    """`tcb.deadline` has passed: retransmit our SYN, or end an orphan in FIN_WAIT_2."""
    tcb.deadline = inf
    handshake = tcb.handshake
    if handshake is None:
        tcb.end(0)
    elif handshake.on_timeout(now):
        tcb.config.netns.mib.TcpRetransSegs += 1
        tcb.deadline = now + handshake.timeout_s(tcb.sender.rtt.rto, now)
    else:
        tcb.end(errno.ETIMEDOUT)


def on_keepalive_timeout(tcb: Tcb, timer: KeepaliveTimer, now: float) -> None:
    """Probe the peer, or give up: a RST, and the connection ends with ETIMEDOUT."""
    sender, mib = tcb.sender, tcb.config.netns.mib
    busy = sender.snd_nxt != sender.snd_una or bool(sender.queue.bytes)
    action = timer.on_timeout(now, tcb.validate.rcv_tstamp, busy, sender.user_timeout_s)
    if action is KeepaliveAction.SEND_PROBE:
        mib.TcpExtTCPKeepAlive += 1
    elif action is KeepaliveAction.ABORT:
        tcb.replies.append(tcb.output.reset(now))
        mib.TcpExtTCPAbortOnTimeout += 1
        tcb.end(errno.ETIMEDOUT)
