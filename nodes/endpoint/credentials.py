"""Whether the process at the other end of a channel may administer the network.

In: the channel's socket. Out: yes or no. Owns nothing. The process that connected counts, as privileged as it
was when it connected: SO_PEERCRED names it, /proc its capabilities. An endpoint in a pid namespace of its own
sees 0 for a process outside; then a pidfd (SO_PEERPIDFD, Linux 6.5) names it, looked up in the /proc that
process 1 of that namespace keeps open. unix(7), capabilities(7), pid_namespaces(7), fdinfo in proc(5).
"""

from __future__ import annotations

import functools
import os
import socket
import struct
from pathlib import Path

_CAP_NET_ADMIN = 1 << 12
_PEERCRED = struct.Struct("=iII")
_SO_PEERPIDFD = 77


def has_net_admin(sock: socket.socket) -> bool:
    """CAP_NET_ADMIN in the endpoint's own user namespace. Of a process that cannot be found any more, or
    not be seen from here, root is taken at its word."""
    pid, uid, _ = _PEERCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEERCRED.size))
    try:
        process = Path(f"/proc/{pid}") if pid else _outside_process(sock)
        capable = int(_field(process / "status", "CapEff"), 16) & _CAP_NET_ADMIN
        return bool(capable) and os.path.samefile(process / "ns/user", "/proc/self/ns/user")
    except (OSError, LookupError):
        return bool(uid == 0)


def _outside_process(sock: socket.socket) -> Path:
    pidfd = sock.getsockopt(socket.SOL_SOCKET, _SO_PEERPIDFD)
    try:
        outside = _outside_proc()
        # fdinfo shows pids as the /proc sees them through which it is read
        pid = int(_field(outside / f"self/fdinfo/{pidfd}", "Pid"))
    finally:
        os.close(pidfd)
    if pid <= 0:
        raise LookupError("the process has ended")
    return outside / str(pid)


@functools.cache
def _outside_proc() -> Path:
    """The /proc of the namespace around ours, through a descriptor of process 1."""
    for link in Path("/proc/1/fd").iterdir():
        try:
            if os.readlink(link) == "/proc" and not os.path.samefile(link, "/proc"):
                return link
        except OSError:
            continue
    raise LookupError("process 1 keeps no other /proc open")


def _field(file: Path, name: str) -> str:
    for line in file.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return line.split()[1]
    raise LookupError(f"{file} has no {name}")
