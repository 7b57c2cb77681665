"""docs/reference/ is what the sources say, and nothing is left out of it."""

from __future__ import annotations

import re
import runpy
import shutil
from pathlib import Path
from typing import Annotated

import msgspec
import pytest

from commands.dispatch import COMMANDS
from nodes.control.netdev_get import NetdevGet
from nodes.sock.inet_diag import snmp
from nodes.uapi.netlink import HeaderOnly, QstatsGet
from tests.commands.test_command_line import Main
from tests.commands.test_command_line import main as main
from tests.docs import pages
from tests.docs.pages import ROOT, command
from tests.docs.reference import pages as reference
from tests.docs.reference.columns import FILES
from tests.docs.reference.definition import NotDescribed, described, table
from tests.docs.reference.pages import PAGES
from tests.path.two_hosts import TwoHosts

(MAKE,) = {
    command("docs/reference/commands.md", ".venv/bin/python -m tests.docs.reference"),
    command("docs/reference/columns.md", ".venv/bin/python -m tests.docs.reference"),
    command("docs/reference/fields.md", ".venv/bin/python -m tests.docs.reference"),
    command("docs/reference/counters.md", ".venv/bin/python -m tests.docs.reference"),
}
COUNTERS = "docs/reference/counters.md"


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_up_to_date(name: str) -> None:
    assert pages.text(f"docs/reference/{name}") == PAGES[name](), f"run {MAKE}"


def test_the_command_writes_what_is_out_of_date_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(ROOT / "docs/reference", tmp_path, dirs_exist_ok=True)
    (tmp_path / "columns.md").write_text("of another time")
    monkeypatch.setattr(reference, "DIRECTORY", tmp_path)
    runpy.run_module(MAKE.split()[-1], run_name="__main__")
    said = dict(line.split(": ") for line in capsys.readouterr().out.splitlines())
    assert said == {
        "docs/reference/commands.md": "unchanged",
        "docs/reference/columns.md": "written",
        "docs/reference/fields.md": "unchanged",
        "docs/reference/counters.md": "unchanged",
    }
    assert (tmp_path / "columns.md").read_text() == pages.text("docs/reference/columns.md")


def test_a_field_without_unit_and_meaning_is_refused() -> None:
    class Row(msgspec.Struct):
        size: Annotated[int, "B", "how much"]
        count: int

    assert table("column", described(Row, without=("count",)))[2:] == ["| `size` | B | how much |"]
    with pytest.raises(NotDescribed, match=r"Row\.count has no unit and meaning"):
        described(Row)


def test_every_csv_file_of_a_run_has_its_columns_on_the_page() -> None:
    section = pages.text("docs/results.md").split("\n## ", 1)[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in pages.named(row.split("|")[1]) if name.endswith(".csv")}
    assert named == {file.name for file in FILES}


def test_a_column_that_refers_to_another_files_is_one_of_it() -> None:
    names = {file.name: [each.name for each in described(file.record)] for file in FILES}
    for file in FILES:
        for each in described(file.record):
            if found := re.match(r"as in ([\w.]+\.csv)", each.meaning):
                assert each.name in names[found[1]], f"{file.name}: {each.name} {each.meaning}"


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_every_option_that_help_names_is_in_the_commands_section(name: str, main: Main) -> None:
    status, help_text, _ = main(*name.split(), "--help")
    options = set(re.findall(r"^ +(?:-\w, )?(--[a-z][\w-]*)", help_text, re.MULTILINE)) - {"--help"}
    title = f"run.py {name}".strip()
    section = pages.text("docs/reference/commands.md").split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]
    assert status == 0
    assert options <= {word for cell in section.splitlines() for word in pages.named(cell)}


def counters(heading: str) -> list[str]:
    return [pages.named(row[0])[0] for row in pages.table(COUNTERS, heading)]


def test_every_counter_that_a_host_tells_is_on_the_page() -> None:
    two = TwoHosts()
    told = two.b.ethtool.stats_get(HeaderOnly(two.b.header)).stats
    of_queues = re.compile(r"[rt]x_queue_\d+_")
    pools = [pages.named(row[1])[0] for row in pages.table(COUNTERS, "Page pools")]
    assert [*counters("ethtool -S"), *pools] == [name for name in told if not of_queues.match(name)]
    assert {of_queues.sub(f"{name[:2]}_", name) for name in told} <= {*counters("ethtool -S"), *pools}
    assert counters("Host: snmp") == list(snmp(two.b.host.stack))
    (device,) = NetdevGet(two.b.host.devices).qstats_dump(QstatsGet())
    values = msgspec.to_builtins(device)
    assert counters("Queues: qstats-get") == [
        name for name, value in values.items() if value is not None and name != "ifindex"
    ]
    two.close()
