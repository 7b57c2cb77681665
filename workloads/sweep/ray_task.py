"""One cell on a machine of a Ray cluster, as a generator task.

In: a command's parts. Out: tuples, since Ray carries this module's code and not its names:
("began", machine, node id), ("alive",) every few seconds, ("piece", bytes) of a zip archive that holds what
the run wrote, and at last ("ended", reason, seconds). Owns a temporary directory of that machine, which goes
with the task, or, where the task was killed, with the next one there. It imports nothing of ours but
`cell_process`, whose code is carried along.
"""

from __future__ import annotations

import fcntl
import shutil
import socket
import subprocess
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from workloads.sweep.cell_process import CellProcess, command_of, log_of

_POLL_S, _ALIVE_S = 0.2, 3.0
_PIECE_BYTES = 8 << 20
_PREFIX, _LOCK = "dmtb-cell-", "lock"


def run_cell(
    project: str, run: str, words: tuple[str, ...], limit_s: float, commit: str
) -> Iterator[tuple[Any, ...]]:
    """`commit`: of the sources that the sweep was started from, "" if that is not known."""
    import ray  # the worker has it; where this module is only imported it is not needed

    yield "began", socket.gethostname(), ray.get_runtime_context().get_node_id()
    if reason := obstacle(Path(project), commit):
        yield "ended", reason, 0.0
        return
    remove_abandoned(Path(tempfile.gettempdir()))
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as place, open(Path(place) / _LOCK, "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run_dir = Path(place) / run
        process = CellProcess(command_of(Path(project), run_dir, words), run_dir, limit_s)
        try:
            told_at = time.monotonic()
            while not process.poll():
                time.sleep(_POLL_S)
                if time.monotonic() - told_at > _ALIVE_S:
                    told_at = time.monotonic()
                    yield ("alive",)
            seconds = process.seconds
        finally:  # Ray cancels a task by an exception
            process.end()
        yield from (("piece", piece) for piece in packed(run_dir))
    yield "ended", process.reason, seconds


def obstacle(project: Path, commit: str) -> str:
    """Why no cell can run here, as a sentence; or ""."""
    machine = socket.gethostname()
    if not (project / "run.py").exists():
        return (
            f"machine {machine} has no {project}/run.py; check it out there, or name its folder by --project"
        )
    asked = ["git", "-c", f"safe.directory={project}", "-C", str(project), "rev-parse", "HEAD"]
    try:
        own = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=False).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        own = ""  # a copy without git can be run, too
    if own and commit and own != commit:
        return (
            f"machine {machine} has commit {own[:10]} of the sources, and this one {commit[:10]}; update it"
        )
    return ""


def remove_abandoned(temporary: Path) -> None:
    """Directories of tasks that were killed: nobody holds their locks."""
    for place in temporary.glob(f"{_PREFIX}*"):
        with suppress(OSError), open(place / _LOCK, "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(place)


def packed(run_dir: Path) -> Iterator[bytes]:
    """The run's directory and its log as pieces of an archive, which is made beside them."""
    archive = run_dir.with_name("archive")
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as pack:
        for path in (run_dir, *run_dir.rglob("*"), log_of(run_dir)):
            if path.exists() and not path.is_symlink():
                pack.write(path, path.relative_to(run_dir.parent))
    with open(archive, "rb") as file:
        while piece := file.read(_PIECE_BYTES):
            yield piece
