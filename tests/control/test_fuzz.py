"""Random requests: each is granted or refused, none breaks the device, and packets flow as before."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import msgspec

from nodes.control import families, policy
from nodes.control.ethtool import Ethtool
from nodes.control.netdev import Netdev
from nodes.nic.net_device import NetDevice
from nodes.uapi.netlink import OPERATIONS, BindRx, BindTx, Mode, needs_admin
from tests.control.test_bind import IFINDEX, fd_of, no_dmabuf
from tests.descriptors import open_descriptors
from tests.nic.bench import Bench
from tests.nic.frames import Tcp

ANYTHING = [
    0,
    1,
    -1,
    7,
    8,
    1 << 31,
    1 << 32,
    (1 << 64) - 1,
    "",
    "rx",
    "x",
    None,
    True,
    1.5,
    [],
    {},
    b"x",
    [[]],
]
LIKELY: dict[str, list[object]] = {
    "header": [{"dev-index": IFINDEX}, {"dev-name": "eth0"}, {"dev-index": IFINDEX, "dev-name": "eth0"}],
    "ifindex": [IFINDEX, IFINDEX, IFINDEX + 1],
    "queues": [
        [{"type": "rx", "id": i} for i in (5, 6)],
        [{"type": 0, "id": 7}],
        [{"id": 1}],
        [{"type": "tx"}],
    ],
    "fd": [3],
    "id": [0, 1, 8193, 8200],
    "type": ["rx", "tx", 0],
    "rx-page-size": [4096, 8192, 65536, 3000],
    "info": [{"id": 1}, {"ifindex": IFINDEX}],
    "scope": ["queue"],
    "rx": [1, 16, 64],
    "tx": [1, 64],
    "tcp-data-split": ["enabled", "enabled", "disabled", 0, 2],
    "hds-thresh": [0, 0, 100],
    "rx-count": [1, 3, 7, 8],
    "combined-count": [0, 1, 4],
    "context": [0, 1, 2],
    "indir": [[], [0, 1], [7] * 128],
    "equal": [1, 7, 8],
    "hkey": ["ab" * 40, "zz"],
    "src-ip": ["10.0.0.2", "fc00::1"],
    "src-ip-mask": ["255.0.0.0", "0.0.0.0"],
    "dst-port": [7000, 80],
    "queue": [-1, 0, 5, 7],
    "location": [0, 1, 2],
    "flow-type": ["tcp4", "tcp6"],
    "wanted": [{"rx-ntuple-filter": True}, {"tx-tcp-segmentation": False}, {"rx-ntuple-filter": False}],
}


def requests(chance: random.Random, count: int) -> Iterator[tuple[str, str, Mode, dict[str, Any]]]:
    operations = sorted(OPERATIONS)
    for _ in range(count):
        family, operation, mode = chance.choice(operations)
        names = [
            *(field.encode_name for field in msgspec.structs.fields(OPERATIONS[family, operation, mode]))
        ]
        likely = 0.98 if chance.random() < 0.8 else 0.5
        attributes = {
            name: chance.choice(LIKELY.get(name, ANYTHING) if chance.random() < likely else ANYTHING)
            for name in names
            if chance.random() < (0.95 if name == "header" else 0.7)
        }
        if chance.random() < 0.02:
            attributes["colour"] = 1
        yield family, operation, mode, attributes


def descriptor(chance: random.Random) -> int:
    """Mostly a dma-buf; else one of an odd size, a descriptor of something else, or none."""
    kind = chance.choice(["good", "good", "odd", "none", "no dma-buf"])
    if kind == "none":
        return -1
    return no_dmabuf() if kind == "no dma-buf" else fd_of(1 << 16 if kind == "good" else 4097)


def receive(bench: Bench, chance: random.Random, seq: int) -> None:
    """Receive one packet, and release some of the packets that are held."""
    bench.wire.put(
        Tcp(bytes(chance.choice([1, 4096, 9000])), seq=seq, dst_port=chance.choice([80, 7000])).frame()
    )
    bench.poll()
    while bench.held and chance.random() < 0.7:
        bench.release(bench.held[0])


def in_order(device: NetDevice) -> bool:
    """Whether tables and rules name only queues that are in use."""
    queues, contexts = len(device.rx_queues), device.rss_contexts
    rules = device.steering.rules.values()
    tables = all(max(rss.table) < queues for rss in (device.rss, *contexts.values()))
    return tables and all(rule.context in contexts if rule.context else rule.queue < queues for rule in rules)


def test_random_requests_are_granted_or_refused_and_nothing_breaks(
    bench: Bench, netdev: Netdev, soak: bool
) -> None:
    seed = random.randrange(1 << 32) if soak else 12
    print(f"seed {seed}")
    chance = random.Random(seed)
    answers = families.answers(netdev.devices, Ethtool(netdev.devices))
    before = len(open_descriptors())
    outcomes = {"granted": 0, "refused": 0, "bound": 0, "broken": 0}
    for number, request in enumerate(requests(chance, 100_000 if soak else 5_000)):
        try:
            outcomes[one(netdev, answers, request, chance)] += 1
        except OSError as refusal:
            outcomes["refused" if refusal.errno and refusal.strerror else "broken"] += 1
        assert in_order(bench.device), request
        if netdev.bindings and chance.random() < 0.1:
            netdev.unbind(chance.choice(netdev.bindings))
        if number % 5 == 0:
            receive(bench, chance, number)
    print(outcomes)
    assert outcomes["broken"] == 0, "a refusal without errno or text"
    assert min(outcomes[each] for each in ("granted", "refused", "bound")) > 0, "an outcome never happened"
    for binding in netdev.bindings:
        netdev.unbind(binding)
    for skb in [*bench.held]:
        bench.release(skb)
    assert netdev.bindings == ()
    assert len(open_descriptors()) == before


def one(
    netdev: Netdev,
    answers: dict[tuple[str, str, Mode], families.Answer],
    request: tuple[str, str, Mode, dict[str, Any]],
    chance: random.Random,
) -> str:
    family, operation, mode, attributes = request
    needs_admin(family, operation)
    key = family, operation, mode
    record = policy.parse(msgspec.msgpack.encode(attributes), OPERATIONS[key])
    if isinstance(record, BindRx):
        netdev.bind_rx(record, descriptor(chance), privileged=chance.random() < 0.9)
        return "bound"
    if isinstance(record, BindTx):
        netdev.bind_tx(record, descriptor(chance))
        return "bound"
    msgspec.msgpack.encode(answers[key](record))
    return "granted"
