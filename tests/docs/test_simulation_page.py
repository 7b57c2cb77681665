"""docs/simulation.md: the constants that it names are the sources', and times are rounded as it says."""

from __future__ import annotations

from nodes.simulation import port
from nodes.simulation.clock import Clock, ns
from nodes.simulation.frame import FRAMING_BYTES
from nodes.simulation.line import Line
from tests.docs import pages

PAGE = " ".join(pages.text("docs/simulation.md").split())


def test_the_models_constants() -> None:
    assert f"Ethernet's {FRAMING_BYTES} (preamble, FCS, gap)" in PAGE
    assert f"its line is busy for less than {port.TX_QUEUED_NS // 1000} us" in PAGE
    assert f"a FIFO of {port.FIFO_BYTES >> 20} MiB" in PAGE


def test_times_are_rounded_up_to_a_nanosecond() -> None:
    """The rows of the clock, and of how long a frame keeps a line busy."""
    rows = {row[0]: row[2] for row in pages.table("docs/simulation.md", "Units and rounding")}
    assert all(rounding.startswith("up") for name, rounding in rows.items() if "clock, and" in name)
    assert rows["how long a frame keeps a line busy"].startswith("up")
    assert (ns(1.1e-9), ns(2e-9)) == (2, 2)
    assert Line(Clock(), 3_000_000_000, 0, lambda _: None).time_ns(1) == 3, "2.67 ns"
