"""Lets Python import the compiled modules of nodes/ in place of their sources, while both say the same.

In: the build that nodes/compiled/build.py left in this environment, and the sources beside the modules that
are imported. Out: an import finder. Owns nothing. `make setup` copies this file into site-packages, where a
.pth file installs the finder in every Python of the environment, as editable installs do: endpoints, ranks,
tests and notebooks need no word of it. So it is small, and stands alone.

All modules were compiled as one group: if one source is not as it was, all of them are used as sources.
"""

from __future__ import annotations

import json
import os
import sys
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, ModuleSpec
from importlib.util import source_hash, spec_from_file_location

DIRECTORY = os.path.join(sys.prefix, "compiled")
RECORD = "record.json"
GROUP = "nodes__mypyc"  # the library with the code of all modules; theirs only point into it
PURE = "DEVMEM_PURE"  # of the environment: with any value the sources are used


class NoBuild(Exception):
    """There is none in this environment, or its record cannot be read."""


def digest(path: str) -> str:
    """Of a source, as Python's own .pyc files have it. Raises OSError."""
    with open(path, "rb") as source:
        return source_hash(source.read()).hex()


class Build:
    """What record.json in `directory` says. `sources`: path and digest of every file of which the compiler
    relied on what it read."""

    def __init__(self, directory: str) -> None:
        try:
            with open(os.path.join(directory, RECORD), encoding="utf-8") as record:
                said = json.load(record)
            self.key: str = said["key"]
            self.compiler: str = said["compiler"]
            self.modules = frozenset[str](said["modules"])
            self.sources: dict[str, str] = said["sources"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise NoBuild(directory) from error
        self.directory = os.path.join(directory, self.key)

    def changed(self, root: str) -> str:
        """The first source below `root` that is not as it was compiled; "": none."""
        for name, compiled in self.sources.items():
            try:
                if digest(os.path.join(root, name)) != compiled:
                    return name
            except OSError:
                return name
        return ""


class Finder:
    """One of sys.meta_path, ahead of Python's own. It reads the sources once, when the first of the modules
    is imported: what is imported later is of the same build."""

    def __init__(self, build: Build) -> None:
        self._build = build
        self._fits: dict[str, bool] = {}  # by the directory that nodes/ lies in

    def find_spec(self, name: str, path: object = None, _target: object = None) -> ModuleSpec | None:
        if name != GROUP:
            if name not in self._build.modules or not path:
                return None
            root = _root(name, path)
            if root not in self._fits:
                self._fits[root] = not self._fits and not self._build.changed(root)
            if not self._fits[root]:
                return None
        file = os.path.join(self._build.directory, *name.split(".")) + EXTENSION_SUFFIXES[0]
        return spec_from_file_location(name, file, loader=ExtensionFileLoader(name, file))


def _root(name: str, package_path: object) -> str:
    """The directory that nodes/ lies in, by the __path__ of the package of the module `name`."""
    directory: str = next(iter(package_path))  # type: ignore[call-overload]
    for _ in range(name.count(".")):
        directory = os.path.dirname(directory)
    return directory


def install() -> None:
    """Use the build of this environment, if there is one, and DEVMEM_PURE is not set."""
    if not os.environ.get(PURE):
        try:
            sys.meta_path.insert(0, Finder(Build(DIRECTORY)))
        except NoBuild:
            return
