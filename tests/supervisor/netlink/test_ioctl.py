"""SIOCETHTOOL on bytes: structures of include/uapi/linux/ethtool.h, worked out by hand, on a NIC's control
plane. The memory is this process's own."""

from __future__ import annotations

import ctypes
import errno
import ipaddress
import os
import socket
import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nodes.client.ethtool import Ethtool
from nodes.client.host import Host
from nodes.machine.ledger import Ledger
from nodes.nic.net_device import DeviceConfig, NetDevice
from nodes.supervisor.call import Call, GoOn, InThread
from nodes.supervisor.netlink import flow_spec
from nodes.supervisor.netlink.ethtool_ioctl import COMMANDS, EthtoolIoctl, answer
from nodes.supervisor.netlink.ioctl_memory import Memory
from tests.control.conftest import on_nic
from tests.control.local_host import local_host
from tests.nic.bench import Bench
from tests.nic.fake_wire import FakeWire
from tests.nic.frames import OUR_MAC

Ask = Callable[[bytes], tuple[int, bytes]]
ROOM = 8192
KEY_BYTES = 40


@pytest.fixture
def host(bench: Bench) -> Host:
    return local_host(bench.device)


@pytest.fixture
def nic(host: Host) -> Ethtool:
    return host.ethtool


@pytest.fixture
def ask(nic: Ethtool) -> Ask:
    """The result of an ioctl, and what its structure is then."""

    def ask(structure: bytes) -> tuple[int, bytes]:
        memory = ctypes.create_string_buffer(structure, ROOM)
        command = struct.unpack_from("=I", structure)[0]
        return answer(command, Memory(os.getpid(), ctypes.addressof(memory)), nic), memory.raw

    return ask


def words(*values: int) -> bytes:
    return struct.pack(f"={len(values)}I", *values)


def refused(ask: Ask, structure: bytes) -> int | None:
    with pytest.raises(OSError) as e:
        ask(structure)
    return e.value.errno


# --- the call


def ioctl(host: Host, ifname: bytes, request: int = 0x8946, fd: int = -1) -> tuple[bool, Call]:
    """Whether it is for us, of a descriptor that is a socket."""
    structure = ctypes.create_string_buffer(words(0x10), ROOM)
    ifreq = ctypes.create_string_buffer(struct.pack("=16sQ", ifname, ctypes.addressof(structure)))
    call = Call(1, os.getpid(), "ioctl", (fd, request, ctypes.addressof(ifreq), 0, 0, 0))
    ioctls = EthtoolIoctl(host)
    asked = ioctls.is_asked(call)
    if asked:
        asking = next(ioctls.ioctl(call))
        assert isinstance(asking, InThread)
        assert asking.function() == 0
        assert struct.unpack_from("=9I", structure.raw)[1] == 8192
    return asked, call


def test_it_is_answered_for_the_hosts_nics_on_any_socket(host: Host) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, open(os.devnull) as file:
        asked, call = ioctl(host, b"eth0", fd=sock.fileno())
        assert asked
        assert call.shown[1:] == ["SIOCETHTOOL", "eth0, command 0x10"]
        assert not ioctl(host, b"eth0", 0x8947, sock.fileno())[0]
        assert not ioctl(host, b"eth0", fd=file.fileno())[0]
        for name in (b"lo", b"eth01", b"\xff"):
            with pytest.raises(GoOn):
                ioctl(host, name, fd=sock.fileno())


def test_a_command_that_no_nic_has_is_refused_and_so_is_a_wrong_address(ask: Ask, nic: Ethtool) -> None:
    assert refused(ask, words(0x29)) == errno.EOPNOTSUPP  # ETHTOOL_GRXFH
    with pytest.raises(OSError) as e:
        answer(0x10, Memory(os.getpid(), 8), nic)
    assert e.value.errno == errno.EFAULT


# --- driver, rings, channels


def test_the_driver(ask: Ask, nic: Ethtool) -> None:
    _, said = ask(words(3))
    assert struct.unpack_from("=I32s", said)[1].rstrip(b"\0") == b"devmem-testbed"
    assert struct.unpack_from("=5I", said, 176) == (0, len(nic.stats_get()), 0, 0, 0)


