"""The ioctls of a TCP socket: how many bytes wait to be read, to be acknowledged, to be sent.

In: a socket and a request. Out: a number of bytes. Owns nothing. Source: tcp_ioctl (net/ipv4/tcp.c).
"""

from __future__ import annotations

import errno

from nodes.sock.devmem_socket import DevmemSocket, error
from nodes.tcp.state import HANDSHAKE
from nodes.uapi import socket as uapi

_REQUESTS = (uapi.SIOCINQ, uapi.SIOCOUTQ, uapi.SIOCOUTQNSD)


def tcp_ioctl(sock: DevmemSocket, request: int) -> int:
    """EINVAL for a listener, ENOTTY for another request. A FIN that is queued counts as a byte to send."""
    if request not in _REQUESTS:
        raise error(errno.ENOTTY, f"request {request:#x} of a TCP socket")
    if sock.listening:
        raise error(errno.EINVAL, "a listener has no bytes")
    connection = sock.connection
    if request == uapi.SIOCINQ:
        return sock.recv_queue.length
    if connection is None or connection.state in HANDSHAKE:
        return 0
    sender = connection.tcb.sender
    if request == uapi.SIOCOUTQNSD:
        return sender.queue.bytes + (sender.fin_queued and not sender.fin_sent)
    return sock.bytes_sent - connection.bytes_acked + (sender.fin_queued and not sender.fin_acked)
