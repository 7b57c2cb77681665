"""What a run has made, on record from the moment it is made, so that `run.py clean` removes that and nothing
else.

In: a run's processes and directories. Out: one JSON file a run in the state directory, removed when the run
ends in good order. Owns those files. A process is identified by its pid, its start time (proc(5), field 22 of
stat) and the machine's boot: a recycled pid is another process. Interfaces and namespaces need no record: the
kernel removes them with the fabric's builder.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import tempfile
import time
from pathlib import Path

import msgspec

STATE_VARIABLE = "DEVMEM_TESTBED_STATE"
DIRECTORY_PREFIX = "dmtb-"  # short: Ray's socket paths within are limited to 107 bytes
_EXIT_S = 3.0  # for killed processes to end
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class InventoryError(RuntimeError):
    """A record that cannot be made or kept; the text is one sentence with its remedy."""


class ProcessId(msgspec.Struct, frozen=True):
    """A process, even when its pid is used again: `start_ticks` are clock ticks since boot."""

    pid: int
    start_ticks: int


class RunningHost(msgspec.Struct, frozen=True):
    """A host of a run: the path of its endpoint's channel, and the process whose namespaces are its own."""

    name: str
    channel: str
    shell: ProcessId


class Record(msgspec.Struct, frozen=True):
    """A run's file. `standing`: a run of `up`, which measures nothing and waits to be taken down."""

    run_id: str
    boot_id: str
    owner: ProcessId
    standing: bool = False
    processes: tuple[ProcessId, ...] = ()
    directories: tuple[str, ...] = ()
    hosts: tuple[RunningHost, ...] = ()


class Cleaned(msgspec.Struct, frozen=True):
    """One thing that `clean` looked at: `removed`, or left alone for the reason that `what` states."""

    run_id: str
    what: str
    removed: bool


class Inventory:
    """This process's record of one run. Also a context manager; every change is on disk when the call
    returns."""

    def __init__(self, path: Path, record: Record) -> None:
        self._path, self._record = path, record
        self._write()

    @classmethod
    def create(cls, run_id: str, standing: bool = False) -> Inventory:
        """Begin the record of `run_id`, owned by this process. Raises InventoryError."""
        if not _RUN_ID.fullmatch(run_id):
            raise InventoryError(f"run id {run_id!r} cannot name a file; use letters, digits, dot, _ and -")
        path = state_directory() / f"{run_id}.json"
        if path.exists():
            raise InventoryError(
                f"run {run_id} is on record already in {path}; choose another id, or run `clean`"
            )
        owner = _identify(os.getpid())
        assert owner is not None
        return cls(path, Record(run_id, _boot_id(), owner, standing))

    def __enter__(self) -> Inventory:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add_process(self, pid: int) -> None:
        """Record a process of this run; one that has ended already needs no record."""
        if found := _identify(pid):
            self._change(processes=(*self._record.processes, found))

    def add_host(self, name: str, channel: Path, shell_pid: int) -> None:
        """Record a host whose endpoint takes connections: other commands may reach it from now on."""
        shell = _identify(shell_pid)
        if shell is None:
            raise InventoryError(f"host {name} has died; start a new run")
        self._change(hosts=(*self._record.hosts, RunningHost(name, str(channel), shell)))

    def make_directory(self) -> Path:
        """A new, empty, short-named temporary directory, recorded, for sockets or Ray; removed by `close`."""
        path = Path(tempfile.mkdtemp(prefix=DIRECTORY_PREFIX))
        self.add_directory(path)
        return path

    def add_directory(self, path: Path) -> None:
        """Record a directory made with `mkdtemp(prefix=DIRECTORY_PREFIX)`. Raises InventoryError for any
        other."""
        if reason := _not_ours(path):
            raise InventoryError(f"{path} cannot be recorded for removal: {reason}; use make_directory")
        self._change(directories=(*self._record.directories, str(path)))

    def close(self) -> None:
        """The run has ended in good order: remove its directories and its record. Safe to call again."""
        for directory in self._record.directories:
            _remove_directory(Path(directory))
        self._path.unlink(missing_ok=True)

    def _change(self, **fields: object) -> None:
        self._record = msgspec.structs.replace(self._record, **fields)
        self._write()

    def _write(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self._path.parent, prefix=".", delete=False) as new:
                new.write(msgspec.json.format(msgspec.json.encode(self._record)))
            os.replace(new.name, self._path)
        except OSError as error:
            raise InventoryError(
                f"the run's record {self._path} cannot be written ({error.strerror}); "
                f"set {STATE_VARIABLE} to a directory that can"
            ) from error


