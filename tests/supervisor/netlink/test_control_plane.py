"""The netdev and ethtool families over the wire, answered by a NIC's own control plane."""

from __future__ import annotations

import errno
import os
import struct
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nodes.client.host import Host
from nodes.supervisor.netlink.attributes import Values, encode
from nodes.supervisor.netlink.control_plane import COMPACT_BITSETS, OMIT_REPLY, ControlPlane
from tests.control.local_host import local_host
from tests.nic.bench import Bench
from tests.supervisor.netlink.wire import ACK, DUMP, Said, ask, operation_of

ETH0 = {"dev-index": 2, "dev-name": "eth0"}
NAMES = [
    "rx-checksum", "rx-gro-hw", "rx-hashing", "rx-ntuple-filter", "tx-checksum-ip-generic",
    "tx-scatter-gather", "tx-tcp-segmentation",
]  # fmt: skip
NUMBERS = st.integers(1, 6)
HW, ALL = 0b1101000, 0b1111111


@pytest.fixture
def host(bench: Bench) -> Host:
    return local_host(bench.device)


def no_descriptor(number: int) -> int:
    raise OSError(errno.EBADF, f"{number}")


def ethtool(
    host: Host, name: str, values: Values | bytes, flags: int = ACK, header: Values | None = None
) -> Said:
    of = {"header": {"dev-name": "eth0"} | (header or {})}
    whole = values if isinstance(values, bytes) else of | values
    return ask(ControlPlane(host, no_descriptor), "ethtool", name, whole, flags)


def netdev(host: Host, name: str, values: Values, flags: int = ACK) -> Said:
    return ask(ControlPlane(host, no_descriptor), "netdev", name, values, flags)


# --- netdev


@pytest.mark.parametrize(
    "name", ["dev-get", "queue-get", "napi-get", "page-pool-get", "page-pool-stats-get", "qstats-get"]
)
def test_a_dump_has_the_clients_records(host: Host, name: str) -> None:
    said = netdev(host, name, {}, DUMP)
    assert said == Said(host.netdev.dump(name), 0, {})


def test_a_question_has_the_clients_record_and_a_refusal_its_attribute(host: Host) -> None:
    wanted = {"ifindex": 2, "type": "rx", "id": 3}
    assert netdev(host, "queue-get", wanted).replies == [host.netdev.do("queue-get", wanted)]
    missing = netdev(host, "queue-get", {"ifindex": 2, "type": "rx"})
    assert missing == Said([], errno.EINVAL, {"msg": "attribute 'id' is missing", "miss-type": 1})
    bad = netdev(host, "queue-get", {"ifindex": 2, "type": 7, "id": 0})
    assert (bad.error, bad.extack["offs"]) == (errno.ERANGE, 28)


def test_a_nests_missing_attribute_is_told_with_the_nest(host: Host) -> None:
    said = netdev(host, "page-pool-stats-get", {"info": {}})
    assert (said.error, said.extack["miss-type"], said.extack["miss-nest"]) == (errno.EINVAL, 1, 20)


class _Binding:
    """Of a host: keeps what it is asked to bind."""

    def __init__(self) -> None:
        self.netdev = self
        self.asked: list[object] = []

    def do(self, *asked: object) -> Values:
        self.asked.append(asked)
        return {"id": 3}


def test_a_bind_takes_a_duplicate_of_the_programs_descriptor_and_closes_it() -> None:
    host: Any = _Binding()
    taken = os.open(os.devnull, os.O_RDONLY)
    plane = ControlPlane(host, {77: taken}.__getitem__)
    said = ask(plane, "netdev", "bind-rx", {"ifindex": 2, "fd": 77})
    assert said == Said([{"id": 3}], 0, {})
    assert host.asked == [("bind-rx", {"ifindex": 2, "fd": 77}, taken)]
    with pytest.raises(OSError):
        os.fstat(taken)


def test_a_descriptor_that_is_not_open_is_refused_by_the_control_plane() -> None:
    host: Any = _Binding()
    ask(ControlPlane(host, no_descriptor), "netdev", "bind-tx", {"ifindex": 2, "fd": 77})
    ask(ControlPlane(host, no_descriptor), "netdev", "bind-tx", {"ifindex": 2})
    assert [asked[2] for asked in host.asked] == [-1, -1]


