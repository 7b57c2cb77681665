"""A host's client and its control plane in one process: all of it real but the channel between them."""

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


class LocalCalls(Calls):
    """Answers netlink requests at once, as the endpoint does."""

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


def local_host(device: NetDevice) -> Host:
    """What nodes.client.ethtool_command needs of a host."""
    calls = LocalCalls(Devices(device))
    ethtool, netdev = EthtoolClient(calls, device.ifindex), NetdevClient(calls)
    parts = SimpleNamespace(ifname=device.name, ethtool=ethtool, netdev=netdev)
    return cast(Host, parts)
