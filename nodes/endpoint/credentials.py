"""Whether the process at the other end of a channel may administer the network (CAP_NET_ADMIN).

In: the channel's socket. Out: yes or no, in the initial user namespace, which the endpoint's stands for, and
over the endpoint's network namespace. Owns nothing. What counts is the process that connected, as it was
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
Source: unix(7), capabilities(7), pid_namespaces(7), ioctl_ns(2), fdinfo in proc(5), commit_creds
(kernel/cred.c), task_dump_owner (fs/proc/base.c), cap_capable (security/commoncap.c).
"""

from __future__ import annotations

import errno
import fcntl
import functools
import os
import socket
import struct
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

_CAP_NET_ADMIN = 1 << 12
_PEERCRED = struct.Struct("=iII")
_SO_PEERPIDFD = 77
_NS_GET_USERNS, _NS_GET_PARENT, _NS_GET_OWNER_UID = 0xB701, 0xB702, 0xB704  # include/uapi/linux/nsfs.h
_UID = struct.Struct("=I")
_OUR_NETNS = Path("/proc/self/ns/net")


class NetAdmin(NamedTuple):
    """Where a process has CAP_NET_ADMIN: in the endpoint's user namespace, and over the user namespace that
    owns the network namespace of the host."""

    initial: bool
    netns: bool


_NOWHERE = NetAdmin(False, False)


def net_admin(sock: socket.socket, netns: Path = _OUR_NETNS) -> NetAdmin:
    """Of the peer of `sock`."""
    pid, uid, _ = _PEERCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEERCRED.size))
    try:
        pidfd = sock.getsockopt(socket.SOL_SOCKET, _SO_PEERPIDFD)
    except OSError as e:
        if e.errno != errno.ENOPROTOOPT:
            return _NOWHERE  # the process has ended
        return _capable(Path(f"/proc/{pid}"), uid, netns) if pid else NetAdmin(uid == 0, uid == 0)
    try:
        proc = Path("/proc") if pid else _outside_proc()
        found = _pid_of(pidfd, proc)
        capable = _capable(proc / str(found), uid, netns) if found > 0 else _NOWHERE
        return capable if _pid_of(pidfd, proc) == found else _NOWHERE
    except LookupError:  # the process is outside, and cannot be seen from here
        return NetAdmin(uid == 0, uid == 0)
    except OSError:
        return _NOWHERE
    finally:
        os.close(pidfd)


def _capable(process: Path, uid: int, netns: Path) -> NetAdmin:
    """Where `process` has the capability, and had it as the user `uid` already."""
    try:
        capable = bool(int(_field(process / "status", "CapEff", 1), 16) & _CAP_NET_ADMIN)
        same_user = int(_field(process / "status", "Uid", 2)) == uid
        if uid:
            same_user = same_user and (process / "status").stat().st_uid == uid
        if not same_user:
            return _NOWHERE
        userns = (process / "ns/user").stat()
        initial = capable and os.path.samestat(userns, Path("/proc/self/ns/user").stat())
        return NetAdmin(initial, initial or _ns_capable(userns, capable, uid, netns))
    except OSError:
        return _NOWHERE


def _ns_capable(userns: os.stat_result, capable: bool, uid: int, netns: Path) -> bool:
    """Whether a process of the user `uid` in `userns`, `capable` there, has the capability over the owner of
    `netns` (cap_capable): that is its user namespace; or one below, and it is the user who made that or the
    next one on the way down."""
    with ExitStack() as stack:

        def related(fd: int, request: int) -> int:
            found = fcntl.ioctl(fd, request)
            stack.callback(os.close, found)
            return found

        try:
            at = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
            stack.callback(os.close, at)
            at = related(at, _NS_GET_USERNS)
            while not os.path.samestat(os.fstat(at), userns):
                above = related(at, _NS_GET_PARENT)
                (owner,) = _UID.unpack(fcntl.ioctl(at, _NS_GET_OWNER_UID, bytes(_UID.size)))
                if owner == uid and _is_mapped(uid) and os.path.samestat(os.fstat(above), userns):
                    return True
                at = above
        except OSError:  # it is not in a namespace above, or that is above the endpoint's
            return False
        return capable


def _is_mapped(uid: int) -> bool:
    """Whether `uid` is a user here, and not what stands for all who are none (overflowuid)."""
    lines = (map(int, line.split()) for line in Path("/proc/self/uid_map").read_text().splitlines())
    return any(first <= uid < first + count for first, _, count in lines)


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
