"""docs/reference/counters.md: each counter that a host tells.

In: the records of the counters. Out: the page's text. Owns which command shows which.
"""

from __future__ import annotations

from nodes.control.ethtool_stats import OF_DEVICE, pool_name
from nodes.inet.mib import IpMib
from nodes.netmem.page_pool import PagePoolStats
from nodes.nic.rx_queue import HsplitCounters, RxCounters
from nodes.nic.tx_queue import TxCounters
from nodes.tcp.mib import TcpMib
from nodes.uapi.netlink import Qstats
from tests.docs.reference.definition import Described, described, table

_HEAD = """# Counters

What a host counts, by the kernel's names. Counters of a host begin at 0 with its endpoint. A *super-packet*
is what the stack handles as one packet; a *wire packet* is one as a link without segmentation offload
carries it. [control.md](../control.md) has the commands, [no-data.md](../no-data.md) what the counters tell
when data does not arrive, and [columns.md](columns.md) those that become columns of a run's files.

`.venv/bin/python -m tests.docs.reference` makes this page from the records of the counters; a test compares
the two.
"""
_ETHTOOL = """## ethtool -S

Of a NIC: `ethtool HOST -S` of run.py, `Host(channel).ethtool.stats_get()`. The sums of all queues stand
under these names; `rx_queue_N_` and `tx_queue_0_` in place of `rx_` and `tx_` begin those of a queue.
"""
_POOLS = """## Page pools

`page-pool-stats-get` of the netdev family has these names for each pool, with `-` for `_`. `ethtool -S` has
the sums of a NIC's pools, under the names in the second column.
"""
_QSTATS = """## Queues: qstats-get

Of a device, or with scope `queue` of each queue. Packets and bytes are the wire's, other than those of
`ethtool -S`.
"""
_SNMP = """## Host: snmp

Of a host's IP and TCP: `Host(channel).snmp()`, under the names of nstat(8). A counter of the kernel's is
here only if this stack counts what it counts. The endpoint's are these; those of the host's own Linux are
told by `nstat` in it.
"""

_OF_WHAT = ("ifindex", "queue_type", "queue_id")


def text() -> str:
    parts = [_HEAD, _ETHTOOL, *table("counter", _of_a_nic()), ""]
    parts += [_POOLS, *_pools(), ""]
    parts += [_QSTATS, *table("counter", described(Qstats, without=_OF_WHAT)), ""]
    parts += [_SNMP, *table("counter", [*described(IpMib), *described(TcpMib)]), ""]
    return "\n".join(parts)


def _of_a_nic() -> list[Described]:
    device = {name: Described(name, *told) for name, told in OF_DEVICE.items()}
    rx, tx = described(RxCounters), described(TxCounters)
    rx += [device.pop(name) for name in ("rx_fifo_overruns", "rx_steering_drops")]
    return [*rx, *tx, device.pop("tx_unreadable_drops"), *described(HsplitCounters), *device.values()]


def _pools() -> list[str]:
    head = ["| counter | ethtool | meaning |", "|---|---|---|"]
    rows = described(PagePoolStats)
    return head + [f"| `{each.name}` | `{pool_name(each.name)}` | {each.meaning} |" for each in rows]
