"""A Ray actor on a machine that takes part in a run: the pipe to a process of ours there.

In: what to start; requests, as bytes. Out: answers, as bytes; why the process has ended. Owns the process,
which ends in good order when its stdin is closed, whatever ends this one. Ray carries this module's code, so
that it runs where the sources are not, and can say so. The process answers every request: b"R" and what it
found, or b"F" and a sentence; b"E" and a sentence come unasked, when the machine's part cannot go on.
"""

from __future__ import annotations

import os
import queue
import socket
import subprocess
import sys
import tempfile
import threading
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, cast

from workloads.sweep.ray_task import obstacle

_END_S = 25.0
# Ray kills the children of a worker that ends, and not theirs, which so end in order.
_BEHIND = ("sh", "-c", '"$@"; exit $?', "sh")


class MachineAgent:
    """Methods may be called from several threads."""

    def __init__(self, words: tuple[str, ...], project: str, commit: str) -> None:
        self._answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._reason = obstacle(Path(project), commit)
        if self._reason:
            self._over.set()
            return
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  as long as the process
        self._process = subprocess.Popen(
            [*_BEHIND, sys.executable, *words], cwd=project, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self._said, start_new_session=True, bufsize=0,
        )  # fmt: skip
        stdin = cast("IO[bytes]", self._process.stdin)
        self._requests = Connection(os.dup(stdin.fileno()), readable=False)
        stdin.close()
        threading.Thread(target=self._read, name="what the process says", daemon=True).start()

    def machine(self) -> tuple[str, str]:
        """The host's name, and why it cannot take part, or ""."""
        return socket.gethostname(), self._reason

    def ask(self, request: bytes) -> bytes:
        """The answer, which is b"F" and a sentence once the process has ended."""
        with self._lock:
            try:
                self._requests.send_bytes(request)
            except OSError:
                self._over.wait()
                return b"F" + self._reason.encode()
            return self._answers.get()

    def over(self) -> str:
        """Returns when the process cannot go on, with the reason."""
        self._over.wait()
        return self._reason

    def close(self) -> None:
        """Returns when the process has ended."""
        if not hasattr(self, "_process"):
            return
        self._requests.close()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _read(self) -> None:
        stdout = cast("IO[bytes]", self._process.stdout)
        with Connection(os.dup(stdout.fileno()), writable=False) as words:
            stdout.close()
            try:
                while True:
                    word = words.recv_bytes()
                    if word[:1] == b"E":
                        self._end(word[1:].decode())
                    else:
                        self._answers.put(word)
            except (EOFError, OSError):
                pass
        status = self._process.wait()
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        said = f" saying {lines[-1]!r}" if lines else ""
        self._end(f"its process ended with status {status}{said}")
        self._answers.put(b"F" + self._reason.encode())

    def _end(self, reason: str) -> None:
        self._reason = self._reason or reason
        self._over.set()
