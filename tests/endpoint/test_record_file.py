"""Files of captures and traces: whole records, soon; one that cannot be written ends its recording only."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nodes.endpoint.record_file import BUFFER_BYTES, FLUSH_S, RecordFile, Recordings


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """No file may grow beyond `size` bytes, as on a full disk."""
    before, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, hard))
        signal.signal(signal.SIGXFSZ, handler)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "h1.pcapng"


def test_records_are_in_the_file_a_tenth_of_a_second_later(path: Path) -> None:
    file = RecordFile("--pcap", str(path))
    recordings = Recordings([file])
    assert recordings.turn(1.0, None) is None  # an idle endpoint sleeps
    file.write(b"record")
    assert recordings.turn(1.0, 9.0) == 1.0 + FLUSH_S
    assert recordings.turn(1.05, 1.06) == 1.06
    assert path.read_bytes() == b""
    assert recordings.turn(1.0 + FLUSH_S, None) is None
    assert path.read_bytes() == b"record"
    file.close()


def test_a_busy_endpoint_writes_whole_records_only(path: Path) -> None:
    record = b"x" * 1000
    file = RecordFile("--pcap", str(path))
    for _ in range(2 * BUFFER_BYTES // 1000):
        file.write(record)
        assert path.stat().st_size % 1000 == 0
    assert path.stat().st_size > 0
    file.close()
    assert path.stat().st_size == 2 * BUFFER_BYTES // 1000 * 1000


def test_a_full_disk_ends_the_recording_at_a_whole_record(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = RecordFile("--pcap", str(path))
    with room_for(2500):
        for _ in range(5):
            file.write(b"x" * 1000)
        file.flush()
        file.write(b"more")
        file.close()
    assert path.read_bytes() == b"x" * 2000
    assert file.lost == 4
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith(f"endpoint: --pcap {str(path)!r} cannot be written any more (File too large): ")
    assert last == f"endpoint: --pcap {str(path)!r} lacks 4 records"


def test_a_device_that_is_always_full_is_no_error_of_the_endpoint(capsys: pytest.CaptureFixture[str]) -> None:
    file = RecordFile("--trace", "/dev/full")
    file.write(b"{}\n")
    file.flush()
    assert (file.ended, file.lost) == (True, 1)
    file.close()
    assert "No space left on device" in capsys.readouterr().err
