"""What is read of files below /proc, against files as Linux 6.18 wrote them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from workloads.experiment.proc import CoreTime, Sent, core_times, process_cpu_s, run_queue_wait_s, sent_by

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
STAT = """\
cpu  300 10 90 1000 5 2 8 40 7 0
cpu0 100 10 40 600 5 2 3 30 7 0
cpu1 200 0 50 400 0 0 5 10 0 0
intr 123 4 5
ctxt 99
"""
NET_DEV = """\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:       0       0    0    0    0     0          0         0        1       2    0    0    0     0       0          0
h1-eth0: 1048576     20    0    0    0     0          0         0  2097152      33    0    1    0     0       0          0
"""  # noqa: E501  as it is
# A program may name itself so that the fields are hard to find.
PROCESS = "4711 (a) R 1 (b) S 1 4711 4711 0 -1 4194560 900 0 3 0 150 50 7 8 20 0 23 0 1234 9 9 0\n"


def test_a_core_is_busy_but_when_it_idles_waits_for_a_disk_or_is_stolen() -> None:
    assert core_times(STAT) == {
        "cpu0": pytest.approx(CoreTime(155 * TICK_S, 30 * TICK_S)),
        "cpu1": pytest.approx(CoreTime(255 * TICK_S, 10 * TICK_S)),
    }


def test_a_process_has_the_time_of_user_and_system_whatever_its_name() -> None:
    assert process_cpu_s(PROCESS) == pytest.approx(200 * TICK_S)


def test_the_wait_in_the_run_queue_is_the_second_number() -> None:
    assert run_queue_wait_s("794271526 1632493517 673\n") == pytest.approx(1.632493517)


def test_what_an_interface_has_sent_stands_behind_what_it_received() -> None:
    assert sent_by(NET_DEV) == {"lo": Sent(1, 2), "h1-eth0": Sent(2097152, 33)}


def test_this_machines_own_files_are_understood() -> None:
    assert core_times(Path("/proc/stat").read_text()).keys() >= {"cpu0"}
    assert process_cpu_s(Path("/proc/self/stat").read_text()) > 0
    assert run_queue_wait_s(Path("/proc/self/schedstat").read_text()) >= 0
    assert "lo" in sent_by(Path("/proc/self/net/dev").read_text())
