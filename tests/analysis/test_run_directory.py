"""A results directory as an enemy leaves it: what is read of it, and where nothing is written."""

import hashlib
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from analysis.results_error import ResultsError
from analysis.run_directory import RunDirectory, is_inside

LIMIT = 1 << 20


def a_link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def a_socket(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # a socket's name is short
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(path.name)
    finally:
        os.chdir(here)


KINDS: list[tuple[Callable[[Path], object], str]] = [
    (a_link, "a link"), (os.mkfifo, "a FIFO"), (Path.mkdir, "a directory"), (a_socket, "a socket"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "kind"), KINDS)
def test_only_regular_files_are_read(tmp_path: Path, make: Callable[[Path], object], kind: str) -> None:
    make(tmp_path / "it")
    for read in (RunDirectory(tmp_path).read, RunDirectory(tmp_path).digest):
        with pytest.raises(ResultsError, match=f"it is {kind} and is not read"):
            read("it", LIMIT)


def test_a_device_is_not_opened() -> None:
    with pytest.raises(ResultsError, match="zero is a device and is not read"):
        RunDirectory(Path("/dev")).read("zero", LIMIT)


def test_a_link_in_the_way_to_a_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "figures").symlink_to("/etc")
    directory = RunDirectory(tmp_path)
    for reach in (lambda: directory.read("figures/passwd", LIMIT), lambda: directory.write("figures/a", b"")):
        with pytest.raises(ResultsError, match="figures is a link, where a directory belongs"):
            reach()
    assert not Path("/etc/a").exists()


def test_a_file_above_its_limit_is_refused_before_it_fills_memory(tmp_path: Path) -> None:
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ResultsError, match="sparse has more than 1 MiB"):
        RunDirectory(tmp_path).read("sparse", LIMIT)
    with pytest.raises(ResultsError, match="too large"):
        RunDirectory(tmp_path).digest("sparse", LIMIT)


def test_a_missing_file_is_none(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    assert directory.read("a", LIMIT) is None
    assert directory.digest("figures/a", LIMIT) is None
    assert RunDirectory(tmp_path / "nowhere").read("a", LIMIT) is None


def test_a_digest_is_the_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert RunDirectory(tmp_path).digest("a", LIMIT) == (hashlib.sha256(b"abc").hexdigest(), 3)


@pytest.mark.parametrize("link", [os.symlink, os.link])
@pytest.mark.parametrize("name", ["report.html", ".report.html.new"])
def test_nothing_is_written_through_a_link(
    tmp_path: Path, link: Callable[[Path, Path], None], name: str
) -> None:
    precious, run = tmp_path / "precious", tmp_path / "run"
    precious.write_text("as it was")
    run.mkdir()
    link(precious, run / name)
    assert RunDirectory(run).write("report.html", b"new") == run / "report.html"
    assert precious.read_text() == "as it was"
    assert (run / "report.html").read_bytes() == b"new"
    assert [path.name for path in run.iterdir()] == ["report.html"]


def test_what_cannot_be_written_is_named_and_what_was_there_stays(tmp_path: Path) -> None:
    (tmp_path / "report.html").mkdir()
    with pytest.raises(OSError) as failure:
        RunDirectory(tmp_path).write("report.html", b"new")
    assert failure.value.filename == str(tmp_path / "report.html")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../a", "a/../b", "./a", "a//b", "a/", "a\0b", "a\nb"])
def test_a_name_that_could_leave_the_directory_is_not_inside(name: str) -> None:
    assert not is_inside(name)


def test_names_that_a_run_writes_are_inside() -> None:
    assert all(map(is_inside, ("samples.csv", "figures/busbw.png", "h1.log", "..a", "a b")))
