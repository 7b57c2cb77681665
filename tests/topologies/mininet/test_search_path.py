"""A PATH without the sbin directories, as an ordinary user has it."""

from __future__ import annotations

import os

import pytest

from topologies.mininet.search_path import extend_path


@pytest.mark.parametrize(
    ("named", "then"),
    [
        ("/usr/bin:/bin", "/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"),
        ("/sbin:/mine", "/sbin:/mine:/usr/local/sbin:/usr/sbin"),
    ],
)
def test_system_directories_stand_behind_what_path_names(
    named: str, then: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", named)
    extend_path()
    assert os.environ["PATH"] == then
    extend_path()
    assert os.environ["PATH"] == then