def test_rings(ask: Ask, nic: Ethtool) -> None:
    now = nic.rings_get()
    assert ask(words(0x10))[1][:36] == words(0x10, 8192, 0, 0, 4096, now["rx"], 0, 0, now["tx"])
    assert ask(words(0x11, 0, 0, 0, 0, 128, 0, 0, 9))[0] == 0
    assert (nic.rings_get()["rx"], nic.rings_get()["tx"]) == (128, 9)
    assert refused(ask, words(0x11, 0, 0, 0, 0, 128, 1, 0, 9)) == errno.EINVAL
    assert refused(ask, words(0x11, 0, 0, 0, 0, 9999, 0, 0, 9)) == errno.EINVAL


def test_channels(ask: Ask, nic: Ethtool) -> None:
    assert ask(words(0x3C))[1][:36] == words(0x3C, 8, 1, 0, 0, 8, 1, 0, 0)
    assert ask(words(0x3D, 0, 0, 0, 0, 3, 1, 0, 0))[0] == 0
    assert nic.rx_queue_count() == 3
    assert refused(ask, words(0x3D, 0, 0, 0, 0, 3, 1, 0, 1)) == errno.EINVAL


@on_nic("combined")
def test_combined_channels(ask: Ask) -> None:
    assert ask(words(0x3C))[1][:36] == words(0x3C, 0, 0, 0, 8, 0, 0, 0, 8)


# --- strings, counters, features


def strings(ask: Ask, number: int, count: int) -> list[str]:
    said = ask(words(0x1B, number, 0))[1]
    assert struct.unpack_from("=3I", said)[2] == count
    fields = struct.unpack_from("32s" * count, said, 12)
    return [each.rstrip(b"\0").decode() for each in fields]


def test_sizes_and_strings_of_sets(ask: Ask, nic: Ethtool) -> None:
    stats = nic.stats_get()
    wanted = 1 << 0 | 1 << 1 | 1 << 4 | 1 << 5
    said = ask(struct.pack("=IIQ", 0x37, 0, wanted))[1]
    assert struct.unpack_from("=IIQ3I", said) == (0x37, 0, 0b110010, len(stats), 7, 3)
    assert strings(ask, 1, len(stats)) == [name[:31] for name in stats]
    assert strings(ask, 5, 3) == ["toeplitz", "xor", "crc32"]
    assert refused(ask, words(0x1B, 0, 0)) == errno.EOPNOTSUPP


def test_a_name_that_is_too_long_for_its_place_is_cut() -> None:
    device = NetDevice(DeviceConfig("eth0", 2, OUR_MAC, rx_queues=101), FakeWire(), Ledger())
    memory = ctypes.create_string_buffer(words(0x1B, 1, 0), 1 << 17)
    nic = local_host(device).ethtool
    assert answer(0x1B, Memory(os.getpid(), ctypes.addressof(memory)), nic) == 0
    names = [*nic.stats_get()]
    at = names.index("rx_queue_100_hw_gro_wire_packets")
    assert memory.raw[12 + 32 * at :][:32] == b"rx_queue_100_hw_gro_wire_packet\0"
    assert memory.raw[12 + 32 * (at + 1) :].startswith(names[at + 1].encode()[:31])
    device.close()


def test_counters(ask: Ask, nic: Ethtool) -> None:
    stats = nic.stats_get()
    said = ask(words(0x1D, 0))[1]
    assert struct.unpack_from(f"=II{len(stats)}Q", said)[1:] == (len(stats), *stats.values())


