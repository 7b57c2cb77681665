"""The command reproduce: its claims file, runs that fail, what it prints and writes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import run
from analysis.claims import CHECKERS, NOT_POSSIBLE, NOT_REPRODUCED, REPRODUCED, Claim, Outcome
from commands import reproduce
from commands.claims_file import load, needs_network
from commands.reproduce import CLAIMS
from commands.usage import UsageError

ROOT = Path(run.__file__).parent
GOOD = """
claims:
  - name: dram
    claim: Headers only.
    source: letter
    published: about 0.01
    runs: [--clock simulated --topology pair --size 4K --path devmem --repeat 1 --iters 1 --place out]
    value: {column: host_dram_bytes_per_payload_byte}
    checker: at_most
    high: 2
"""


def said(words: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["run.py", "reproduce", *words])
    return run.main()


def written(place: Path, text: str) -> Path:
    (place / "claims.yaml").write_text(text)
    return place / "claims.yaml"


def test_the_cover_letters_claims_parse_with_their_commands_and_columns() -> None:
    claims = load(CLAIMS)
    subjects = ("both-ways", "goodput", "page-pool", "niov", "host-dram", "pcie-root", "training-setup")
    for subject in subjects:
        assert any(claim.name.startswith(subject) for claim in claims), subject
    for claim in claims:
        assert claim.impossible or claim.minutes > 0, claim.name


@pytest.mark.parametrize("claim", [each for each in load(CLAIMS) if each.runs], ids=lambda claim: claim.name)
def test_no_claim_holds_for_any_figure(claim: Claim) -> None:
    """Half or double of what was published is out of its bounds."""
    holds = CHECKERS[claim.checker].holds
    base = claim.published_value or 2.0
    found = [holds(base * factor, claim.low or 0.0, claim.high or 0.0) for factor in (0.5, 2.0)]
    assert not all(found)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("claims:", "claim:", "1:|2:.*has no 'claim'; choose from claims"),
        ("name: dram", "name: Dram!", r"3: name 'Dram!' is not up to 40"),
        ("high: 2", "", "claim dram: the checker at_most needs high; add it"),
        ("high: 2", "high: much", "10: .*high is 'much'; write a number"),
        ("at_most", "around", "checker is 'around'; write between or at_least or at_most"),
        ("host_dram_bytes_per", "host_dram_per", "has no column host_dram_per_payload_byte"),
        ("byte}", "byte, run: 2}", "claim dram reads run 2 of 1; correct the number"),
        ("--repeat 1", "--repeat 0", "claim dram: --clock .*repeat"),
        ("--size 4K", "--size '4K", "claim dram: .*quotation"),
        ("    high: 2", "    high: 2\n    low: 3", "low 3 is above high 2"),
        ("checker: at_most", "impossible: too far", "claim dram is impossible and has runs"),
        ("    value:", "    over:", "claim dram has no runs, or no value"),
    ],
)
def test_a_wrong_claim_is_told_with_its_line(old: str, new: str, sentence: str, tmp_path: Path) -> None:
    assert old in GOOD
    with pytest.raises(UsageError, match=sentence):
        load(written(tmp_path, GOOD.replace(old, new)))


def test_a_name_stands_for_one_claim(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"claims\.yaml:11: claim dram is here a second time"):
        load(written(tmp_path, GOOD + GOOD.removeprefix("\nclaims:\n")))


@pytest.mark.parametrize("text", ["", "claims: []"])
def test_a_file_without_claims_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no claims"):
        load(written(tmp_path, text))


def test_a_file_that_is_not_there_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said([f"--claims={tmp_path / 'none'}"], monkeypatch) == 2
    assert "none cannot be read (No such file or directory); correct the name" in capsys.readouterr().err


def test_an_unknown_name_is_told_with_those_that_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path, GOOD)
    assert said([f"--claims={file}", "--only=tram", f"--results={tmp_path}"], monkeypatch) == 2
    assert "there is no claim 'tram' in claims.yaml; choose from dram" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["claims.yaml"]


def test_the_list_names_every_claim_and_runs_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(["--list", f"--results={tmp_path}"], monkeypatch) == 0
    names = [line.partition(":")[0] for line in capsys.readouterr().out.splitlines()]
    assert names == [claim.name for claim in load(CLAIMS)]
    assert list(tmp_path.iterdir()) == []


def test_a_claim_is_run_and_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A simulated run and a module, for real; a run that fails costs its own claim."""
    other = """
  - name: pool
    claim: Slow.
    source: letter
    published: none
    runs: [-m tests.bench.netmem]
    value: {column: recycle_ns, path: net_iov}
    checker: at_most
    high: 0
  - {name: never, claim: No., source: letter, published: none, impossible: it is too far}
  - name: gone
    claim: Gone.
    source: letter
    published: none
    runs: [-m tests.no_such_module]
    value: {column: recycle_ns}
    checker: at_most
    high: 0
"""
    file = written(tmp_path, GOOD.rstrip() + other)
    assert said([f"--claims={file}", f"--results={tmp_path / 'out'}"], monkeypatch) == 1
    printed = capsys.readouterr().out.splitlines()
    (place,) = (tmp_path / "out").iterdir()
    assert [line.split()[0] for line in printed[:5]] == ["claim", "dram", "pool", "never", "gone"]
    assert printed[5:] == [
        "# 1 reproduced, 2 not reproduced, 1 not possible here",
        f"# Report: {place / 'report.md'}",
    ]
    assert printed[3].endswith("not possible here: it is too far")
    assert "not reproduced: a run failed: it ended with status 1; see gone-1.log" in printed[4]
    found = json.loads((place / "claims.json").read_text())
    assert [each["verdict"] for each in found][:2] == [REPRODUCED, NOT_REPRODUCED]
    assert found[0]["runs"] == ["runs/dram-1"]
    assert (place / "runs/dram-1/report.html").is_file()
    assert 0 < found[0]["ours"] < 2
    assert found[1]["ours"] > 0
    assert (place / "claims.png").read_bytes().startswith(b"\x89PNG")
    assert "(runs/dram-1/report.html)" in (place / "report.md").read_text()


