"""Traffic of host memory and PCIe per payload byte, modelled.

In: measured rows of one path and size. Out: bytes per payload byte. Owns the closed forms. The rows' counts
are the ledger's: what the emulated hardware would have moved. "Per payload byte" means the total over ranks
divided by payload bytes sent plus payload bytes received. The closed forms give the same ratio by arithmetic
alone, so that the two can be compared.
"""

from dataclasses import dataclass

import pandas as pd

# Ethernet 14, IPv4 20, TCP 20, timestamp option 12. Segments with SACK blocks are a little longer.
HEADER_BYTES = 66
# Each header is written once and read once: NIC writes and CPU reads on receive, the reverse on transmit.
ACCESSES_PER_HEADER = 2
# DMA one way, a kernel-user copy that reads and writes, DMA on: (read, write) x 2, the same for RX and TX.
# Read-for-ownership of the copy's destination would add 1; cache hits (DDIO) would take away. Both are 0.
ACCESSES_PER_STAGED_BYTE = 4.0


@dataclass(frozen=True, slots=True)
class HostMemory:
    """Bytes per payload byte of one path and size; None where a needed counter was not recorded.

    `dram` = `dram_read` + `dram_write`, of which the share `derived` (0 to 1) was not recorded but derived.
    `header` and `header_uncoalesced` are the header part of DRAM traffic, with one header a super-packet
    as moved, and with one a wire packet as without coalescing. `header_per_wire_packet` is DRAM bytes a
    packet: twice the header, which is written once and read once.
    `expected_dram` is the closed form, `deviation_percent` how far `dram` lies above it.
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


def host_memory(rows: pd.DataFrame) -> HostMemory:
    """The modelled traffic of `rows`, which are all of one path and size."""
    payload = payload_bytes(rows)
    read, write = total(rows, "host_dram_read_bytes"), total(rows, "host_dram_write_bytes")
    both = added(read, write)
    uncoalesced = total(rows, "header_host_dram_uncoalesced_bytes")
    wire_packets = added(total(rows, "rx_wire_packets"), total(rows, "tx_wire_packets"))
    packets = added(total(rows, "rx_packets"), total(rows, "tx_packets"))
    dram = per(both, payload)
    header = per(total(rows, "header_host_dram_bytes"), payload)
    # Linux does not report super-packets; its headers are derived themselves.
    headers = header if packets is None else expected_headers(packets, payload)
    expected = added(expected_staged(total(rows, "payload_staged_bytes"), payload), headers)
    return HostMemory(
        dram=dram,
        dram_read=per(read, payload),
        dram_write=per(write, payload),
        # An empty cell here says that nothing was derived.
        derived_share=per(float(rows["host_dram_derived_bytes"].fillna(0).sum()), both) if both else None,
        header=header,
        header_uncoalesced=per(uncoalesced, payload),
        header_per_wire_packet=per(uncoalesced, wire_packets),
        pcie_root=per(total(rows, "pcie_root_bytes"), payload),
        expected_dram=expected,
        deviation_percent=None if dram is None or not expected else 100 * (dram / expected - 1),
    )


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
