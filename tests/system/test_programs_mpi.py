"""Open MPI of Debian on the stacks of two hosts: a rank on each, TCP alone between them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.system.program import PROGRAMS, Program, wait_until_gone

pytestmark = [pytest.mark.system, pytest.mark.timeout(300), pytest.mark.usefixtures("up")]

NETWORK = "10.0.0.0/16"  # of the hosts' addresses; without it Open MPI tries those of Linux as well
NAMED = "hostname {}; exec {}"  # hosts of Mininet share the machine's name


def test_a_ping_pong_and_an_all_reduce_have_exact_values(tmp_path: Path) -> None:
    """mpirun starts its daemon at the other host by an agent, not ssh: a FIFO that this test reads."""
    if shutil.which("mpirun") is None:
        pytest.skip("Open MPI is not installed: apt install openmpi-bin")
    asked, agent = tmp_path / "asked", tmp_path / "agent"
    os.mkfifo(asked)
    agent.write_text(f'#!/bin/sh\nshift\necho "$@" > {asked}\n')
    agent.chmod(0o700)
    options = "--allow-run-as-root -np 2 --host h1:1,h2:1"
    options += f" --mca plm_rsh_agent {agent} --mca plm_rsh_no_tree_spawn 1 --mca btl tcp,self --mca pml ob1"
    options += f" --mca btl_tcp_if_include {NETWORK} --mca oob_tcp_if_include {NETWORK}"
    mpirun = NAMED.format("h1", f"mpirun {options} python3 {PROGRAMS / 'mpi.py'}")
    ranks = Program("h1", "unshare", "--uts", "sh", "-c", mpirun)
    daemon = Program("h2", "unshare", "--uts", "sh", "-c", NAMED.format("h2", asked.read_text()))
    status, out, err = ranks.result()
    assert status == 0, err
    right = "ping-pong 262144 of 262144 right, all-reduce 262144 of 262144 right"
    assert sorted(out.decode().splitlines()) == [f"rank {rank} of 2: {right}" for rank in (0, 1)]
    assert daemon.result()[0] == 0
    wait_until_gone("h1")
    wait_until_gone("h2")
