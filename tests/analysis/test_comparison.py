"""What is called faster or slower of two runs, what may be compared at all, and how it is told."""

import random
from pathlib import Path

import pytest

from analysis.comparison import ALIKE, FASTER, SLOWER, TOO_FEW, Compared, compare, outcome
from analysis.comparison_text import Side, Told, markdown, text
from analysis.likeness import differences
from analysis.load import Run, load
from analysis.results_error import ResultsError
from tests.analysis.synthetic import MIB, Cell, Made

MADE = Made(sizes=(MIB, 4 * MIB), paths=("devmem", "bounce"), repetitions=5, jitter=0.0)
LINK = {
    "sender": "h1-eth0", "receiver": "s1-eth1", "asked_bps": 10**8, "achieved_bps": 9.9e7,
    "asked_delay_s": 0.001, "achieved_delay_s": 0.001, "asked_jitter_s": 0.0, "asked_loss": 0.0,
    "achieved_loss": None,
}  # fmt: skip


def noisy(made: Made, seed: int, slower: float = 1.0) -> list[dict[str, Cell]]:
    """Every repetition up to 2 % off, all alike in it; path devmem `slower` times as slow."""
    chance, factors, rows = random.Random(seed), dict[object, float](), made.rows()
    for row in rows:
        factor = factors.setdefault((row["path"], row["size_bytes"], row["repetition"]), chance.random())
        seconds = float(str(row["time_s"])) * (1 + 0.02 * factor)
        row["time_s"] = seconds * (slower if row["path"] == "devmem" else 1)
    return rows


def run(directory: Path, made: Made = MADE, seed: int = 1, slower: float = 1.0) -> Run:
    return load(made.write(directory, noisy(made, seed, slower)))


def told(a: Run, b: Run, found: Compared, threshold: float | None = None) -> Told:
    unlike = differences(a.manifest, b.manifest)
    return Told(Side("a", "commit 1"), Side("b", "commit 2"), found.rows, found.alone, unlike, threshold)


def test_a_loss_of_speed_is_found_where_it_is_and_nowhere_else(tmp_path: Path) -> None:
    found = compare(run(tmp_path / "a"), run(tmp_path / "b", seed=2, slower=1.25))
    assert {(row.path, row.outcome) for row in found.rows} == {("devmem", SLOWER), ("bounce", ALIKE)}
    for row in found.rows:
        if row.path == "devmem":
            assert row.speed_ratio == pytest.approx(0.8, rel=0.03)
            assert (row.delta, row.effect) == (-1.0, "large")
            assert row.p == pytest.approx(2 / 252)
            assert row.b == pytest.approx(row.a * row.speed_ratio)
            assert row.is_regression(0.1)
            assert not row.is_regression(0.25)
        else:
            assert not row.is_regression(0.0)


def test_what_is_slower_one_way_is_faster_the_other_way(tmp_path: Path) -> None:
    a, b = run(tmp_path / "a"), run(tmp_path / "b", seed=2, slower=1.25)
    back = compare(b, a).rows[0]
    assert (back.path, back.outcome, back.delta) == ("devmem", FASTER, 1.0)
    assert back.speed_ratio == pytest.approx(1 / compare(a, b).rows[0].speed_ratio)


def test_two_runs_of_the_same_are_alike(tmp_path: Path) -> None:
    a = run(tmp_path / "a")
    later = [run(tmp_path / str(seed), seed=seed) for seed in (2, 3)]
    assert {row.outcome for b in later for row in compare(a, b).rows} == {ALIKE}


def test_repetitions_of_two_runs_are_not_pairs(tmp_path: Path) -> None:
    """A machine that slows down alike in both would give an interval of no width."""
    drifting = Made(sizes=(MIB,), paths=("devmem",), repetitions=5, jitter=0.1)
    a, b = (load(drifting.write(tmp_path / name)) for name in "ab")
    (row,) = compare(a, b).rows
    assert row.speed_ratio == 1.0
    assert row.speed_ratio_ci_low is not None
    assert row.speed_ratio_ci_low < 0.95


def test_few_repetitions_say_nothing_however_far_apart_they_are(tmp_path: Path) -> None:
    few = Made(sizes=(MIB,), paths=("devmem",), repetitions=3)
    a, b = run(tmp_path / "a", few), run(tmp_path / "b", few, slower=9.0)
    found = compare(a, b)
    assert found.rows[0].outcome == TOO_FEW
    assert found.rows[0].p_least == pytest.approx(0.1)
    assert "too-few: with 3 and 3 repetitions p cannot fall below 0.100" in text(told(a, b, found))


