"""Linux namespaces, and which process ends with which.

In: a process that is about to build a network, or to start servers. Out: the same program as process 1 of
network, mount and pid namespaces of its own. When it dies the kernel ends every process and removes every
interface in them. Owns libc's handle.
unshare(2), setns(2), prctl(2), pid_namespaces(7).
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x00020000, 0x10000000, 0x20000000, 0x40000000
MS_BIND, MS_REC, MS_SLAVE = 0x1000, 0x4000, 0x80000
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, doing: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{doing}: {os.strerror(code)}")


def unshare(flags: int) -> None:
    """Give the caller namespaces of its own (its children, for CLONE_NEWPID). Raises OSError when refused."""
    _checked(_libc.unshare(flags), "unshare")


def mount(source: str, target: str, filesystem: str | None, flags: int) -> None:
    """mount(2) without data. Raises OSError."""
    kind = filesystem.encode() if filesystem else None
    result = _libc.mount(source.encode(), target.encode(), kind, ctypes.c_ulong(flags), None)
    _checked(result, f"mount {target}")


def signal_at_parents_death(number: signal.Signals) -> None:
    """Have the kernel send this process `number` when the thread that started it ends."""
    _checked(_libc.prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(number), 0, 0, 0), "prctl PR_SET_PDEATHSIG")


def inherit_orphans() -> None:
    """Descendants of this process that lose their parent become its children."""
    _checked(_libc.prctl(PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(1), 0, 0, 0), "prctl PR_SET_CHILD_SUBREAPER")


def join(namespace: int, kind: int) -> None:
    """Move this thread (its children, for CLONE_NEWPID) to a namespace by its descriptor. Raises OSError."""
    _checked(_libc.setns(namespace, kind), "setns")


@contextmanager
def network_namespace_of(pid: int) -> Iterator[None]:
    """Within, this thread is in the network namespace of process `pid`; sockets made there stay there."""
    with open("/proc/thread-self/ns/net", "rb") as home, open(f"/proc/{pid}/ns/net", "rb") as away:
        _checked(_libc.setns(away.fileno(), CLONE_NEWNET), f"setns to the network of process {pid}")
        try:
            yield
        finally:
            _checked(_libc.setns(home.fileno(), CLONE_NEWNET), "setns home")


def become_first_process(own_sysfs: bool = True) -> int:
    """Go on as process 1 of new network, mount and pid namespaces; the caller's own process waits outside.
    `own_sysfs`: /sys shows the new network, and no longer what is mounted below it (cgroups).

    Returns, in the new process, a descriptor of the outside's /proc. When either process dies, by whatever
    signal, the kernel kills all others in the pid namespace and removes the network with the last of them.
    (If the outer process dies before the prctl below, the new process finds its stdin at an end.) Raises
    OSError.
    """
    unshare(CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWPID)
    outside_proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
    child = os.fork()
    if child:
        os._exit(_wait_outside(child))
    signal_at_parents_death(signal.SIGKILL)
    mount("none", "/", None, MS_REC | MS_SLAVE)  # mounts of the outside come in, none of ours goes out
    mount("proc", "/proc", "proc", 0)
    if own_sysfs:
        mount("sysfs", "/sys", "sysfs", 0)  # brctl reads /sys, which would still show the outside's bridges
    return outside_proc


def leave_network() -> None:
    """Go on in new network and mount namespaces, with a /sys that shows this network. Raises OSError."""
    unshare(CLONE_NEWNET | CLONE_NEWNS)
    mount("sysfs", "/sys", "sysfs", 0)


def _wait_outside(child: int) -> int:
    """Pass on what asks this process to end, until the child has ended; returns the exit status."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: os.kill(child, signal.SIGTERM))
    for descriptor in (0, 1):  # only the child holds them, so that the client sees them close
        os.close(descriptor)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status if status >= 0 else 128 - status


def pid_outside(outside_proc: int) -> int:
    """The caller's pid as processes outside its pid namespace see it."""
    return int(os.readlink("self", dir_fd=outside_proc))
