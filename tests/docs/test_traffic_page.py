"""docs/traffic.md: its words, columns and means are the sources', its examples are understood."""

from __future__ import annotations

import re
import typing
from pathlib import Path

import msgspec
import pytest

from tests.docs import pages
from tests.docs.reference.definition import described
from topologies.file.load import load
from topologies.net import Net
from topologies.shapes.registry import build
from topologies.traffic.check import FLOWS_PER_S_MAX, Traffic, check
from topologies.traffic.entry import KINDS, TrafficEntry, parse
from topologies.traffic.flow_sizes import PUBLISHED, flow_sizes, mean_bytes
from workloads.traffic.frames import HEADER_BYTES
from workloads.traffic.outcome import TrafficRow
from workloads.traffic.sender import FLOWS_MAX
from workloads.traffic.tally import CLASSES, ENDLESS

PAGE = "docs/traffic.md"
RATED = build("dumbbell", link="100Mbit")


def test_every_word_is_in_the_table_with_its_meaning() -> None:
    hints = typing.get_type_hints(TrafficEntry, include_extras=True)
    fields = [field for field in msgspec.structs.fields(TrafficEntry) if field.name != "kind"]
    words = [(each.encode_name, hints[each.name].__metadata__[0].description) for each in fields]
    rows = pages.table(PAGE, "Words")
    assert [(pages.named(row[0])[0], row[2]) for row in rows] == words


def test_a_word_is_of_the_kinds_that_take_it() -> None:
    value = {"from": "h1", "to": "h2", "rate": "1Mbit", "load": "0.1", "sizes": "hadoop", "protocol": "udp"}
    for name, of, _ in pages.table(PAGE, "Words"):
        (word,) = pages.named(name)
        for kind in KINDS:
            rate = "" if word in ("rate", "load") else "rate=1Mbit,"
            taken = check(parse(f"{kind}:{rate}{word}={value.get(word, '5ms')}"), RATED)
            assert isinstance(taken, Traffic) is (of == "all" or kind in of.split(", "))


def test_means_and_names_of_distributions() -> None:
    rows = pages.table(PAGE, "Distributions")
    assert [pages.named(row[0]) for row in rows] == [[name] for name in PUBLISHED]
    for name, mean, _ in rows:
        found = mean_bytes(flow_sizes(*pages.named(name))) / 1e6
        assert float(mean.removesuffix(" MB")) == pytest.approx(found, rel=0.005)


def test_the_classes_of_sizes_are_named_where_the_column_is_defined() -> None:
    (sizes,) = (each.meaning for each in described(TrafficRow) if each.name == "sizes")
    assert pages.named(sizes) == [*CLASSES, ENDLESS]


def test_limits_are_the_sources() -> None:
    text = pages.text(PAGE)
    assert f"Of a host {FLOWS_MAX} flows are under way at most, and {FLOWS_PER_S_MAX:.0f} a second" in text
    assert f"Flows have {HEADER_BYTES} bytes at least." in text


def test_every_traffic_that_is_named_is_one() -> None:
    found = re.findall(r"--traffic (\w[^\s`]+)", pages.text(PAGE) + pages.text("README.md"))
    assert len(found) == 3
    assert all(isinstance(check(parse(text), RATED), Traffic) for text in found)


def test_the_file_has_two_entries(tmp_path: Path) -> None:
    (tmp_path / "mixed.yaml").write_text(pages.block(PAGE, "# mixed.yaml"))
    assert [each.kind for each in load(tmp_path / "mixed.yaml", Net()).traffic] == ["poisson", "on-off"]
