"""Whether the process at the other end of a channel may administer the network (CAP_NET_ADMIN).

In: the channel's socket. Out: yes or no. Owns nothing. What counts is the process that connected, as it was
when it connected. The kernel keeps its user id (SO_PEERCRED) and its identity (SO_PEERPIDFD, Linux 6.5), but
not its capabilities: those are read in /proc when the connection is accepted. A process may have executed
another program in between; so they count only if that cannot have raised them:
- It is still the process that connected: its pidfd says so after /proc was read. One that has ended has none.
- It has the effective user id that it had when it connected: no set-user-id program was executed.
- If that is not root's, its files in /proc belong to that user: no program with file capabilities was
  executed (commit_creds makes a process that gains capabilities undumpable, and task_dump_owner gives its
  files to root; sysctl fs.suid_dumpable 1 would prevent that).
A program that has CAP_NET_ADMIN as a file capability is refused for the same reason: run it as root, or with
ambient capabilities. What stays open: a process of root without the capability that executes another program
before its connection is accepted counts as what it has become, which root may do at any time. Where Linux has
no SO_PEERPIDFD, another process of the same user may have taken the pid over.
To an endpoint in a pid namespace of its own, a process outside has pid 0: then the pidfd is looked up in the
/proc that process 1 of that namespace keeps open; without one the user id decides.
Source: unix(7), capabilities(7), pid_namespaces(7), fdinfo in proc(5), commit_creds (kernel/cred.c),
task_dump_owner (fs/proc/base.c).
"""

from __future__ import annotations

import errno
import functools
import os
import socket
import struct
from pathlib import Path

_CAP_NET_ADMIN = 1 << 12
_PEERCRED = struct.Struct("=iII")
_SO_PEERPIDFD = 77


def has_net_admin(sock: socket.socket) -> bool:
    """Whether the peer of `sock` has CAP_NET_ADMIN in the endpoint's own user namespace."""
    pid, uid, _ = _PEERCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEERCRED.size))
    try:
        pidfd = sock.getsockopt(socket.SOL_SOCKET, _SO_PEERPIDFD)
    except OSError as e:
        if e.errno != errno.ENOPROTOOPT:
            return False  # the process has ended
        return _capable(Path(f"/proc/{pid}"), uid) if pid else bool(uid == 0)
    try:
        proc = Path("/proc") if pid else _outside_proc()
        found = _pid_of(pidfd, proc)
        return found > 0 and _capable(proc / str(found), uid) and _pid_of(pidfd, proc) == found
    except LookupError:  # the process is outside, and cannot be seen from here
        return bool(uid == 0)
    except OSError:
        return False
    finally:
        os.close(pidfd)


def _capable(process: Path, uid: int) -> bool:
    """Whether `process` has the capability, and had it as the user `uid` already."""
    try:
        capable = int(_field(process / "status", "CapEff", 1), 16) & _CAP_NET_ADMIN
        same_user = int(_field(process / "status", "Uid", 2)) == uid
        if uid:
            same_user = same_user and (process / "status").stat().st_uid == uid
        return bool(capable) and same_user and os.path.samefile(process / "ns/user", "/proc/self/ns/user")
    except OSError:
        return False


def _pid_of(pidfd: int, proc: Path) -> int:
    """As of the pid namespace whose /proc it is read through; -1 when the process has ended."""
    return int(_field(proc / f"self/fdinfo/{pidfd}", "Pid", 1))


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


def _field(file: Path, name: str, at: int) -> str:
    """Word `at` of the line that begins with `name`."""
    for line in file.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return line.split()[at]
    raise OSError(errno.ENODATA, f"{file} has no {name}")
