"""What the kernel tells of CPU time, of waiting for a CPU and of interfaces, in files below /proc.

In: the text of such a file. Out: its numbers, in seconds and bytes; pure. Owns nothing. man 5 proc;
Documentation/scheduler/sched-stats.rst; net/core/net-procfs.c.
"""

from __future__ import annotations

import os
from typing import NamedTuple

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class CoreTime(NamedTuple):
    """Seconds since the machine started: `busy_s` at anything but idling, `steal_s` when a hypervisor let
    others run."""

    busy_s: float
    steal_s: float


class Sent(NamedTuple):
    """What an interface has sent. A super-packet is one packet, with one header."""

    bytes: int
    packets: int


def core_times(stat: str) -> dict[str, CoreTime]:
    """Of /proc/stat, by core: `cpu0`, `cpu1`, ... Guests' time is in that of their users."""
    found = {}
    for line in stat.splitlines():
        name, *numbers = line.split()
        if name.startswith("cpu") and name != "cpu":
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, numbers[:8])
            busy = user + nice + system + irq + softirq
            found[name] = CoreTime(busy / _TICKS_PER_S, steal / _TICKS_PER_S)
    return found


def process_cpu_s(stat: str) -> float:
    """Of /proc/PID/stat: CPU time of all threads, those that have ended included."""
    after_name = stat.rpartition(")")[2].split()  # a name may have spaces and parentheses
    return (int(after_name[11]) + int(after_name[12])) / _TICKS_PER_S


def run_queue_wait_s(schedstat: str) -> float:
    """Of /proc/PID/task/TID/schedstat: how long the thread could run and no CPU was free for it."""
    return int(schedstat.split()[1]) / 1e9


def sent_by(net_dev: str) -> dict[str, Sent]:
    """Of /proc/PID/net/dev, by interface."""
    found = {}
    for line in net_dev.splitlines()[2:]:
        name, _, numbers = line.partition(":")
        columns = numbers.split()
        found[name.strip()] = Sent(int(columns[8]), int(columns[9]))
    return found
