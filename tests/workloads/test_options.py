"""Options: each workload has its own record, and the fields of all records say what a command line needs."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest

from nodes.option import Declared, declared
from workloads.collective import CollectiveOptions
from workloads.experiment.records import ExperimentConfig, NetworkConfig, RankPlace, names
from workloads.registry import WORKLOADS
from workloads.stream import StreamOptions
from workloads.workload import WorkloadError

M = 1 << 20


def test_each_workload_has_a_record_of_its_own() -> None:
    assert WORKLOADS["all_reduce"].options is CollectiveOptions
    assert WORKLOADS["stream"].options is StreamOptions


def test_options_that_are_not_given_have_their_defaults() -> None:
    assert CollectiveOptions() == CollectiveOptions(iterations=3, warmup=1)
    assert StreamOptions() == StreamOptions(duration_s=2.0, bidir=False)


def asked(workload: str, *sizes: int, hosts: int = 3, **options: Any) -> ExperimentConfig:
    own = WORKLOADS[workload].options(**options)
    return ExperimentConfig("star", hosts, workload, sizes or (1024,), ("devmem",), own)


@pytest.mark.parametrize(
    "possible",
    [
        asked("stream", 1, 6), asked("all_reduce", 0, 4, 8), asked("all_reduce", 2, 6, dtype="bfloat16"),
        asked("reduce", root=2, algorithm="tree", redop="avg"), asked("all_to_all", place="out"),
        asked("all_reduce", algorithm="hierarchical", place="in"),
    ],
)  # fmt: skip
def test_options_that_go_together_are_taken(possible: ExperimentConfig) -> None:
    WORKLOADS[possible.workload].check(possible)


@pytest.mark.parametrize(
    ("impossible", "sentence"),
    [
        (asked("stream", 0), "a stream of messages of 0 bytes sends nothing; choose a --size above 0"),
        (asked("all_reduce", 4, 6), "size 6 is no multiple of the 4 bytes of an element; round it"),
        (asked("all_reduce", 3, dtype="float16"), "size 3 is no multiple of the 2 bytes"),
        (asked("all_reduce", root=1), "all_reduce has no root, so --root 1 does not go with it"),
        (asked("broadcast", root=3), "--root 3 is none of the 3 ranks; choose 0 to 2"),
        (asked("broadcast", redop="max"), "broadcast reduces nothing, so --op max does not go with it"),
        (asked("gather", algorithm="ring"), "gather has no algorithm 'ring'; choose from direct"),
        (asked("all_to_all", place="in"), "all_to_all cannot be done in place; leave --place out"),
        (asked("reduce", hosts=300, dtype="bfloat16"), "a sum over 300 ranks is not exact in bfloat16"),
    ],
)
def test_options_that_do_not_are_refused_in_a_sentence(impossible: ExperimentConfig, sentence: str) -> None:
    with pytest.raises(WorkloadError, match=re.escape(sentence)):
        WORKLOADS[impossible.workload].check(impossible)


def test_every_field_of_a_configuration_is_an_option_with_a_help_text() -> None:
    own = dict.fromkeys(workload.options for workload in WORKLOADS.values())
    records: list[type[msgspec.Struct]] = [ExperimentConfig, *own]
    inherited = {*NetworkConfig.__struct_fields__} - {"mtu", "pcap", "trace"}  # declared by the host's part
    for record in records:
        found = {option.field: option for option in declared(record)}
        missing = {*record.__struct_fields__} - {*found} - inherited - {"options", "ranks", "hosts_of_ranks"}
        assert missing == set()
        assert all(option.option.help.endswith(".") for option in found.values())
    flags = [option.flag for record in records for option in declared(record)]
    assert {
        "--topology", "--hosts", "--workload", "--size", "--path", "--repeat", "--niov-size", "--timeout",
        "--seed", "--mtu", "--pcap", "--trace", "--iters", "--warmup", "--duration", "--bidir",
    } <= set(flags)  # fmt: skip
    meant: dict[str, Declared] = {}
    for record in records:
        for each in declared(record):
            assert meant.setdefault(each.flag, each) == each, "one flag for two fields"


def test_texts_are_parsed_as_declared() -> None:
    parse = {option.field: option.option.parse for option in declared(ExperimentConfig)}
    assert parse["sizes_bytes"] is not None
    assert parse["sizes_bytes"]("1M:16M:x4") == (M, 4 * M, 16 * M)
    assert parse["niov_bytes"] is not None
    assert parse["niov_bytes"]("16K") == 16384
    assert names("devmem, bounce,devmem") == ("devmem", "bounce")
    with pytest.raises(ValueError, match="size '1X' is not understood"):
        parse["sizes_bytes"]("1X")


def test_a_configuration_knows_whose_options_it_has() -> None:
    config = ExperimentConfig("star", 2, "stream", (8,), ("devmem",), StreamOptions(bidir=True))
    assert config.options_as(StreamOptions).bidir
    with pytest.raises(TypeError, match="workload stream has StreamOptions, not CollectiveOptions"):
        config.options_as(CollectiveOptions)


def test_a_configuration_is_readable_json_and_complete() -> None:
    config = ExperimentConfig("star", 2, "stream", (8,), ("devmem",), StreamOptions(duration_s=2.0))
    found = msgspec.json.decode(msgspec.json.encode(config))
    assert set(found) == set(ExperimentConfig.__struct_fields__)
    assert found["options"] == {"duration_s": 2.0, "bidir": False}


def test_a_place_is_no_option() -> None:
    assert list(declared(RankPlace)) == []