def test_features_as_blocks(ask: Ask, nic: Ethtool) -> None:
    names = strings(ask, 4, 7)
    assert names == sorted(names)
    sg, tso, fixed = (
        names.index(name) for name in ("tx-scatter-gather", "tx-tcp-segmentation", "rx-checksum")
    )
    hw = sum(1 << names.index(name) for name in nic.features_get()["hw"])
    assert ask(words(0x3A, 1))[1][:24] == words(0x3A, 1, hw, hw, 0x7F, 0)
    assert ask(words(0x3A, 0))[1][:24] == words(0x3A, 1, 0, 0, 0, 0)
    assert ask(words(0x3B, 1, 1 << sg, 0))[0] == 0
    assert not {names[sg], names[tso]} & {*nic.features_get()["active"]}
    assert ask(words(0x3B, 1, 1 << tso, 1 << tso))[0] == 2  # ETHTOOL_F_WISH: without scatter-gather
    assert ask(words(0x3B, 1, 1 << fixed | 1 << sg, 1 << sg))[0] == 1  # ETHTOOL_F_UNSUPPORTED
    assert names[sg] in nic.features_get()["active"]
    assert refused(ask, words(0x3B, 1, 1 << 7, 0)) == errno.EINVAL
    assert refused(ask, words(0x3B, 2, 0, 0)) == errno.EINVAL


def test_features_one_by_one(ask: Ask, nic: Ethtool) -> None:
    for command, value in ((0x14, 1), (0x16, 1), (0x18, 1), (0x1E, 1), (0x23, 0), (0x2B, 0)):
        assert ask(words(command))[1][:8] == words(command, value)
    ask(words(0x1F, 0))
    assert "tx-tcp-segmentation" not in nic.features_get()["active"]
    assert refused(ask, words(0x15, 0)) == errno.EOPNOTSUPP
    assert ask(words(0x25))[1][:8] == words(0x25, 1 << 27 | 1 << 28)
    ask(words(0x26, 1 << 28))
    assert "rx-ntuple-filter" not in nic.features_get()["active"]
    assert refused(ask, words(0x26, 0)) == errno.EOPNOTSUPP  # receive hashing is always on
    assert refused(ask, words(0x26, 1 << 28 | 1 << 15)) == errno.EINVAL


# --- RSS: the structure has 24 bytes, behind it table and key


def rxfh(command: int, context: int, entries: int, key: int, rest: bytes = b"", hfunc: int = 0) -> bytes:
    return struct.pack("=IIIIBBHI", command, context, entries, key, hfunc, 0, 0, 0) + rest


NO_CHANGE = NEW = 0xFFFFFFFF


def test_the_table_and_the_key(ask: Ask, nic: Ethtool) -> None:
    now = nic.rss_get()
    size, table, key = len(now["indir"]), now["indir"], bytes.fromhex(now["hkey"])
    assert ask(rxfh(0x46, 0, 0, 0))[1][:40] == rxfh(0x46, 0, size, KEY_BYTES, bytes(16), hfunc=1)
    whole = ask(rxfh(0x46, 0, size, KEY_BYTES))[1]
    assert whole[24 : 24 + 4 * size + KEY_BYTES] == words(*table) + key
    assert refused(ask, rxfh(0x46, 0, 5, 0)) == errno.EINVAL
    ask(rxfh(0x47, 0, size, KEY_BYTES, words(*[1] * size) + bytes(KEY_BYTES)))
    assert nic.rss_get()["indir"] == [1] * size
    assert nic.rss_get()["hkey"] == "00" * KEY_BYTES
    ask(rxfh(0x47, 0, NO_CHANGE, KEY_BYTES, key))
    assert (nic.rss_get()["indir"], nic.rss_get()["hkey"]) == ([1] * size, now["hkey"])
    ask(rxfh(0x47, 0, 0, 0))
    assert nic.rss_get()["indir"] == table
    for bad in (rxfh(0x47, 0, 5, 0), rxfh(0x47, 0, NO_CHANGE, 0), rxfh(0x47, 0, size, 3, words(*table))):
        assert refused(ask, bad) == errno.EINVAL
    assert refused(ask, rxfh(0x47, 0, NO_CHANGE, 0, hfunc=2)) == errno.EOPNOTSUPP


def test_contexts(ask: Ask, nic: Ethtool) -> None:
    size = len(nic.rss_get()["indir"])
    made = ask(rxfh(0x47, NEW, size, 0, words(*[2] * size)))[1]
    assert struct.unpack_from("=2I", made) == (0x47, 1)
    assert nic.rss_get({"context": 1})["indir"] == [2] * size
    assert ask(rxfh(0x46, 1, size, 0))[1][24 : 24 + 4 * size] == words(*[2] * size)
    assert refused(ask, rxfh(0x46, 2, 0, 0)) == errno.ENOENT
    ask(rxfh(0x47, 1, 0, 0))
    assert refused(ask, rxfh(0x46, 1, 0, 0)) == errno.ENOENT


