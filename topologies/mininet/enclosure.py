"""A program in namespaces of its own, which ends with everything that it started.

    python -m topologies.mininet.enclosure PARENT_PID DIRECTORY PROGRAM ARGUMENT...

In: a program that starts servers (Ray). Out: the program's stdin, stdout, stderr and exit status are this
process's. Owns a pid, a mount and a network namespace. The network has only `lo`, so that no other user
reaches a server that listens on every address; DIRECTORY and /dev/shm are file systems of their own, which
no process outside sees. Process 1 ends, and the kernel then ends every other, when the program ends, when the
other end of stdin is closed, and when the process PARENT_PID ends. No signal has to be sent, so none is lost.
pid_namespaces(7), mount_namespaces(7), network_namespaces(7).
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from topologies.mininet.isolation import become_first_process, mount, signal_at_parents_death
from topologies.mininet.rtnetlink import LinkSocket

_REAP_MS = 1000  # orphans that have ended are zombies for as long


def enclosed(directory: Path) -> tuple[str, ...]:
    """What to put before a program's words, run from the project's folder with a pipe as stdin, so that it
    ends with the calling thread. Only the program sees what it writes into `directory`."""
    module = "topologies.mininet.enclosure"
    return sys.executable, "-m", module, str(os.getpid()), str(directory)


def main(parent_pid: int, directory: str, argv: Sequence[str]) -> int:
    """Run the program to its end; returns its exit status, 128 and the signal's number if one ended it."""
    signal_at_parents_death(signal.SIGKILL)
    if os.getppid() != parent_pid:  # the parent died before the line above
        return 1
    try:
        become_first_process(own_sysfs=False)  # Ray reads its cgroup's limits below /sys
        for place in (directory, "/dev/shm"):
            mount("tmpfs", place, "tmpfs", 0)
            os.chmod(place, 0o700)
        with LinkSocket() as links:
            links.up("lo")
    except OSError as error:
        reason = f"new namespaces are refused here ({error.strerror})"
        print(f"{reason}; run as root, outside of any sandbox", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    program = subprocess.Popen(argv)
    status = _wait(program.pid)
    return status if status >= 0 else 128 - status


def _wait(pid: int) -> int:
    """Reap whatever ends until the process `pid` does, or stdin's other end is closed."""
    poll = select.poll()
    poll.register(0, 0)  # reports POLLHUP, and leaves what is written to the program
    poll.register(os.pidfd_open(pid), select.POLLIN)
    while True:
        events = poll.poll(_REAP_MS)
        while ended := _reap():
            if ended[0] == pid:
                return os.waitstatus_to_exitcode(ended[1])
        if any(descriptor == 0 for descriptor, _ in events):
            return 0


def _reap() -> tuple[int, int] | None:
    """Pid and wait status of a child that has ended, if one has."""
    try:
        found = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    return found if found[0] else None


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2], sys.argv[3:]))
