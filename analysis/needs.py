"""What a path of a run needs of host memory and of the PCIe switch, by the ledger.

In: summary rows. Out: what each byte of the rate costs at the busiest host. Pure. Owns nothing.
"""

from analysis.crossover import Need
from analysis.summary import SummaryRow


def need_of(row: SummaryRow) -> Need | None:
    """By the ledger, of the busiest host; None where something was not recorded, or no rate counts."""
    dram, each_way = row.host_dram_bytes_per_payload_byte, _payload_per_byte_of_rate(row)
    if dram is None or each_way is None:
        return None
    staged = dram >= 1  # headers alone are far below
    return Need(dram * each_way, max(1.0, each_way) if staged else 1.0)


def dram_per_busbw_byte(row: SummaryRow) -> float | None:
    """Host DRAM bytes that the busiest host moves for every byte that busbw counts."""
    need = need_of(row)
    return need.dram if need is not None and need.dram else None


def _payload_per_byte_of_rate(row: SummaryRow) -> float | None:
    """Payload that the busiest host sends and receives for every byte that busbw counts."""
    counted = row.busbw_GB_per_s * 1e9 * row.time_us / 1e6
    payload = row.busiest_host_payload_bytes
    return payload / counted if payload and counted else None
