"""The inventory with real processes and directories: what `clean` removes and must not."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from topologies.mininet.inventory import (
    DIRECTORY_PREFIX,
    Inventory,
    InventoryError,
    ProcessId,
    Record,
    clean,
    owner_lives,
    running,
)

SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
# A run that records a child and a directory, says so, and then waits to be killed.
RUN = """
import subprocess, sys, time
from topologies.mininet.inventory import Inventory
inventory = Inventory.create("lost")
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
inventory.add_process(child.pid)
print(child.pid, inventory.make_directory(), flush=True)
time.sleep(600)
"""


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEVMEM_TESTBED_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(SLEEP, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def _record(state: Path) -> Record:
    return msgspec.json.decode((state / "r.json").read_bytes(), type=Record)


def _dead_owner(record: Record) -> Record:
    """As if another process with this pid had made it: the start time differs."""
    owner = ProcessId(record.owner.pid, record.owner.start_ticks - 1)
    return msgspec.structs.replace(record, owner=owner)


def test_an_orderly_end_removes_directories_and_record(state: Path) -> None:
    with Inventory.create("r") as inventory:
        directory = inventory.make_directory()
        (directory / "socket").touch()
        assert (state / "r.json").exists()
    assert not directory.exists()
    assert list(state.iterdir()) == []


def test_a_run_in_progress_is_left_alone(state: Path, bystander: subprocess.Popen[bytes]) -> None:
    with Inventory.create("r") as inventory:
        inventory.add_process(bystander.pid)
        (found,) = clean(state)
        assert not found.removed
        assert f"process {os.getpid()} still runs it" in found.what
        assert bystander.poll() is None


def test_a_killed_run_is_cleaned_with_its_processes_and_directories(state: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", RUN], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        pid, directory = run.stdout.readline().split()
        run.kill()
    found = clean(state)
    assert all(one.removed for one in found)
    assert [one.what.split()[0] for one in found] == ["process", "directory", "record"]
    assert not Path(directory).exists()
    assert _gone(int(pid))
    assert clean(state) == []


def _gone(pid: int) -> bool:
    """Whether it has ended, or does within five seconds."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    ended, _, _ = select.select([pidfd], [], [], 5)
    os.close(pidfd)
    return bool(ended)


def test_a_recycled_pid_is_never_killed(state: Path, bystander: subprocess.Popen[bytes]) -> None:
    inventory = Inventory.create("r")
    inventory.add_process(bystander.pid)
    record = _dead_owner(_record(state))
    (process,) = record.processes
    earlier = ProcessId(process.pid, process.start_ticks - 1)
    (state / "r.json").write_bytes(msgspec.json.encode(msgspec.structs.replace(record, processes=(earlier,))))
    assert [one.what.split()[0] for one in clean(state)] == ["record"]
    assert bystander.poll() is None


def test_nothing_of_an_earlier_boot_is_killed(state: Path, bystander: subprocess.Popen[bytes]) -> None:
    inventory = Inventory.create("r")
    inventory.add_process(bystander.pid)
    record = msgspec.structs.replace(_record(state), boot_id="an earlier one")
    (state / "r.json").write_bytes(msgspec.json.encode(record))
    assert [one.what.split()[0] for one in clean(state)] == ["record"]
    assert bystander.poll() is None


