"""A host's client and its control plane in one process: both are real, only the channel between them is
missing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TypeVar, cast

import msgspec

from nodes.client.calls import Calls
from nodes.client.ethtool import Ethtool as EthtoolClient
from nodes.client.host import Host
from nodes.client.netdev import Netdev as NetdevClient
from nodes.control import families, policy
from nodes.control.devices import Devices
from nodes.control.ethtool import Ethtool
from nodes.nic.net_device import NetDevice
from nodes.uapi.netlink import OPERATIONS, Mode
from nodes.uapi.syscalls import Netlink, NetlinkReply, Reply, Request

_R = TypeVar("_R", bound=Reply)


class LocalCalls:  # of a class that may be compiled none of a test's can inherit
    """What the control plane's clients need of Calls: netlink requests are answered as the endpoint does,
    without a channel."""

    def __init__(self, devices: Devices) -> None:
        self._answers = families.answers(devices, Ethtool(devices))

    def call(self, request: Request, kind: type[_R], fds: tuple[int, ...] = ()) -> _R:
        assert isinstance(request, Netlink)
        assert not fds
        mode: Mode = "dump" if request.dump else "do"
        operation = (request.family, request.operation, mode)
        encoded = bytes(msgspec.msgpack.encode(request.attributes))
        answer = self._answers[operation](policy.parse(encoded, OPERATIONS[operation]))
        reply = NetlinkReply(msgspec.Raw(msgspec.msgpack.encode(answer)))
        assert isinstance(reply, kind)
        return reply


def local_host(*devices: NetDevice) -> Host:
    """The attributes of a Host that ask its control plane; the first of `devices` is its NIC."""
    calls, first = cast(Calls, LocalCalls(Devices(*devices))), devices[0]
    ethtool, netdev = EthtoolClient(calls, first.ifindex), NetdevClient(calls)
    parts = SimpleNamespace(
        ifname=first.name,
        ifindex=first.ifindex,
        nics=tuple(SimpleNamespace(ifname=each.name, ifindex=each.ifindex) for each in devices),
        ethtool=ethtool,
        netdev=netdev,
    )
    return cast(Host, parts)
