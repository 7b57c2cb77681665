"""The build: what it compiles, what it relies on, when it does nothing; and a small one from end to end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nodes.compiled import build as building
from nodes.compiled.build import ROOT, build, modules, obstacle, sources
from nodes.compiled.finder import RECORD, Build

ONE = '''def half(of: int) -> float:
    """A docstring, so that the failing line is the third."""
    return 1 / of
'''


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree with one module to compile, and what it imports."""
    root = tmp_path / "project"
    (root / "nodes").mkdir(parents=True)
    (root / "nodes/__init__.py").touch()
    (root / "nodes/one.py").write_text("from nodes.two import TWO as TWO\n\n" + ONE)
    (root / "nodes/two.py").write_text("TWO = 2\n")
    (root / "modules.txt").write_text("# a comment\nnodes/one.py\n")
    monkeypatch.setattr(building, "ROOT", root)
    monkeypatch.setattr(building, "_LIST", root / "modules.txt")
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What was compiled, in a compiler's place."""
    calls: list[list[str]] = []

    def compile_(paths: list[str], directory: Path, _: Path) -> None:
        calls.append(paths)
        (directory / "lib").mkdir()

    monkeypatch.setattr(building, "_compile", compile_)
    monkeypatch.setattr(building, "obstacle", str)
    return calls


def test_the_list_has_sources_each_once_and_in_order() -> None:
    listed = modules()
    assert [name for name in listed if not (ROOT / name).is_file()] == []
    assert listed == sorted(set(listed))


def test_what_a_module_imports_is_looked_at_too() -> None:
    found = sources(["nodes/tcp/ack.py"])
    assert {"nodes/tcp/ack.py", "nodes/tcp/sender.py", "nodes/wire/tcp.py"} <= {*found}
    assert all((ROOT / name).is_file() for name in found)


def test_a_build_that_is_there_needs_no_compiler(
    project: Path,
    compiled: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = project.parent / "out"
    build(out)
    capsys.readouterr()
    monkeypatch.setattr(building, "obstacle", lambda: "there is no C compiler")
    build(out)
    assert (capsys.readouterr().out, len(compiled)) == ("", 1)


def test_what_is_as_it_was_is_not_compiled_again(project: Path, compiled: list[list[str]]) -> None:
    out = project.parent / "out"
    build(out)
    build(out)
    assert compiled == [["nodes/one.py"]]
    first = Build(str(out))
    (project / "nodes/two.py").write_text("TWO = 3\n")  # imported, not compiled
    build(out)
    assert len(compiled) == 2
    assert {each.name for each in out.iterdir()} == {"lock", RECORD, Build(str(out)).key}
    assert Build(str(out)).key != first.key


def test_a_compiler_that_fails_leaves_the_former_build(
    project: Path, compiled: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = project.parent / "out"
    build(out)
    before = Build(str(out))

    def fail(*_: object) -> None:
        sys.exit(1)

    monkeypatch.setattr(building, "_compile", fail)
    (project / "nodes/one.py").write_text(ONE)
    with pytest.raises(SystemExit):
        build(out)
    assert compiled == [["nodes/one.py"]]
    assert Build(str(out)).key == before.key
    assert {each.name for each in out.iterdir()} == {"lock", RECORD, before.key}


def test_without_a_compiler_it_says_so_and_does_nothing(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CC", "no-such-compiler -O1")
    build(project.parent / "out")
    assert "runs as pure Python: there is no C compiler no-such-compiler: `apt-get" in capsys.readouterr().out
    assert not (project.parent / "out").exists()


def test_without_python_h_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CC", sys.executable)  # anything that is there
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))
    assert obstacle().startswith("there is no Python.h: `apt-get install libpython3-dev`")


@pytest.mark.skipif(bool(obstacle()), reason=obstacle())
def test_a_module_is_compiled_found_and_fails_with_a_traceback_of_its_source(project: Path) -> None:
    out = project.parent / "out"
    build(out)
    code = (
        f"import sys; sys.path.append({str(ROOT / 'nodes/compiled')!r}); from finder import Build, Finder\n"
        f"sys.meta_path.insert(0, Finder(Build({str(out)!r})))\n"
        "from nodes import one; print(one.__file__, one.TWO, one.half(4), flush=True); one.half(0)"
    )
    argv, environment = [sys.executable, "-c", code], {**os.environ, "DEVMEM_PURE": "1"}
    ended = subprocess.run(argv, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert ended.stdout.startswith(Build(str(out)).directory), ended.stderr
    assert ended.stdout.endswith(" 2 0.25\n")
    assert 'File "nodes/one.py", line 5, in half' in ended.stderr
    assert ended.stderr.endswith("ZeroDivisionError: division by zero\n")
