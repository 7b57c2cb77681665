"""docs/devmem.md word for word: its two programs and its commands, started as a reader would start them."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

import pytest

from commands.running import find_host
from nodes.client.host import Host
from tests.docs.pages import block, command
from tests.system.reader import finish, project, running, standing, typed, wait_for

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

SIZE = 5_000_001
RECEIVE = block("docs/devmem.md", '"""receive.py')
SEND = block("docs/devmem.md", '"""send.py')
DOWN = command("docs/devmem.md", "python3 run.py down")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """This project's directory, as far as a reader sees it, with the two programs saved there."""
    for name, program in (("receive.py", RECEIVE), ("send.py", SEND)):
        (tmp_path / name).write_text(program)
    return project(tmp_path)


def settings() -> tuple[object, ...]:
    """Rings and RSS of h2's NIC."""
    with closing(Host(find_host("h2", None).channel)) as h2:
        return h2.ethtool.rings_get(), h2.ethtool.rss_get(), h2.ethtool.channels_get()


def test_the_guides_commands_move_device_memory_and_leave_the_nic_as_it_was(place: Path) -> None:
    up, receive, send = block("docs/devmem.md", "python3 run.py up").splitlines()
    listen, netcat = block("docs/devmem.md", "python3 run.py exec h2 -- .venv").splitlines()
    with standing(up, place):
        for own_table in (False, True):
            if own_table:
                with closing(Host(find_host("h2", None).channel)) as h2:
                    h2.ethtool.rss_set({"indir": [0, 3, 1, 5]})
            before = settings()
            with running(receive, place) as receiver:
                wait_for(receiver, "listening")
                sent = typed(send, place)
                assert finish(receiver) == sent == f"{SIZE} {sum(i % 251 for i in range(SIZE))}\n"
            assert settings() == before
        with running(f"exec {receive}", place) as receiver:
            wait_for(receiver, "listening")
            assert settings() != before
            receiver.terminate()  # `exec` passes it on to all that it runs
            deadline = time.monotonic() + 60
            while settings() != before:
                assert time.monotonic() < deadline
                time.sleep(0.1)
        with running(listen, place) as receiver:
            wait_for(receiver, "Waiting for a connection", on_stderr=True)
            typed(netcat, place)
            assert finish(receiver) == "".join(f"{i}\n" for i in range(1, 10001))
        assert settings() == before
        with closing(Host(find_host("h2", None).channel)) as h2:
            assert h2.ethtool.ntuple_get() == []
            assert not any("dmabuf" in queue for queue in h2.netdev.queue_get())
        assert typed(DOWN, place).endswith(" is down\n")
