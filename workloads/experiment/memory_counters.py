"""What the memory controllers of this machine itself moved: measured, beside what the ledger models.

In: /sys and /proc of the machine. Out: bytes read and written so far, or the reason why the machine does not
tell. Owns the counters that it opens. Of these in order: the controllers' own counters by perf_event_open
(Intel uncore_imc, AMD amd_umc), bandwidth monitoring by resctrl, which does not tell reads from writes. They
are of the whole machine: the emulation's own work and everybody else's is among them.
Documentation/ABI/testing/sysfs-bus-event_source-devices-events and -format; man 2 perf_event_open;
Documentation/filesystems/resctrl.rst; tools/perf/pmu-events/arch/x86/amdzen4/memory-controller.json.
"""

from __future__ import annotations

import os
import platform
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from ctypes import CDLL, c_int, c_ulong, create_string_buffer, get_errno
from pathlib import Path
from typing import NamedTuple, Protocol

_PMUS = "sys/bus/event_source/devices"
_RESCTRL = "sys/fs/resctrl"
_LINE_BYTES = 64.0  # of a CAS command
_UNITS = {"MiB": float(1 << 20), "Bytes": 1.0, "bytes": 1.0}
# By the names that sysfs has for one event: of servers, of clients, of older clients.
_EVENTS = (
    ("cas_count_read", "cas_count_write"),
    ("data_read", "data_write"),
    ("data_reads", "data_writes"),
)
_UMC_EVENT = 0x0A  # umc_cas_cmd, with rdwrmask 1 for reads and 2 for writes
_SYSCALL = {"x86_64": 298, "aarch64": 241}
_ATTR_BYTES = 64  # PERF_ATTR_SIZE_VER0
_ATTR = struct.Struct("=IIQQQQQ16x")
_TIMES = 0b11  # PERF_FORMAT_TOTAL_TIME_ENABLED and _RUNNING
_READING = struct.Struct("=QQQ")
_CLOEXEC = 8


class NoCounters(Exception):
    """Why there are none: a clause."""


class MovedByMachine(NamedTuple):
    """Bytes so far. `read` and `written`: None where only their sum is known."""

    total: float
    read: float | None = None
    written: float | None = None


class MemoryCounters(Protocol):
    """`source`: what is read, in a few words."""

    source: str

    def read(self) -> MovedByMachine: ...

    def close(self) -> None: ...


class _Event(NamedTuple):
    """What one controller counts: a perf event, and bytes of a count."""

    pmu: str
    type: int
    config: int
    cpu: int
    bytes: float
    writes: bool


OpenEvent = Callable[[int, int, int], int]


def memory_counters(root: Path = Path("/"), open_event: OpenEvent | None = None) -> MemoryCounters:
    """Those of the machine whose file system is at `root`. Raises NoCounters."""
    try:
        return PerfCounters(root / _PMUS, open_event or perf_event_open)
    except NoCounters as no_perf:
        try:
            return ResctrlCounters(root / _RESCTRL)
        except NoCounters as no_resctrl:
            raise NoCounters(f"{no_perf}; {no_resctrl}") from None


class PerfCounters:
    """Counters that perf has of the memory controllers; they count from now on. Raises NoCounters."""

    def __init__(self, pmus: Path, open_event: OpenEvent) -> None:
        self._files: list[tuple[_Event, int]] = []
        self._undo = ExitStack()
        events = list(_events(pmus))
        if not events:
            names = ", ".join(sorted(each.name for each in _listed(pmus))) or "nothing"
            raise NoCounters(f"perf knows no memory controller here (it has {names})")
        try:
            for event in events:
                file = open_event(event.type, event.config, event.cpu)
                self._undo.callback(os.close, file)
                self._files.append((event, file))
        except OSError as refused:
            self.close()
            raise NoCounters(f"perf refuses the counters of {event.pmu} ({refused.strerror})") from None
        self.source = f"perf, {len({event.pmu for event in events})} memory controllers"

    def read(self) -> MovedByMachine:
        moved = {False: 0.0, True: 0.0}
        for event, file in self._files:
            count, enabled, running = _READING.unpack(os.read(file, _READING.size))
            # Where others count too, the counter is lent: what it missed is supposed to be like the rest.
            moved[event.writes] += event.bytes * count * (enabled / running if running else 0.0)
        return MovedByMachine(sum(moved.values()), moved[False], moved[True])

    def close(self) -> None:
        self._undo.close()


