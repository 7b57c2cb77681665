"""What this machine offers and lacks for the testbed, and the remedy.

In: nothing. Out: a list of `Check`, which `run.py doctor` prints. Owns nothing: what can only be found out by
trying is tried by `topologies.mininet.probe` in a child process and namespaces of its own.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import msgspec
import psutil

from topologies.mininet.cgroup import room
from topologies.mininet.probe import Finding
from topologies.mininet.search_path import extend_path
from topologies.mininet.user_namespace import obstacle

PROJECT = Path(__file__).resolve().parents[2]
PROBE_S = 30.0
STOLEN_FRACTION_MAX = 0.02  # measurements above it are repeated
MEMORY_BYTES_MIN, TEMPORARY_BYTES_MIN, SHARED_BYTES_MIN = 2 << 30, 1 << 30, 256 << 20
RECEIVE_BYTES_MIN = 4 << 20
PROCESSES_MIN = 300  # threads included: what a measuring run with a few hosts has

_BUFFERS, _RMEM_MAX = "receive buffers", Path("/proc/sys/net/core/rmem_max")

# name -> what it is for, and whether nothing works without it
COMMANDS = {
    "mnexec": ("Mininet's hosts", True),
    "brctl": ("Mininet's switches", True),
    "ip": ("Mininet's links", True),
    "ifconfig": ("Mininet's addresses", True),
    "iperf3": ("a Linux peer to compare with", False),
    "socat": ("a Linux peer to compare with", False),
    "nc": ("a Linux peer to compare with", False),
    "ethtool": ("links with a delay or an impairment; tests and benches", False),
    "nft": ("middleboxes in tests and benches", False),
    "tshark": ("a referee of the tests", False),
    "nmap": ("a referee of the tests", False),
    "hping3": ("a referee of the tests", False),
    "setpriv": ("tests without privileges", False),
}
# a question of topologies.mininet.probe -> the remedy, and whether nothing works without it
PROBED = {
    "memfd": ("use Linux 3.17 or later", True),
    "namespaces": ("run as root, outside of any sandbox", True),
    "process namespace": ("run as root, outside of any sandbox", True),
    "veth": ("use a kernel with CONFIG_VETH", True),
    "bridge": ("use a kernel with CONFIG_BRIDGE, or --topology pair", True),
    "AF_PACKET with virtio headers": ("use a kernel with CONFIG_PACKET", True),
    "vxlan": ("use a kernel with CONFIG_VXLAN, or no --across", False),
    "BIG TCP": ("use Linux 6.3 or later, or stay with super-packets of 65536 bytes", False),
    "tc netem": ("not needed: the testbed does without", False),
    "tc tbf": ("use a kernel with CONFIG_NET_SCH_TBF, or ask for no rate of a link", False),
    "tc htb": ("not needed: the testbed does without", False),
    "congestion control": ("use a kernel with CONFIG_TCP_CONG_CUBIC to compare like with like", False),
    "kernel devmem sockets": ("use Linux 6.12 or later to have the kernel as a referee", False),
    "kernel netdev family": ("use Linux 6.12 or later to have the kernel as a referee", False),
}


class Check(msgspec.Struct, frozen=True):
    """One fact. `ok`: None where it could not be found out; `remedy`: what to do when it is not ok; `needed`:
    nothing works without it."""

    name: str
    ok: bool | None
    found: str
    remedy: str
    needed: bool


def checks() -> list[Check]:
    """Every check, those that are needed most first. Takes about a second; needs no root, changes nothing,
    raises nothing."""
    return [_root(), *_commands(), *_packages(), *_probed(), *_room(), _receive_buffers(), _stolen()]


def _root() -> Check:
    user = os.geteuid()
    refused = None if user == 0 else obstacle()
    said = f"user id {user}" + ("" if user == 0 else f", {refused or 'who may build networks without'}")
    return Check("root", refused is None, said, "or run with sudo", True)


def _receive_buffers() -> Check:
    """What a socket of an endpoint holds that is not root's."""
    try:
        limit = int(_RMEM_MAX.read_text())
    except (OSError, ValueError) as error:
        return Check(_BUFFERS, None, str(error), "mount /proc", False)
    remedy = f"`sysctl -w net.core.rmem_max={RECEIVE_BYTES_MIN}` as root, or runs without root lose packets"
    return Check(_BUFFERS, limit >= RECEIVE_BYTES_MIN, f"{limit} bytes without root", remedy, False)


