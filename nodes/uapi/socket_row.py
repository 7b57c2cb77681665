"""What an endpoint tells of one of its sockets: a record that a reply of the channel carries.

In and out: fields. Owns nothing.
"""

from __future__ import annotations

import msgspec


class SocketRow(msgspec.Struct, frozen=True, array_like=True):
    """One socket as `ss` shows it. `recv_q` is the number of bytes not read and `send_q` of those not
    acknowledged; for a listener, the length of its accept queue and its backlog. `info` has the fields of
    nodes.tcp.info.TcpInfo; it is empty for a listener and in TIME-WAIT."""

    state: str
    recv_q: int
    send_q: int
    local: tuple[str, int]
    remote: tuple[str, int]
    info: dict[str, int | float | str]
