"""Whether the process at the other end of a channel may administer the network (CAP_NET_ADMIN).

In: the channel's socket. Out: yes or no. Owns nothing. What counts is the process that connected, with the
capabilities that it has when its connection is accepted: SO_PEERCRED tells its pid, /proc its capabilities.
To an endpoint in a pid namespace of its own, a process outside has pid 0: then a pidfd (SO_PEERPIDFD, Linux
6.5) identifies it, looked up in the /proc that process 1 of that namespace keeps open.
Source: unix(7), capabilities(7), pid_namespaces(7), fdinfo in proc(5).
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
    """Whether the peer of `sock` has CAP_NET_ADMIN in the endpoint's own user namespace. Where its process
    has ended or cannot be seen from here, its user id decides: root has it."""
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
        # fdinfo shows a pid as of the pid namespace whose /proc it is read through.
        pid = int(_field(outside / f"self/fdinfo/{pidfd}", "Pid"))
    finally:
        os.close(pidfd)
    if pid <= 0:
        raise LookupError("the process has ended")
    return outside / str(pid)


@functools.cache
def _outside_proc() -> Path:
    """The /proc of the pid namespace outside of this one, by a descriptor of process 1."""
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
