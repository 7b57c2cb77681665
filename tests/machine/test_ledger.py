"""Each route costs what hardware would: a bounced byte four host accesses, a devmem byte its headers."""

from __future__ import annotations

import pytest

from nodes.machine import routes
from nodes.machine.ledger import Ledger
from nodes.machine.routes import ROUTES, Initiator, Place, Totals, What, totals

N = 1000

# Host reads, host writes, device reads, device writes, switch, root, fabric: per byte.
COST = {
    routes.NIC_WIRE_TO_HOST: (0, 1, 0, 0, 1, 1, 0),
    routes.NIC_WIRE_TO_DEVICE: (0, 0, 0, 1, 1, 0, 0),
    routes.NIC_WIRE_TO_FAR: (0, 0, 0, 1, 2, 1, 0),
    routes.NIC_FAR_TO_WIRE: (0, 0, 1, 0, 2, 1, 0),
    routes.ACC_PEER_TO_DEVICE: (0, 0, 1, 1, 0, 0, 1),
    routes.ACC_PEER_TO_CORE: (0, 0, 1, 0, 0, 0, 1),
    routes.NIC_HOST_TO_WIRE: (1, 0, 0, 0, 1, 1, 0),
    routes.NIC_DEVICE_TO_WIRE: (0, 0, 1, 0, 1, 0, 0),
    routes.CPU_HOST_TO_HOST: (1, 1, 0, 0, 0, 0, 0),
    routes.ACC_DEVICE_TO_HOST: (0, 1, 1, 0, 1, 1, 0),
    routes.ACC_HOST_TO_DEVICE: (1, 0, 0, 1, 1, 1, 0),
    routes.ACC_DEVICE_TO_DEVICE: (0, 0, 1, 1, 0, 0, 0),
    routes.ACC_CORE_TO_DEVICE: (0, 0, 0, 1, 0, 0, 0),
    routes.ACC_DEVICE_TO_CORE: (0, 0, 1, 0, 0, 0, 0),
    routes.NIC_HEADER_IN: (0, 1, 0, 0, 1, 1, 0),
    routes.NIC_HEADER_OUT: (1, 0, 0, 0, 1, 1, 0),
    routes.CPU_HEADER_READ: (1, 0, 0, 0, 0, 0, 0),
    routes.CPU_HEADER_WRITE: (0, 1, 0, 0, 0, 0, 0),
    routes.SSD_MEDIA_TO_DEVICE: (0, 0, 0, 1, 0, 0, 0),
    routes.SSD_DEVICE_TO_MEDIA: (0, 0, 1, 0, 0, 0, 0),
    routes.SSD_MEDIA_TO_HOST: (0, 1, 0, 0, 1, 1, 0),
    routes.SSD_HOST_TO_MEDIA: (1, 0, 0, 0, 1, 1, 0),
}


def cost(found: Totals) -> tuple[int, ...]:
    return (
        found.host_dram_read_bytes,
        found.host_dram_write_bytes,
        found.device_read_bytes,
        found.device_write_bytes,
        found.pcie_switch_bytes,
        found.pcie_root_bytes,
        found.fabric_bytes,
    )


def host_accesses(found: Totals) -> int:
    return found.host_dram_read_bytes + found.host_dram_write_bytes


def test_every_route_has_a_cost() -> None:
    assert sorted(COST) == list(range(len(ROUTES)))


@pytest.mark.parametrize("route", COST)
def test_a_route_costs_accesses_at_its_source_and_destination(route: int) -> None:
    ledger = Ledger()
    if ROUTES[route].what is What.HEADER:
        ledger.record_header(route, N, 3)
    else:
        ledger.record(route, N)
    found = totals(ledger.snapshot())
    assert cost(found) == tuple(N * per_byte for per_byte in COST[route])
    assert ledger.host_dram_bytes == host_accesses(found)