class ResctrlCounters:
    """Memory bandwidth monitoring of all caches' domains, reads and writes together. Raises NoCounters."""

    def __init__(self, place: Path) -> None:
        self._files = sorted((place / "mon_data").glob("mon_L3_*/mbm_total_bytes"))
        if not self._files:
            raise NoCounters(f"there is no {place}/mon_data with memory bandwidth (resctrl)")
        self.source = "resctrl"
        self.read()

    def read(self) -> MovedByMachine:
        return MovedByMachine(float(sum(map(self._bytes, self._files))))

    def close(self) -> None:
        """Nothing is open."""

    def _bytes(self, file: Path) -> int:
        try:
            text = file.read_text().strip()
        except OSError as failure:
            raise NoCounters(f"resctrl's {file} cannot be read ({failure.strerror})") from None
        if not text.isdigit():
            raise NoCounters(f"resctrl's {file} says {text!r}")
        return int(text)


def _events(pmus: Path) -> Iterator[_Event]:
    for place in sorted(_listed(pmus)):
        if re.fullmatch(r"uncore_imc(_free_running)?(_\d+)?", place.name):
            found = [_named(place, names) for names in _EVENTS if (place / "events" / names[0]).exists()]
        elif re.fullmatch(r"amd_umc_\d+", place.name):
            masks = ((False, 1), (True, 2))
            found = [[(w, {"event": _UMC_EVENT, "rdwrmask": mask}, _LINE_BYTES) for w, mask in masks]]
        else:
            continue
        for writes, terms, count_bytes in found[0] if found else ():
            config = _config(place / "format", terms)
            kind = int((place / "type").read_text())
            for cpu in _cpus((place / "cpumask").read_text()):
                yield _Event(place.name, kind, config, cpu, count_bytes, writes)


def _listed(place: Path) -> list[Path]:
    return list(place.iterdir()) if place.is_dir() else []


def _named(place: Path, names: tuple[str, str]) -> list[tuple[bool, Mapping[str, int], float]]:
    """The event that reads and the one that writes, as sysfs describes them."""
    described: list[tuple[bool, Mapping[str, int], float]] = []
    for writes, name in enumerate(names):
        file = place / "events" / name
        scale, unit = (Path(f"{file}.{suffix}") for suffix in ("scale", "unit"))
        counted = _LINE_BYTES
        if scale.exists() and unit.exists():
            counted = float(scale.read_text()) * _unit(unit)
        terms = (term.partition("=") for term in file.read_text().strip().split(","))
        values = {key: int(value, 0) if value else 1 for key, _, value in terms}
        described.append((bool(writes), values, counted))
    return described


def _unit(file: Path) -> float:
    unit = file.read_text().strip()
    if unit not in _UNITS:
        raise NoCounters(f"perf's {file} has an unknown unit {unit!r}")
    return _UNITS[unit]


def _config(formats: Path, terms: Mapping[str, int]) -> int:
    """The event's number: each term's bits where `formats` says, as `config:0-7` or `config:8-15,21`."""
    config = 0
    for name, value in terms.items():
        word, _, ranges = (formats / name).read_text().strip().partition(":")
        if word != "config":
            raise NoCounters(f"perf's {formats / name} is in {word}, which is not supported")
        for each in ranges.split(","):
            low, _, high = each.partition("-")
            width = int(high or low) - int(low) + 1
            config |= (value & ((1 << width) - 1)) << int(low)
            value >>= width
    return config


def _cpus(mask: str) -> list[int]:
    """`0,56` or `0-3`: one CPU a socket, by which its controllers are read."""
    cpus: list[int] = []
    for each in filter(None, mask.strip().split(",")):
        low, _, high = each.partition("-")
        cpus += range(int(low), int(high or low) + 1)
    return cpus


def perf_event_open(kind: int, config: int, cpu: int, pid: int = -1) -> int:
    """The descriptor of an event that counts from now on, on that CPU or of that process (-1: any). Raises
    OSError."""
    number = _SYSCALL.get(platform.machine())
    if number is None:
        raise OSError(0, f"the system call's number on {platform.machine()} is not known here")
    attr = create_string_buffer(_ATTR.pack(kind, _ATTR_BYTES, config, 0, 0, _TIMES, 0), _ATTR_BYTES)
    call = CDLL(None, use_errno=True).syscall
    file = call(number, attr, c_int(pid), c_int(cpu), c_int(-1), c_ulong(_CLOEXEC))
    if file < 0:
        raise OSError(get_errno(), os.strerror(get_errno()))
    return int(file)
