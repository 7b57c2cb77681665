"""A sweep file: what it says becomes cells, and every problem is told with its line."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import jsonschema
import pytest
import typer
import yaml

from commands.machines import Machines
from commands.place import Place
from commands.run import Output, Settled, command
from commands.sweep_file import PlannedSweep, SweepProblems, load
from commands.usage import UsageError
from nodes.option import declared
from workloads.sweep.cell import run_options
from workloads.sweep.schema import json_schema

PUBLISHED = Path(__file__).resolve().parents[2] / "docs" / "sweep.schema.json"
FILE = """\
seed: 7
base:
  repeat: 2
  fault: ["rate:h1-eth0,at=1s,value=1Gbit", "rate:h2-eth0,at=1s,value=1Gbit"]
  trace: true
  link: 1Gbit
grid:
  topology: [pair, star:hosts=3]
  path: devmem
  size: [64K, 1048576]
  impair: [null, loss=0.01]
  pcap: [true, false]
"""


def planned(text: str, tmp_path: Path) -> PlannedSweep:
    (tmp_path / "my sweep.yaml").write_text(text)
    return load(tmp_path / "my sweep.yaml")


def problems(text: str, tmp_path: Path) -> list[tuple[int, str]]:
    """Line and sentence of each."""
    with pytest.raises(SweepProblems) as found:
        planned(text, tmp_path)
    return [dataclasses.astuple(each) for each in found.value.problems]


def test_what_a_file_says_becomes_cells(tmp_path: Path) -> None:
    sweep = planned(FILE, tmp_path)
    assert sweep.name == "my-sweep"
    assert len(sweep.cells) == len({cell.id for cell in sweep.cells}) == 2 * 1 * 2 * 2 * 2
    for cell, run in zip(sweep.cells, sweep.runs, strict=True):
        options = {each.flag: each.texts for each in cell.varied}
        config = run.config
        assert (config.repeat, config.trace, config.link, len(config.fault)) == (2, True, "1Gbit", 2)
        assert (config.hosts, len(run.network.hosts)) == (2, 2) if config.topology == "pair" else (3, 3)
        assert (config.topology,) == options["--topology"]
        assert config.sizes_bytes == ({"64K": 65536, "1048576": 1 << 20}[options["--size"][0]],)
        assert (config.impair is None) == (options["--impair"] == ())
        assert config.pcap == (options["--pcap"] == ("true",))


def test_the_order_is_the_seeds(tmp_path: Path) -> None:
    first, again = planned(FILE, tmp_path), planned(FILE, tmp_path)
    other = planned(FILE.replace("seed: 7", "seed: 8"), tmp_path)
    assert first.cells == again.cells != other.cells
    assert set(first.cells) == set(other.cells)


def test_a_name_of_the_files_own_is_kept(tmp_path: Path) -> None:
    assert planned("name: mine\ngrid: {seed: [1, 2]}\n", tmp_path).name == "mine"
    (problem,) = problems("name: a/b\ngrid: {seed: [1, 2]}\n", tmp_path)
    assert problem == (1, "name 'a/b' is not up to 64 letters, digits, dots, _ and -; choose another")


WRONG = """\
base:
  repeats: 2
  size: [1K, 2K]
  hosts: many
  seed: -1
grid:
  path: [devmem, devmem]
  seed: [1, 2]
  custom: [pair]
  topology:
    - star
  iters:
    - 1
    - x
  dtype: []
  no-check: [true, perhaps]
  run-id: a
