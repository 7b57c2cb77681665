"""A bench with one NIC and its control plane, as fixtures.

In: nothing. Out: the fixtures, and `on_nic`, which marks a test whose bench has another NIC model than the
generic one. After the test bindings are unbound and their net_iovs counted.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from nodes.control.devices import Devices
from nodes.control.ethtool import Ethtool
from nodes.control.netdev import Netdev
from nodes.netmem.binding import RxBinding
from nodes.nic.nic_model import GENERIC, MODELS
from nodes.uapi.netlink import Header
from tests.nic.bench import Bench

ETH0 = Header(2, "eth0")  # of the bench's device, in requests and replies


def on_nic(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("bench", names, indirect=True)


@pytest.fixture
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    each = Bench(nic=MODELS[getattr(request, "param", GENERIC.name)])
    yield each
    each.settle()


@pytest.fixture
def netdev(bench: Bench) -> Iterator[Netdev]:
    each = Netdev(Devices(bench.device))
    yield each
    for binding in each.bindings:
        if isinstance(binding, RxBinding):
            bench.assert_conserved(binding)
        each.unbind(binding)
    for skb in [*bench.held]:
        bench.release(skb)
    assert each.bindings == ()


@pytest.fixture
def ethtool(bench: Bench) -> Ethtool:
    return Ethtool(Devices(bench.device))
