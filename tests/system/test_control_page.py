"""docs/control.md word for word; its binding from the command line is in test_running.py."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.docs.pages import block, command
from tests.system.reader import project, standing, typed

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

SS = command("docs/control.md", "python3 run.py ss")
SS_H1 = command("docs/control.md", "python3 run.py ss h1")


def test_the_pages_commands_show_a_hosts_nic_queues_and_addresses(tmp_path: Path) -> None:
    place = project(tmp_path)
    up, rings, queues, addresses, down = block("docs/control.md", "python3 run.py up").splitlines()
    add, show = block("docs/control.md", "python3 run.py route").splitlines()
    with standing(up, place) as network:
        assert "Ring parameters for h1-eth0" in typed(rings, place)
        assert {queue["type"] for queue in json.loads(typed(queues, place))} == {"rx", "tx"}
        assert "10.0.0.1/16 fd00::1/64" in typed(addresses, place)
        assert [line for line in typed(SS, place).splitlines() if line in ("h1", "h2")] == ["h1", "h2"]
        assert typed(SS_H1, place).split()[:3] == ["State", "Recv-Q", "Send-Q"]
        assert typed(add, place) == ""
        assert "10.9.0.0/16 via 10.0.1.2 dev h1-eth0" in typed(show, place).splitlines()
        assert typed(down, place).endswith(" is down\n")
        assert network.wait(10) == 128 + signal.SIGTERM
