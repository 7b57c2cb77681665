"""The generated pages of docs/reference/. In: nothing. Out: their texts, and files. Owns their names."""

from __future__ import annotations

from pathlib import Path

from tests.docs.reference import columns, commands, counters, fields

DIRECTORY = Path(__file__).resolve().parents[3] / "docs" / "reference"
PAGES = {
    "commands.md": commands.text,
    "columns.md": columns.text,
    "fields.md": fields.text,
    "counters.md": counters.text,
}


def write(name: str) -> str:
    """Write the page; "written", or "unchanged" if it was as it is now."""
    path, text = DIRECTORY / name, PAGES[name]()
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return "unchanged"
    path.write_text(text, encoding="utf-8")
    return "written"
