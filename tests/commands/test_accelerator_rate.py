"""--mfu: computations of a training pattern from operations, over the rate of the simulated accelerator."""

from __future__ import annotations

import csv
import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from commands.usage import UsageError
from tests.commands.simulated_run import measured, simulated_run
from tests.docs.pages import ROOT, block
from workloads.patterns.model import MODELS

GUIDE = block("docs/simulation.md", "python3 run.py --clock simulated --payload counted --topology rail_opt")
LAYERS, TOKENS = 2, 512
ASKED = (
    "--topology", "pair", "--link", "200Gbit,5us", "--workload", "data_parallel", "--layers", str(LAYERS),
    "--tokens", str(TOKENS), "--path", "devmem", "--repeat", "1", "--iters", "1", "--warmup", "0",
    "--payload", "counted",
)  # fmt: skip
FORWARD, BACKWARD, OPTIMIZER = 2, 4, 0.2  # operations a parameter and token
H100 = 989.4e12


def computed_s(run_dir: Path, *words: str) -> float:
    (row,) = measured(simulated_run(run_dir, *ASKED, *words), rank="1")
    return float(row["compute_s"])


def asked_s(operations_per_s: float) -> float:
    work = LAYERS * MODELS["gpt2"].parameters * TOKENS * (FORWARD + BACKWARD + OPTIMIZER)
    return work / operations_per_s


@pytest.mark.parametrize("machine", ["a3-high", "a3-mega"])
def test_a_step_takes_its_operations_over_the_machines_rate(tmp_path: Path, machine: str) -> None:
    took_s = computed_s(tmp_path / "run", "--machine", machine, "--mfu", "0.4")
    assert took_s == pytest.approx(asked_s(0.4 * H100), rel=1e-3)
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    options = manifest["config"]["options"]
    assert (options["tflops"], options["mfu"]) == (989.4, 0.4)
    (predicted,) = manifest["predictions"]
    assert predicted["time_s"] > took_s


def test_a_given_rate_is_the_peak_on_any_machine(tmp_path: Path) -> None:
    took_s = computed_s(tmp_path / "run", "--mfu", "0.5", "--tflops", "100", "--element", "float32")
    assert took_s == pytest.approx(asked_s(50e12), rel=1e-3)


def test_without_a_share_computations_take_what_they_took(tmp_path: Path) -> None:
    assert computed_s(tmp_path / "run", "--machine", "a3-high") == pytest.approx(asked_s(1e12), rel=1e-3)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("--machine", "infinite"),
            "which --machine infinite does not have; add --tflops, or choose a3-high",
        ),
        (
            ("--machine", "a3-high", "--element", "float32"),
            "is known for bfloat16 and float16 alone, and not for --element float32; add --tflops",
        ),
    ],
)
def test_a_share_of_no_known_rate_is_refused(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        simulated_run(tmp_path / "run", *ASKED, *words, "--mfu", "0.4")


@pytest.mark.parametrize(
    "words", [("--topology", "pair", "--workload", "fsdp"), ("trace", "steps", "--write", "fsdp")]
)
def test_on_this_machines_clock_a_share_needs_a_rate(tmp_path: Path, words: tuple[str, ...]) -> None:
    where = () if words[0] == "trace" else ("--results", str(tmp_path))

    argv = [sys.executable, str(ROOT / "run.py"), *words, *where, "--mfu", "0.4"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert (done.returncode, [*tmp_path.iterdir()]) == (2, [])
    assert "is known of simulated machines alone; add --tflops" in " ".join(done.stderr.split())


def test_the_guides_step_on_a3_mega_has_its_nics_and_accelerators(tmp_path: Path) -> None:
    words = [word for word in shlex.split(GUIDE)[2:] if word not in ("--clock", "simulated")]
    rows = measured(simulated_run(tmp_path / "run", *words))
    assert len({row["rank"] for row in rows}) == 16
    with open(tmp_path / "run" / "link_usage.csv", newline="") as file:
        sent = {row["sender"]: int(row["sent_bytes"]) for row in csv.DictReader(file)}
    nics = [f"h{host}-eth{nic}" for host in (1, 2) for nic in range(8)]
    assert all(nic in sent for nic in nics)
    took_s = MODELS["gpt2"].parameters * 1024 * (FORWARD + BACKWARD + OPTIMIZER) / (0.4 * H100)
    assert {round(float(row["compute_s"]) / took_s, 2) for row in rows} == {1.0}
