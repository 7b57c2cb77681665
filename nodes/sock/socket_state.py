"""What connect made of a socket. Pure; owns nothing. Source: enum socket_state (include/uapi/linux/net.h)."""

from __future__ import annotations

from enum import Enum, auto


class SocketState(Enum):
    UNCONNECTED = auto()
    CONNECTING = auto()
    CONNECTED = auto()  # final: it stays when the connection is over
    DISCONNECTING = auto()  # final: the socket was shut down before connect returned, and never connected