def _commands() -> list[Check]:
    found = []
    extend_path()
    for name, (purpose, needed) in COMMANDS.items():
        path = shutil.which(name)
        said = path or f"missing ({purpose})"
        found.append(Check(name, path is not None, said, "run `make setup`", needed))
    return found


def _packages() -> list[Check]:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    found = []
    for requirement in project["dependencies"]:
        name = re.split(r"[^A-Za-z0-9._-]", requirement)[0]
        try:
            ok, version = True, metadata.version(name)
        except metadata.PackageNotFoundError:
            ok, version = False, "missing"
        remedy = f"run `make setup` to install {requirement}"
        found.append(Check(f"python: {name}", ok, version, remedy, True))
    return found


def _probed() -> list[Check]:
    answered = {finding.name: finding for finding in _findings()}
    found = []
    for name, (remedy, needed) in PROBED.items():
        finding = answered.get(name)
        ok, said = (finding.ok, finding.found) if finding else (None, "not asked: new namespaces are refused")
        found.append(Check(name, ok, said, remedy, needed))
    return found


def _findings() -> list[Finding]:
    argv = [sys.executable, "-m", "topologies.mininet.probe"]
    try:
        ended = subprocess.run(argv, capture_output=True, cwd=PROJECT, timeout=PROBE_S, check=False)
        return msgspec.json.decode(ended.stdout, type=list[Finding])
    except (OSError, subprocess.TimeoutExpired, msgspec.DecodeError) as error:
        return [Finding("namespaces", False, f"the probe of this kernel failed: {error}")]


def _room() -> list[Check]:
    cpus = len(os.sched_getaffinity(0))
    memory = psutil.virtual_memory().available
    allowed = room()
    return [
        Check("cpus", cpus >= 2, f"{cpus}", "use at least 2 CPUs for figures that mean anything", False),
        Check("memory", memory >= MEMORY_BYTES_MIN, f"{_gib(memory)} available", "free memory", True),
        _allowance("memory allowed", allowed.memory_bytes, MEMORY_BYTES_MIN, _gib, "the cgroup's limit"),
        _allowance("processes allowed", allowed.processes, PROCESSES_MIN, str, allowed.processes_by),
        _disk("/tmp", TEMPORARY_BYTES_MIN),
        _disk("/dev/shm", SHARED_BYTES_MIN),
    ]


def _allowance(name: str, left: int | None, minimum: int, words: Callable[[int], str], by: str) -> Check:
    """What the limits of this process's cgroup and its user leave; `by`: which limit."""
    said = "no limit" if left is None else f"{words(left)} left"
    remedy = f"raise {by}: {words(minimum)} are needed"
    return Check(name, left is None or left >= minimum, said, remedy, True)


def _disk(path: str, min_bytes: int) -> Check:
    try:
        free = shutil.disk_usage(path).free
    except OSError as error:
        return Check(path, False, f"not there ({error.strerror})", f"mount {path}", True)
    return Check(path, free >= min_bytes, f"{_gib(free)} free", f"free {_gib(min_bytes)} in {path}", True)


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / (1 << 30):.1f} GiB"


def _stolen() -> Check:
    before = psutil.cpu_times()
    time.sleep(1.0)
    after = psutil.cpu_times()
    passed = sum(after) - sum(before)
    fraction = (after.steal - before.steal) / passed if passed > 0 else 0.0
    remedy = "measure at another time or on a machine of your own: the host gives this CPU to others"
    ok = fraction <= STOLEN_FRACTION_MAX
    return Check("stolen CPU time", ok, f"{fraction:.1%} in the last second", remedy, False)
