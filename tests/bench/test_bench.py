"""The command line of the bench; what its rounds keep, and what a part leaves in the table and the file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nodes.wire import ipv4
from tests.bench import __main__ as bench_main
from tests.bench import rounds as bench_rounds
from tests.bench.bare_loop import headers
from tests.bench.fairness import jain
from tests.bench.figure import at_least, read
from tests.bench.rounds import STOLEN_MAX, TRIES, Bench
from tests.bench.transfers import header_share
from tests.docs import pages


def test_parts_are_asked_for_by_name_and_run_in_their_order() -> None:
    assert bench_main.parts("linux,64k") == ["64k", "linux"]


def test_the_page_has_every_part() -> None:
    rows = re.findall(r"^\| ((?:`[\w-]+`(?:, )?)+) \|", pages.text("docs/performance.md"), re.MULTILINE)
    shown = [name for row in rows for name in re.findall(r"`([\w-]+)`", row)]
    assert sorted(set(shown) & {*bench_main.PARTS}) == sorted(bench_main.PARTS)


def test_an_unknown_part_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        bench_main.main(["--only", "64k,speed"])
    assert refused.value.code == 2
    assert "there is no part 'speed'; choose from 64k, 512k, linux" in capsys.readouterr().err


def part(bench: Bench) -> None:
    found = bench.measure("stream", lambda: {"devmem_gbps": 3.0, "iperf3_gbps": 2.0})
    bench.against("stream", found, "devmem_gbps", "iperf3_gbps", "Gb/s", at_least(0.65))


def broken(_: Bench) -> None:
    raise SystemExit("bench: iperf3 failed")


def test_a_part_ends_in_the_table_and_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench_main, "PROJECT", tmp_path)
    monkeypatch.setattr(bench_main, "PARTS", {"64k": part, "linux": broken})
    with pytest.raises(SystemExit, match="iperf3 failed"):
        bench_main.main(["--rounds", "2"])
    table = capsys.readouterr().out
    assert "│ stream │ 3 Gb/s │ 2 iperf3  │ 1.5   │ 1.5..1.5      │ >= 0.65 x │ yes │" in table
    (file,) = (tmp_path / "results").glob("bench-*.json")
    result = read(str(file))
    assert (result.rounds, len(result.raw)) == (2, 2 if _calm(result.raw) else len(result.raw))
    (figure,) = result.figures
    assert (figure.part, figure.ours, figure.against, figure.better) == (
        "64k",
        (3.0, 3.0),
        "iperf3",
        "higher",
    )


def _calm(raw: tuple[dict[str, float | str], ...]) -> bool:
    return all(float(each["stolen"]) <= STOLEN_MAX for each in raw)


@pytest.mark.parametrize(("stolen", "tries"), [(0.0, 1), (0.5, TRIES)])
def test_a_disturbed_round_is_repeated(stolen: float, tries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_rounds, "_stolen_share", lambda *_: stolen)
    bench = Bench(2, 1.0)
    kept = bench.measure("stream", lambda: {"gbps": 1.0})
    assert len(kept) == 2
    assert len(bench.raw) == 2 * tries
    assert {each["stolen"] for each in bench.raw} == {stolen}


def test_what_headers_leave_of_a_line() -> None:
    assert header_share(1500, False) == pytest.approx(1448 / 1514)
    assert header_share(8244, False) == pytest.approx(8192 / 8258)
    assert header_share(1500, True) == pytest.approx(2 * 1448 / (2 * 1514 + 66))


def test_the_bare_loops_frame_is_a_packet() -> None:
    made = headers()
    at, length = 10 + 14, 52 + 45 * 1448  # behind virtio_net_hdr and Ethernet
    header = ipv4.parse(made, at, length)
    assert header is not None, "the checksum or a length is wrong"
    assert header.protocol == 6


def test_jains_index() -> None:
    assert (jain([5, 5]), jain([5, 0])) == (1, 0.5)
