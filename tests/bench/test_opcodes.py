"""A packet takes as many instructions of Python as were stored; the guard sees a change, and says it."""

from __future__ import annotations

import pytest

from tests.bench import opcodes
from tests.bench.opcodes import LIMIT, PYTHON, Counts, counted, differences, stored
from tests.docs.pages import command

COMMAND = command("docs/performance.md", ".venv/bin/python -m tests.bench.opcodes")


@pytest.fixture(scope="module")
def found() -> dict[str, Counts]:
    return counted()


def test_a_packet_takes_the_instructions_that_were_stored(found: dict[str, Counts]) -> None:
    kept = stored()
    if kept is None:
        pytest.skip(f"no count is stored for Python {PYTHON}")
    assert differences(found, kept) == []


def test_the_count_is_the_same_whatever_the_seed_of_hashes(found: dict[str, Counts]) -> None:
    assert counted("4711") == found


@pytest.mark.parametrize("factor", [1 - LIMIT - 0.01, 1 + LIMIT + 0.01])
def test_a_change_beyond_the_limit_is_said_either_way(factor: float, found: dict[str, Counts]) -> None:
    tcp = sum(found["65536"].values()) * (factor - 1) + found["65536"]["tcp"]
    (said,) = differences({**found, "65536": {**found["65536"], "tcp": tcp}}, found)
    assert "most in nodes/tcp" in said
    assert said.endswith(f"store it: {COMMAND} --store")


def test_a_change_within_the_limit_is_none(found: dict[str, Counts]) -> None:
    assert (
        differences({size: {k: n * 1.04 for k, n in parts.items()} for size, parts in found.items()}, found)
        == []
    )


def test_more_work_a_packet_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process, which may run compiled: of a function that stays Python."""
    monkeypatch.setattr(opcodes, "NODES", __file__)
    monkeypatch.setattr(opcodes, "PacketPath", Worker)
    few = sum(opcodes.count(1).values())
    many = sum(opcodes.count(2).values())
    assert many / few == pytest.approx(2, rel=0.01)


class Worker:
    """In the place of a PacketPath: `niov_bytes` times as much work."""

    def __init__(self, niov_bytes: int) -> None:
        self._times = niov_bytes

    def run(self, _: int) -> None:
        for _ in range(10_000 * self._times):
            pass

    def close(self) -> None: ...
