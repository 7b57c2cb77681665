"""Compiles the hot modules of nodes/ into this environment: `python -m nodes.compiled.build`.

In: modules.txt, their sources, mypyc, a C compiler. Out: extension modules, a record of what they were made
from, and the finder that has them imported; all of it in the environment, nothing among the sources. Those
stay what is read, changed and shipped. Without a compiler, or if nothing has changed, nothing is compiled.
`make setup` calls it.
"""

from __future__ import annotations

import ast
import fcntl
import hashlib
import io
import json
import os
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Iterable
from contextlib import redirect_stdout
from importlib import metadata
from pathlib import Path

from nodes.compiled import finder
from nodes.compiled.finder import Build, NoBuild

ROOT = Path(__file__).resolve().parents[2]
_LIST = Path(__file__).with_name("modules.txt")
_HOOK = "devmem_compiled"
_OPTIMIZE = "1"  # -O2 compiles for half as long again, and the packet path is no faster
_MYPY = ("--config-file=", "--strict", "--explicit-package-bases", "--namespace-packages",
         "--ignore-missing-imports", "--follow-imports=silent")


def modules() -> list[str]:
    """Paths below ROOT of the modules that are compiled."""
    return [line for line in _LIST.read_text().splitlines() if line and not line.startswith("#")]


def sources(compiled: Iterable[str]) -> list[str]:
    """`compiled`, and what of nodes/ these import, directly or not."""
    found: set[str] = set()
    waiting = list(compiled)
    while waiting:
        path = waiting.pop()
        if path not in found and (ROOT / path).is_file():
            found.add(path)
            waiting += _imports((ROOT / path).read_text())
    return sorted(found)


def _imports(source: str) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("nodes"):
            names += [str(node.module), *(f"{node.module}.{each.name}" for each in node.names)]
    return [name.replace(".", "/") + ".py" for name in names]


def obstacle() -> str:
    """What is missing to compile, with the remedy; "": nothing."""
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None:
        return f"there is no C compiler {compiler}: `apt-get install gcc libc6-dev`, then `make setup`"
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        return "there is no Python.h: `apt-get install libpython3-dev`, then `make setup`"
    return ""


def build(directory: Path) -> None:
    """Compile into `directory`, unless it has been. What is there stays in use until the new build is whole.
    SystemExit if the compiler fails."""
    paths = modules()
    record: dict[str, object] = {
        "compiler": f"mypyc {metadata.version('mypy')}",
        "modules": [path.removesuffix(".py").replace("/", ".") for path in paths],
        "sources": {path: finder.digest(str(ROOT / path)) for path in sources(paths)},
    }
    key = hashlib.sha256(json.dumps([record, sys.version, _OPTIMIZE, _MYPY]).encode()).hexdigest()[:16]
    if _key(directory) == key:
        return
    if missing := obstacle():
        print(f"setup: nodes/ runs as pure Python: {missing}")
        return
    directory.mkdir(exist_ok=True)
    with open(directory / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _key(directory) != key:  # another one may have made it meanwhile
            print(f"setup: compiling {len(paths)} modules of nodes/: about a minute of CPU time", flush=True)
            _replace(directory, key, record)


def _key(directory: Path) -> str:
    """Of the build that is there; "": none."""
    try:
        return Build(str(directory)).key
    except NoBuild:
        return ""


def _replace(directory: Path, key: str, record: dict[str, object]) -> None:
    for abandoned in directory.glob("tmp*"):
        shutil.rmtree(abandoned)
    with tempfile.TemporaryDirectory(dir=directory) as made:
        _compile(modules(), Path(made), directory / "mypy_cache")
        shutil.rmtree(directory / key, ignore_errors=True)
        (Path(made) / "lib").rename(directory / key)
        (Path(made) / finder.RECORD).write_text(json.dumps({"key": key, **record}))
        (Path(made) / finder.RECORD).replace(directory / finder.RECORD)
    for former in directory.iterdir():
        if former.is_dir() and former.name not in (key, "mypy_cache"):
            shutil.rmtree(former)


def _compile(paths: list[str], directory: Path, cache: Path) -> None:
    from mypyc.build import mypycify  # both take a moment, and most calls have nothing to compile
    from setuptools import Distribution

    with redirect_stdout(io.StringIO()) as said:  # warnings, such as of comprehensions that become lists
        try:
            extensions = mypycify(
                [*_MYPY, f"--cache-dir={cache}", *paths], opt_level=_OPTIMIZE, debug_level="0",
                multi_file=True, target_dir=str(directory / "c"),
                group_name=finder.GROUP.removesuffix("__mypyc"),
            )  # fmt: skip
        except SystemExit:
            print(said.getvalue(), file=sys.stderr)
            raise
    command = Distribution({"name": "nodes", "ext_modules": extensions}).get_command_obj("build_ext")
    command.build_lib, command.build_temp = str(directory / "lib"), str(directory / "o")
    command.parallel = len(os.sched_getaffinity(0))
    command.ensure_finalized()
    command.run()


def install_finder() -> None:
    """Have every Python of this environment begin with it."""
    site = Path(sysconfig.get_path("purelib"))
    shutil.copyfile(finder.__file__, site / f"{_HOOK}.py")
    (site / f"{_HOOK}.pth").write_text(f"import {_HOOK}; {_HOOK}.install()\n")


if __name__ == "__main__":
    os.chdir(ROOT)  # mypy tells modules by their paths
    build(Path(finder.DIRECTORY))
    install_finder()