# --- ethtool


def test_rings_channels_and_their_changes(host: Host) -> None:
    fixed = {"tx-push": 0, "rx-push": 0}
    assert ethtool(host, "rings-get", {}).replies == [host.ethtool.rings_get() | fixed]
    change = {"rx": 256, "tcp-data-split": "enabled", "tx-push": 0}
    assert ethtool(host, "rings-set", change) == Said([], 0, {})
    now = host.ethtool.rings_get()
    assert (now["rx"], now["tcp-data-split"]) == (256, "enabled")
    assert ethtool(host, "channels-set", {"rx-count": 3}).error == 0
    assert ethtool(host, "channels-get", {}).replies == [host.ethtool.channels_get()]
    assert host.ethtool.rx_queue_count() == 3


def test_a_refusal_of_the_control_plane_has_text_and_place(host: Host) -> None:
    said = ethtool(host, "rings-set", {"rx": 99999})
    text = "rx ring of 99999: choose 1 to 8192"
    assert said == Said([], errno.EINVAL, {"msg": text, "offs": 36})
    pushed = ethtool(host, "rings-set", {"tx-push": 1})
    assert (pushed.error, pushed.extack["offs"]) == (errno.EOPNOTSUPP, 36)


@pytest.mark.parametrize("name", ["rings-get", "rss-get", "features-get", "features-set"])
def test_a_request_names_its_device(host: Host, name: str) -> None:
    plane = ControlPlane(host, no_descriptor)
    assert ask(plane, "ethtool", name, {}).extack == {"msg": "request header missing", "miss-type": 1}
    other = ask(plane, "ethtool", name, {"header": {"dev-name": "eth9"}})
    assert other.error == errno.ENODEV
    assert ask(plane, "ethtool", name, bytes.fromhex("08000100 00000000")).error == errno.EINVAL


def test_a_dump_covers_every_nic_or_the_one_of_its_header(host: Host) -> None:
    plane = ControlPlane(host, no_descriptor)
    for name in ("rings-get", "channels-get", "features-get", "rss-get"):
        (do,) = ethtool(host, name, {}).replies
        assert ask(plane, "ethtool", name, {}, DUMP) == Said([do], 0, {})
        assert ask(plane, "ethtool", name, {"header": ETH0}, DUMP).replies == [do]
        assert ask(plane, "ethtool", name, {"header": {"dev-name": "no"}}, DUMP).error == errno.ENODEV


