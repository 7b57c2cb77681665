"""manifest.json: what was run, what it measures, where, and how it ended.

In: the command line, the configuration, a status. Out: the file, written before the run, sealed after it, and
rewritten whole each time. Owns the file and its schema's version.
"""

from __future__ import annotations

import datetime
import hashlib
import os
import platform
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec
import psutil

from nodes.kernel_version import VERSIONS
from workloads.experiment.records import ExperimentConfig
from workloads.measure import Measure
from workloads.registry import WORKLOADS

SCHEMA_VERSION = 3
_NAME = "manifest.json"
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


class Git(msgspec.Struct, frozen=True):
    """The sources: a commit, and whether files differed from it."""

    commit: str
    dirty: bool


class PathNote(msgspec.Struct, frozen=True):
    """A restriction of `path` that every table has to state: a `mark` of a word or two, and the sentence."""

    path: str
    mark: str
    text: str


class Manifest(msgspec.Struct, frozen=True):
    """The file's contents. `measure` tells analysis/ how to read samples.csv. Times are ISO 8601 in UTC;
    `files` maps a name to its SHA-256."""

    run_id: str
    argv: tuple[str, ...]
    config: ExperimentConfig
    measure: Measure
    started_at: str
    environment: dict[str, Any]
    versions: dict[str, str]
    git: Git | None
    schema_version: int = SCHEMA_VERSION
    status: str = "running"
    error: str | None = None
    finished_at: str | None = None
    notes: tuple[PathNote, ...] = ()
    files: dict[str, str] = {}


class ManifestFile:
    """The manifest of the run in `run_dir`, a directory that it makes; FileExistsError if that exists."""

    def __init__(self, run_dir: Path, argv: Sequence[str], config: ExperimentConfig) -> None:
        run_dir.mkdir(parents=True)
        workload = WORKLOADS[config.workload]
        self._dir = run_dir
        self._contents = Manifest(
            run_id=run_dir.name,
            argv=tuple(argv),
            config=config,
            measure=workload.measure(workload.ranks(config)),
            started_at=_now(),
            environment=_environment(),
            versions={name: metadata.version(name) for name in _PACKAGES},
            git=_git(),
            notes=_notes(config),
        )
        self._write()

    def finish(self, status: str, error: str | None = None) -> None:
        """Record how the run ended: "complete", or "failed" or "interrupted" with a sentence in `error`."""
        self._contents = msgspec.structs.replace(
            self._contents, status=status, error=error, finished_at=_now()
        )
        self.seal()

    def seal(self) -> None:
        """Record the SHA-256 of every file there is."""
        files = sorted(path for path in self._dir.rglob("*") if path.is_file() and path.name != _NAME)
        sums = {
            str(path.relative_to(self._dir)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
        }
        self._contents = msgspec.structs.replace(self._contents, files=sums)
        self._write()

    def _write(self) -> None:
        new = self._dir / f".{_NAME}"
        new.write_bytes(msgspec.json.format(msgspec.json.encode(self._contents)) + b"\n")
        os.replace(new, self._dir / _NAME)


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
        "kernel": platform.release(),
        "machine": platform.machine(),
        "cpu_model": cpu[0].partition(":")[2].strip() if cpu else "unknown",
        "cpu_count": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "python": platform.python_version(),
        "os": platform.freedesktop_os_release().get("PRETTY_NAME", "unknown"),
    }


def _git() -> Git | None:
    """None outside of a checkout or without git: a copy of the sources can be run too."""
    try:
        commit = _git_says("rev-parse", "HEAD")
        return Git(commit, dirty=bool(_git_says("status", "--porcelain")))
    except (OSError, subprocess.SubprocessError):
        return None


def _git_says(*arguments: str) -> str:
    command = ["git", "-C", str(_PROJECT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
