"""How a host's kernel is set for TCP and for packets, as it says itself.

In: a process in each host's namespaces. Out: frozen records. Owns the list of the settings that decide how
fast Linux's own TCP is; nothing is changed. Documentation/networking/ip-sysctl.rst and
Documentation/admin-guide/sysctl/net.rst.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from topologies.mininet.isolation import network_namespace_of

_TCP = (
    "congestion_control", "rmem", "wmem", "moderate_rcvbuf", "adv_win_scale", "window_scaling", "timestamps",
    "sack", "dsack", "recovery", "early_retrans", "reordering", "ecn", "mtu_probing", "base_mss",
    "slow_start_after_idle", "no_metrics_save", "autocorking", "limit_output_bytes", "notsent_lowat",
    "min_tso_segs", "tso_win_divisor", "pacing_ss_ratio", "pacing_ca_ratio", "rto_min_us", "syn_retries",
    "retries2", "fin_timeout", "comp_sack_delay_ns", "syncookies", "shrink_window",
)  # fmt: skip
_CORE = (
    "rmem_default", "rmem_max", "wmem_default", "wmem_max", "optmem_max", "somaxconn", "default_qdisc",
    "netdev_max_backlog", "netdev_budget", "netdev_budget_usecs", "rps_sock_flow_entries", "busy_poll",
    "busy_read", "gro_normal_batch", "high_order_alloc_disable",
)  # fmt: skip
NAMES = (
    *(f"net.ipv4.tcp_{name}" for name in _TCP),
    *(f"net.core.{name}" for name in _CORE),
    "net.ipv4.ip_forward", "net.ipv4.ip_no_pmtu_disc", "net.ipv4.conf.all.rp_filter",
)  # fmt: skip
_PROC = Path("/proc/sys")


class HostSettings(msgspec.Struct, frozen=True):
    """`nodes` are the hosts that are set alike. `sysctls`: value by name, blanks for tabs; without those that
    this kernel has not."""

    nodes: tuple[str, ...]
    sysctls: dict[str, str]


def host_settings(pids: Mapping[str, int]) -> tuple[HostSettings, ...]:
    """Of the network namespaces of processes, by the hosts' names. A setting of which a namespace has none of
    its own is the machine's. Raises OSError."""
    machine, alike = _read(), dict[tuple[tuple[str, str], ...], list[str]]()
    for node, pid in pids.items():
        with network_namespace_of(pid):
            found = machine | _read()
        alike.setdefault(tuple(found.items()), []).append(node)
    return tuple(HostSettings(tuple(nodes), dict(found)) for found, nodes in alike.items())


def _read() -> dict[str, str]:
    """Of this thread's network namespace, which /proc/sys/net shows."""
    found = {}
    for name in NAMES:
        with suppress(OSError):
            found[name] = " ".join((_PROC / name.replace(".", "/")).read_text().split())
    return found
