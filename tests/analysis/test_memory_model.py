"""The model's reading of a ledger: as nodes/machine/ledger.py sums it up, and as the closed forms say."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.memory_model import AS_COUNTED, ROUTES, MemoryModel, traffic
from nodes.machine import ledger as routes
from nodes.machine.ledger import ROUTES as COUNTED
from nodes.machine.ledger import Initiator, Ledger, Place, What, totals

MODELS = [MemoryModel(rfo, ddio) for rfo in (False, True) for ddio in (0.0, 0.25, 1.0)]
HEADER = 66
RECEIVED = {
    "devmem": (routes.NIC_WIRE_TO_DEVICE,),
    "bounce": (routes.NIC_WIRE_TO_HOST, routes.CPU_HOST_TO_HOST, routes.ACC_HOST_TO_DEVICE),
    "kernel": (routes.NIC_WIRE_TO_HOST, routes.CPU_HOST_TO_HOST, routes.ACC_HOST_TO_DEVICE),
    "devmem (RX only)": (routes.NIC_WIRE_TO_DEVICE,),
}
SENT = {
    "devmem": (routes.NIC_DEVICE_TO_WIRE,),
    "bounce": (routes.ACC_DEVICE_TO_HOST, routes.CPU_HOST_TO_HOST, routes.NIC_HOST_TO_WIRE),
    "kernel": (routes.ACC_DEVICE_TO_HOST, routes.CPU_HOST_TO_HOST, routes.NIC_HOST_TO_WIRE),
    "devmem (RX only)": (routes.ACC_DEVICE_TO_HOST, routes.CPU_HOST_TO_HOST, routes.NIC_HOST_TO_WIRE),
}
STAGED = {"devmem": (0, 0), "bounce": (1, 1), "kernel": (1, 1), "devmem (RX only)": (1, 0)}


def column(at: int) -> str:
    """What ledger.csv calls that route."""
    (name,) = (
        name.lower() + "_bytes"
        for name, value in vars(routes).items()
        if value == at and isinstance(value, int) and name.startswith(("NIC_", "CPU_", "ACC_", "SSD_"))
    )
    return name


def counts(ledger: Ledger) -> dict[str, int]:
    summed = [0] * len(COUNTED)
    ledger.add_to(summed)
    return {column(at): count for at, count in enumerate(summed)}


def moved(path: str, sent: int, received: int, packets: int) -> Ledger:
    """As an endpoint and its rank fill it; Linux's part of path kernel is derived."""
    ledger = Ledger()
    for count, taken in ((sent, SENT[path]), (received, RECEIVED[path])):
        for route in taken:
            derived = path == "kernel" and COUNTED[route].initiator is not Initiator.ACCELERATOR
            (ledger.derive if derived else ledger.record)(route, count)
    for route in (routes.NIC_HEADER_IN, routes.CPU_HEADER_READ):
        ledger.record_header(route, HEADER * packets, 1)
    for route in (routes.CPU_HEADER_WRITE, routes.NIC_HEADER_OUT):
        ledger.record_header(route, 2 * HEADER * packets, 1)
    return ledger


def test_the_columns_are_the_routes_of_the_ledger_in_its_order() -> None:
    assert list(ROUTES) == [column(at) for at in range(len(COUNTED))]


@given(st.lists(st.integers(0, 10**12), min_size=len(COUNTED), max_size=len(COUNTED)))
def test_without_a_cache_the_model_is_the_ledgers_own_sum(given_counts: list[int]) -> None:
    ledger = Ledger()
    for at, count in enumerate(given_counts):
        if COUNTED[at].what is What.HEADER:
            ledger.record_header(at, count, 1)
        else:
            ledger.record(at, count)
    found, said = traffic(counts(ledger)), totals(ledger.snapshot())
    assert (found.dram_read, found.dram_write) == (said.host_dram_read_bytes, said.host_dram_write_bytes)
    assert (found.device_read, found.device_write) == (said.device_read_bytes, said.device_write_bytes)
    assert (found.pcie_switch, found.pcie_root) == (said.pcie_switch_bytes, said.pcie_root_bytes)
    assert (found.fabric, found.dram) == (said.fabric_bytes, ledger.host_dram_bytes)
    payload = [m for m in ledger.snapshot() if m.route.what is What.PAYLOAD]
    network = [m for m in payload if Place.WIRE in (m.route.source, m.route.destination)]
    assert found.network_payload == sum(m.bytes for m in network)


@pytest.mark.parametrize(
    ("path", "model"),
    list(itertools.product(STAGED, MODELS)),
    ids=lambda value: getattr(value, "words", value),
)
def test_each_path_costs_its_closed_form_for_each_parameter(path: str, model: MemoryModel) -> None:
    sent, received, packets = 7_000_000, 3_000_000, 40
    found = traffic(counts(moved(path, sent, received, packets)), model)
    of_sent, of_received = STAGED[path]
    staged = model.staged_accesses(of_sent * sent, of_received * received)
    headers = model.header_accesses(2 * HEADER * packets, HEADER * packets)
    assert found.dram == pytest.approx(staged + headers, rel=1e-12)
    assert found.pcie_root == 2 * (of_sent * sent + of_received * received) + 3 * HEADER * packets


@pytest.mark.parametrize(
    ("model", "sent", "received"),
    [
        (AS_COUNTED, 4.0, 4.0),
        (MemoryModel(rfo=True), 5.0, 5.0),
        (MemoryModel(ddio=1.0), 4.0, 2.0),
        (MemoryModel(rfo=True, ddio=0.5), 5.0, 4.0),
    ],
)
def test_a_staged_byte_costs(model: MemoryModel, sent: float, received: float) -> None:
    assert model.staged_accesses(1, 0) == sent
    assert model.staged_accesses(0, 1) == received


def test_reads_are_never_negative_where_what_was_written_is_not_read_yet() -> None:
    only_written = {"nic_wire_to_host_bytes": 1000}
    found = traffic(only_written, MemoryModel(ddio=1.0))
    assert (found.dram_read, found.dram_write) == (0, 0)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_an_impossible_share_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="choose 0 to 1"):
        MemoryModel(ddio=share)


def test_words_name_what_is_assumed() -> None:
    assert AS_COUNTED.words == "no cache hits, no read-for-ownership"
    assert MemoryModel(rfo=True, ddio=0.5).words == (
        "50 % of NICs' writes in the cache (DDIO), read-for-ownership"
    )
