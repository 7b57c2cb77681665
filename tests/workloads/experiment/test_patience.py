"""Patience grows with the load of the machine, within bounds."""

from __future__ import annotations

import os

import pytest

from workloads.experiment.patience import patience_s


@pytest.mark.parametrize(("load", "expected"), [(0.0, 10.0), (2.0, 10.0), (6.0, 30.0), (100.0, 50.0)])
def test_patience_is_as_much_longer_as_the_machine_is_busy(
    monkeypatch: pytest.MonkeyPatch, load: float, expected: float
) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1})
    assert patience_s(10.0) == expected