"""


def test_every_problem_is_told_at_once_with_its_line(tmp_path: Path) -> None:
    found = problems(WRONG, tmp_path)
    types = [each for each in found if each[0] in (4, 5, 14)]  # typer's own words
    for (line, sentence), flag, value in zip(
        types, ("--hosts", "--seed", "--iters"), ("'many'", "-1", "'x'"), strict=True
    ):
        assert flag in sentence, line
        assert value in sentence, line
    assert [each for each in found if each not in types] == [
        (2, "a run has no option 'repeats'; perhaps 'repeat' is meant"),
        (3, "--size takes one value; move the list to grid"),
        (7, "path has 'devmem' twice; leave one out"),
        (8, "--seed is given in line 5 already; leave one out"),
        (11, "--topology is given in line 9 already; leave one out"),
        (15, "dtype has no values; give it some, or leave it out"),
        (16, "--no-check is 'perhaps'; write true or false"),
        (17, "a run has no option 'run-id'; `run.py --help` lists them"),
    ]


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        ("base: {seed: 1}\n", 1, "the file has no grid; add it"),
        ("grid: 3\n", 1, "grid is no mapping; write lines of NAME: VALUE"),
        ("grid:\n  size: {a: 1}\n", 2, "grid.size is no list; write [a, b], or a line with - for each"),
        ("grid:\n  size: [[1K]]\n", 2, "grid.size[0] is no single value; write one behind the colon"),
        ("grid: {seed: [1]}\nlist: 1\n", 2, "the file has no 'list'; choose from grid, base, name, seed"),
        ("grid: {seed: [1]}\nseed: x\n", 2, "seed is 'x'; write a whole number"),
        ("grid: [\n", 2, "this is no YAML: expected the node content, but found '<stream end>'"),
    ],
)
def test_a_form_that_is_wrong_is_a_sentence(text: str, line: int, sentence: str, tmp_path: Path) -> None:
    assert problems(text, tmp_path) == [(line, sentence)]


def test_options_that_do_not_go_together_name_one_cell_and_count_the_others(tmp_path: Path) -> None:
    text = (
        "base:\n  niov-size: 64K\ngrid:\n  kernel: ['6.12', '7.3']\n  seed: [1, 2]\n  workload:\n  - stream\n"
    )
    (problem,) = problems(text, tmp_path)
    assert problem == (
        2,
        "kernel=6.12 seed=1 workload=stream: --niov-size 65536: kernel 6.12 with nic generic has net_iovs of "
        "4096 bytes only; leave it out (and 1 more cells)",
    )


def test_a_check_of_the_callers_is_asked_of_every_cell(tmp_path: Path) -> None:
    def check(run: Settled) -> None:
        if run.config.seed > 1:
            raise UsageError("there is no room")

    (tmp_path / "s.yaml").write_text("grid:\n  seed: [1, 2, 3]\n")
    with pytest.raises(SweepProblems, match=r"s\.yaml:2: seed=2: there is no room \(and 1 more cells\)"):
        load(tmp_path / "s.yaml", check)


def test_a_grid_that_is_too_large_is_refused_before_it_is_made(tmp_path: Path) -> None:
    axes = [
        f"  {name}: [{', '.join(map(str, range(1, 200)))}]" for name in ("seed", "iters", "repeat", "warmup")
    ]
    (problem,) = problems("grid:\n" + "\n".join(axes), tmp_path)
    assert problem == (2, "the grid has 1568239201 cells; choose shorter lists, of 10000 cells at most")


def test_the_published_schema_is_that_of_the_options() -> None:
    assert json.loads(PUBLISHED.read_text()) == json_schema(), (
        "make it again: python -m workloads.sweep.schema > docs/sweep.schema.json"
    )
    jsonschema.Draft202012Validator.check_schema(json_schema())
    jsonschema.validate(yaml.safe_load(FILE), json_schema())
    for wrong in ("grid: {sizes: 1}", "{}", "grid: {size: {}}", "grid: {size: []}", "grid: {}\nseed: x"):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(yaml.safe_load(wrong), json_schema())


def test_a_cell_may_have_every_option_of_a_run_but_its_places() -> None:
    app = typer.Typer(add_completion=False)
    app.command()(command)
    flags = {flag for each in typer.main.get_command(app).params for flag in each.opts}
    place = {flag for record in (Machines, Place, Output) for each in declared(record) for flag in each.flags}
    assert {f"--{name}" for name in run_options()} == flags - place - {"--help"}
