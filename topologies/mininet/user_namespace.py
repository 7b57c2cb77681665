"""A user namespace in which an ordinary user is root: networks are built there without root.

In: this process. Out: it is uid 0 there, with all capabilities over the namespaces that it makes; or one
sentence why it cannot be. Owns nothing. Files that it makes are the user's own. user_namespaces(7),
kernel/user_namespace.c, fs/namespace.c (mount_too_revealing).
"""

from __future__ import annotations

import errno
import os
import signal
import socket
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from topologies.mininet.isolation import (
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUSER,
    MS_REC,
    MS_SLAVE,
    join,
    mount,
    unshare,
)

_REFUSAL = struct.Struct("=ii")  # step, errno
_USERS, _NAMESPACES, _PROC, _SYS, _PACKETS = range(5)  # the steps that may be refused
_SYSCTLS = (
    "kernel/unprivileged_userns_clone",
    "kernel/apparmor_restrict_unprivileged_userns",
    "user/max_user_namespaces",
    "user/max_net_namespaces",
)


def is_inside() -> bool:
    """Whether this process is uid 0 of a namespace that has one user: `enter` or its like was here."""
    return single_user(_mapped()) is not None


def outer_uid() -> int:
    """The user whom this process's files belong to, as the namespace around sees them."""
    mapped = single_user(_mapped())
    return os.geteuid() if mapped is None else mapped


def owns_network() -> bool:
    """Whether this process has capabilities over its network namespace, to which it could not return from
    another without."""
    with open("/proc/thread-self/ns/net", "rb") as own:
        try:
            join(own.fileno(), CLONE_NEWNET)
        except OSError:
            return False
    return True


def current() -> str:
    """This process's user namespace, as the kernel names it. Raises OSError."""
    return os.readlink("/proc/self/ns/user")


def enter() -> None:
    """Go on as uid 0 of a new user namespace, and in a network namespace of its own: from those of hosts it
    may not return to the machine's. Raises OSError, EINVAL in a process with several threads."""
    uid, gid = os.geteuid(), os.getegid()
    unshare(CLONE_NEWUSER | CLONE_NEWNET)
    # Without "deny" nobody may map a group; then no process in there can leave one of its groups.
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        Path(f"/proc/self/{name}").write_text(text)


def join_that_of(pid: int) -> None:
    """Go on in the user namespace of process `pid`, as root there. Raises OSError, as `enter`."""
    namespace = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY)
    try:
        join(namespace, CLONE_NEWUSER)
    finally:
        os.close(namespace)


def obstacle() -> str | None:
    """Why this machine lets no user build a network, as a clause with its remedy; None where it does. It is
    tried, by a child process."""
    refused = _refusal()
    return None if refused is None else _clause(*refused, _settings())


def single_user(uid_map: str) -> int | None:
    """The user around whom uid 0 stands for, where there is no other. `uid_map`: that of /proc/PID, whose
    lines have the first id here, the first id around, and how many."""
    words = uid_map.split()
    return int(words[1]) if len(words) == 3 and (words[0], words[2]) == ("0", "1") else None


def _mapped() -> str:
    """Of this process; "" on a kernel without user namespaces."""
    with suppress(OSError):
        return Path("/proc/self/uid_map").read_text()
    return ""


def _refusal() -> tuple[int, int] | None:
    """The first step that is refused, and its errno."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            _try(lambda step, code: os.write(writer, _REFUSAL.pack(step, code)))
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        said = answer.read(_REFUSAL.size)
    os.waitpid(child, 0)
    if not said:
        return _USERS, errno.EPERM  # a sandbox has killed it
    step, code = _REFUSAL.unpack(said)
    return (step, code) if code else None


def _try(answer: Callable[[int, int], object]) -> None:
    """All that a network needs, in namespaces that end with this process."""
    signal.alarm(10)
    step = _USERS
    try:
        enter()
        step = _NAMESPACES
        unshare(CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWPID)
        step = _PACKETS
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()
        step = _SYS
        mount("none", "/", None, MS_REC | MS_SLAVE)
        mount("sysfs", "/sys", "sysfs", 0)
        step = _PROC
        child = os.fork()  # process 1 of the new process namespace, to which a new /proc belongs
        if child == 0:
            code = 0
            try:
                mount("proc", "/proc", "proc", 0)
            except OSError as refused:
                code = refused.errno or errno.EPERM
            os._exit(code)
        answer(step, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    except OSError as refused:
        answer(step, refused.errno or errno.EPERM)


def _settings() -> dict[str, str]:
    found = {}
    for name in _SYSCTLS:
        with suppress(OSError):
            found[name] = (Path("/proc/sys") / name).read_text().strip()
    return found


def _clause(step: int, code: int, settings: Mapping[str, str]) -> str:
    """`settings`: those of _SYSCTLS that this kernel has."""
    if settings.get("user/max_user_namespaces") == "0":
        return _set("user namespaces are switched off here", "user.max_user_namespaces=1000")
    if settings.get("user/max_net_namespaces") == "0":
        return _set("network namespaces are switched off here", "user.max_net_namespaces=1000")
    if settings.get("kernel/unprivileged_userns_clone") == "0":
        return _set("user namespaces are for root alone here", "kernel.unprivileged_userns_clone=1")
    if settings.get("kernel/apparmor_restrict_unprivileged_userns") == "1" and step in (_USERS, _NAMESPACES):
        setting = "kernel.apparmor_restrict_unprivileged_userns=0"
        return _set("AppArmor keeps users' programs from user namespaces here", setting)
    if code == errno.ENOSPC:
        return _set("this user has as many namespaces as a user may have", "user.max_user_namespaces=1000")
    if code == errno.EINVAL and step == _USERS:
        return "this kernel has no user namespaces (CONFIG_USER_NS); use another"
    if step in (_PROC, _SYS):
        place = "/proc" if step == _PROC else "/sys"
        return (
            f"a part of {place} is hidden here, as containers do it, so that a new one is refused; do it "
            "outside of the container"
        )
    what = {_USERS: "user namespaces", _NAMESPACES: "namespaces", _PACKETS: "packet sockets"}[step]
    return f"{what} are refused here ({os.strerror(code)}), by a sandbox or a limit; do it outside of that"


def _set(what: str, setting: str) -> str:
    return f"{what}; set it as root with `sysctl -w {setting}`"