def test_the_older_commands_of_the_table(ask: Ask, nic: Ethtool) -> None:
    table = nic.rss_get()["indir"]
    assert ask(words(0x38, 2))[1][:20] == words(0x38, len(table), *table[:2], 0)
    ask(words(0x39, len(table), *[3] * len(table)))
    assert nic.rss_get()["indir"] == [3] * len(table)
    ask(words(0x39, 0))
    assert nic.rss_get()["indir"] == table
    assert refused(ask, words(0x39, 3, 0, 0, 0)) == errno.EINVAL


# --- rules: cmd, flow_type, data; from byte 16 the rule, with its place at 176; at 184 a count or
# the context; at 188 places

ANY_PLACE, RSS = 0xFFFFFFFF, 0x20000000


def rxnfc(command: int, rule: bytes = bytes(168), last: int = 0) -> bytes:
    return struct.pack("=IIQ", command, 0, 0) + rule + words(last)


def spec(flow_type: int, values: bytes, masks: bytes, cookie: int, location: int = ANY_PLACE) -> bytes:
    return struct.pack("=I52s20x52s20x4xQI4x", flow_type, values, masks, cookie, location)


TCP4 = struct.pack("!4s4sHHB", bytes([10, 0, 0, 1]), bytes(4), 0, 5201, 0)
TCP4_MASK = struct.pack("!4s4sHHB", bytes([255, 255, 255, 0]), bytes(4), 0, 0xFFFF, 0)
RULE = {"flow-type": "tcp4", "src-ip": "10.0.0.1", "src-ip-mask": "255.255.255.0", "dst-port": 5201}


def test_rules_come_go_and_are_listed(ask: Ask, nic: Ethtool) -> None:
    assert struct.unpack_from("=Q", ask(rxnfc(0x2D))[1], 8) == (8,)
    count = ask(rxnfc(0x2E))[1]
    assert struct.unpack_from("=Q", count, 8) == (0x80000000 | 1024,)
    assert struct.unpack_from("=I", count, 184) == (0,)
    said = ask(rxnfc(0x32, spec(1, TCP4, TCP4_MASK, 3)))[1]
    assert struct.unpack_from("=I", said, 176) == (0,)
    ask(rxnfc(0x32, spec(1, TCP4, TCP4_MASK, (1 << 64) - 1, location=7)))
    first, second = nic.ntuple_get()
    header = {"header": {"dev-index": 2, "dev-name": "eth0"}}
    assert first | {"flow-type": "tcp4"} == RULE | header | {"queue": 3, "location": 0}
    assert second["queue"] == -1
    said = ask(rxnfc(0x30, last=2))[1]
    assert struct.unpack_from("=3I", said, 184) == (2, 0, 7)
    assert refused(ask, rxnfc(0x30, last=1)) == errno.EMSGSIZE
    got = ask(rxnfc(0x2F, spec(0, b"", b"", 0, location=7)))[1]
    assert got[16:184] == spec(1, TCP4, TCP4_MASK, (1 << 64) - 1, location=7)
    ask(rxnfc(0x31, spec(0, b"", b"", 0, location=7)))
    assert [rule["location"] for rule in nic.ntuple_get()] == [0]
    assert refused(ask, rxnfc(0x2F, spec(0, b"", b"", 0, location=7))) == errno.ENOENT


def test_a_rule_may_name_an_rss_context(ask: Ask, nic: Ethtool) -> None:
    nic.rss_create({"equal": 2})
    ask(rxnfc(0x32, spec(1 | RSS, TCP4, TCP4_MASK, 0), last=1))
    (rule,) = nic.ntuple_get()
    assert rule["context"] == 1
    said = ask(rxnfc(0x2F, spec(0, b"", b"", 0, location=0)))[1]
    assert (said[16:184], said[184:188]) == (spec(1 | RSS, TCP4, TCP4_MASK, 0, location=0), words(1))


