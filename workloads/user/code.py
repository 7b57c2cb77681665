"""A function of a user's Python file: found, called, and its errors told with file and line.

In: FILE.py:NAME. Out: the function, and sentences. Owns nothing. The file runs with its caller's rights.
"""

from __future__ import annotations

import importlib.util
import inspect
import re
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, Literal

from nodes.client.runtime import is_main_thread
from workloads.workload import WorkloadError

WORDS = re.compile(r"(.+\.py):([^:]+)")

ENDS_WITHIN_S = 60.0  # what runs before anything starts: the file itself, and what writes a trace
_AGAIN_S = 1.0
_LABEL_CHARACTERS = 64
_NAME_CHARACTERS = 40  # the rest is the file's
_DOES_NOTHING = inspect.isgeneratorfunction, inspect.iscoroutinefunction, inspect.isasyncgenfunction

Kind = Literal["rank", "program"]  # what the function's parameter is called, and so what it does


@dataclass(frozen=True, slots=True)
class UserCode:
    """`file` as the function's frames name it."""

    file: str
    name: str
    kind: Kind
    function: Callable[[Any], Any]

    @property
    def words(self) -> str:
        """FILE.py:NAME, without the directory."""
        return f"{Path(self.file).name}:{self.name}"

    @property
    def label(self) -> str:
        """The same as one word of at most 64 characters, as a column of a table takes it."""
        file = re.sub(r"[^\w.+-]", "_", Path(self.file).name)
        return f"{file[-(_LABEL_CHARACTERS - 1 - len(self.name)) :]}:{self.name}"

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Whatever the user's code raises becomes a sentence with file and line. A wait that has taken too
        long stays one."""
        with _explained(self.file):
            yield

    def written(self, argument: Any) -> None:
        """Call it, to write a trace. Raises WorkloadError, also when it does not end in time."""
        with _explained(self.file), _in_time():
            self.function(argument)

    def line(self, frame: FrameType | None) -> int:
        """The line in the file that `frame` was called from; 0 if it was not."""
        while frame is not None:
            if frame.f_code.co_filename == self.file:
                return frame.f_lineno
            frame = frame.f_back
        return 0


def user_code(file: str, name: str) -> UserCode:
    """Runs the file. Raises WorkloadError."""
    module = _run(file)
    function = getattr(module, name, None)
    if not inspect.isfunction(function):
        there = [each for each, value in vars(module).items() if _is_own(value, file)]
        raise WorkloadError(f"{file} has no function {name!r}; choose from {', '.join(there) or 'none'}")
    if len(name) > _NAME_CHARACTERS:
        raise WorkloadError(
            f"{name} of {file} has a name of more than {_NAME_CHARACTERS} characters, which no column of a "
            "table takes; give it a shorter one"
        )
    if any(does_nothing(function) for does_nothing in _DOES_NOTHING):
        raise WorkloadError(
            f"{name} of {file} does nothing when it is called; let it be a function without yield and async"
        )
    match [_named(each) for each in inspect.signature(function).parameters.values()]:
        case ["rank"]:
            return UserCode(file, name, "rank", function)
        case ["program"]:
            return UserCode(file, name, "program", function)
        case found:
            raise WorkloadError(
                f"{name} of {file} takes ({', '.join(found)}); let it take (rank), to act, or (program), to "
                "write a trace"
            )


def _named(parameter: inspect.Parameter) -> str:
    """One that takes a single value in its place goes by its name."""
    is_plain = parameter.kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return parameter.name if is_plain else f"*{parameter.name}"


def _run(file: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"user:{file}", file)
    if not Path(file).is_file() or spec is None or spec.loader is None:
        raise WorkloadError(f"there is no file {file}; correct the name")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(Path(file).parent))  # as for a program: modules beside the file
    try:
        with _explained(file), _in_time():
            spec.loader.exec_module(module)
    finally:
        sys.path.pop(0)
    return module


def _is_own(value: object, file: str) -> bool:
    return inspect.isfunction(value) and value.__code__.co_filename == file


class _Endless(BaseException):
    """No Exception, so that the user's code does not catch it by chance."""


@contextmanager
def _in_time() -> Iterator[None]:
    """End what does not end by itself, by SIGALRM; of the main thread alone."""
    if not is_main_thread():
        yield
        return

    def late(*_: object) -> None:
        raise _Endless(f"it has not ended within {ENDS_WITHIN_S:g} s; let it do less before the run starts")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, ENDS_WITHIN_S, _AGAIN_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _explained(file: str) -> Iterator[None]:
    try:
        yield
    except (TimeoutError, BlockingIOError):
        raise
    except BaseException as failure:
        raise WorkloadError(f"{_where(file, failure)}: {_sentence(failure)}") from failure


def _where(file: str, failure: BaseException) -> str:
    if isinstance(failure, SyntaxError) and failure.filename == file:
        return f"{Path(file).name} line {failure.lineno}"
    lines = [each.lineno for each in traceback.extract_tb(failure.__traceback__) if each.filename == file]
    return f"{Path(file).name} line {lines[-1]}" if lines else Path(file).name


def _sentence(failure: BaseException) -> str:
    said = failure.msg if isinstance(failure, SyntaxError) else str(failure)
    if isinstance(failure, WorkloadError | _Endless):
        return said
    return " ".join(f"{type(failure).__name__}: {said}".split()).removesuffix(":")
