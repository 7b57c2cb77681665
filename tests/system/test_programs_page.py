"""docs/programs.md word for word: its programs and its commands, started as a reader would start them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from nodes.supervisor import describe
from nodes.supervisor.layouts import Iovec
from nodes.uapi.socket import DMABUF_CMSG, DMABUF_TOKEN
from tests.docs.pages import ROOT, block, blocks
from tests.system.reader import project, running, standing, typed, wait_for

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

FETCH = block("docs/programs.md", '"""fetch.py')
TALK = block("docs/programs.md", '"""talk.py')


def test_the_pages_programs_run_over_the_hosts_of_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", "1")  # http.server says at once that it serves, as at a terminal
    for name, program in (("fetch.py", FETCH), ("talk.py", TALK)):
        (tmp_path / name).write_text(program)
    place = project(tmp_path)
    shutil.copy(ROOT / "README.md", place)
    page = block(
        "docs/programs.md", "python3 run.py up --topology star --hosts 2\npython3 run.py exec h2 -- "
    )
    up, serve, fetch = page.splitlines()
    with standing(up, place), running(serve, place) as server:
        wait_for(server, "Serving HTTP on 10.0.1.2")
        assert typed(fetch, place) == f"{(place / 'README.md').stat().st_size}\n"
        talk = """python3 run.py exec h1 -- sh -c '.venv/bin/python talk.py $DEVMEM_CHANNEL'"""
        assert typed(talk, place) == "HTTP/1.0 200\n"


def test_any_program_serves_and_fetches_over_the_hosts_stack(tmp_path: Path) -> None:
    place = project(tmp_path)
    shutil.copy(ROOT / "README.md", place)
    page = block(
        "docs/programs.md", "python3 run.py up --topology star --hosts 2\npython3 run.py exec h2 --kernel-api"
    )
    up, serve, fetch = page.splitlines()
    with standing(up, place), running(serve, place) as server:
        wait_for(server, "Serving HTTP on 0.0.0.0")
        assert typed(fetch, place) == (place / "README.md").read_text()


def test_the_pages_strace_has_the_words_of_describe() -> None:
    (shown_there,) = (each.text for each in blocks("docs/programs.md") if each.text.startswith("recvmsg(4, "))
    lines = shown_there.replace("\n   ", "").splitlines()
    frag = DMABUF_CMSG.pack(0, 4096, 1, 1, 0)
    shown = describe.message([Iovec(0x5581, 8192)], [(1, 79, frag)], 0x2000000).replace(
        "}], msg_f", "}, ...], msg_f"
    )
    assert lines[0] == f"recvmsg(4, {shown}, {describe.flags(0x2000000)}) = 61440"
    value = describe.value(1, 80, DMABUF_TOKEN.pack(1, 1))
    assert lines[1] == f"setsockopt(4, {', '.join(describe.option(1, 80))}, {value}, 8) = 1"
