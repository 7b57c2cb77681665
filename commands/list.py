"""The command list: names that options take, and the runs in progress with their hosts.

In: the tables of shapes, workloads, paths, NICs, kernels and machines; the runs' inventory. Out: text. Owns
the lines on NICs, kernels and simulated machines.
"""

from __future__ import annotations

from typing import Any

from nodes.kernel_version import VERSIONS
from nodes.nic.nic_model import MODELS
from nodes.simulation.machines import MACHINES
from topologies.mininet.inventory import InventoryError, RunningHost, listens, running, state_directory
from topologies.shapes.registry import SHAPES
from topologies.shapes.shape import Shape
from workloads.registry import PATHS, WORKLOADS

CONTEXT_SETTINGS: dict[str, Any] = {}
FAILURES = (InventoryError,)
NICS = {
    "generic": "splits every TCP header exactly; its driver lacks nothing",
    "gve": "Google's: drops what it cannot split on a bound queue; net_iovs of 4 KiB only",
    "fixed-split": "splits after --header-buffer bytes, not where headers end",
    "device-reset": "cannot restart a single queue: bind and unbind reset all of them",
    "combined": "pairs each rx queue with a tx queue in a combined channel, as mlx5 and bnxt do",
    "no-queue-management": "restarts no queue: bind-rx fails with EOPNOTSUPP",
    "multi-pf": "two DMA devices: a binding to queues of both fails with EOPNOTSUPP",
    "no-dma": "attaches no dma-buf: bind-rx and bind-tx fail with EOPNOTSUPP",
    "no-netmem-tx": "sends no net_iovs: bind-tx fails with EOPNOTSUPP",
    "no-unreadable-pools": "page pools without PP_FLAG_ALLOW_UNREADABLE_NETMEM: bind-rx fails with ENODATA",
    "no-synced-pools": "page pools that sync no DMA: bind-rx fails with EOPNOTSUPP",
    "no-order-0-pools": "page pools of 16 KiB pages: bind-rx fails with E2BIG",
}
KERNELS = {
    "v17": "the patch series of July 2024 that introduced device memory TCP; it only receives",
    "6.12": "the first release with device memory TCP; it only receives",
    "6.16": "sends device memory, too; hds-thresh must be 0",
    "6.18.0": "bind-rx takes queues of one DMA device only; tcp_info has 280 bytes",
    "6.18.55": "with stable fixes: whole net_iovs only, and an skb never mixes host and device memory",
    "7.1": "whole net_iovs only",
    "7.2": "host and device memory in one skb: EFAULT; bind-rx in user namespaces",
    "7.3": "the newest release, the default: net_iovs up to 64 KiB (rx-page-size)",
    "7.4-rc": "net-next: a page pool takes 64 net_iovs at once",
}
SIMULATED = {
    "infinite": "hosts that cost nothing: the network is the limit",
    "a3-high": "A3 High: two sockets of DDR5-4800, PCIe 5.0 x16 a NIC, 32 cores, H100 accelerators",
    "a3-mega": "A3 Mega: the same; `project` gives it 8 NICs in place of 4",
    "ddr5-2s": "two sockets of DDR5-4800, all channels filled, 16 cores: 614 GB/s",
    "ddr5-half": "one socket of DDR5-4800, half of the channels filled, 16 cores: 154 GB/s",
}


def command() -> int:
    """What there is to choose from."""
    for title, entries in (
        ("--topology", {name: _words(shape) for name, shape in SHAPES.items()}),
        ("--workload", _workloads()),
        ("--path", {name: transport.description for name, transport in PATHS.items()}),
        ("--nic (docs/devmem.md says more)", {name: NICS[name] for name in MODELS}),
        ("--kernel (likewise)", {name: KERNELS[name] for name in VERSIONS}),
        (
            "--machine (with --clock simulated; all but infinite also of `project`)",
            {name: SIMULATED[name] for name in MACHINES},
        ),
        ("--run (in progress, with their hosts)", _runs()),
    ):
        print(title)
        width = max([14, *map(len, entries)])
        for name, description in entries.items():
            print(f"  {name:<{width}} {description}".rstrip())
        if not entries:
            print("  none")
    return 0


def _workloads() -> dict[str, str]:
    own = {"FILE.py:NAME": "a function of your own (docs/workloads.md)"}
    return {name: kind.description for name, kind in WORKLOADS.items()} | own


def _runs() -> dict[str, str]:
    return {run.run_id: ", ".join(map(_state, run.hosts)) for run in running(state_directory())}


def _state(host: RunningHost) -> str:
    return host.name if listens(host.channel) else f"{host.name} (down)"


def _words(shape: Shape) -> str:
    """What it is, and what stands behind its name."""
    more = [name for name in shape.parameters if name != "hosts"]
    return f"{shape.description} ({', '.join(more)})" if more else shape.description