def test_a_directory_outside_the_prefix_is_refused_and_never_removed(state: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    inventory = Inventory.create("r")
    with pytest.raises(InventoryError, match="precious cannot be recorded for removal"):
        inventory.add_directory(precious)
    record = msgspec.structs.replace(_dead_owner(_record(state)), directories=(str(precious),))
    (state / "r.json").write_bytes(msgspec.json.encode(record))
    kept, record_kept = clean(state)
    assert not kept.removed
    assert not record_kept.removed
    assert (state / "r.json").exists()
    assert precious.exists()


@pytest.mark.usefixtures("bystander")
def test_a_directory_elsewhere_than_tmpdir_now_is_removed_with_its_record(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    directory = Inventory.create("r").make_directory()
    monkeypatch.setattr(tempfile, "tempdir", "/tmp")
    (state / "r.json").write_bytes(msgspec.json.encode(_dead_owner(_record(state))))
    assert [one.what.split()[0] for one in clean(state) if one.removed] == ["directory", "record"]
    assert not directory.exists()


@pytest.mark.parametrize("place", ["/tmp/" + "x" * 60, "/tmp/a b"])
def test_a_tmpdir_that_sockets_or_ray_cannot_use_is_not_used(
    place: str, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", place)
    with Inventory.create("r") as inventory:
        assert inventory.make_directory().parent == Path("/tmp")
    assert list(state.iterdir()) == []


@pytest.mark.parametrize("namespaces", [(), ("pid:[1]",), ("pid:[1]", "time:[2]")])
def test_a_record_of_another_process_namespace_is_left_alone(
    namespaces: tuple[str, ...], state: Path, bystander: subprocess.Popen[bytes]
) -> None:
    inventory = Inventory.create("r")
    inventory.add_process(bystander.pid)
    record = msgspec.structs.replace(_dead_owner(_record(state)), namespaces=namespaces)
    (state / "r.json").write_bytes(msgspec.json.encode(record))
    assert owner_lives(record) is None
    (found,) = clean(state)
    assert not found.removed
    assert f"run `clean` there, or delete {state / 'r.json'}" in found.what
    assert bystander.poll() is None
    assert _record(state) == record


def test_a_run_of_another_process_namespace_is_up_while_its_endpoint_listens(
    state: Path, tmp_path: Path
) -> None:
    Inventory.create("r").add_host("h1", tmp_path / "h1.sock", os.getpid())
    record = msgspec.structs.replace(_record(state), namespaces=("pid:[1]",))
    (state / "r.json").write_bytes(msgspec.json.encode(record))
    assert running(state) == []
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as endpoint:
        endpoint.bind(str(tmp_path / "h1.sock"))
        endpoint.listen()
        assert running(state) == [record]


def test_a_proc_of_another_namespace_is_no_place_for_a_record(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `unshare -pf` without --mount-proc leaves it."""
    read_text = Path.read_text

    def outer_proc(path: Path) -> str:
        return "NSpid:\t4711\t1\n" if path == Path("/proc/self/status") else read_text(path)

    monkeypatch.setattr(Path, "read_text", outer_proc)
    with pytest.raises(InventoryError, match="/proc shows another process namespace"):
        Inventory.create("r")
    assert not state.exists()


def test_a_link_in_place_of_a_directory_is_not_followed(state: Path, tmp_path: Path) -> None:
    link = Path(tempfile.mkdtemp(prefix=DIRECTORY_PREFIX))
    Inventory.create("r").add_directory(link)
    link.rmdir()
    (tmp_path / "kept").touch()
    link.symlink_to(tmp_path)
    try:
        (state / "r.json").write_bytes(msgspec.json.encode(_dead_owner(_record(state))))
        assert not clean(state)[0].removed
        assert (tmp_path / "kept").exists()
    finally:
        link.unlink()


def test_an_unreadable_record_is_reported_and_kept(state: Path) -> None:
    state.mkdir()
    (state / "odd.json").write_text("{")
    (found,) = clean(state)
    assert not found.removed
    assert "cannot be read" in found.what
    assert (state / "odd.json").exists()


def test_no_state_directory_means_nothing_to_clean(state: Path) -> None:
    assert clean(state) == []


@pytest.mark.parametrize("run_id", ["", "../etc/passwd", "a b"])
def test_a_run_id_that_cannot_name_a_file_is_refused(run_id: str, state: Path) -> None:
    with pytest.raises(InventoryError, match="cannot name a file"):
        Inventory.create(run_id)
    assert not state.exists()


def test_two_runs_of_one_name_are_refused(state: Path) -> None:
    with Inventory.create("r"), pytest.raises(InventoryError, match=f"on record already in {state}"):
        Inventory.create("r")


def test_a_state_directory_that_cannot_be_written_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("DEVMEM_TESTBED_STATE", str(tmp_path / "file"))
    with pytest.raises(InventoryError, match="set DEVMEM_TESTBED_STATE to a directory that can"):
        Inventory.create("r")
