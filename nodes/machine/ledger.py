"""What the emulated hardware moved: a counter for each (initiator, source, destination, what).

In: byte counts of every DMA, copy and computation. Out: a snapshot, which its reader sums up as host DRAM,
device memory and PCIe traffic. Owns the counters. They are the modelled half of every figure: deterministic,
independent of time, and equal to the closed forms in nodes/README.md.
"""

from __future__ import annotations

import enum
import operator
from collections.abc import Iterable

import msgspec


class Initiator(enum.StrEnum):
    NIC = "nic"
    CPU = "cpu"
    ACCELERATOR = "accelerator"
    SSD = "ssd"


class Place(enum.StrEnum):
    WIRE = "wire"
    HOST = "host"
    DEVICE = "device"  # memory of an accelerator or of an SSD's controller
    FAR = "far"  # such memory behind another PCIe switch than the NIC's
    PEER = "peer"  # memory of another accelerator of the host, across the accelerators' own fabric
    MEDIA = "media"  # of an SSD; accesses are not counted
    CORE = "core"  # registers and caches of the processor that computes; accesses are not counted


class What(enum.StrEnum):
    PAYLOAD = "payload"
    HEADER = "header"


class Route(msgspec.Struct, frozen=True):
    """What moved bytes, between which places, and of what kind."""

    initiator: Initiator
    source: Place
    destination: Place
    what: What


class Moved(msgspec.Struct, frozen=True):
    """One counter. `uncoalesced_bytes`: what a NIC without TSO and coalescing would have moved, with a header
    for each wire packet instead of one for each super-packet; of payload the same bytes. `derived`: moved by
    a stack that keeps no ledger, and derived by a closed form."""

    route: Route
    bytes: int
    uncoalesced_bytes: int
    derived: bool = False


def _routes() -> list[Route]:
    nic, cpu, acc, ssd = Initiator.NIC, Initiator.CPU, Initiator.ACCELERATOR, Initiator.SSD
    wire, host, device, core = Place.WIRE, Place.HOST, Place.DEVICE, Place.CORE
    far, peer, media = Place.FAR, Place.PEER, Place.MEDIA
    payload = [
        (nic, wire, host), (nic, wire, device), (nic, wire, far), (nic, host, wire), (nic, device, wire),
        (nic, far, wire), (cpu, host, host), (acc, device, host), (acc, host, device), (acc, device, device),
        (acc, core, device), (acc, device, core), (acc, peer, device), (acc, peer, core),
    ]
    header = [(nic, wire, host), (nic, host, wire), (cpu, host, core), (cpu, core, host)]
    stored = [(ssd, media, device), (ssd, device, media), (ssd, media, host), (ssd, host, media)]
    return [
        *(Route(*r, What.PAYLOAD) for r in payload),
        *(Route(*r, What.HEADER) for r in header),
        *(Route(*r, What.PAYLOAD) for r in stored),
    ]


ROUTES = _routes()
(
    NIC_WIRE_TO_HOST, NIC_WIRE_TO_DEVICE, NIC_WIRE_TO_FAR, NIC_HOST_TO_WIRE, NIC_DEVICE_TO_WIRE,
    NIC_FAR_TO_WIRE, CPU_HOST_TO_HOST, ACC_DEVICE_TO_HOST, ACC_HOST_TO_DEVICE, ACC_DEVICE_TO_DEVICE,
    ACC_CORE_TO_DEVICE, ACC_DEVICE_TO_CORE, ACC_PEER_TO_DEVICE, ACC_PEER_TO_CORE,
    NIC_HEADER_IN, NIC_HEADER_OUT, CPU_HEADER_READ, CPU_HEADER_WRITE,
    SSD_MEDIA_TO_DEVICE, SSD_DEVICE_TO_MEDIA, SSD_MEDIA_TO_HOST, SSD_HOST_TO_MEDIA,
) = range(len(ROUTES))

_INDEX = {route: at for at, route in enumerate(ROUTES)}
_DRAM_ACCESSES = [(r.source is Place.HOST) + (r.destination is Place.HOST) for r in ROUTES]
_ACCELERATOR_MEMORY = (Place.DEVICE, Place.FAR, Place.PEER)

# Routes through a PCIe switch: up, out of a NIC, an accelerator or an SSD, and down, into one. A NIC's reach
# into memory behind another switch counts at its own.
PCIE_UP = (
    NIC_WIRE_TO_HOST, NIC_WIRE_TO_DEVICE, NIC_WIRE_TO_FAR, NIC_HEADER_IN, ACC_DEVICE_TO_HOST,
    SSD_MEDIA_TO_HOST,
)  # fmt: skip
PCIE_DOWN = (
    NIC_HOST_TO_WIRE, NIC_DEVICE_TO_WIRE, NIC_FAR_TO_WIRE, NIC_HEADER_OUT, ACC_HOST_TO_DEVICE,
    SSD_HOST_TO_MEDIA,
)  # fmt: skip