def state_directory() -> Path:
    """Where runs are on record: $DEVMEM_TESTBED_STATE, else /run for root, else a user's own under /tmp."""
    if named := os.environ.get(STATE_VARIABLE):
        return Path(named)
    if os.geteuid() == 0:
        return Path("/run/devmem-testbed")
    return Path(tempfile.gettempdir()) / f"devmem-testbed-{os.geteuid()}"


def running(state_dir: Path) -> list[Record]:
    """The records of runs whose owner is running, the newest first."""
    found = []
    for path in state_dir.glob("*.json"):
        try:
            record = msgspec.json.decode(path.read_bytes(), type=Record)
        except (OSError, msgspec.DecodeError):  # the run has just ended, or `clean` says what is wrong
            continue
        if record.boot_id == _boot_id() and is_alive(record.owner):
            found.append(record)
    return sorted(found, key=lambda record: record.owner.start_ticks, reverse=True)


def is_alive(process: ProcessId) -> bool:
    """Whether the process with this pid is still the same one, and runs."""
    return _identify(process.pid) == process


def signal_process(process: ProcessId, number: signal.Signals) -> bool:
    """Send a signal to this process and no other; False when it has ended."""
    try:
        pidfd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    try:  # identified after the pidfd was opened, so that the signal reaches this process and no later one
        if not is_alive(process):
            return False
        signal.pidfd_send_signal(pidfd, number)
        return True
    except ProcessLookupError:
        return False
    finally:
        os.close(pidfd)


def clean(state_dir: Path) -> list[Cleaned]:
    """Remove the processes, directories and records of runs whose owner has ended.

    A run in progress, a record that cannot be read and a directory that is not the testbed's are left alone
    and reported.
    """
    return [found for path in sorted(state_dir.glob("*.json")) for found in _clean_run(path)]


def _clean_run(path: Path) -> list[Cleaned]:
    try:
        record = msgspec.json.decode(path.read_bytes(), type=Record)
    except (OSError, msgspec.DecodeError) as error:
        what = f"record {path}: cannot be read ({error}); delete it by hand"
        return [Cleaned(path.stem, what, removed=False)]
    same_boot = record.boot_id == _boot_id()
    if same_boot and is_alive(record.owner):
        return [Cleaned(record.run_id, f"process {record.owner.pid} still runs it", removed=False)]
    killed = [p for p in record.processes if same_boot and signal_process(p, signal.SIGKILL)]
    found = [Cleaned(record.run_id, f"process {process.pid}", removed=True) for process in killed]
    for directory in map(Path, record.directories):
        if directory.exists() and (reason := _not_ours(directory)):
            found.append(Cleaned(record.run_id, f"directory {directory}: {reason}", removed=False))
        elif directory.exists():
            removed = _remove_directory(directory)
            found.append(Cleaned(record.run_id, f"directory {directory}", removed))
    path.unlink()
    return [*found, Cleaned(record.run_id, f"record {path}", removed=True)]


def _identify(pid: int) -> ProcessId | None:
    """The process that has this pid now; None when there is none, or only a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else ProcessId(pid, int(fields[19]))


def _not_ours(path: Path) -> str | None:
    """Why this directory must not be removed, or None."""
    if path.is_symlink() or not path.is_dir():
        return "it is no directory"
    if path.parent != Path(tempfile.gettempdir()) or not path.name.startswith(DIRECTORY_PREFIX):
        return f"it is not {tempfile.gettempdir()}/{DIRECTORY_PREFIX}*"
    if path.stat().st_uid != os.geteuid():
        return "it belongs to another user"
    return None


def _remove_directory(path: Path) -> bool:
    """Whether it is gone. Processes that write into it have been killed and may take a moment to end."""
    give_up_at = time.monotonic() + _EXIT_S
    shutil.rmtree(path, ignore_errors=True)
    while path.exists() and time.monotonic() < give_up_at:
        time.sleep(0.05)
        shutil.rmtree(path, ignore_errors=True)
    return not path.exists()


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
