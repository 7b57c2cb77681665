"""What each host's ledgers counted over time: rows of ledger.csv, and host memory as they describe it.

In: cells; rows; the memory model. Out: checked records; host_memory.csv, the same intervals as GB/s and per
payload byte. Owns the columns of both files; analysis/rows.py reads the first. All of it is modelled.
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from io import StringIO
from typing import Annotated

import msgspec

from analysis.bandwidth import GB
from analysis.memory_model import AS_COUNTED, ROUTES, MemoryModel, Traffic, traffic
from analysis.rows import Count, Seconds, Share

NAME = "ledger.csv"
HOST_MEMORY = "host_memory.csv"
INTERVALS = 3  # of a host in a trial: with fewer there is no course in time
_SHORTEST_S = 1e-6


class LedgerRow(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes that moved along each route of a host from `begin_s` to `end_s`, seconds of a monotonic clock
    since the run's first trial began; `time_s` is `begin_s` as Unix time. Runs of earlier versions had
    no SSDs, and did not record page pools."""

    path: str
    size_bytes: Count
    repetition: Count
    host: str
    begin_s: Seconds
    end_s: Seconds
    time_s: Seconds
    nic_wire_to_host_bytes: Count
    nic_wire_to_device_bytes: Count
    nic_wire_to_far_bytes: Count
    nic_host_to_wire_bytes: Count
    nic_device_to_wire_bytes: Count
    nic_far_to_wire_bytes: Count
    cpu_host_to_host_bytes: Count
    acc_device_to_host_bytes: Count
    acc_host_to_device_bytes: Count
    acc_device_to_device_bytes: Count
    acc_core_to_device_bytes: Count
    acc_device_to_core_bytes: Count
    acc_peer_to_device_bytes: Count
    acc_peer_to_core_bytes: Count
    nic_header_in_bytes: Count
    nic_header_out_bytes: Count
    cpu_header_read_bytes: Count
    cpu_header_write_bytes: Count
    ssd_media_to_device_bytes: Count = 0
    ssd_device_to_media_bytes: Count = 0
    ssd_media_to_host_bytes: Count = 0
    ssd_host_to_media_bytes: Count = 0
    host_dram_derived_bytes: Count
    rx_pool_peak_share: Share | None = None

    def traffic(self, model: MemoryModel = AS_COUNTED) -> Traffic:
        """What the interval's counts stand for."""
        return traffic({name: getattr(self, name) for name in ROUTES}, model)

    @property
    def seconds(self) -> float:
        return self.end_s - self.begin_s


@dataclass(frozen=True, slots=True)
class HostMemoryRow:
    """One interval of one host. `network_payload`: what its NICs sent and received, retransmissions included;
    bytes per payload byte are over that, None in an interval without any."""

    path: Annotated[str, "", "as in ledger.csv"]
    size_bytes: Annotated[int, "B", "as in ledger.csv"]
    repetition: Annotated[int, "", "as in ledger.csv"]
    host: Annotated[str, "", "as in ledger.csv"]
    begin_s: Annotated[float, "s", "as in ledger.csv"]
    end_s: Annotated[float, "s", "as in ledger.csv"]
    time_s: Annotated[float, "s", "as in ledger.csv"]
    dram_read_GB_per_s: Annotated[float, "GB/s", "reads of host DRAM"]
    dram_write_GB_per_s: Annotated[float, "GB/s", "writes of host DRAM"]
    dram_GB_per_s: Annotated[float, "GB/s", "both"]
    device_read_GB_per_s: Annotated[float, "GB/s", "reads of accelerator memory"]
    device_write_GB_per_s: Annotated[float, "GB/s", "writes of accelerator memory"]
    pcie_switch_GB_per_s: Annotated[float, "GB/s", "through PCIe switches"]
    pcie_root_GB_per_s: Annotated[float, "GB/s", "across root ports"]
    network_payload_GB_per_s: Annotated[float, "GB/s", "payload"]
    dram_read_bytes_per_payload_byte: Annotated[float | None, "B/B", "reads of host DRAM"]
    dram_write_bytes_per_payload_byte: Annotated[float | None, "B/B", "writes of host DRAM"]
    dram_bytes_per_payload_byte: Annotated[float | None, "B/B", "both"]
    device_read_bytes_per_payload_byte: Annotated[float | None, "B/B", "reads of accelerator memory"]
    device_write_bytes_per_payload_byte: Annotated[float | None, "B/B", "writes of accelerator memory"]
    pcie_switch_bytes_per_payload_byte: Annotated[float | None, "B/B", "through PCIe switches"]
    pcie_root_bytes_per_payload_byte: Annotated[float | None, "B/B", "across root ports"]


def host_memory_rows(rows: Iterable[LedgerRow], model: MemoryModel = AS_COUNTED) -> Iterator[HostMemoryRow]:
    """The same intervals, those left out that are too short to have a rate."""
    for row in rows:
        if row.seconds >= _SHORTEST_S:
            moved = row.traffic(model)
            payload = moved.network_payload
            each = _seven(moved.per(payload)) if payload else (None,) * 7
            rates = moved.per(GB * row.seconds)
            of = (row.path, row.size_bytes, row.repetition, row.host, row.begin_s, row.end_s, row.time_s)
            yield HostMemoryRow(*of, *_seven(rates), rates.network_payload, *each)


def csv_text(rows: Iterable[LedgerRow], model: MemoryModel = AS_COUNTED) -> str:
    """host_memory.csv: full precision, an empty cell where a value is unknown."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([field.name for field in fields(HostMemoryRow)])
    writer.writerows(map(astuple, host_memory_rows(rows, model)))
    return text.getvalue()


def of_shown_trial(rows: Sequence[LedgerRow], path: str) -> list[LedgerRow]:
    """The rows of the trial by which a figure shows `path` in time: the largest size's first repetition."""
    own = [row for row in rows if row.path == path]
    largest = max((row.size_bytes for row in own), default=0)
    first = min((row.repetition for row in own if row.size_bytes == largest), default=0)
    return [row for row in own if (row.size_bytes, row.repetition) == (largest, first)]


def of_busiest_host(rows: Sequence[LedgerRow], model: MemoryModel = AS_COUNTED) -> list[LedgerRow]:
    """The rows of the host whose DRAM moved most, of one trial."""
    moved: dict[str, float] = {}
    for row in rows:
        moved[row.host] = moved.get(row.host, 0.0) + row.traffic(model).dram
    busiest = max(moved, key=lambda host: moved[host], default="")
    return [row for row in rows if row.host == busiest]


def _seven(moved: Traffic) -> tuple[float, float, float, float, float, float, float]:
    return (
        moved.dram_read,
        moved.dram_write,
        moved.dram,
        moved.device_read,
        moved.device_write,
        moved.pcie_switch,
        moved.pcie_root,
    )
