"""The state diagram of nodes/tcp/README.md, made from the table of transitions.

    python -m tests.tcp.state_diagram --write

In: nodes.tcp.state.TRANSITIONS. Out: the lines between two marks of the page. tests/tcp/test_readme.py says
when it has to be run again.
"""

from __future__ import annotations

import sys
from pathlib import Path

from nodes.tcp.state import TRANSITIONS, Event, State

PAGE = Path(__file__).resolve().parents[2] / "nodes" / "tcp" / "README.md"
BEGIN = "<!-- state diagram: made from TRANSITIONS -->\n"
END = "<!-- end of the state diagram -->\n"
_STARTS = {State.SYN_SENT: "connect", State.SYN_RECEIVED: "accept, from_cookie"}


def diagram() -> str:
    """A mermaid diagram with one arrow for each row of the table, and the meaning of each event."""
    lines = ["```mermaid", "stateDiagram-v2"]
    lines += [f"    [*] --> {state.name}: {call}" for state, call in _STARTS.items()]
    lines += [f"    {old.name} --> {new.name}: {event.name}" for (old, event), new in TRANSITIONS.items()]
    lines += ["```", "", "| event | meaning |", "|---|---|"]
    lines += [f"| {event.name} | {event.value} |" for event in Event]
    return "\n".join(lines) + "\n"


def page_with_diagram(page: str) -> str:
    """The page's text with the diagram of today's table between the two marks."""
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return head + BEGIN + diagram() + END + tail


def main() -> None:
    if sys.argv[1:] != ["--write"]:
        sys.exit(f"python -m tests.tcp.state_diagram --write: changes {PAGE.name}; arguments: {sys.argv[1:]}")
    PAGE.write_text(page_with_diagram(PAGE.read_text()))


if __name__ == "__main__":
    main()
