"""A user's function is found and called; what is wrong with it is a sentence with file and line."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from workloads.user.code import UserCode, user_code
from workloads.workload import WorkloadError

SOURCE = """\
import beside

def acts(rank):
    return beside.VALUE / rank

def writes(program):
    program.send("x")

def neither(a, b):
    pass

def leaves(rank):
    raise SystemExit

def waits(rank):
    raise TimeoutError("long")
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    (tmp_path / "beside.py").write_text("VALUE = 6\n")
    (tmp_path / "mine.py").write_text(SOURCE)
    return str(tmp_path / "mine.py")


def refused(file: str, name: str) -> str:
    with pytest.raises(WorkloadError) as reason:
        user_code(file, name)
    return str(reason.value)


def raised(code: UserCode, argument: object) -> str:
    with pytest.raises(WorkloadError) as reason, code.explained():
        code.function(argument)
    return str(reason.value)


def test_a_functions_parameter_says_what_it_does(file: str) -> None:
    path = list(sys.path)
    acts, writes = user_code(file, "acts"), user_code(file, "writes")
    assert (acts.kind, acts.words, acts.function(3)) == ("rank", "mine.py:acts", 2)
    assert (writes.kind, writes.words) == ("program", "mine.py:writes")
    assert sys.path == path
    sys.modules.pop("beside")


def test_what_is_no_such_function_is_refused(file: str, tmp_path: Path) -> None:
    assert refused(file, "none").endswith(
        "mine.py has no function 'none'; choose from acts, writes, neither, leaves, waits"
    )
    assert refused(file, "beside").startswith(f"{file} has no function 'beside'; choose")
    assert refused(file, "neither").startswith(
        f"neither of {file} takes (a, b); let it take (rank), to act, or"
    )
    assert refused(str(tmp_path / "x.py"), "f") == f"there is no file {tmp_path}/x.py; correct the name"


@pytest.mark.parametrize(
    "function", ["async def f(rank): pass", "def f(rank): yield", "async def f(rank): yield"]
)
def test_a_function_that_does_nothing_when_it_is_called_is_refused(function: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(function)
    assert refused(str(tmp_path / "mine.py"), "f").startswith(
        f"f of {tmp_path}/mine.py does nothing when it is"
    )


@pytest.mark.parametrize("parameters", ["*rank", "**rank", "*, rank", "rank, *more"])
def test_a_parameter_that_takes_no_single_value_is_none(parameters: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(f"def f({parameters}):\n    pass\n")
    assert "*" in refused(str(tmp_path / "mine.py"), "f")


@pytest.mark.parametrize(
    ("file", "label"),
    [
        ("mine.py", "mine.py:f"),
        ("my own (2).py", "my_own__2_.py:f"),
        ("größe.py", "größe.py:f"),
        ("x" * 200 + ".py", "x" * 59 + ".py:f"),
    ],
)
def test_a_files_name_becomes_a_word_that_a_column_takes(file: str, label: str, tmp_path: Path) -> None:
    (tmp_path / file).write_text("def f(rank): pass\n")
    code = user_code(str(tmp_path / file), "f")
    assert code.label == label
    assert len(code.label) <= 64


def test_a_name_that_no_column_takes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(f"def {'f' * 41}(rank): pass\n")
    assert "more than 40 characters" in refused(str(tmp_path / "mine.py"), "f" * 41)


LATE = "mine.py line {}: it has not ended within 0.3 s; let it do less before the run starts"
ENDLESS = """\
def f(program):
    while True:
        try:
            while True:
                pass
        except Exception:
            pass
"""


def test_what_never_ends_before_the_run_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workloads.user.code.ENDS_WITHIN_S", 0.3)
    before = signal.getsignal(signal.SIGALRM)
    (tmp_path / "mine.py").write_text("import time\n\ntime.sleep(60)\n")
    assert refused(str(tmp_path / "mine.py"), "f") == LATE.format(3)
    (tmp_path / "mine.py").write_text(ENDLESS)
    code = user_code(str(tmp_path / "mine.py"), "f")
    with pytest.raises(WorkloadError) as reason:
        code.written(None)
    assert str(reason.value) in (LATE.format(4), LATE.format(5))
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) is before


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("def f(rank):\n    return 1 +\n", "mine.py line 2: SyntaxError: invalid syntax"),
        ("x = 1\n\nimport none_such\n", "mine.py line 3: ModuleNotFoundError: No module named 'none_such'"),
        ("import sys\nsys.exit(3)\n", "mine.py line 2: SystemExit: 3"),
        ("def f():\n    raise KeyError\n\nf()\n", "mine.py line 2: KeyError"),
    ],
)
def test_a_file_that_cannot_be_run_is_told_by_its_line(source: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(source)
    assert refused(str(tmp_path / "mine.py"), "f") == sentence


def test_what_a_function_raises_is_told_by_its_line(file: str) -> None:
    assert raised(user_code(file, "acts"), 0) == "mine.py line 4: ZeroDivisionError: division by zero"
    assert raised(user_code(file, "writes"), None).startswith("mine.py line 7: AttributeError: 'NoneType'")
    assert raised(user_code(file, "leaves"), None) == "mine.py line 13: SystemExit"
    with pytest.raises(TimeoutError, match="long"), user_code(file, "waits").explained():
        user_code(file, "waits").function(None)
    sys.modules.pop("beside", None)
