"""README.md word for word: its commands, and its application, started as a reader would start them.

`make` targets take long: tests/docs/test_commands.py finds them in the Makefile.
"""

from __future__ import annotations

import errno
import re
from collections import Counter
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from commands.running import find_host
from nodes.client.host import Host
from tests.docs import pages
from tests.docs.pages import block, command
from tests.system.reader import finish, project, running, standing, typed, wait_for

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

APPLICATION = block("README.md", "import os")
RUN_APPLICATION = command("README.md", "python3 run.py exec h2 -- .venv/bin/python application.py")
UP = command("README.md", "python3 run.py up")
HELP = command("README.md", "python3 run.py --help")
ENDPOINT_HELP = command("README.md", ".venv/bin/python -m nodes.endpoint --help")
LIST = command("README.md", "python3 run.py list")
DOCTOR = command("README.md", "python3 run.py doctor")
CLEAN = command("README.md", "python3 run.py clean")
MORE_HELP = (
    *(
        f"python3 run.py {each} --help"
        for each in (
            "up", "netdev", "exec", "graph", "doctor", "sweep", "trace", "watch", "report", "compare",
            "project", "reproduce", "crosscheck",
        )
    ),
    ".venv/bin/python -m tests.bench.packet_path --help",
    ".venv/bin/python -m tests.bench.opcodes --help",
    ".venv/bin/ray start --help",  # of a cluster for sweeps
    ".venv/bin/ray get-auth-token --help",
)
CONNECTIONS = 64
# The application goes on: it serves ordinary connections, then one to the port of its rule.
PROOF = """
import errno
from nodes.uapi import socket as uapi

def receive(sock, flags):
    try:
        _, control, _, _ = sock.recvmsg_into([bytearray(1 << 16)], 4096, flags)
        return "device" if control else "ordinary"
    except OSError as refused:
        return errno.errorcode[refused.errno]

def listen(port):
    listener = host.socket()
    listener.bind((host.address, port))
    listener.listen(64)
    return listener

ordinary, device = listen(6000), listen(7000)
print("listening", flush=True)
for listener, count, flags in ((ordinary, 64, 0), (device, 1, uapi.MSG_SOCK_DEVMEM)):
    for _ in range(count):
        accepted, _ = listener.accept()
        print(receive(accepted, flags), flush=True)
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """This project's directory, with the application saved there."""
    (tmp_path / "application.py").write_text(APPLICATION)
    return project(tmp_path)


def test_the_application_runs_as_it_is(place: Path) -> None:
    with standing(UP, place):
        assert typed(RUN_APPLICATION, place) == ""


@pytest.mark.parametrize("without_rss_set", [False, True])
def test_ordinary_connections_keep_off_the_applications_queue(place: Path, without_rss_set: bool) -> None:
    """The port of the rule gets device memory. Without rss_set a part of the other connections gets it, too,
    and fails: the second run shows that the first one would notice."""
    program = APPLICATION
    if without_rss_set:
        program = "".join(line for line in program.splitlines(True) if "rss_set" not in line)
        assert program != APPLICATION
    (place / "application.py").write_text(program + PROOF)
    with standing(UP, place), running(RUN_APPLICATION, place) as application, ExitStack() as stack:
        wait_for(application, "listening")
        h1, h2 = (stack.enter_context(closing(Host(find_host(name, None).channel))) for name in ("h1", "h2"))
        for port in (*[6000] * CONNECTIONS, 7000):
            client = stack.enter_context(closing(h1.socket()))
            client.settimeout(20)
            client.connect((h2.address, port))
            client.sendall(b"payload")
        *ordinary, device = finish(application).split()
    assert device == "device"
    refused = Counter(ordinary)[errno.errorcode[errno.EFAULT]]
    assert len(ordinary) == CONNECTIONS
    assert (refused > 0) == without_rss_set, ordinary


def test_what_can_be_chosen_and_what_a_machine_lacks_is_said(place: Path) -> None:
    listed = typed(LIST, place)
    assert all(f"--{word}\n" in listed for word in ("topology", "workload", "path"))
    assert "mininet" in typed(DOCTOR, place).lower()
    assert typed(CLEAN, place) == "nothing to clean\n"


def test_every_option_that_a_page_names_exists(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    helps = " ".join(typed(each, place) for each in (HELP, ENDPOINT_HELP, *MORE_HELP))
    known = set(re.findall(r"--[a-z][a-z0-9-]*", helps))
    for page in pages.PAGES:
        shown = [*pages.inline_code(page), *(each.text for each in pages.blocks(page))]
        named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", " ".join(shown)))
        assert named - known == set(), page


