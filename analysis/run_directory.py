"""A results directory, which may have been written by somebody else.

In: names of files inside it. Out: their bytes and digests; files that are written whole. Owns the way to
them: no link below the directory is followed, only regular files are read, and a file that is replaced is not
written through. So redrawing as root what a user sent neither touches other files nor hangs at a device.
"""

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from analysis.results_error import ResultsError

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# Without O_NONBLOCK a FIFO that took the file's place meanwhile would be waited for.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def is_inside(name: str) -> bool:
    """Whether `name` is that of a file below a directory: relative, in its shortest form, without `..`."""
    parts = name.split("/")
    return name.isprintable() and not any(part in ("", ".", "..") for part in parts)


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """Files below `path`, by names for which `is_inside` holds. OSErrors name the file with its path."""

    path: Path

    def read(self, name: str, limit_bytes: int) -> bytes | None:
        """The whole file, or None without one. Raises ResultsError if it is larger or no regular file."""
        with self._named(name), ExitStack() as stack:
            file = self._opened(name, stack)
            if file is None:
                return None
            data = file.read(limit_bytes + 1)
        if len(data) > limit_bytes:
            raise ResultsError(
                f"{self.path / name} has more than {limit_bytes >> 20} MiB, which no run writes; restore it"
            )
        return data

    def digest(self, name: str, limit_bytes: int) -> tuple[str, int] | None:
        """SHA-256 and length, read piece by piece; None without the file. Raises ResultsError as `read`."""
        with self._named(name), ExitStack() as stack:
            file = self._opened(name, stack)
            if file is None:
                return None
            length = os.fstat(file.fileno()).st_size
            if length > limit_bytes:
                raise ResultsError(f"{self.path / name} is too large to be compared")
            return hashlib.file_digest(file, "sha256").hexdigest(), length

    def write(self, name: str, data: bytes) -> Path:
        """Put a file with `data` in the place of what is there; a link there goes, its target stays."""
        with self._named(name), ExitStack() as stack:
            for parent in name.split("/")[:-1]:
                with suppress(FileExistsError):
                    os.mkdir(self.path / parent)
            directory, last = self._parent(name, stack)
            new = f".{last}.new"
            with suppress(FileNotFoundError):
                os.unlink(new, dir_fd=directory)
            descriptor = os.open(new, _CREATE, 0o666, dir_fd=directory)
            try:
                with open(descriptor, "wb") as file:
                    file.write(data)
                os.replace(new, last, src_dir_fd=directory, dst_dir_fd=directory)
            except BaseException:
                with suppress(OSError):
                    os.unlink(new, dir_fd=directory)
                raise
        return self.path / name

    @contextmanager
    def _named(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as failure:
            raise OSError(failure.errno, failure.strerror, str(self.path / name)) from failure

    def _opened(self, name: str, stack: ExitStack) -> BufferedReader | None:
        try:
            directory, last = self._parent(name, stack)
            # Looked at first, since to open a device can be an act.
            self._check_regular(name, os.stat(last, dir_fd=directory, follow_symlinks=False))
            descriptor = os.open(last, _READ, dir_fd=directory)
        except (FileNotFoundError, NotADirectoryError):
            return None
        file = stack.enter_context(os.fdopen(descriptor, "rb"))
        self._check_regular(name, os.fstat(descriptor))
        return file

    def _parent(self, name: str, stack: ExitStack) -> tuple[int, str]:
        """A descriptor of the directory that holds the file, and the file's name there."""
        *parents, last = name.split("/")
        descriptor = os.open(self.path, _DIRECTORY)
        stack.callback(os.close, descriptor)
        for parent in parents:
            found = os.stat(parent, dir_fd=descriptor, follow_symlinks=False)
            if not stat.S_ISDIR(found.st_mode):
                where = self.path / parent
                raise ResultsError(f"{where} is {_kind(found)}, where a directory belongs; remove it")
            descriptor = os.open(parent, _DIRECTORY | os.O_NOFOLLOW, dir_fd=descriptor)
            stack.callback(os.close, descriptor)
        return descriptor, last

    def _check_regular(self, name: str, found: os.stat_result) -> None:
        if not stat.S_ISREG(found.st_mode):
            kind = _kind(found)
            raise ResultsError(f"{self.path / name} is {kind} and is not read; put a file in its place")


def _kind(found: os.stat_result) -> str:
    for is_kind, kind in (
        (stat.S_ISLNK, "a link"),
        (stat.S_ISDIR, "a directory"),
        (stat.S_ISREG, "a file"),
        (stat.S_ISFIFO, "a FIFO"),
        (stat.S_ISSOCK, "a socket"),
    ):
        if is_kind(found.st_mode):
            return kind
    return "a device"