def test_a_rule_for_ip_says_which_version() -> None:
    values = struct.pack("!4s4sIBBB", bytes([10, 0, 0, 1]), bytes(4), 0, 0, 1, 0)
    mask = struct.pack("!4s4sIBBB", b"\xff" * 4, bytes(4), 0, 0, 0, 0)
    rule = {"flow-type": "ip4", "src-ip": "10.0.0.1", "queue": 2, "location": 5}
    assert flow_spec.pack(rule) == (spec(0x0D, values, mask, 2, location=5), 0)
    assert flow_spec.unpack(spec(0x0D, values, mask, 2, location=5), 0) == rule


@pytest.mark.parametrize(
    ("rule", "error"),
    [
        (spec(2, TCP4, TCP4_MASK, 0), errno.EOPNOTSUPP),  # UDP
        (spec(1 | 1 << 31, TCP4, TCP4_MASK, 0), errno.EOPNOTSUPP),  # with a VLAN
        (spec(1, TCP4, TCP4_MASK[:12] + b"\xff", 0), errno.EOPNOTSUPP),  # with a type of service
        (spec(1, TCP4, TCP4_MASK, 1 << 32), errno.EINVAL),  # to a virtual function
        (spec(1, TCP4, TCP4_MASK, (1 << 64) - 2), errno.EINVAL),  # RX_CLS_FLOW_WAKE
        (spec(1, TCP4, TCP4_MASK, 8), errno.EINVAL),  # no such queue
        (spec(1, TCP4, TCP4_MASK, 0, location=0xFFFFFFFE), errno.EINVAL),  # RX_CLS_LOC_FIRST
    ],
)
def test_a_rule_that_the_nic_cannot_have_is_refused(ask: Ask, rule: bytes, error: int) -> None:
    assert refused(ask, rxnfc(0x32, rule)) == error


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(sorted(COMMANDS)), st.lists(st.integers(0, 0xFFFFFFFF) | st.integers(0, 9), max_size=60)
)
def test_no_structure_does_more_than_be_refused(ask: Ask, command: int, rest: list[int]) -> None:
    result = 0
    try:
        result, _ = ask(words(command, *rest))
    except OSError as e:
        result = e.errno or -1
    assert result >= 0


IPV4, IPV6 = (st.builds(str, st.builds(kind, st.integers(1, (1 << bits) - 2)))
              for kind, bits in ((ipaddress.IPv4Address, 32), (ipaddress.IPv6Address, 128)))  # fmt: skip


@st.composite
def rules(draw: st.DrawFn) -> dict[str, object]:
    kind = draw(st.sampled_from(["tcp4", "tcp6", "ip4", "ip6"]))
    address = IPV4 if kind.endswith("4") else IPV6
    fields: dict[str, st.SearchStrategy[Any]] = {"src-ip": address, "dst-ip": address}
    if kind.startswith("tcp"):
        fields |= {"src-port": st.integers(0, 0xFFFF), "dst-port": st.integers(0, 0xFFFF)}
    else:
        fields |= {"l4proto": st.integers(0, 0xFF)}
    masks: dict[str, st.SearchStrategy[Any]] = {
        "src-ip": address,
        "dst-ip": address,
        "l4proto": st.integers(1, 0xFE),
    }
    rule: dict[str, object] = {"flow-type": kind, "location": draw(st.integers(0, 1023))}
    for name in draw(st.sets(st.sampled_from([*fields]))):
        rule[name] = draw(fields[name])
        if draw(st.booleans()):
            rule[f"{name}-mask"] = draw(masks.get(name, st.integers(1, 0xFFFE)))
    context = draw(st.integers(0, 3))
    return rule | ({"context": context} if context else {"queue": draw(st.integers(-1, 7))})


@given(rules())
def test_every_rule_goes_there_and_back(rule: dict[str, object]) -> None:
    packed, context = flow_spec.pack(rule)
    assert len(packed) == 168
    assert flow_spec.unpack(packed, context) == rule
