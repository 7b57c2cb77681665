"""The program's descriptors that are ours: which object stands behind each, and when the last is gone.

In: objects with a descriptor of their own, of which the program has duplicates. Out: the object of a
descriptor of any process. Owns the objects: each is closed when no process has a descriptor of it.
Duplicates, children and descriptors passed by SCM_RIGHTS are one object, as the kernel's struct file is: its
inode number names it. Linux tells nobody that a file is closed that another process has too, so processes
are looked through when the last descriptor may have gone: a trapped close, the end of a process that had one.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from nodes.supervisor import tracee


class File(Protocol):
    """Something that the program has descriptors of. `fd`: our duplicate."""

    @property
    def fd(self) -> int: ...

    def close(self) -> None: ...


class Files:
    """`watch(fd)` is called with a descriptor that polls readable when a process ends that has some of
    ours; the caller then says so by `process_ended`."""

    def __init__(self, watch: Callable[[int], None]) -> None:
        self._by_identity: dict[str, File] = {}
        self._watch = watch
        self._pidfds: dict[int, int] = {}  # by process id

    def __len__(self) -> int:
        return len(self._by_identity)

    def add(self, file: File) -> None:
        """The program is about to get a descriptor of it."""
        self._by_identity[os.readlink(f"/proc/self/fd/{file.fd}")] = file

    def of(self, pid: int, fd: int) -> File | None:
        """What the thread's descriptor is; None if it is not ours."""
        if fd < 0:
            return None
        return self._by_identity.get(tracee.identity(pid, fd))

    def held_by(self, pid: int) -> None:
        """The process of this thread has a descriptor of ours."""
        group = tracee.group_of(pid)
        if group not in self._pidfds:
            with suppress(OSError):  # it has ended
                self._pidfds[group] = os.pidfd_open(group)
                self._watch(self._pidfds[group])

    def process_ended(self, fd: int) -> None:
        """The process behind this descriptor, one that `watch` got, has ended."""
        self._pidfds = {pid: pidfd for pid, pidfd in self._pidfds.items() if pidfd != fd}
        os.close(fd)
        self.collect()

    def renew(self, file: File, before: str) -> bool:
        """The object has another descriptor than the one with that identity; returns whether it has."""
        now = os.readlink(f"/proc/self/fd/{file.fd}")
        if now != before:
            self._by_identity.pop(before, None)
            self._by_identity[now] = file
        return now != before

    def collect(self) -> None:
        """Close each object of which no process has a descriptor any more, and note who has the others."""
        wanted, held = set(self._by_identity), set()
        for pid, identity in tracee.holders(wanted):
            held.add(identity)
            self.held_by(pid)
        for identity in wanted - held:
            with suppress(ConnectionError):  # the endpoint has ended
                self._by_identity.pop(identity).close()

    def close(self) -> None:
        """The supervisor ends."""
        for file in self._by_identity.values():
            with suppress(ConnectionError):
                file.close()
        self._by_identity.clear()
        for fd in self._pidfds.values():
            os.close(fd)
        self._pidfds.clear()
