"""The room that cgroups and a user's limit leave, read from trees of files as the kernel shows them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from topologies.mininet.cgroup import Room, room

NPROC = "the limit on a user's processes (ulimit -u)"
V1_MOUNTS = (
    "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
    "35 31 0:32 {root} /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
    "39 31 0:36 {root} /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids\n"
)
V2_MOUNT = "41 31 0:38 {root} /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def v2(root: Path, cgroup: str, files: dict[str, str], mounted: str = "/") -> Room:
    return room(
        tree(
            root,
            {
                "proc/self/cgroup": f"0::{cgroup}\n",
                "proc/self/mountinfo": V2_MOUNT.format(root=mounted),
                **{f"sys/fs/cgroup/{name}": text for name, text in files.items()},
            },
        )
    )


def test_without_cgroups_nothing_is_limited(tmp_path: Path) -> None:
    assert room(tmp_path) == Room(None, None)


def test_the_smallest_room_up_to_the_root_counts(tmp_path: Path) -> None:
    files = {
        "a/memory.max": "1000\n",
        "a/memory.current": "900\n",
        "a/pids.max": "max\n",
        "a/b/memory.max": "800\n",
        "a/b/memory.current": "100\n",
        "a/b/pids.max": "150\n",
        "a/b/pids.current": "40\n",
    }
    assert v2(tmp_path, "/a/b", files) == Room(100, 110)


@pytest.mark.parametrize(
    ("limit", "outside", "pids_max", "expected"),
    [
        ("100", 1000, "max", Room(None, 95, NPROC)),
        ("100", 1000, "60", Room(None, 50)),  # of its cgroup, which 10 are in
        ("4", 1000, "60", Room(None, 0, NPROC)),
        ("unlimited", 1000, "max", Room(None, None)),
        ("100", 0, "max", Room(None, None)),  # root
    ],
)
def test_a_users_limit_on_processes_counts_threads_of_that_user(
    tmp_path: Path, limit: str, outside: int, pids_max: str, expected: Room
) -> None:
    """Two processes with two threads and with three."""
    for pid, threads in ((7, 2), (8, 3)):
        for thread in range(threads):
            (tmp_path / f"proc/{pid}/task/{pid + thread}").mkdir(parents=True)
    limits = f"Limit   Soft Limit   Hard Limit   Units\nMax processes   {limit}   200   processes\n"
    tree(tmp_path, {"proc/self/limits": limits, "proc/self/uid_map": f"{os.getuid()} {outside} 1\n"})
    assert v2(tmp_path, "/", {"pids.max": pids_max, "pids.current": "10"}) == expected


def test_page_cache_that_can_be_dropped_is_room(tmp_path: Path) -> None:
    statistics = "anon 500\ninactive_file 400\n"
    files = {"memory.max": "1000\n", "memory.current": "900\n", "memory.stat": statistics}
    assert v2(tmp_path, "/", files).memory_bytes == 500


def test_a_cgroup_that_is_over_its_limit_has_no_room(tmp_path: Path) -> None:
    assert v2(tmp_path, "/", {"pids.max": "5\n", "pids.current": "9\n"}) == Room(None, 0)


@pytest.mark.parametrize(
    ("cgroup", "mounted"),
    [("/docker/1", "/docker/1"), ("/docker/1", "/"), ("/../other", "/"), ("/", "/docker/1")],
)
def test_a_container_finds_its_limits_at_the_mount(tmp_path: Path, cgroup: str, mounted: str) -> None:
    assert v2(tmp_path, cgroup, {"memory.max": "10", "memory.current": "4"}, mounted) == Room(6, None)


@pytest.mark.parametrize("root", ["/", "/docker/1"])
def test_version_1_has_a_tree_for_each_controller(tmp_path: Path, root: str) -> None:
    path = root.rstrip("/")
    tree(
        tmp_path,
        {
            "proc/self/cgroup": f"8:pids:{path}/p\n4:cpu,memory:{path}/m\n3:cpuset:/\n0::/\n",
            "proc/self/mountinfo": V1_MOUNTS.format(root=root),
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            "sys/fs/cgroup/memory/memory.usage_in_bytes": "7\n",
            "sys/fs/cgroup/memory/m/memory.limit_in_bytes": "1000\n",
            "sys/fs/cgroup/memory/m/memory.usage_in_bytes": "600\n",
            "sys/fs/cgroup/memory/m/memory.stat": "inactive_file 1\ntotal_inactive_file 50\n",
            "sys/fs/cgroup/pids/p/pids.max": "64\n",
            "sys/fs/cgroup/pids/p/pids.current": "4\n",
        },
    )
    assert room(tmp_path) == Room(450, 60)