def test_rss_contexts(host: Host) -> None:
    own = ethtool(host, "rss-get", {}).replies
    assert own == [host.ethtool.rss_get() | {"hfunc": 1}]
    made = ethtool(host, "rss-create-act", {"indir": [1, 2] * 64, "hfunc": 1}).replies
    assert made == [host.ethtool.rss_get({"context": 1}) | {"hfunc": 1}]
    assert made[0]["indir"] == [1, 2] * 64
    key = "5a" * (len(own[0]["hkey"]) // 2)
    assert ethtool(host, "rss-set", {"context": 1, "hkey": key}).error == 0
    assert host.ethtool.rss_get({"context": 1})["hkey"] == key
    assert len(ethtool(host, "rss-get", {"start-context": 0}, DUMP).replies) == 2
    assert len(ethtool(host, "rss-get", {"start-context": 1}, DUMP).replies) == 1
    for name, value in (("hfunc", 2), ("input-xfrm", 1)):
        refused = ethtool(host, "rss-set", {name: value})
        assert (refused.error, refused.extack["offs"]) == (errno.EOPNOTSUPP, 36)
    assert ethtool(host, "rss-delete-act", {"context": 1}).error == 0
    assert ethtool(host, "rss-get", {"context": 1}).error == errno.ENOENT


def bits(*names: str) -> Values:
    return {"bit": [{"index": NAMES.index(name), "name": name} for name in names]}


def test_features_as_a_list_of_bits(host: Host) -> None:
    (said,) = ethtool(host, "features-get", {}).replies
    hw = said["hw"]["bits"]["bit"]
    assert [each["name"] for each in hw] == NAMES
    assert [each["name"] for each in hw if "value" in each] == [NAMES[3], NAMES[5], NAMES[6]]
    assert said["active"] == {"nomask": True, "size": 7, "bits": bits(*NAMES)}
    assert said["wanted"] == {"nomask": True, "size": 7, "bits": bits(NAMES[3], NAMES[5], NAMES[6])}
    assert said["nochange"] == {"nomask": True, "size": 7, "bits": {}}


def test_features_as_words(host: Host) -> None:
    (said,) = ethtool(host, "features-get", {}, header={"flags": COMPACT_BITSETS}).replies
    assert said == {
        "header": ETH0,
        "hw": {"size": 7, "value": [HW], "mask": [ALL]},
        "wanted": {"nomask": True, "size": 7, "value": [HW]},
        "active": {"nomask": True, "size": 7, "value": [ALL]},
        "nochange": {"nomask": True, "size": 7, "value": [0]},
    }


@pytest.mark.parametrize(
    "wanted",
    [
        {"size": 7, "value": [0], "mask": [1 << 5]},
        {"bits": {"bit": [{"name": "tx-scatter-gather"}]}},
        {"bits": {"bit": [{"index": 5}]}},
    ],
)
def test_features_are_set_by_name_by_index_and_by_words(host: Host, wanted: Values) -> None:
    said = ethtool(host, "features-set", {"wanted": wanted}, header={"flags": COMPACT_BITSETS})
    assert said.replies == [
        {
            "header": ETH0,
            "wanted": {"size": 7, "value": [0], "mask": [0]},  # it was granted
            "active": {"size": 7, "value": [0], "mask": [0b1100000]},  # TSO went with it
        }
    ]
    assert "tx-scatter-gather" not in host.ethtool.features_get()["active"]


@pytest.mark.parametrize(
    "listed", [{"size": 7, "value": [0b1011111]}, {"bits": bits(*(NAMES[:5] + NAMES[6:]))}]
)
def test_a_list_without_a_mask_turns_off_what_it_does_not_name(host: Host, listed: Values) -> None:
    (reply,) = ethtool(host, "features-set", {"wanted": {"nomask": True} | listed}).replies
    assert [each["name"] for each in reply["active"]["bits"]["bit"]] == NAMES[5:]
    (denied,) = reply["wanted"]["bits"]["bit"]
    assert denied == {"index": 6, "name": NAMES[6], "value": True}


def test_a_wish_that_is_not_granted_is_told(host: Host) -> None:
    wanted: Values = {"bits": {"bit": [{"name": "rx-checksum"}]}}
    (reply,) = ethtool(host, "features-set", {"wanted": wanted}).replies
    assert reply["wanted"]["bits"] == bits("rx-checksum")
    assert reply["active"]["size"] == 7
    host.ethtool.features_set({"tx-scatter-gather": False})
    wanted = {"bits": {"bit": [{"name": NAMES[6], "value": True}]}}
    (reply,) = ethtool(host, "features-set", {"wanted": wanted}).replies
    (bit,) = reply["wanted"]["bits"]["bit"]
    assert (bit["name"], "value" in bit) == (NAMES[6], True)
    silent = {"flags": OMIT_REPLY}
    assert ethtool(host, "features-set", {"wanted": wanted}, header=silent) == Said([], 0, {})


@pytest.mark.parametrize(
    ("wanted", "error"),
    [
        ({"bits": {"bit": [{"name": "no-such"}]}}, errno.EOPNOTSUPP),
        ({"bits": {"bit": [{"index": 7}]}}, errno.EOPNOTSUPP),
        ({"bits": {"bit": [{}]}}, errno.EINVAL),
        ({"bits": {"bit": [{"index": 0, "name": "rx-gro-hw"}]}}, errno.EINVAL),
        ({"bits": {}, "value": [0]}, errno.EINVAL),
        ({"size": 7, "value": [0]}, errno.EINVAL),
        ({"size": 8, "value": [0x80], "mask": [0x80]}, errno.EOPNOTSUPP),
    ],
)
def test_a_bitset_that_is_none_is_refused(host: Host, wanted: Values, error: int) -> None:
    said = ethtool(host, "features-set", {"wanted": wanted})
    assert (said.error, said.extack["offs"]) == (error, 36)


@pytest.mark.parametrize(
    "wanted",
    [
        "0800 0300 00000000",  # no nest
        "0800 0380 0400 0300",  # "bits" without NLA_F_NESTED
        "0c00 0380 0500 0200 07000000",  # a size of one byte
        "1000 0380 0c00 0380 0800 6380 04000100",  # an unknown attribute among the bits
    ],
)
def test_bytes_that_are_no_bitset_are_refused(host: Host, wanted: str) -> None:
    header = encode({"header": ETH0}, operation_of("ethtool", "features-set")[1].attributes)
    assert ethtool(host, "features-set", header + bytes.fromhex(wanted)).error == errno.EINVAL


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_attributes_do_more_than_be_refused(host: Host, data: st.DataObject) -> None:
    """Trees of attributes with numbers that the tables have, of any type."""
    payloads = st.recursive(st.binary(max_size=9), lambda inner: st.lists(st.tuples(NUMBERS, inner)))
    packed = _packed([(1, [(2, b"eth0\0")]), *data.draw(st.lists(st.tuples(NUMBERS, payloads)))])
    name = data.draw(st.sampled_from(["features-set", "strset-get", "rss-set", "rings-set", "channels-set"]))
    assert isinstance(ethtool(host, name, packed).error, int)


def _packed(tree: Any) -> bytes:
    whole = b""
    for number, payload in tree:
        nested = isinstance(payload, list)
        body = _packed(payload) if nested else payload
        whole += struct.pack("=HH", 4 + len(body), number | 0x8000 * nested)
        whole += body.ljust(len(body) + 3 & ~3, b"\0")
    return whole


def test_string_sets_with_a_device_and_without(host: Host) -> None:
    wanted = {"stringsets": {"stringset": [{"id": 4}, {"id": 5}]}}
    plane = ControlPlane(host, no_descriptor)
    (shared,) = ask(plane, "ethtool", "strset-get", wanted).replies
    features, hashes = shared["stringsets"]["stringset"]
    assert "header" not in shared
    assert [each["value"] for each in features["strings"]["string"]] == NAMES
    assert (hashes["count"], hashes["strings"]["string"][0]) == (3, {"index": 0, "value": "toeplitz"})
    counts = {"stringsets": {"stringset": [{"id": 1}]}, "counts-only": True}
    (own,) = ethtool(host, "strset-get", counts).replies
    assert own["stringsets"]["stringset"] == [{"id": 1, "count": len(host.ethtool.stats_get())}]
    assert own["header"] == ETH0
    unnamed = ask(ControlPlane(host, no_descriptor), "ethtool", "strset-get", {}).replies[0]["stringsets"]
    assert [each["id"] for each in unnamed["stringset"]] == [4, 5]
    unnamed = ethtool(host, "strset-get", {}).replies[0]["stringsets"]
    assert [each["id"] for each in unnamed["stringset"]] == [1]
    assert ethtool(host, "strset-get", {"stringsets": {"stringset": [{"id": 9}]}}).error == errno.EOPNOTSUPP
    assert ethtool(host, "strset-get", {"stringsets": {"stringset": [{}]}}).error == errno.EOPNOTSUPP


@pytest.mark.parametrize(
    "sets", ["0800 0200 00000000", "0800 0280 0400 0100", "0c00 0280 0800 0180 04000100"]
)
def test_bytes_that_are_no_string_sets_are_refused(host: Host, sets: str) -> None:
    plane = ControlPlane(host, no_descriptor)
    said = ask(plane, "ethtool", "strset-get", bytes.fromhex(sets))
    assert (said.error, "offs" in said.extack) == (errno.EINVAL, True)


def test_flags_that_linux_does_not_have_are_refused(host: Host) -> None:
    said = ethtool(host, "rings-get", {}, header={"flags": 64})
    assert (said.error, said.extack["offs"]) == (errno.EOPNOTSUPP, 20 + 4 + 12)
