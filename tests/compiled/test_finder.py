"""The finder: compiled modules are imported if every source is as it was compiled, and only then."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from nodes.compiled import finder
from nodes.compiled.finder import Build, Finder, NoBuild, digest

COMPILED, ONLY_READ = "nodes/tcp/ack.py", "nodes/tcp/state.py"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Sources: one that was compiled, and one that it imports."""
    root = tmp_path / "tree"
    (root / "nodes/tcp").mkdir(parents=True)
    for name in (COMPILED, ONLY_READ):
        (root / name).write_text(f"# {name}\n")
    return root


@pytest.fixture
def build(tree: Path) -> Build:
    """What would be left by compiling them."""
    sources = {name: digest(str(tree / name)) for name in (COMPILED, ONLY_READ)}
    record = {"key": "k", "compiler": "mypyc", "modules": ["nodes.tcp.ack"], "sources": sources}
    (tree.parent / finder.RECORD).write_text(json.dumps(record))
    return Build(str(tree.parent))


def origin(found: Finder, tree: Path, name: str = "nodes.tcp.ack") -> str | None:
    spec = found.find_spec(name, [str(tree / "nodes/tcp")])
    return None if spec is None else spec.origin


def compiled_file(tree: Path) -> str:
    return f"{tree.parent}/k/nodes/tcp/ack{EXTENSION_SUFFIXES[0]}"


def test_sources_as_they_were_compiled_are_not_read_again(tree: Path, build: Build) -> None:
    assert origin(Finder(build), tree) == compiled_file(tree)


def test_what_was_not_compiled_is_python_s_own_matter(tree: Path, build: Build) -> None:
    found = Finder(build)
    assert origin(found, tree, "nodes.tcp.state") is None
    assert found.find_spec("json") is None


@pytest.mark.parametrize("name", [COMPILED, ONLY_READ])
def test_a_changed_source_is_never_hidden_by_what_was_compiled(tree: Path, build: Build, name: str) -> None:
    (tree / name).write_text(f"# {name[::-1]}\n")  # of the same length
    assert origin(Finder(build), tree) is None
    assert build.changed(str(tree)) == name


def test_a_missing_source_has_changed(tree: Path, build: Build) -> None:
    (tree / ONLY_READ).unlink()
    assert build.changed(str(tree)) == ONLY_READ


def test_a_new_time_of_a_source_is_no_change(tree: Path, build: Build) -> None:
    os.utime(tree / COMPILED, (1, 1))
    assert origin(Finder(build), tree) == compiled_file(tree)


def test_a_copy_of_the_sources_uses_the_same_build(tree: Path, build: Build) -> None:
    copy = shutil.copytree(tree, tree.parent / "copy")
    assert origin(Finder(build), copy) == compiled_file(tree)


def test_one_process_takes_the_modules_of_one_tree(tree: Path, build: Build) -> None:
    copy, found = shutil.copytree(tree, tree.parent / "copy"), Finder(build)
    assert origin(found, copy)
    assert origin(found, tree) is None
    assert origin(found, copy)


def test_a_source_changed_after_the_first_import_mixes_nothing(tree: Path, build: Build) -> None:
    found = Finder(build)
    assert origin(found, tree)
    (tree / COMPILED).write_text("")
    assert origin(found, tree)


@pytest.mark.parametrize("record", [None, "", "{}", "[]"])
def test_without_a_readable_record_there_is_no_build(tmp_path: Path, record: str | None) -> None:
    if record is not None:
        (tmp_path / finder.RECORD).write_text(record)
    with pytest.raises(NoBuild):
        Build(str(tmp_path))


@pytest.mark.parametrize(("pure", "expected"), [("", 1), ("1", 0)])
def test_devmem_pure_leaves_the_finder_out(pure: str, expected: int, build: Build) -> None:
    code = (
        "import sys; from nodes.compiled import finder; finder.DIRECTORY = sys.argv[1]\n"
        "before = len(sys.meta_path); finder.install(); print(len(sys.meta_path) - before)"
    )
    directory = str(Path(build.directory).parent)
    root, environment = Path(__file__).parents[2], {**os.environ, finder.PURE: pure}
    argv = [sys.executable, "-c", code, directory]
    ended = subprocess.run(argv, cwd=root, env=environment, capture_output=True, text=True, check=True)
    assert int(ended.stdout) == expected
