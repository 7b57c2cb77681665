"""What an endpoint has counted is in one rank's row: a host's rows add up to the host, a NIC's to the NIC."""

from __future__ import annotations

import pytest

from nodes.machine import routes
from nodes.machine.accelerator import Slot
from nodes.machine.ledger import Ledger
from nodes.machine.routes import totals
from nodes.uapi.nic_records import NicStats
from nodes.uapi.syscalls import Stats
from workloads.experiment.host_share import share
from workloads.experiment.records import LocalRank, NicPlace, RankPlace

NICS = ("eth0", "eth1", "eth2")
_OF_NIC = {
    "rx_packets": 1, "rx_bytes": 10, "tx_packets": 100, "tx_bytes": 1000, "rx_wire_packets": 7,
    "tx_wire_packets": 70, "rx_alloc_fail": 3,
}  # fmt: skip
COUNTS = (
    "rx_packets", "rx_bytes", "rx_wire_packets", "rx_alloc_fail", "rx_hw_drops", "rx_hw_drop_overruns",
    "tx_packets", "tx_bytes", "tx_wire_packets", "tcp_retrans_segs",
)  # fmt: skip


def stats() -> Stats:
    """Of a host with three NICs, no two numbers of which are alike."""
    host, nics = Ledger(), []
    host.record(routes.CPU_HOST_TO_HOST, 5)
    for number, name in enumerate(NICS, 1):
        part = host.part()
        part.record(routes.NIC_WIRE_TO_DEVICE, 10**number)
        part.record_header(routes.NIC_HEADER_IN, 66 * number, 2)
        packets = {each: number * count for each, count in _OF_NIC.items()}
        nics.append(NicStats(name, number, **packets, moved=part.snapshot()))
    return Stats(host.snapshot(), 2.5, 6, 60, 42, 18, 8, 9, 600, 6000, 420, 11, nics=tuple(nics))


def place(rank: int, local: tuple[LocalRank, ...]) -> RankPlace:
    nic = next((each.nic for each in local if each.rank == rank), "eth0")
    return RankPlace(rank, "h1", "-", Slot(nic=nic), tuple(map(NicPlace, NICS)), local)


LOCAL = (LocalRank(4, "eth0"), LocalRank(5, "eth0"), LocalRank(6, "eth1"), LocalRank(7, "eth1"))


def test_the_shares_of_a_hosts_ranks_add_up_to_the_host() -> None:
    whole = stats()
    shares = [share(whole, place(rank, LOCAL)) for rank in (4, 5, 6, 7)]
    for name in COUNTS:
        assert sum(getattr(each, name) for each in shares) == getattr(whole, name), name
    assert sum(each.cpu_s for each in shares) == whole.cpu_s
    assert totals(moved for each in shares for moved in each.ledger) == totals(whole.ledger)


def test_the_first_rank_of_a_nic_has_what_the_nic_has_done() -> None:
    whole = stats()
    _, second, third, fourth = (share(whole, place(rank, LOCAL)) for rank in (4, 5, 6, 7))
    assert totals(third.ledger) == totals(whole.nics[1].moved)
    assert (third.rx_packets, third.tx_wire_packets, third.cpu_s) == (2, 140, 0.0)
    for nothing in (second, fourth):
        assert nothing.ledger == ()
        assert {getattr(nothing, name) for name in COUNTS} == {0}


def test_the_first_rank_of_a_host_has_all_else() -> None:
    whole = stats()
    first = share(whole, place(4, LOCAL))
    others = totals(first.ledger).minus(totals(whole.nics[0].moved))
    assert others.device_write_bytes == 1000, "of eth2, which is no rank's"
    assert others.host_dram_read_bytes == 5
    assert (first.cpu_s, first.tcp_retrans_segs) == (2.5, 11)
    assert first.rx_packets == 6 - 2


@pytest.mark.parametrize("local", [(), (LocalRank(0, "eth0"),), (LocalRank(0, "eth1"),)])
def test_a_rank_alone_has_everything(local: tuple[LocalRank, ...]) -> None:
    whole = stats()
    own = share(whole, place(0, local))
    assert totals(own.ledger) == totals(whole.ledger)
    assert {name: getattr(own, name) for name in COUNTS} == {name: getattr(whole, name) for name in COUNTS}
