"""What binding costs, in calls and bytes. `make bench` has the times."""

from __future__ import annotations

import sys
from types import FrameType

from tests.bench.netmem import BOUND_BYTES, NIOV_BYTES, bind_ms, niov_bytes


def test_a_bind_makes_no_python_call_for_each_net_iov() -> None:
    calls = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        bind_ms()
    finally:
        sys.setprofile(None)
    assert 0 < calls < BOUND_BYTES // NIOV_BYTES // 10


def test_a_net_iov_takes_less_than_200_bytes() -> None:
    assert niov_bytes() < 200
