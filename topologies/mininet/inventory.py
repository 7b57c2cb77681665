"""What a run has made, on record from the moment it is made, so that `run.py clean` removes that and nothing
else.

In: a run's processes and directories. Out: one JSON file a run in the state directory, removed when the run
ends in good order. Owns those files. A process is identified by its pid, its start time (proc(5), field 22 of
stat), the namespaces that these are counted in, and the machine's boot. So a recycled pid is another process,
and what cannot be judged from another namespace is left alone. Interfaces and namespaces need no record: the
kernel removes them with the fabric's builder. pid_namespaces(7), time_namespaces(7).
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import stat
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from topologies.mininet import user_namespace

STATE_VARIABLE = "DEVMEM_TESTBED_STATE"
DIRECTORY_PREFIX = "dmtb-"  # short: Ray's socket paths within are limited to 107 bytes
_TEMPORARY_BYTES = 24  # Ray adds 76 or so
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
    """A run's file. `namespaces`: those in which its pids and start times are counted. `user_namespace`:
    that in which the owner is root. `standing`: a run of `up`, which measures nothing and waits to be taken
    down. `run_dir`: where its topology, its logs and its results are."""

    run_id: str
    boot_id: str
    owner: ProcessId
    namespaces: tuple[str, ...] = ()
    user_namespace: str = ""
    standing: bool = False
    processes: tuple[ProcessId, ...] = ()
    directories: tuple[str, ...] = ()
    hosts: tuple[RunningHost, ...] = ()
    run_dir: str = ""


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
        self._write(os.link)

    @classmethod
    def create(cls, run_id: str, standing: bool = False, run_dir: str = "") -> Inventory:
        """Begin the record of `run_id`, owned by this process. Raises InventoryError."""
        if not _RUN_ID.fullmatch(run_id):
            raise InventoryError(f"run id {run_id!r} cannot name a file; use letters, digits, dot, _ and -")
        namespaces = _namespaces()
        if not namespaces:
            raise InventoryError(
                "/proc shows another process namespace than this one; mount it anew, as `unshare -pf "
                "--mount-proc` does"
            )
        path = state_directory() / f"{run_id}.json"
        owner = _identify(os.getpid())
        assert owner is not None
        within = user_namespace.current()
        return cls(path, Record(run_id, _boot_id(), owner, namespaces, within, standing, run_dir=run_dir))

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
        path = Path(tempfile.mkdtemp(prefix=DIRECTORY_PREFIX, dir=_temporary()))
        self.add_directory(path)
        return path

    def add_directory(self, path: Path) -> None:
        """Record a directory made with `mkdtemp(prefix=DIRECTORY_PREFIX)` where temporary files go. Raises
        InventoryError for any other."""
        temporary = _temporary()
        reason = _not_ours(path)
        if reason is None and path.parent != temporary:
            reason = f"it is not directly below {temporary}"
        if reason:
            raise InventoryError(f"{path} cannot be recorded for removal: {reason}; use make_directory")
        self._change(directories=(*self._record.directories, str(path)))

    def close(self) -> None:
        """The run has ended in good order: remove its directories and its record, which stays for `clean` if
        a directory does. Safe to call again."""
        removed = [_remove_directory(Path(directory)) for directory in self._record.directories]
        if all(removed):
            self._path.unlink(missing_ok=True)

    def _change(self, **fields: object) -> None:
        self._record = msgspec.structs.replace(self._record, **fields)
        self._write(os.replace)

    def _write(self, put: Callable[[str, Path], None]) -> None:
        """`put` gives a complete file the record's name: os.link refuses to if there is one."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self._path.parent, prefix=".", delete=False) as new:
                new.write(msgspec.json.format(msgspec.json.encode(self._record)))
            self._put(new.name, put)
        except OSError as error:
            raise InventoryError(
                f"the run's record {self._path} cannot be written ({error.strerror}); "
                f"set {STATE_VARIABLE} to a directory that can"
            ) from error

    def _put(self, complete: str, put: Callable[[str, Path], None]) -> None:
        try:
            put(complete, self._path)
        except FileExistsError:
            raise InventoryError(
                f"run {self._record.run_id} is on record already in {self._path}; choose another id, or run "
                "`clean`"
            ) from None
        finally:
            Path(complete).unlink(missing_ok=True)


def state_directory() -> Path:
    """Where runs are on record: $DEVMEM_TESTBED_STATE, else /run for root, else a user's own under /tmp, with
    root and without. Raises InventoryError if that is somebody else's: what is in there would be believed."""
    if named := os.environ.get(STATE_VARIABLE):
        return Path(named)
    user = user_namespace.outer_uid()
    if user == 0:
        return Path("/run/devmem-testbed")
    place = Path(tempfile.gettempdir()) / f"devmem-testbed-{user}"
    with suppress(FileNotFoundError):
        found = place.lstat()
        if found.st_uid != os.geteuid() or not stat.S_ISDIR(found.st_mode):
            raise InventoryError(f"{place} is not this user's directory; set {STATE_VARIABLE} to one that is")
    return place


