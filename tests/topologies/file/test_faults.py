"""A schedule of faults: the same as on the command line, and every problem has its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from topologies.fault import Fault, Scope, check, parse
from topologies.file.faults import load
from topologies.shapes.registry import build
from topologies.topology_error import TopologyError

SCOPE = Scope(build("star", 2), ranks=2)
TWO = """faults:
  - {kind: link-down, target: h1-eth0, at: 2s, for: 500ms}
  - kind: flap
    target: h2-eth0
    at: 1s..2s
    for: 100ms
    value: 3
"""


def loaded(tmp_path: Path, text: str) -> tuple[Fault, ...]:
    path = tmp_path / "faults.yaml"
    path.write_text(text)
    return load(path, SCOPE)


def test_a_schedule_says_what_the_command_line_says(tmp_path: Path) -> None:
    texts = "link-down:h1-eth0,at=2s,for=500ms", "flap:h2-eth0,at=1s..2s,for=100ms,value=3"
    assert loaded(tmp_path, TWO) == tuple(check(parse(text), SCOPE) for text in texts)
    assert loaded(tmp_path, "faults: []\n") == ()


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("h1-eth0", "h3-eth0", ":2: there is no link 'h3-eth0'; choose from h1-eth0, h2-eth0, s1-eth1, s1-"),
        ("kind: flap", "kind: flip", ":3: there is no fault 'flip'; choose from link-down,"),
        ("at: 1s..2s", "at: 2", ":5: time '2' is not understood"),
        ("for: 100ms", "for: 0", ":6: for 0 is no time"),
        ("value: 3", "value: 0.5", ":7: value '0.5' is no number from 1 to 1000"),
        ("value: 3", "until: 3", ":3: flap has no value"),
        ("    at: 1s..2s\n", "", ":3: faults[1] has no at; add it"),
        ("for: 500ms", "when: 5s", ":2: faults[0] has no 'when'; choose from kind, target, at, for, until,"),
        ("faults:", "links:", ":1: the file has no 'links'; choose from faults"),
        ("h1-eth0,", "[h1-eth0],", ":2: faults[0].target is no single value"),
        ("    value: 3", "  value", ":8: this is no YAML: could not find expected ':'"),
    ],
)  # fmt: skip
def test_a_problem_has_its_line(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    with pytest.raises(TopologyError) as refused:
        loaded(tmp_path, TWO.replace(old, new, 1))
    assert str(refused.value).startswith(f"{tmp_path}/faults.yaml{sentence}")


def test_of_several_problems_the_first_is_told_and_their_number(tmp_path: Path) -> None:
    with pytest.raises(TopologyError, match=r":2: time '1' is not understood.* \(and 1 more\)$"):
        loaded(tmp_path, TWO.replace("2s, for", "1, for").replace("value: 3", "value: x"))
