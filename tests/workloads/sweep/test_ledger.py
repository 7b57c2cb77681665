"""What a sweep's directory remembers, whatever ended the sweep; and that it is one sweep's at a time."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from workloads.sweep.ledger import Entry, Ledger, LedgerError, is_done, last_entries

ENTRY = Entry(
    cell="c1", options=("--seed=1",), status="complete", run="c1-1", seconds=1.5, machine="m", finished_at="t"
)
FAILED = msgspec.structs.replace(ENTRY, status="failed", reason="no")


def written(directory: Path, *entries: Entry) -> Path:
    with Ledger(directory) as ledger:
        for entry in entries:
            ledger.append(entry)
            (ledger.cells / entry.run).mkdir(exist_ok=True)
    return directory / "ledger.jsonl"


def test_what_is_written_is_read_again_and_the_last_word_counts(tmp_path: Path) -> None:
    other = msgspec.structs.replace(ENTRY, cell="c2", run="c2-1")
    written(tmp_path, FAILED, other, ENTRY)
    assert last_entries(tmp_path) == {"c1": ENTRY, "c2": other}
    with Ledger(tmp_path) as ledger:
        assert ledger.last == last_entries(tmp_path)
        assert ledger.is_done("c1")
        assert not ledger.is_done("c3")


def test_a_cell_is_done_when_it_is_complete_and_its_results_are_there(tmp_path: Path) -> None:
    written(tmp_path, ENTRY)
    assert is_done(ENTRY, tmp_path)
    assert not is_done(FAILED, tmp_path)
    (tmp_path / "cells" / "c1-1").rmdir()
    assert not is_done(ENTRY, tmp_path)


@pytest.mark.parametrize("kept_bytes", [0, 1, 40, -1])
def test_a_line_that_was_cut_is_cut_off_and_the_next_one_is_whole(tmp_path: Path, kept_bytes: int) -> None:
    path = written(tmp_path, ENTRY)
    line = path.read_bytes()
    path.write_bytes(line + line[:kept_bytes])
    assert last_entries(tmp_path) == {"c1": ENTRY}
    assert path.read_bytes() == line + line[:kept_bytes]  # which only reads
    written(tmp_path, FAILED)
    assert path.read_bytes() == line + msgspec.json.encode(FAILED) + b"\n"


def test_a_line_that_is_no_entry_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, ENTRY)
    path.write_bytes(path.read_bytes() + b'{"cell": 3}\n')
    with pytest.raises(LedgerError, match=r"ledger\.jsonl:2: this is no entry of a ledger .*; restore or"):
        Ledger(tmp_path)
    path.write_bytes(b"")
    with Ledger(tmp_path) as ledger:  # the lock was given back
        assert ledger.last == {}


def test_a_line_is_synchronized_before_append_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[bytes] = []
    monkeypatch.setattr(os, "fsync", lambda _: synced.append((tmp_path / "ledger.jsonl").read_bytes()))
    path = written(tmp_path, ENTRY)
    assert synced[-1] == path.read_bytes() != b""


def test_an_entry_that_a_full_disk_refuses_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    path = written(tmp_path, ENTRY)
    before = path.read_bytes()
    with Ledger(tmp_path) as ledger:
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(LedgerError, match=r"\(No space left on device\); make room and go on with --res"):
            ledger.append(FAILED)
        assert ledger.last == {"c1": ENTRY}
    assert path.read_bytes() == before


def test_two_sweeps_in_one_directory_are_refused(tmp_path: Path) -> None:
    with Ledger(tmp_path):
        with pytest.raises(LedgerError, match=r"another sweep is running in .*; wait for its end, or choose"):
            Ledger(tmp_path)
        assert last_entries(tmp_path) == {}  # a dry run needs no lock
    Ledger(tmp_path).close()


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError, match=r"file/sweep cannot be written .*choose another --results"):
        Ledger(tmp_path / "file" / "sweep")


def test_a_new_run_has_a_name_that_no_trace_of_another_has(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        assert ledger.new_run("c1") == "c1-1"
        (ledger.cells / "c1-1.log").write_text("cut before it made its directory")
        assert ledger.new_run("c1") == "c1-2"
        (ledger.cells / "c1-2").mkdir()
        assert ledger.new_run("c1") == "c1-3"
        assert ledger.new_run("c2") == "c2-1"
