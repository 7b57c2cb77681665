"""manifest.json: what was run, what it measures, where, and how it ended.

In: the command line, the configuration, a status. Out: the file, written before the run, sealed after it, and
rewritten whole each time. Owns the file; manifest_records.py beside it has the fields.
"""

from __future__ import annotations

import datetime
import hashlib
import os
import platform
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec
import psutil

from nodes.compiled.state import state
from nodes.kernel_version import VERSIONS
from workloads.experiment.manifest_records import (
    FILES_MAX,
    FaultRecord,
    Fidelity,
    Git,
    HostRecord,
    InterfaceRecord,
    LinkRecord,
    MachineRecord,
    Manifest,
    PathNote,
    Prediction,
    RankRecord,
)
from workloads.experiment.records import ExperimentConfig, RankPlace
from workloads.registry import workload_of
from workloads.traffic.outcome import TrafficRecord

_NAME = "manifest.json"
_OTHER_CHECKOUT = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX")
_ROOM_BYTES = 64 << 10
_PROJECT = Path(__file__).resolve().parents[2]
_CLEAN_WIRE = "--impair is in the endpoints' NICs, which Linux's own traffic does not pass: not impaired"
_PACKAGES = (
    "mininet",
    "ray",
    "numpy",
    "pandas",
    "matplotlib",
    "msgspec",
    "psutil",
    "typer",
    "rich",
)


class ManifestFile:
    """The manifest of the run in `run_dir`, a directory that it makes; FileExistsError if that exists.

    Until the run's end a second file keeps room for the next manifest: how a run ended is recorded on a full
    disk, too.
    """

    def __init__(
        self, run_dir: Path, argv: Sequence[str], config: ExperimentConfig, rootless: bool = False
    ) -> None:
        run_dir.mkdir(parents=True)
        workload = workload_of(config)
        git, git_error = sources(_PROJECT)
        self._dir = run_dir
        self._next = run_dir / f".{_NAME}"
        self._contents = Manifest(
            run_id=run_dir.name,
            argv=tuple(map(_utf8, argv)),
            config=config,
            measure=workload.measure(config),
            started_at=_now(),
            environment=_environment() | {"rootless": rootless},
            versions={name: metadata.version(name) for name in _PACKAGES} | {"nodes": str(state())},
            git=git,
            git_error=git_error,
            notes=_notes(config),
        )
        self._write()
        self._keep_room()

    def add_network(
        self,
        links: tuple[LinkRecord, ...],
        interfaces: tuple[InterfaceRecord, ...],
        hosts: tuple[HostRecord, ...] = (),
    ) -> None:
        """Record what the network is like before the run."""
        self._contents = msgspec.structs.replace(
            self._contents, links=links, interfaces=interfaces, hosts=hosts
        )
        self._write()
        self._keep_room()

    def add_machines(self, machines: Sequence[MachineRecord]) -> None:
        """Record on which machines the network is, before it is built."""
        self._contents = msgspec.structs.replace(self._contents, machines=tuple(machines))
        self._write()
        self._keep_room()

    def note_machines(self, machines: Sequence[MachineRecord]) -> None:
        """What `finish` is to record of them."""
        self._contents = msgspec.structs.replace(self._contents, machines=tuple(machines))

    def add_ranks(self, places: Sequence[RankPlace]) -> None:
        """Record where the ranks are before the run."""
        config = self._contents.config
        memory = workload_of(config).memory
        ranks = tuple(
            RankRecord(each.rank, each.host, each.slot.name, each.slot.nic, memory(config, each.rank))
            for each in places
        )
        self._contents = msgspec.structs.replace(self._contents, ranks=ranks)
        self._write()
        self._keep_room()

    def add_predictions(self, predictions: tuple[Prediction, ...]) -> None:
        """Written when the run is sealed."""
        self._contents = msgspec.structs.replace(self._contents, predictions=predictions)

    def add_memory_counters(self, source: str | None, reason: str | None) -> None:
        """Written with what follows: where the machine's own memory traffic is read, or why nowhere."""
        self._contents = msgspec.structs.replace(
            self._contents, memory_counters=source, memory_counters_reason=reason
        )

    def note_faults(self, faults: tuple[FaultRecord, ...]) -> None:
        """What `finish` is to record of them."""
        self._contents = msgspec.structs.replace(self._contents, faults=faults)

    def note_traffic(self, traffic: tuple[TrafficRecord, ...]) -> None:
        """What `finish` is to record of it."""
        self._contents = msgspec.structs.replace(self._contents, traffic=traffic)

    def add_fidelity(self, fidelity: Fidelity) -> None:
        """Written when the run is sealed."""
        self._contents = msgspec.structs.replace(self._contents, fidelity=fidelity)

    def add_journal(self, digest: str) -> None:
        """Of what happened in a simulation; written when the run is sealed."""
        self._contents = msgspec.structs.replace(self._contents, journal=digest)

    def finish(self, status: str, error: str | None = None) -> None:
        """Record how the run ended, and the SHA-256 of every file there is: "complete", or "failed" or
        "interrupted" with a sentence in `error`. A complete run can still fail until it is sealed."""
        self._contents = msgspec.structs.replace(
            self._contents, status=status, error=None if error is None else _utf8(error), finished_at=_now()
        )
        self.seal()
        if status == "complete":
            with suppress(OSError):
                self._keep_room()

    def seal(self) -> None:
        """Record the SHA-256 of every file there is; of links none. Captures are large: read in pieces."""
        ours = (self._dir / _NAME, self._next)
        files = [path for path in self._dir.rglob("*") if path not in ours and not path.is_symlink()]
        sums = {str(path.relative_to(self._dir)): _sha256(path) for path in sorted(files) if path.is_file()}
        self._contents = msgspec.structs.replace(self._contents, files=sums)
        self._write()

    def _write(self) -> None:
        try:
            data = msgspec.json.format(msgspec.json.encode(self._contents)) + b"\n"
            self._next.write_bytes(data)
        except OSError:
            self._next.unlink(missing_ok=True)
            raise
        os.replace(self._next, self._dir / _NAME)
        self._length_bytes = len(data)

    def _keep_room(self) -> None:
        with open(self._next, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(_ROOM_BYTES, 2 * self._length_bytes))


