"""Every script of this folder, from every origin of sequence numbers and timestamps."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tcp.packetdrill.runner import ORIGINS, Runner
from tests.tcp.packetdrill.script import BadScript, parse

SCRIPTS = sorted((Path(__file__).parent / "scripts").glob("*.pkt"))


@pytest.mark.parametrize("path", SCRIPTS, ids=[path.stem for path in SCRIPTS])
def test_script(path: Path) -> None:
    script = parse(path.read_text())
    assert script.title.startswith(("RFC ", "Bug ", "Linux ")), "the first line names its source"
    for origin in ORIGINS:
        Runner(script, origin).run()


def test_what_is_sent_and_not_expected_fails_with_the_line() -> None:
    text = "// RFC 9293\n0 listen()\n+0 < S 0:0(0) win 9 <mss 1460>\n+1 < . 1:1(0) ack 1 win 9"
    with pytest.raises(AssertionError, match=r"line 4: .*\n.*sent \+0\.000000 .* S\. 0:0\(0\) ack 1"):
        Runner(parse(text), ORIGINS[1]).run()


def test_a_segment_that_leaves_at_another_time_fails() -> None:
    text = "// RFC 9293\n0 listen()\n+0 < S 0:0(0) win 9 <mss 1460>\n+.1 > S. 0:0(0) ack 1"
    with pytest.raises(AssertionError, match="line 4"):
        Runner(parse(text), ORIGINS[0]).run()


@pytest.mark.parametrize(
    "line", ["x", "0 < Q 0:0(0)", "0 < . 1:5(3) ack 1", "0 < S 0:0(0) <ttl 3>", "0 < . 1:1(0)"]
)
def test_a_line_that_is_not_in_the_notation_is_named(line: str) -> None:
    with pytest.raises(BadScript, match="line 1"):
        parse(line)
