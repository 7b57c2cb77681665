"""docs/workloads.md: every workload and option is there, formulas hold, and what it shows is understood.

The commands that need a network are run by tests/system/test_workloads_page.py.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from commands import run
from commands.run_request import RunRequest
from commands.stop import Stop
from nodes.option import declared
from tests.commands.test_command_line import Main
from tests.commands.test_command_line import main as main
from tests.docs import pages
from tests.docs.pages import command
from tests.workloads.trace.test_chakra import COMPUTE, RECEIVE, SEND, node, traces
from workloads.collective import COLLECTIVES
from workloads.executor import Plan
from workloads.experiment.records import ExperimentConfig
from workloads.pattern import PATTERNS
from workloads.patterns.training import TrainingOptions
from workloads.registry import WORKLOADS
from workloads.schedules.algorithms import ALGORITHMS
from workloads.schedules.schedule import Call
from workloads.trace import file
from workloads.trace.dry_run import dry_run
from workloads.trace.node import Collective, Node, Program, Trace
from workloads.trace.volume import exchanged
from workloads.traced import busiest_bytes
from workloads.user.rank import UserRank

PAGE = "docs/workloads.md"
LIST = command("docs/workloads.md", "python3 run.py list")
IMPORT = command("docs/workloads.md", "python3 run.py trace imported --chakra traces/llama")
CHECK = command("docs/workloads.md", "python3 run.py trace DIR")
N, S = 4, 3 << 20
BY_NAME = {each.name: each for each in (*COLLECTIVES, *PATTERNS)}


def formula(cell: str) -> str:
    return pages.named(cell)[0]


def test_every_workload_is_on_the_page() -> None:
    assert [pages.named(row[0])[0] for row in pages.table(PAGE, "Collectives")] == [
        x.name for x in COLLECTIVES
    ]
    patterns = [row for row in pages.table(PAGE, "Patterns") if len(row) == 3]
    assert [pages.named(row[0])[0] for row in patterns] == [each.name for each in PATTERNS]
    others = set(WORKLOADS) - set(BY_NAME)
    assert others == {"stream", "replay"}
    assert all(f"--workload {name}" in pages.text(PAGE) for name in others)


def test_every_option_of_a_workload_is_on_the_page() -> None:
    told = set(re.findall(r"--[a-z-]+", pages.text(PAGE)))
    for name, kind in WORKLOADS.items():
        own = {each.flag for each in declared(kind.options)}
        assert own <= told, f"{name}: {own - told}"


@pytest.mark.parametrize("row", pages.table(PAGE, "Collectives"), ids=lambda row: row[0])
def test_a_collectives_algorithms_and_bytes_are_as_the_page_says(row: list[str]) -> None:
    name = pages.named(row[0])[0]
    assert pages.named(row[2]) == list(ALGORITHMS[name])
    if name == "all_to_allv":
        return
    size = 4 if name == "barrier" else S
    schedule = next(iter(ALGORITHMS[name].values()))
    calls = [
        Call(rank=rank, nranks=N, count=size // 4, element_bytes=4, scratch=2 * S, output=4 * S)
        for rank in range(N)
    ]
    sent = max(Plan(schedule(call)).sent_bytes for call in calls)
    assert sent == eval(formula(row[1]), {"n": N, "S": size, "ceil": math.ceil, "log2": math.log2})


@pytest.mark.parametrize(
    "row", [row for row in pages.table(PAGE, "Patterns") if len(row) == 3], ids=lambda row: row[0]
)
def test_a_patterns_bytes_are_as_the_page_says(row: list[str]) -> None:
    kind = BY_NAME[pages.named(row[0])[0]]
    options: Any = kind.options()
    size = S if kind.default_sizes != "0" else 0
    config = ExperimentConfig("star", N, kind.name, (size,), ("devmem",), options)
    assert kind.traces is not None
    names = {"n": N, "S": S, "s": 1, **msgspec.structs.asdict(options)}
    if isinstance(options, TrainingOptions):
        names |= {"L": options.layers, "P": options.layer_bytes, "A": options.activation_bytes}
        names["k"] = getattr(options, "top_k", None)
    if kind.name == "moe":
        names |= _of_the_busiest(kind.traces(config, size), config)
    expected = eval(formula(row[1]), names)
    assert busiest_bytes(kind.traces(config, size)) == pytest.approx(expected, rel=1e-3)


def _of_the_busiest(traces: Sequence[Trace], config: ExperimentConfig) -> dict[str, float]:
    """Of an exchange, if all were alike: the default has two layers."""
    exchanges = [node for node in traces[0].nodes if isinstance(node, Collective) and not node.transposed]
    routed = [exchanged(node, N) for node in exchanges[: config.options_as(TrainingOptions).layers]]
    taken = {rank: sum(row[rank] for rows in routed for row in rows) for rank in range(N)}
    own = {rank: sum(rows[rank][rank] for rows in routed) for rank in range(N)}
    rank = max(range(N), key=lambda each: taken[each] - 2 * own[each])
    return {"c": taken[rank] / len(routed), "o": own[rank] / len(routed)}


def test_the_trace_that_is_shown_is_read_and_every_field_is_explained(tmp_path: Path) -> None:
    (shown,) = (each.text for each in pages.blocks(PAGE) if each.text.startswith('{"format"'))
    (tmp_path / "rank0.jsonl").write_text(shown)
    other = Program(1, 2)
    other.collective("", "all_reduce", 4 << 20, dtype="bfloat16")
    other.receive("", 0, 65536)
    other.send("", 0, 16)
    mine = file.read_one(tmp_path / "rank0.jsonl", 0)
    assert dry_run([mine, other.trace()])[0].compute_s == 0.0015
    rows = {name: row[1] for row in pages.table(PAGE, "Traces") for name in pages.named(row[0])}
    kinds = {str(kind.__struct_config__.tag): kind for kind in get_args(Node)}
    assert set(rows) == {"kind"} | {name for kind in kinds.values() for name in kind.__struct_fields__}
    for name, of in rows.items():
        having = {tag for tag, kind in kinds.items() if name in kind.__struct_fields__ or name == "kind"}
        named = set(pages.named(of))
        expected = set(kinds) if of == "all" else set(kinds) - named if of.startswith("all but") else named
        assert having == expected, name


def test_everything_of_a_users_rank_is_explained() -> None:
    section = [row for row in pages.table(PAGE, "Your own") if len(row) == 2]
    told = [name for row in section for name in pages.named(row[0])]
    signatures = {each.partition("(")[0]: each for each in told}
    public = {name for name, value in vars(UserRank).items() if callable(value) and not name.startswith("_")}
    assert public - set(signatures) == {"agree"}
    for name in public - {"agree"}:
        parameters = list(inspect.signature(getattr(UserRank, name)).parameters)[1:]
        assert signatures[name] == f"{name}({', '.join(parameters)})"
    source = inspect.getsource(UserRank.__init__)
    assert all(f"self.{name}" in source for name in set(signatures) - public)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[ExperimentConfig]:
    """What would have been measured: everything before that is as in a run."""
    found: list[ExperimentConfig] = []
    monkeypatch.setattr(run, "check_place", lambda *_, **__: None)

    def measure(request: RunRequest, _: Stop) -> int:
        found.append(request.config)
        return 0

    monkeypatch.setattr("commands.measure.measure", measure)
    return found


@pytest.mark.parametrize("name", [name for name in WORKLOADS if name != "replay"])
def test_a_workload_alone_is_a_run(name: str, main: Main, measured: list[ExperimentConfig]) -> None:
    assert main("--workload", name) == (0, "", "")
    assert measured[0].workload == name


def test_the_list_names_every_workload(main: Main) -> None:
    _, out, _ = main(*LIST.split()[2:])
    assert all(f"  {name} " in out for name in (*WORKLOADS, "FILE.py:NAME"))


def test_chakras_files_are_imported_and_checked(main: Main, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "traces").mkdir()
    traces(
        tmp_path / "traces",
        [node(1, COMPUTE, us=7), node(2, SEND, 1, comm_dst=1, comm_size=9)],
        [node(1, RECEIVE, comm_src=0, comm_size=9)],
    )
    for rank in range(2):
        (tmp_path / "traces" / f"t.{rank}.et").rename(tmp_path / "traces" / f"llama.{rank}.et")
    status, out, _ = main(*IMPORT.split()[2:])
    assert (status, out.splitlines()[-1].split()) == (0, ["all", "3", "0.000007", "9", "0", "0.000007"])
    assert main(*CHECK.replace("DIR", "imported").split()[2:])[:2] == (0, out)