def _notes(config: ExperimentConfig) -> tuple[PathNote, ...]:
    notes = []
    if "devmem" in config.paths and (said := VERSIONS[config.kernel].data_path_note):
        notes.append(PathNote("devmem", "RX only", said))
    if "kernel" in config.paths and config.impair is not None:
        notes.append(PathNote("kernel", "clean wire", _CLEAN_WIRE))
    return tuple(notes)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _environment() -> dict[str, Any]:
    cpu = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "hostname": platform.node(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "cpu_model": cpu[0].partition(":")[2].strip() if cpu else "unknown",
        "cpu_count": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "python": platform.python_version(),
        "os": platform.freedesktop_os_release().get("PRETTY_NAME", "unknown"),
    }


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _utf8(text: str) -> str:
    """`text`, where bytes of a command line that are not UTF-8 are written as escapes."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def sources(project: Path) -> tuple[Git | None, str | None]:
    """The sources' commit; or None, and why: outside of a checkout or without git. A copy of the sources can
    be run, too, also one that lies in a checkout of something else."""
    try:
        commit = _git_says(project, "rev-parse", "HEAD")
        if not _git_says(project, "ls-files"):
            return None, f"the repository that {project} lies in does not have these sources"
        changed = [line.strip() for line in _git_says(project, "status", "--porcelain", ".").splitlines()]
        return Git(commit, bool(changed), tuple(_utf8(line) for line in changed[:FILES_MAX])), None
    except subprocess.CalledProcessError as failure:
        return None, " ".join(str(failure.stderr).split()) or str(failure)
    except (OSError, subprocess.SubprocessError) as failure:
        return None, str(failure)


def _git_says(project: Path, *arguments: str) -> str:
    """What git prints. It trusts the checkout of any owner, since these very sources are being run; and it
    leaves the index as it is, which root would else come to own."""
    trust = ("-c", f"safe.directory={project}")
    command = ["git", "--no-optional-locks", *trust, "-C", str(project), *arguments]
    # A git hook's variables would name another checkout.
    environment = {name: value for name, value in os.environ.items() if name not in _OTHER_CHECKOUT}
    return subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=10, env=environment | {"LC_ALL": "C"}
    ).stdout.rstrip("\n")