def test_claims_that_ask_for_the_same_share_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pool = GOOD.replace("--clock simulated --topology pair --size 4K --path devmem --repeat 1 --iters 1 "
                        "--place out", "-m tests.bench.netmem")  # fmt: skip
    pool = pool.replace("host_dram_bytes_per_payload_byte}", "recycle_ns, path: page}")
    pool = pool.replace("high: 2", "high: 999999")
    second = pool.removeprefix("\nclaims:\n").replace("name: dram", "name: again")
    file = written(tmp_path, pool + second)
    assert said([f"--claims={file}", f"--results={tmp_path / 'out'}"], monkeypatch) == 0
    (place,) = (tmp_path / "out").iterdir()
    found = [each["runs"] for each in json.loads((place / "claims.json").read_text())]
    assert found == [["runs/dram-1"], ["runs/dram-1"]]
    assert "2 reproduced" in capsys.readouterr().out


def test_without_privileges_a_network_is_not_possible_and_a_simulation_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (simulated,) = load(written(tmp_path, GOOD))
    (networked,) = load(written(tmp_path, GOOD.replace("--clock simulated ", "")))
    assert (needs_network(simulated), needs_network(networked)) == (False, True)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr(reproduce, "obstacle", lambda: "it is refused")
    assert reproduce._unprivileged(simulated) == ""
    assert reproduce._unprivileged(networked).endswith("needs a user namespace, but it is refused")
    monkeypatch.setattr(reproduce, "obstacle", lambda: "")
    assert reproduce._unprivileged(networked) == ""


def test_on_a_terminal_the_table_is_drawn(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "120")
    (claim,) = (each for each in load(CLAIMS) if each.name == "niov-gain")
    reproduce._print_table([Outcome(claim=claim, verdict=NOT_POSSIBLE, reason="[why]")])
    printed = capsys.readouterr().out
    assert "┃" in printed
    assert "[why]" in printed


def test_an_interrupt_ends_the_run_and_keeps_what_is_known(tmp_path: Path) -> None:
    slow = GOOD.replace("--size 4K", "--size 1G").replace("name: dram", "name: slow")
    first = "  - {name: never, claim: No., source: letter, published: none, impossible: it is too far}"
    file = written(tmp_path, slow.replace("claims:", f"claims:\n{first}"))
    words = ["reproduce", f"--claims={file}", f"--results={tmp_path / 'out'}"]
    command = subprocess.Popen([sys.executable, ROOT / "run.py", *words], stderr=subprocess.PIPE, text=True)
    assert command.stderr is not None
    while not list((tmp_path / "out").glob("*/runs/slow-1/manifest.json")):
        assert command.poll() is None, command.stderr.read()
        time.sleep(0.05)
    command.send_signal(signal.SIGINT)
    assert command.wait(60) == 130
    assert "stopped by SIGINT" in command.stderr.read()
    command.stderr.close()
    (place,) = (tmp_path / "out").iterdir()
    assert [each["claim"]["name"] for each in json.loads((place / "claims.json").read_text())] == ["never"]
    manifest = json.loads((place / "runs/slow-1/manifest.json").read_text())
    assert manifest["status"] == "interrupted", "the run ended in order"


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_the_cover_letters_claims_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them, for real: as root, on an idle machine."""
    said([f"--results={tmp_path}"], monkeypatch)
    (place,) = tmp_path.iterdir()
    found = json.loads((place / "claims.json").read_text())
    assert [each["claim"]["name"] for each in found if each["verdict"] == NOT_REPRODUCED] == []
