"""When a command builds its network without root, and what is said where it cannot."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from commands.channel_access import ChannelAccess
from commands.place import Place, check_place
from commands.running import RunningError, become_its_root
from topologies.mininet.fabric import FabricError
from topologies.mininet.inventory import Inventory
from topologies.mininet.user_namespace import is_inside, obstacle

PROJECT = Path(__file__).resolve().parents[2]
ENTERED = "import os, commands.rootless as r; r.become_root({words!r}, {builds}); from topologies.mininet."
ENTERED += "user_namespace import is_inside; print(is_inside())"
refused = obstacle()
allowed = pytest.mark.skipif(refused is not None, reason=str(refused))


@allowed
@pytest.mark.skipif(os.geteuid() != 0 or is_inside(), reason="of root only")
@pytest.mark.parametrize(
    ("words", "builds", "entered"),
    [(["--rootless"], True, True), (["--hosts", "2"], True, False), (["h1", "--rootless"], False, False)],
)
def test_root_enters_a_namespace_where_a_network_is_built_and_it_is_asked_for(
    words: list[str], builds: bool, entered: bool
) -> None:
    argv = [sys.executable, "-c", ENTERED.format(words=words, builds=builds)]
    ended = subprocess.run(argv, capture_output=True, text=True, check=True, cwd=PROJECT)
    assert ended.stdout == f"{entered}\n"


@pytest.mark.skipif(is_inside(), reason="this is without root already")
def test_what_was_asked_for_and_cannot_be_had_is_a_sentence(tmp_path: Path) -> None:
    """In this process, which has not entered."""
    with pytest.raises(FabricError, match=r"^a network without root needs a user namespace, but .*, or "):
        check_place(tmp_path / "results" / "r", Place(rootless=True))
    assert not (tmp_path / "results").exists()


def test_a_namespace_that_cannot_be_entered_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEVMEM_TESTBED_STATE", str(tmp_path))
    with Inventory.create("theirs") as inventory:
        ours = inventory._record
        become_its_root(ours)  # there already
        become_its_root(msgspec.structs.replace(ours, user_namespace=""))  # of an earlier version
        with pytest.raises(RunningError, match=r"^the user namespace of run theirs cannot be entered \("):
            become_its_root(msgspec.structs.replace(ours, user_namespace="user:[1]"))


def test_a_group_is_given_where_there_is_one() -> None:
    ChannelAccess().check()
    ChannelAccess(mode=0o755).check()
    if not is_inside():
        ChannelAccess(group="root").check()


@allowed
def test_a_group_is_refused_where_there_is_no_other() -> None:
    code = (
        "from topologies.mininet.user_namespace import enter; enter()\n"
        "from commands.channel_access import ChannelAccess; ChannelAccess(group='root').check()"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PROJECT)
    assert ended.stderr.splitlines()[-1].startswith("commands.usage.UsageError: --group root needs root: ")
