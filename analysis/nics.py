"""What each NIC of each host moved through its PCIe switch and across the root port, beside the closed form.

In: a loaded `Run`. Out: `NicRow`s, and nics.csv. Owns the columns and the closed form. A NIC's rows are those
of the ranks whose accelerators sit on its PCIe switch: their copies to and from host memory are included.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from io import StringIO
from typing import Annotated

import pandas as pd

from analysis.host_memory import HEADER_BYTES, added, total
from analysis.load import Run
from analysis.samples import NO_NIC

NICS = "nics.csv"


@dataclass(frozen=True, slots=True)
class NicRow:
    """One NIC on one path at one size; bytes and packets are of an iteration, on average. `ranks`: those
    whose NIC it is. `network_payload_bytes`: sent and received by them, without what stayed in the host.
    `expected_*`: the closed form; None, as any figure, where what it needs was not recorded."""

    size_bytes: Annotated[int, "B", "as in summary.csv"]
    path: Annotated[str, "", "as in samples.csv"]
    host: Annotated[str, "", "name of the host"]
    nic: Annotated[str, "", "name of the interface"]
    ranks: Annotated[str, "", "the ranks whose accelerators are beside it"]
    iterations: Annotated[int, "", "how many iterations the average is of"]
    network_payload_bytes: Annotated[
        float | None, "B", "payload that these ranks sent to and received from other hosts"
    ]
    rx_wire_packets: Annotated[float | None, "packets", "wire packets received"]
    tx_wire_packets: Annotated[float | None, "packets", "wire packets sent"]
    pcie_switch_bytes: Annotated[float | None, "B", "bytes through the PCIe switch"]
    pcie_root_bytes: Annotated[float | None, "B", "those among them that crossed the root port"]
    expected_switch_bytes: Annotated[
        float | None, "B",
        "the closed form: a staged byte twice, any other byte of the network's payload once, or twice if the "
        "NIC is on another switch than the accelerator, 66 bytes a super-packet; empty for `kernel`",
    ]
    expected_root_bytes: Annotated[
        float | None, "B",
        "the closed form: a staged byte twice, one between an accelerator and a NIC on another switch once, "
        "66 bytes a super-packet; empty for `kernel`",
    ]


def nic_rows(run: Run) -> tuple[NicRow, ...]:
    """By size, path in the order of the configuration, host and NIC in the order of ranks. None of a run that
    recorded no NICs."""
    rows = run.measured[run.measured["nic"] != NO_NIC]
    if rows.empty:
        return ()
    paths = dict.fromkeys((*(run.config.paths or ()), *rows["path"].unique()))
    order = {path: place for place, path in enumerate(paths)}
    # Where the size is a result every row has another.
    size = rows["size_bytes"] * run.manifest.measure.size_is_key
    keys = [size, rows["path"], rows["host"], rows["nic"]]
    found = [(tuple(key), group) for key, group in rows.groupby(keys, sort=False)]
    found.sort(key=lambda each: (each[0][0], order[each[0][1]], each[1]["rank"].min()))
    return tuple(_row(str(key[1]), str(key[2]), str(key[3]), group) for key, group in found)


def csv_text(rows: Sequence[NicRow]) -> str:
    """nics.csv: an empty cell where a value is unknown."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([field.name for field in fields(NicRow)])
    writer.writerows(astuple(row) for row in rows)
    return text.getvalue()


def _row(path: str, host: str, nic: str, rows: pd.DataFrame) -> NicRow:
    iterations = rows.groupby(["repetition", "iteration"]).ngroups

    def mean(amount: float | None) -> float | None:
        return None if amount is None else amount / iterations

    payload, staged = _network_payload(rows), total(rows, "payload_staged_bytes")
    switch, root = _expected(payload, staged, total(rows, "payload_far_bytes"), _packets(rows))
    return NicRow(
        size_bytes=round(float(rows["size_bytes"].median())),
        path=path,
        host=host,
        nic=nic,
        ranks=" ".join(str(rank) for rank in sorted(rows["rank"].unique())),
        iterations=iterations,
        network_payload_bytes=mean(payload),
        rx_wire_packets=mean(total(rows, "rx_wire_packets")),
        tx_wire_packets=mean(total(rows, "tx_wire_packets")),
        pcie_switch_bytes=mean(total(rows, "pcie_switch_bytes")),
        pcie_root_bytes=mean(total(rows, "pcie_root_bytes")),
        expected_switch_bytes=mean(switch),
        expected_root_bytes=mean(root),
    )


def _network_payload(rows: pd.DataFrame) -> float | None:
    every = added(total(rows, "payload_sent_bytes"), total(rows, "payload_received_bytes"))
    local = total(rows, "payload_local_bytes")
    return None if every is None or local is None else every - local


def _packets(rows: pd.DataFrame) -> float | None:
    """Super-packets; Linux tells none."""
    return added(total(rows, "rx_packets"), total(rows, "tx_packets"))


def _expected(
    payload: float | None, staged: float | None, far: float | None, packets: float | None
) -> tuple[float | None, float | None]:
    """Bytes through switches, and across the root port. A staged byte crosses both twice: between NIC and
    host memory, and between host memory and accelerator. Any other crosses the switch once and the root port
    never, or where the NIC is far two switches and the root port once. A header crosses both once."""
    if payload is None or staged is None or far is None or packets is None:
        return None, None
    headers = HEADER_BYTES * packets
    return payload + staged + far + headers, 2 * staged + far + headers


def has_shared_hosts(run: Run) -> bool:
    """Whether a host had several ranks: else the run's other figures say the same as its NICs'."""
    places = run.manifest.ranks
    return len({each.host for each in places}) < len(places)


def at_largest_size(rows: Sequence[NicRow]) -> Iterator[NicRow]:
    """What the report shows: sizes differ only by a factor."""
    largest = max((row.size_bytes for row in rows), default=0)
    return (row for row in rows if row.size_bytes == largest)
