"""What binding costs: bounds that hold on a busy machine, too. `make bench` has the figures."""

from __future__ import annotations

from tests.bench.netmem import bind_ms, niov_bytes


def test_a_bind_of_256_mib_takes_less_than_100_ms() -> None:
    assert bind_ms() < 100


def test_a_net_iov_takes_less_than_200_bytes() -> None:
    assert niov_bytes() < 200