def test_what_one_run_has_alone_is_said(tmp_path: Path) -> None:
    other = Made(sizes=(MIB,), paths=("devmem", "bounce", "kernel"), repetitions=5)
    found = compare(run(tmp_path / "a"), run(tmp_path / "b", other))
    assert {(row.size_bytes, row.path) for row in found.rows} == {(MIB, "devmem"), (MIB, "bounce")}
    assert found.alone == (
        f"{4 * MIB} B on devmem is of the first alone",
        f"{4 * MIB} B on bounce is of the first alone",
        f"{MIB} B on kernel is of the second alone",
    )


def test_a_stream_that_one_run_has_alone_is_named_by_its_path(tmp_path: Path) -> None:
    one = Made(workload="stream", sizes=(10**9,), paths=("devmem", "bounce"))
    two = Made(workload="stream", sizes=(10**9,), paths=("devmem",))
    found = compare(run(tmp_path / "a", one), run(tmp_path / "b", two))
    assert found.alone == ("bounce is of the first alone",)


def test_runs_without_a_row_in_common_are_refused(tmp_path: Path) -> None:
    stream = Made(workload="stream", sizes=(MIB,), repetitions=5)
    with pytest.raises(ResultsError, match="have no path and size in common"):
        compare(run(tmp_path / "a"), run(tmp_path / "b", stream))
    with pytest.raises(ResultsError, match="have no path and size in common"):
        compare(run(tmp_path / "c"), run(tmp_path / "d", Made(sizes=(8 * MIB,), repetitions=5)))


def test_a_stream_is_compared_by_its_goodput(tmp_path: Path) -> None:
    stream = Made(workload="stream", sizes=(MIB,), paths=("devmem",), repetitions=5, jitter=0.0)
    (row,) = compare(run(tmp_path / "a", stream), run(tmp_path / "b", stream)).rows
    assert row.unit == "Gbit/s"
    assert row.a == pytest.approx(10.0, rel=0.03)


def test_what_has_no_bandwidth_is_compared_by_its_time(tmp_path: Path) -> None:
    made = Made(sizes=(0,), paths=("devmem",), repetitions=5)
    of_bytes = noisy(Made(sizes=(MIB,), paths=("devmem",), repetitions=5, jitter=0.0), 1)
    rows = [row | {"size_bytes": 0, "count_elements": 0} for row in of_bytes]
    a, b = (load(made.write(tmp_path / name, rows)) for name in "ab")
    (row,) = compare(a, b).rows
    assert (row.unit, row.speed_ratio) == ("us", 1.0)
    assert row.a == pytest.approx(838.9, rel=0.03)


@pytest.mark.parametrize(
    ("name", "before", "after", "forbids"),
    [
        ("cpu_model", "A CPU", "Another", True),
        ("cpu_count", 2, 4, True),
        ("kernel", "6.18.0", "6.19.0", True),
        ("python", "3.11.2", "3.12.0", True),
        ("memory_bytes", 8 << 30, 16 << 30, True),
        ("memory_bytes", 8 << 30, (8 << 30) - 4096, None),
        ("hostname", "a", "b", None),
        ("rootless", False, True, True),
        ("rootless", None, True, False),
    ],
)
def test_an_unlike_machine_forbids(
    tmp_path: Path, name: str, before: object, after: object, forbids: bool | None
) -> None:
    runs = [
        run(tmp_path / which, Made(sizes=(MIB,), manifest={"environment": {name: value}}))
        for which, value in (("a", before), ("b", after))
    ]
    found = differences(runs[0].manifest, runs[1].manifest)
    assert [(each.what, each.forbids) for each in found] == ([] if forbids is None else [(name, forbids)])


def test_simulated_seconds_are_no_machines_and_are_said_to_be_none(tmp_path: Path) -> None:
    simulated: dict[str, object] = {"clock": "simulated"}
    a, b, real = (
        run(tmp_path / which, Made(sizes=(MIB,), config=config, manifest={"environment": {"cpu_count": n}}))
        for which, n, config in (("a", 2, simulated), ("b", 64, simulated), ("real", 64, {}))
    )
    assert [each.forbids for each in differences(a.manifest, b.manifest)] == [False]
    assert {each.what for each in differences(a.manifest, real.manifest) if each.forbids} >= {"cpu_count"}
    said = text(told(a, b, compare(a, b)))
    assert "# A and B are in simulated seconds: " in said
    assert "this machine's work" not in said


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ({"mtu": 1500}, {"mtu": 9000}, "mtu (1500 and 9000)"),
        ({"options": {"iterations": 2}}, {"options": {"iterations": 4}}, "iterations (2 and 4)"),
        ({"impair": None}, {"impair": "loss=0.01"}, "impair (none and loss=0.01)"),
        ({"fault": []}, {"fault": ["rate:h1-eth0,at=1s"]}, "fault (none and rate:h1-eth0,at=1s)"),
        ({"seed": 1}, {"seed": 2}, ""),
        ({}, {"new_option": 3}, ""),
    ],
)
def test_another_question_forbids(
    tmp_path: Path, before: dict[str, object], after: dict[str, object], found: str
) -> None:
    a, b = (run(tmp_path / name, Made(sizes=(MIB,), config=config)).manifest
            for name, config in (("a", before), ("b", after)))  # fmt: skip
    unlike = differences(a, b)
    assert "; ".join(str(each) for each in unlike if each.forbids) == found
    assert len(unlike) == 1