def running(state_dir: Path) -> list[Record]:
    """The records of runs whose owner is running, the newest first; of an owner that cannot be seen from
    here, those whose endpoints take connections."""
    found = []
    for path in state_dir.glob("*.json"):
        try:
            record = msgspec.json.decode(path.read_bytes(), type=Record)
        except (OSError, msgspec.DecodeError):  # the run has just ended, or `clean` says what is wrong
            continue
        lives = owner_lives(record)
        if lives or (lives is None and any(listens(host.channel) for host in record.hosts)):
            found.append(record)
    return sorted(found, key=lambda record: record.owner.start_ticks, reverse=True)


def owner_lives(record: Record) -> bool | None:
    """Whether the run's owner is running; None where this process's namespaces do not show."""
    if record.boot_id != _boot_id():
        return False
    if not record.namespaces or record.namespaces != _namespaces():
        return None
    return is_alive(record.owner)


def listens(channel: str) -> bool:
    """Whether an endpoint takes connections at this channel."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(channel)
        except OSError:
            return False
        return True


def is_alive(process: ProcessId) -> bool:
    """Whether the process with this pid is still the same one, and runs. Only for a record of this
    process's own namespaces: see owner_lives."""
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

    A run in progress, one of another process namespace, a record that cannot be read and a directory that is
    not the testbed's are left alone and reported.
    """
    return [found for path in sorted(state_dir.glob("*.json")) for found in _clean_run(path)]


def _clean_run(path: Path) -> list[Cleaned]:
    try:
        record = msgspec.json.decode(path.read_bytes(), type=Record)
    except (OSError, msgspec.DecodeError) as error:
        what = f"record {path}: cannot be read ({error}); delete it by hand"
        return [Cleaned(path.stem, what, removed=False)]
    lives = owner_lives(record)
    if lives:
        return [Cleaned(record.run_id, f"process {record.owner.pid} still runs it", removed=False)]
    if lives is None:
        what = "it was started in another process namespace, and only there can be seen whether it runs"
        return [Cleaned(record.run_id, f"{what}; run `clean` there, or delete {path}", removed=False)]
    same_boot = record.boot_id == _boot_id()
    killed = [p for p in record.processes if same_boot and signal_process(p, signal.SIGKILL)]
    found = [Cleaned(record.run_id, f"process {process.pid}", removed=True) for process in killed]
    left = [place for place in map(Path, record.directories) if os.path.lexists(place)]
    found += [_clean_directory(record.run_id, place) for place in left]
    if all(one.removed for one in found):
        path.unlink()
        return [*found, Cleaned(record.run_id, f"record {path}", removed=True)]
    what = f"record {path}, since a directory is left; remove that, and run `clean` again"
    return [*found, Cleaned(record.run_id, what, removed=False)]


def _clean_directory(run_id: str, path: Path) -> Cleaned:
    if reason := _not_ours(path):
        return Cleaned(run_id, f"directory {path}: {reason}", removed=False)
    return Cleaned(run_id, f"directory {path}", _remove_directory(path))


def _identify(pid: int) -> ProcessId | None:
    """The process that has this pid now; None when there is none, or only a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else ProcessId(pid, int(fields[19]))


def _temporary() -> Path:
    """$TMPDIR, but /tmp where its name is too long for sockets below it, or has a space, which Ray's workers
    do not stand."""
    named = Path(tempfile.gettempdir())
    return named if len(str(named)) <= _TEMPORARY_BYTES and " " not in str(named) else Path("/tmp")


def _not_ours(path: Path) -> str | None:
    """Why this directory must not be removed, or None."""
    if path.is_symlink() or not path.is_dir():
        return "it is no directory"
    if not path.is_absolute() or not path.name.startswith(DIRECTORY_PREFIX):
        return f"its name does not begin with {DIRECTORY_PREFIX}"
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


def _namespaces() -> tuple[str, ...]:
    """Those in which pids and start times are counted that /proc shows and signals take; empty when /proc is
    another process namespace's."""
    try:
        status = Path("/proc/self/status").read_text()
        pids = next(line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:"))
        found = [os.readlink("/proc/self/ns/pid")]
    except (OSError, StopIteration):
        return ()
    if Path("/proc/self/ns/time").exists():  # since Linux 5.6
        found.append(os.readlink("/proc/self/ns/time"))
    return tuple(found) if len(pids) == 1 else ()
