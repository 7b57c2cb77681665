"""The kernel of this machine and ours refuse the same requests with the same errno, in the same order."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from typing import Any, cast

import msgspec
import pytest

from nodes.control import families, policy
from nodes.control.devices import Devices
from nodes.control.ethtool import Ethtool
from nodes.control.netdev import Netdev
from nodes.uapi.netlink import OPERATIONS, BindRx, BindTx, Mode
from tests.nic.bench import Bench
from tests.system import kernel_netdev

pytestmark = pytest.mark.system

DEVICE = -1  # the kernel's lo, and our host's device
LO = 1
NONE = 0x7FFFFFFE  # an ifindex that no device has
QUEUE = {"type": 0, "id": 0}
WHOLE = {"ifindex": NONE, "fd": 0, "queues": [QUEUE]}
Attributes = dict[str, Any]


@pytest.fixture(autouse=True)
def kernel() -> None:
    try:
        answer = kernel_netdev.ask("bind-rx", "do", {})
    except kernel_netdev.NoFamily as lacking:
        pytest.skip(str(lacking))
    if answer == errno.EOPNOTSUPP:
        pytest.skip("the kernel has no bind-rx: CONFIG_NET_DEVMEM is not set")


@pytest.fixture
def netdev() -> Iterator[Netdev]:
    bench = Bench()
    yield Netdev(Devices(bench.device))
    bench.settle()


def ours(netdev: Netdev, operation: str, mode: Mode, attributes: Attributes) -> int:
    """The errno of the same request here."""
    key = ("netdev", operation, mode)
    try:
        record = policy.parse(msgspec.msgpack.encode(attributes), OPERATIONS[key])
        if isinstance(record, BindRx):
            netdev.bind_rx(record, os.open("/dev/null", os.O_RDONLY), privileged=True)
        elif isinstance(record, BindTx):
            netdev.bind_tx(record, os.open("/dev/null", os.O_RDONLY))
        else:
            families.answers(netdev.devices, Ethtool(netdev.devices))[key](record)
    except OSError as refusal:
        return refusal.errno or 0
    return 0


CASES: list[tuple[str, str, Attributes]] = [
    ("bind-tx", "do", {}),
    ("bind-tx", "do", {"ifindex": NONE}),
    ("bind-tx", "do", {"fd": 0}),
    ("bind-tx", "do", {"ifindex": 0, "fd": 0}),
    ("bind-tx", "do", {"ifindex": NONE, "fd": 0}),
    ("bind-tx", "do", {"ifindex": "xy", "fd": 0}),
    ("bind-tx", "do", {"ifindex": NONE, "fd": 0, "colour": 1}),
    ("bind-rx", "do", {}),
    ("bind-rx", "do", {"ifindex": NONE, "fd": 0}),
    ("bind-rx", "do", {"ifindex": NONE, "queues": [QUEUE]}),
    ("bind-rx", "do", {"fd": 0, "queues": [QUEUE]}),
    ("bind-rx", "do", WHOLE),
    ("bind-rx", "do", {**WHOLE, "ifindex": 0}),
    ("bind-rx", "do", {**WHOLE, "ifindex": "xy"}),
    ("bind-rx", "do", {**WHOLE, "colour": 1}),
    ("bind-rx", "do", {**WHOLE, "queues": [{"type": 2, "id": 0}]}),
    ("bind-rx", "do", {**WHOLE, "queues": [{"type": 1, "id": 0}]}),
    ("bind-rx", "do", {**WHOLE, "queues": [{}]}),
    ("bind-rx", "do", {**WHOLE, "queues": [{"type": 0, "id": 0, "colour": 1}]}),
    ("dev-get", "do", {}),
    ("dev-get", "do", {"ifindex": 0}),
    ("dev-get", "do", {"ifindex": NONE}),
    ("dev-get", "do", {"ifindex": DEVICE}),
    ("dev-get", "dump", {}),
    ("queue-get", "do", {}),
    ("queue-get", "do", {"ifindex": DEVICE, "type": 0}),
    ("queue-get", "do", {"ifindex": DEVICE, "id": 0}),
    ("queue-get", "do", {"type": 0, "id": 0}),
    ("queue-get", "do", {"ifindex": DEVICE, "type": 0, "id": 0}),
    ("queue-get", "do", {"ifindex": DEVICE, "type": 0, "id": 99}),
    ("queue-get", "do", {"ifindex": DEVICE, "type": 1, "id": 99}),
    ("queue-get", "do", {"ifindex": DEVICE, "type": 2, "id": 0}),
    ("queue-get", "do", {"ifindex": NONE, "type": 0, "id": 99}),
    ("queue-get", "dump", {"ifindex": NONE}),
    ("queue-get", "dump", {"ifindex": DEVICE}),
    ("queue-get", "dump", {"ifindex": 0}),
    ("napi-get", "do", {}),
    ("napi-get", "do", {"id": 1}),
    ("napi-get", "dump", {"ifindex": NONE}),
    ("page-pool-get", "do", {}),
    ("page-pool-get", "do", {"id": 0}),
    ("page-pool-get", "do", {"id": 0x7FFFFFFF}),
    ("page-pool-get", "dump", {}),
    ("page-pool-stats-get", "do", {}),
    ("page-pool-stats-get", "do", {"info": {}}),
    ("page-pool-stats-get", "do", {"info": {"id": 0x7FFFFFFF}}),
    ("page-pool-stats-get", "do", {"info": {"id": 0x7FFFFFFF, "ifindex": LO}}),
    ("page-pool-stats-get", "do", {"info": {"id": 0}}),
    ("qstats-get", "dump", {"ifindex": NONE}),
    ("qstats-get", "dump", {"ifindex": 0}),
]


def at(attributes: Attributes, ifindex: int) -> Attributes:
    return {n: ifindex if n == "ifindex" and v == DEVICE else v for n, v in attributes.items()}


@pytest.mark.parametrize(("operation", "mode", "attributes"), CASES)
def test_the_errno_is_the_kernels(netdev: Netdev, operation: str, mode: str, attributes: Attributes) -> None:
    theirs = kernel_netdev.ask(operation, mode, at(attributes, LO))
    if theirs == errno.EOPNOTSUPP:  # no case reaches a device: for the counters, CONFIG_PAGE_POOL_STATS
        pytest.skip(f"the kernel lacks the operation {operation}")
    mine = ours(netdev, operation, cast(Mode, mode), at(attributes, next(iter(netdev.devices))))
    assert errno.errorcode.get(mine) == errno.errorcode.get(theirs)


def test_a_device_without_queue_management_is_eopnotsupp_to_the_kernel() -> None:
    """A13, which no NIC model of ours needs; and the queues are looked at only after it."""
    for queue in ({"type": 0, "id": 0}, {"type": 1, "id": 99}, {}):
        request = {"ifindex": LO, "fd": 0, "queues": [queue]}
        assert kernel_netdev.ask("bind-rx", "do", request) == errno.EOPNOTSUPP
    assert kernel_netdev.ask("bind-tx", "do", {"ifindex": LO, "fd": 0}) == errno.EOPNOTSUPP


@pytest.mark.parametrize(("operation", "number"), [("bind-rx", errno.EPERM), ("bind-tx", errno.EINVAL)])
def test_privilege_is_asked_ahead_of_the_policy_and_only_by_bind_rx(operation: str, number: int) -> None:
    child = os.fork()
    if not child:
        os.setresuid(65534, 65534, 65534)
        os._exit(kernel_netdev.ask(operation, "do", {"colour": 1}))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == number
