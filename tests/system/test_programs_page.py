"""docs/programs.md word for word: its programs and its commands, started as a reader would start them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, block
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
    up, serve, fetch = block("docs/programs.md", "python3 run.py up").splitlines()
    with standing(up, place), running(serve, place) as server:
        wait_for(server, "Serving HTTP on 10.0.1.2")
        assert typed(fetch, place) == f"{(place / 'README.md').stat().st_size}\n"
        talk = """python3 run.py exec h1 -- sh -c '.venv/bin/python talk.py $DEVMEM_CHANNEL'"""
        assert typed(talk, place) == "HTTP/1.0 200\n"
