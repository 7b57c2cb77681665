"""Traffic of host memory and PCIe per payload byte, modelled.

In: measured rows of one path and size. Out: bytes per payload byte. Owns the closed forms. The rows' counts
are the ledger's: what the emulated hardware would have moved. "Per payload byte" means the total over ranks
divided by payload bytes sent plus payload bytes received. The closed forms give the same ratio by arithmetic
alone, so that the two can be compared.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from analysis.memory_model import AS_COUNTED, MemoryModel

# Ethernet 14, IPv4 20, TCP 20, timestamp option 12. Segments with SACK blocks are a little longer.
HEADER_BYTES = 66
# Each header is written once and read once: NIC writes and CPU reads on receive, the reverse on transmit.
ACCESSES_PER_HEADER = 2
# DMA one way, a kernel-user copy that reads and writes, DMA on: (read, write) x 2, the same for RX and TX.
# Read-for-ownership of the copy's destination adds 1, cache hits (DDIO) take away: analysis/memory_model.py.
ACCESSES_PER_STAGED_BYTE = 4.0


@dataclass(frozen=True, slots=True)
class HostMemory:
    """Bytes per payload byte of one path and size; None where a needed counter was not recorded.

    `dram` = `dram_read` + `dram_write`, of which the share `derived` (0 to 1) was not recorded but derived.
    `header` and `header_uncoalesced` are the header part of DRAM traffic, with one header a super-packet
    as moved, and with one a wire packet as without coalescing. `header_per_wire_packet` is DRAM bytes a
    packet: twice the header, which is written once and read once.
    `expected_dram` is the closed form, `deviation_percent` how far `dram` lies above it. The model's
    parameters change `dram`, its parts, the derived share and the closed form; headers are as counted.
    """

    dram: float | None
    dram_read: float | None
    dram_write: float | None
    derived_share: float | None
    header: float | None
    header_uncoalesced: float | None
    header_per_wire_packet: float | None
    pcie_root: float | None
    expected_dram: float | None
    deviation_percent: float | None


def host_memory(rows: pd.DataFrame, model: MemoryModel = AS_COUNTED) -> HostMemory:
    """The modelled traffic of `rows`, which are all of one path and size."""
    payload = payload_bytes(rows)
    counted = total(rows, "host_dram_read_bytes"), total(rows, "host_dram_write_bytes")
    read, write = _as_modelled(rows, *counted, model)
    both = added(read, write)
    uncoalesced = total(rows, "header_host_dram_uncoalesced_bytes")
    wire_packets = added(total(rows, "rx_wire_packets"), total(rows, "tx_wire_packets"))
    dram = per(both, payload)
    header = per(total(rows, "header_host_dram_bytes"), payload)
    expected = per(added(_staged_accesses(rows, model), _header_accesses(rows, model)), payload)
    # An empty cell here says that nothing was derived. Where Linux's traffic is, all that a cache changes is.
    derived = float(rows["host_dram_derived_bytes"].fillna(0).sum())
    if derived and both is not None:
        derived += both - (added(*counted) or 0.0)
    return HostMemory(
        dram=dram,
        dram_read=per(read, payload),
        dram_write=per(write, payload),
        derived_share=per(derived, both),
        header=header,
        header_uncoalesced=per(uncoalesced, payload),
        header_per_wire_packet=per(uncoalesced, wire_packets),
        pcie_root=per(total(rows, "pcie_root_bytes"), payload),
        expected_dram=expected,
        deviation_percent=None if dram is None or not expected else 100 * (dram / expected - 1),
    )


def memory_columns(memory: HostMemory) -> Mapping[str, float | None]:
    """Those of summary.csv."""
    return {
        "host_dram_bytes_per_payload_byte": memory.dram,
        "host_dram_read_bytes_per_payload_byte": memory.dram_read,
        "host_dram_write_bytes_per_payload_byte": memory.dram_write,
        "host_dram_derived_share": memory.derived_share,
        "host_dram_expected_bytes_per_payload_byte": memory.expected_dram,
        "host_dram_deviation_percent": memory.deviation_percent,
        "header_bytes_per_payload_byte": memory.header,
        "header_uncoalesced_bytes_per_payload_byte": memory.header_uncoalesced,
        "header_dram_bytes_per_wire_packet": memory.header_per_wire_packet,
        "pcie_root_bytes_per_payload_byte": memory.pcie_root,
    }


def _as_modelled(
    rows: pd.DataFrame, read: float | None, write: float | None, model: MemoryModel
) -> tuple[float | None, float | None]:
    """Reads and writes of DRAM; None where the run is of a version that did not count who wrote."""
    by_cpu, by_nic = total(rows, "cpu_host_write_bytes"), total(rows, "nic_host_write_bytes")
    if model == AS_COUNTED or read is None or write is None:
        return read, write
    if by_cpu is None or by_nic is None:
        return None, None
    return model.read_bytes(read, by_cpu, by_nic), model.write_bytes(write, by_nic)


def _staged_accesses(rows: pd.DataFrame, model: MemoryModel) -> float | None:
    staged, received = total(rows, "payload_staged_bytes"), total(rows, "payload_staged_received_bytes")
    if model == AS_COUNTED or not staged:
        return None if staged is None else ACCESSES_PER_STAGED_BYTE * staged
    return None if received is None else model.staged_accesses(staged - received, received)


def _header_accesses(rows: pd.DataFrame, model: MemoryModel) -> float | None:
    """By counted super-packets. Linux does not report these; its headers are derived themselves."""
    sent, received = total(rows, "tx_packets"), total(rows, "rx_packets")
    if sent is not None and received is not None:
        return model.header_accesses(HEADER_BYTES * sent, HEADER_BYTES * received)
    counted = total(rows, "header_host_dram_bytes")
    if model == AS_COUNTED or counted is None:
        return counted
    staged, staged_received = (total(rows, f"payload_staged_{of}bytes") for of in ("", "received_"))
    by_cpu, by_nic = total(rows, "cpu_host_write_bytes"), total(rows, "nic_host_write_bytes")
    if staged is None or staged_received is None or by_cpu is None or by_nic is None:
        return None
    return counted + model.rfo * (by_cpu - staged) - 2 * model.ddio * (by_nic - staged_received)


def expected_staged(staged: float | None, payload: float | None) -> float | None:
    """Host DRAM bytes per payload byte without headers, by closed form: 4 x staged / payload.

    `staged` of the `payload` bytes crossed host memory: none where device memory sends and receives, all
    where both are staged, the sent ones where the kernel has no devmem TX.
    """
    return per(None if staged is None else ACCESSES_PER_STAGED_BYTE * staged, payload)


def expected_headers(packets: float | None, payload: float | None) -> float | None:
    """Header bytes written and read per payload byte: 2 x 66 x packets / payload; `packets` are
    super-packets sent and received."""
    return per(None if packets is None else ACCESSES_PER_HEADER * HEADER_BYTES * packets, payload)


def payload_bytes(rows: pd.DataFrame) -> float | None:
    """Payload bytes sent plus received, summed over `rows`."""
    return added(total(rows, "payload_sent_bytes"), total(rows, "payload_received_bytes"))


def total(rows: pd.DataFrame, column: str) -> float | None:
    """Sum of `column`, or None if any cell is empty: the sum of the other cells would be too small."""
    values = rows[column]
    return None if values.empty or values.isna().any() else float(values.sum())


def added(left: float | None, right: float | None) -> float | None:
    """Their sum, None if either is unknown."""
    return None if left is None or right is None else left + right


def per(amount: float | None, unit: float | None) -> float | None:
    """amount / unit, None if either is unknown or the unit is 0."""
    return None if amount is None or not unit else amount / unit