class Ledger:
    """Counters of one process, or of one host. A host's has a part for each of its NICs, whose counters are
    the host's too."""

    __slots__ = ("_bytes", "_derived", "_own_dram_bytes", "_parts", "_uncoalesced")

    def __init__(self) -> None:
        self._bytes = [0] * len(ROUTES)
        self._uncoalesced = [0] * len(ROUTES)
        self._derived = [0] * len(ROUTES)
        self._own_dram_bytes = 0
        self._parts: list[Ledger] = []

    def part(self) -> Ledger:
        """A new ledger, all of whose counters belong to this one as well."""
        self._parts.append(Ledger())
        return self._parts[-1]

    @property
    def host_dram_bytes(self) -> int:
        """Reads and writes of host DRAM; quick, as the memory bus is charged with it in every turn of the
        event loop."""
        return self._own_dram_bytes + sum(part.host_dram_bytes for part in self._parts)

    def moved_along(self, routes: Iterable[int]) -> int:
        """Bytes along these routes, parts of this ledger left out."""
        return sum(self._bytes[route] for route in routes)

    def record(self, route: int, count: int) -> None:
        """`count` bytes of payload were moved along `route`, an index of ROUTES."""
        self._bytes[route] += count
        self._uncoalesced[route] += count
        self._own_dram_bytes += count * _DRAM_ACCESSES[route]

    def record_header(self, route: int, count: int, wire_packets: int) -> None:
        """A header of `count` bytes was moved once, for a packet that stands for `wire_packets`."""
        self._bytes[route] += count
        self._uncoalesced[route] += count * wire_packets
        self._own_dram_bytes += count * _DRAM_ACCESSES[route]

    def derive(self, route: int, count: int) -> None:
        """`count` bytes of payload were moved along `route` by a stack that keeps no ledger: Linux's own."""
        self._derived[route] += count
        self._own_dram_bytes += count * _DRAM_ACCESSES[route]

    def add_to(self, counts: list[int]) -> int:
        """Add the bytes of each route to `counts`, derived ones included; returns the derived accesses of
        host DRAM. Quick, for it is asked many times while others write the ledger."""
        for at, (count, derived) in enumerate(zip(self._bytes, self._derived, strict=True)):
            counts[at] += count + derived
        accesses = map(operator.mul, self._derived, _DRAM_ACCESSES)
        return sum((*accesses, *(part.add_to(counts) for part in self._parts)), start=0)

    def snapshot(self) -> tuple[Moved, ...]:
        """All counters that are not zero."""
        everything = [self, *self._parts]
        moved = map(sum, zip(*(each._bytes for each in everything), strict=True))
        uncoalesced = map(sum, zip(*(each._uncoalesced for each in everything), strict=True))
        return (
            *(Moved(r, n, u) for r, n, u in zip(ROUTES, moved, uncoalesced, strict=True) if n),
            *(Moved(r, n, n, derived=True) for r, n in zip(ROUTES, self._derived, strict=True) if n),
        )


def add_moved(moved: Iterable[Moved], counts: list[int]) -> int:
    """As Ledger.add_to, of a snapshot."""
    derived = 0
    for each in moved:
        route = _INDEX[each.route]
        counts[route] += each.bytes
        derived += each.bytes * each.derived * _DRAM_ACCESSES[route]
    return derived


def negated(moved: Iterable[Moved]) -> tuple[Moved, ...]:
    """Counters that take `moved` away from a sum."""
    return tuple(
        Moved(each.route, -each.bytes, -each.uncoalesced_bytes, each.derived) for each in moved
    )


class Totals(msgspec.Struct, frozen=True):
    """Sums of a snapshot, in bytes. Host DRAM counts each access, PCIe each byte that crosses a link, the
    fabric each byte between two accelerators of the host. What NICs and the CPU wrote to host DRAM is among
    its writes: a cache changes these (analysis/memory_model.py)."""

    host_dram_read_bytes: int = 0
    host_dram_write_bytes: int = 0
    host_dram_derived_bytes: int = 0
    device_read_bytes: int = 0
    device_write_bytes: int = 0
    pcie_switch_bytes: int = 0
    pcie_root_bytes: int = 0
    fabric_bytes: int = 0
    header_host_dram_bytes: int = 0
    header_host_dram_uncoalesced_bytes: int = 0
    nic_host_write_bytes: int = 0
    cpu_host_write_bytes: int = 0

    def minus(self, earlier: Totals) -> Totals:
        """What was moved since `earlier`."""
        return Totals(*(getattr(self, f) - getattr(earlier, f) for f in self.__struct_fields__))


def totals(moved: Iterable[Moved]) -> Totals:
    """Sum up the counters of any number of ledgers. A NIC or accelerator that accesses host memory crosses
    the PCIe switch and the root port; a NIC that accesses device memory crosses the switch only, and if that
    is behind another switch both switches and the root port."""
    sums = dict.fromkeys(Totals.__struct_fields__, 0)
    for m in moved:
        r = m.route
        accesses = (r.source is Place.HOST) + (r.destination is Place.HOST)
        sums["host_dram_read_bytes"] += m.bytes * (r.source is Place.HOST)
        sums["host_dram_write_bytes"] += m.bytes * (r.destination is Place.HOST)
        sums["host_dram_derived_bytes"] += m.bytes * accesses * m.derived
        written = m.bytes * (r.destination is Place.HOST)
        sums["nic_host_write_bytes"] += written * (r.initiator is Initiator.NIC)
        sums["cpu_host_write_bytes"] += written * (r.initiator is Initiator.CPU)
        sums["device_read_bytes"] += m.bytes * (r.source in _ACCELERATOR_MEMORY)
        sums["device_write_bytes"] += m.bytes * (r.destination in _ACCELERATOR_MEMORY)
        sums["fabric_bytes"] += m.bytes * (r.source is Place.PEER)
        if r.what is What.HEADER:
            sums["header_host_dram_bytes"] += m.bytes * accesses
            sums["header_host_dram_uncoalesced_bytes"] += m.uncoalesced_bytes * accesses
        if r.initiator is not Initiator.CPU:
            ends = (r.source, r.destination)
            far = Place.FAR in ends
            sums["pcie_switch_bytes"] += m.bytes * ((Place.WIRE in ends or accesses > 0) + far)
            sums["pcie_root_bytes"] += m.bytes * (accesses + far)
    return Totals(**sums)
