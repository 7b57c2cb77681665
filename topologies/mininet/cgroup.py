"""How much memory and how many processes the cgroups of this process, and its user's limit, still allow.

In: /proc/self/cgroup, /proc/self/mountinfo, and the controllers' files below the mounts named there, of
cgroup v2 and v1; /proc/self/limits, and whose processes there are. Out: `Room`. Owns nothing.
A limit holds for a cgroup and all below it, so the smallest room from this process's cgroup up to the root
counts. Page cache that can be dropped counts as room. Threads count as processes.
Processes of a user count against RLIMIT_NPROC (getrlimit(2)), and so do those of a user who is root in a user
namespace alone.
Linux: Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/memory.rst, cgroup-v1/pids.rst.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_PIDS_MAX, _NPROC = "the cgroup's pids.max", "the limit on a user's processes (ulimit -u)"
_MAX = "Max processes"  # a line of /proc/self/limits
_UNLIMITED_BYTES = 1 << 60  # cgroup v1 has a number near 2^63 instead of `max`


class Room(NamedTuple):
    """What may still be taken; None where nothing limits it. `processes_by`: what limits these."""

    memory_bytes: int | None
    processes: int | None
    processes_by: str = _PIDS_MAX


class _Controller(NamedTuple):
    """The files of a controller in one version of cgroups; `reclaimable`: a line of memory.stat."""

    name: str
    limit: str
    used: str
    reclaimable: str = ""


_V2 = (
    _Controller("memory", "memory.max", "memory.current", "inactive_file"),
    _Controller("pids", "pids.max", "pids.current"),
)
_V1 = (
    _Controller("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    _Controller("pids", "pids.max", "pids.current"),
)


def room(root: Path = Path("/")) -> Room:
    """Below `root`, where / is for all but tests. Raises nothing: what cannot be read limits nothing."""
    found: dict[str, list[int]] = {"memory": [], "pids": []}
    for controller, directory in _places(root):
        if (left := _left(controller, directory)) is not None:
            found[controller.name].append(left)
    memory, processes = (min(rooms, default=None) for rooms in found.values())
    allowed = Room(memory, processes)
    of_user = _left_to_user(root)
    if of_user is None or (allowed.processes is not None and allowed.processes <= of_user):
        return allowed
    return allowed._replace(processes=of_user, processes_by=_NPROC)


def _left_to_user(root: Path) -> int | None:
    """None for root, whom RLIMIT_NPROC does not limit."""
    uid = os.getuid()
    (line,) = [each for each in _lines(root / "proc/self/limits") if each.startswith(_MAX)] or [_MAX]
    soft = line.removeprefix(_MAX).split()[:1]
    if not soft or not soft[0].isdecimal() or _outside(root, uid) == 0:
        return None
    used = 0
    for tasks in (root / "proc").glob("[0-9]*/task"):
        with suppress(OSError):  # it has ended meanwhile
            if tasks.stat().st_uid == uid:
                used += len(os.listdir(tasks))
    return max(0, int(soft[0]) - used)


def _outside(root: Path, uid: int) -> int:
    """That user outside of this user namespace: user_namespaces(7)."""
    for line in _lines(root / "proc/self/uid_map"):
        inside, outside, count = map(int, line.split())
        if inside <= uid < inside + count:
            return outside + uid - inside
    return uid


def _places(root: Path) -> Iterator[tuple[_Controller, Path]]:
    """Every controller, in the process's cgroup and in each above it."""
    mounts = list(_mounts(root))
    for line in _lines(root / "proc/self/cgroup"):
        _, names, path = line.split(":", 2)
        version = "cgroup" if names else "cgroup2"
        for controller in [each for each in _V1 if each.name in names.split(",")] if names else _V2:
            for kind, options, mounted_root, point in mounts:
                if kind == version and (not names or controller.name in options.split(",")):
                    for directory in _upwards(root / point.lstrip("/"), path, mounted_root):
                        yield controller, directory


def _mounts(root: Path) -> Iterator[tuple[str, str, str, str]]:
    """File system, its options, the cgroup that is mounted, and where: proc(5), mountinfo."""
    for line in _lines(root / "proc/self/mountinfo"):
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        if kind in ("cgroup", "cgroup2"):
            mounted_root, point = before.split(" ")[3:5]
            yield kind, options, mounted_root, point


def _upwards(point: Path, path: str, mounted_root: str) -> Iterator[Path]:
    """The cgroup's directory and those above it up to the mount's. A container may see only a part, with
    another name: then the mount's own."""
    if mounted_root != "/" and path.startswith(mounted_root):
        path = path[len(mounted_root) :]
    directory = point / path.lstrip("/")
    if ".." in directory.parts or not directory.is_dir():
        directory = point
    yield directory
    while directory != point:
        directory = directory.parent
        yield directory


def _left(controller: _Controller, directory: Path) -> int | None:
    try:
        limit = (directory / controller.limit).read_text().strip()
        if limit == "max" or int(limit) >= _UNLIMITED_BYTES:
            return None
        used = int((directory / controller.used).read_text())
    except (OSError, ValueError):
        return None
    statistics = dict(line.split(" ", 1) for line in _lines(directory / "memory.stat") if " " in line)
    droppable = int(statistics.get(controller.reclaimable, 0))
    return max(0, int(limit) - used + droppable)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
