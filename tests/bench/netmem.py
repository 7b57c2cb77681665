"""Page pools and bindings: what a net_iov costs against a host page.

In: nothing. Out: nanoseconds of an allocation with its recycling, milliseconds and bytes of a bind. Owns a
device on a wire without frames, for as long as a call lasts. `python -m tests.bench.netmem DIR` writes the
nanoseconds into DIR/summary.csv, a row for each kind of memory.
"""

from __future__ import annotations

import os
import sys
import time
import tracemalloc
from contextlib import closing
from pathlib import Path

from nodes.control.devices import Devices
from nodes.control.netdev import Netdev
from nodes.machine import dmabuf
from nodes.machine.ledger import Ledger
from nodes.netmem.binding import RxBinding
from nodes.netmem.memory_provider import DmabufNetIovs, HostPages, MemoryProvider
from nodes.netmem.page_pool import PagePool
from nodes.nic.net_device import DeviceConfig, NetDevice
from nodes.nic.rings import TcpDataSplit
from nodes.uapi.netlink import BindRx, Queue
from tests.nic.fake_wire import FakeWire

BOUND_BYTES = 256 << 20
NIOV_BYTES = 4096
_BATCH = 64  # as many as a poll puts back at once
_LOOPS = 2000


def recycle_ns() -> dict[str, float]:
    """Nanoseconds of alloc and put through the ring, which is how tokens come back; turn about."""
    with closing(dmabuf.export(_BATCH * 4 * NIOV_BYTES)) as region:
        pools = {
            "net_iov": PagePool(DmabufNetIovs(region, NIOV_BYTES, 1)),
            "page": PagePool(HostPages(NIOV_BYTES, 1 << 20)),
        }
        best = dict.fromkeys(pools, float("inf"))
        for _ in range(5):
            for name, pool in pools.items():
                best[name] = min(best[name], _recycle(pool))
        return best


def _recycle(pool: PagePool) -> float:
    started = time.perf_counter()
    for _ in range(_LOOPS):
        taken = [pool.alloc_netmem() for _ in range(_BATCH)]
        for netmem in taken:
            assert netmem is not None
            netmem.put()
    return (time.perf_counter() - started) / (_LOOPS * _BATCH) * 1e9


def bind_ms() -> float:
    """Milliseconds of a bind-rx of 256 MiB at 4 KiB net_iovs, the best of five."""
    device, netdev = _device()
    best = float("inf")
    with closing(dmabuf.export(BOUND_BYTES)) as memory:
        for _ in range(5):
            started = time.perf_counter()
            binding = _bind(device, netdev, memory.fd)
            best = min(best, time.perf_counter() - started)
            netdev.unbind(binding)
    device.close()
    return best * 1e3


def niov_bytes() -> float:
    """Bytes of host memory that a net_iov takes once every one of a binding was used."""
    with closing(dmabuf.export(BOUND_BYTES // 16)) as region:
        tracemalloc.start()
        provider: MemoryProvider = DmabufNetIovs(region, NIOV_BYTES, 1)
        taken = [provider.alloc_netmem() for _ in range(region.size // NIOV_BYTES)]
        for netmem in taken:
            assert netmem is not None
            provider.release_netmem(netmem)
        count = len(taken)
        del taken, netmem
        used, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return used / count


def _device() -> tuple[NetDevice, Netdev]:
    device = NetDevice(DeviceConfig("bench", 2, bytes(6)), FakeWire(), Ledger())
    device.rings.tcp_data_split = TcpDataSplit.ENABLED
    return device, Netdev(Devices(device))


def _bind(device: NetDevice, netdev: Netdev, fd: int) -> RxBinding:
    ours = os.dup(fd)
    return netdev.bind_rx(BindRx(device.ifindex, ours, (Queue(7, "rx"),)), ours, True)


def main(directory: Path) -> None:
    """Write summary.csv."""
    directory.mkdir(parents=True)
    rows = [f"{name},{nanoseconds:.1f}\n" for name, nanoseconds in recycle_ns().items()]
    (directory / "summary.csv").write_text("".join(["path,recycle_ns\n", *rows]), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