def test_links_asked_for_otherwise_forbid_and_those_that_drifted_are_said(tmp_path: Path) -> None:
    made = [Made(sizes=(MIB,), manifest={"links": [LINK | change]})
            for change in ({}, {"asked_bps": 10**9}, {"achieved_bps": 8e7})]  # fmt: skip
    as_asked, other, slow = (run(tmp_path / str(number), each).manifest for number, each in enumerate(made))
    (found,) = differences(as_asked, other)
    assert (found.what, found.forbids) == ("link h1-eth0 to s1-eth1", True)
    (found,) = differences(as_asked, slow)
    assert (str(found), found.forbids) == (
        "link h1-eth0 to s1-eth1 (9.9e+07 bit/s and 8e+07 bit/s)", False,
    )  # fmt: skip


def test_a_run_that_failed_is_not_compared_like_a_whole_one(tmp_path: Path) -> None:
    a = run(tmp_path / "a").manifest
    b = run(tmp_path / "b", Made(sizes=MADE.sizes, paths=MADE.paths, repetitions=5,
            manifest={"status": "interrupted"})).manifest  # fmt: skip
    assert [str(each) for each in differences(a, b) if each.forbids] == ["status (complete and interrupted)"]


def test_the_text_has_a_word_a_cell_and_its_verdict_last(tmp_path: Path) -> None:
    a, b = run(tmp_path / "a"), run(tmp_path / "b", seed=2, slower=1.25)
    lines = text(told(a, b, compare(a, b), 0.05)).splitlines()
    rows = [line.split() for line in lines if not line.startswith("#")]
    assert rows[0] == ["size", "path", "unit", "A", "B", "B/A", "95%", "p", "effect", "outcome"]
    assert {len(row) for row in rows} == {10}
    assert len(rows) == 5
    assert lines[-1] == "# Of 4 rows, B is faster in 0 and slower in 2, 2 of them by more than 5 %."


def test_the_markdown_is_one_table_with_the_regressions_in_bold(tmp_path: Path) -> None:
    a, b = run(tmp_path / "a"), run(tmp_path / "b", seed=2, slower=1.25)
    page = markdown(told(a, b, compare(a, b), 0.05))
    assert page.startswith("**Of 4 rows, B is faster in 0 and slower in 2, 2 of them by more than 5 %.**\n\n")
    rows = [line for line in page.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in rows} == {11}
    assert [line.startswith("| **") for line in rows] == [False, False, True, False, True, False]
    assert page.endswith("</details>\n")


def test_a_copy_more_and_wrong_values_are_said(tmp_path: Path) -> None:
    rows = noisy(MADE, 2)
    for row in rows:
        if row["path"] == "devmem":
            row["host_dram_read_bytes"] = 10**7
            row["wrong_elements"] = 1
    a, b = run(tmp_path / "a"), load(MADE.write(tmp_path / "b", rows))
    said = text(told(a, b, compare(a, b)))
    assert "# B HAS WRONG VALUES, first at 1048576 B on devmem in place" in said
    assert "host DRAM bytes a payload byte (modelled) of 1048576 B on devmem in place: 0.0020 and" in said
    assert "(modelled) of 1048576 B on bounce" not in said


def test_a_kernel_that_is_set_otherwise_forbids(tmp_path: Path) -> None:
    made = [
        Made(sizes=(MIB,), manifest={"hosts": [{"nodes": ["h1"], "sysctls": {"net.ipv4.tcp_sack": value}}]})
        for value in "10"
    ]
    a, b = (run(tmp_path / str(number), each).manifest for number, each in enumerate(made))
    (found,) = differences(a, b)
    assert (str(found), found.forbids) == ("net.ipv4.tcp_sack (1 and 0)", True)


@pytest.mark.parametrize(
    ("low", "high", "p", "expected"),
    [
        (1.1, 1.2, 0.008, FASTER), (0.8, 0.9, 0.05, SLOWER), (1.1, 1.2, 0.06, ALIKE), (0.8, 0.9, 0.06, ALIKE),
        (0.9, 1.1, 0.008, ALIKE), (None, None, 0.008, TOO_FEW),
    ],
)  # fmt: skip
def test_a_difference_needs_the_test_and_the_interval(
    low: float | None, high: float | None, p: float, expected: str
) -> None:
    assert outcome(low, high, p, 0.008) == expected
    assert outcome(low, high, p, 0.1) == TOO_FEW