def test_the_name_of_a_route_gives_its_initiator_source_and_destination() -> None:
    for name, index in vars(routes).items():
        if isinstance(index, int) and name.isupper() and "_TO_" in name:
            route, (initiator, source, _, destination) = ROUTES[index], name.split("_")
            full = Initiator.ACCELERATOR if initiator == "ACC" else Initiator(initiator.lower())
            places = (Place(source.lower()), Place(destination.lower()))
            assert (route.initiator, route.source, route.destination) == (full, *places)


def test_a_bounced_byte_costs_four_host_accesses_each_way() -> None:
    for way in (
        (routes.NIC_WIRE_TO_HOST, routes.CPU_HOST_TO_HOST, routes.ACC_HOST_TO_DEVICE),
        (routes.ACC_DEVICE_TO_HOST, routes.CPU_HOST_TO_HOST, routes.NIC_HOST_TO_WIRE),
    ):
        ledger = Ledger()
        for route in way:
            ledger.record(route, N)
        assert host_accesses(totals(ledger.snapshot())) == ledger.host_dram_bytes == 4 * N


def test_a_devmem_byte_costs_the_host_its_headers_only() -> None:
    ledger = Ledger()
    ledger.record(routes.NIC_WIRE_TO_DEVICE, 64000)
    ledger.record_header(routes.NIC_HEADER_IN, 66, 45)
    ledger.record_header(routes.CPU_HEADER_READ, 66, 45)
    found = totals(ledger.snapshot())
    assert host_accesses(found) == found.header_host_dram_bytes == ledger.host_dram_bytes == 2 * 66
    assert found.header_host_dram_uncoalesced_bytes == 2 * 66 * 45
    assert found.device_write_bytes == 64000


def test_counters_that_are_zero_are_not_in_the_snapshot() -> None:
    ledger = Ledger()
    assert ledger.snapshot() == ()
    ledger.record(routes.CPU_HOST_TO_HOST, 5)
    ledger.record(routes.CPU_HOST_TO_HOST, 6)
    (moved,) = ledger.snapshot()
    assert (moved.bytes, moved.uncoalesced_bytes, moved.derived) == (11, 11, False)


def test_a_snapshot_has_what_the_parts_of_a_ledger_moved() -> None:
    ledger = Ledger()
    first, second = ledger.part(), ledger.part()
    ledger.record(routes.CPU_HOST_TO_HOST, 1)
    first.record(routes.CPU_HOST_TO_HOST, 10)
    second.record_header(routes.NIC_HEADER_IN, 66, 3)
    moved = {each.route: (each.bytes, each.uncoalesced_bytes) for each in ledger.snapshot()}
    assert moved == {
        ROUTES[routes.CPU_HOST_TO_HOST]: (11, 11),
        ROUTES[routes.NIC_HEADER_IN]: (66, 198),
    }
    assert [(each.bytes, each.uncoalesced_bytes) for each in second.snapshot()] == [(66, 198)]


def test_derived_bytes_are_counted_and_marked() -> None:
    ledger = Ledger()
    ledger.record(routes.ACC_HOST_TO_DEVICE, N)
    ledger.derive(routes.NIC_WIRE_TO_HOST, N)
    ledger.derive(routes.CPU_HOST_TO_HOST, N)
    found = totals(ledger.snapshot())
    assert host_accesses(found) == ledger.host_dram_bytes == 4 * N
    assert found.host_dram_derived_bytes == 3 * N


def test_snapshots_of_two_ledgers_add_up() -> None:
    first, second = Ledger(), Ledger()
    first.record(routes.NIC_WIRE_TO_DEVICE, 1)
    second.record(routes.NIC_WIRE_TO_DEVICE, 2)
    assert totals((*first.snapshot(), *second.snapshot())).device_write_bytes == 3


def test_minus_is_what_was_added_since() -> None:
    ledger = Ledger()
    ledger.record(routes.CPU_HOST_TO_HOST, 7)
    earlier = totals(ledger.snapshot())
    ledger.record(routes.ACC_HOST_TO_DEVICE, 5)
    only_new = Totals(
        host_dram_read_bytes=5, device_write_bytes=5, pcie_switch_bytes=5, pcie_root_bytes=5
    )
    assert totals(ledger.snapshot()).minus(earlier) == only_new
    assert earlier.minus(earlier) == Totals()
