"""What the site needs and a page of plain Markdown has not: mkdocs calls these hooks (mkdocs.yml).

In: the pages of docs/, and README files outside of it. Out: those READMEs as pages of the site, links that
lead from one to the other, anchors as a repository host makes them. Owns which README becomes which page.
Imports the standard library alone, but where mkdocs is running.
"""

from __future__ import annotations

import os.path
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
OUTSIDE = {"README.md": "index.md", "nodes/README.md": "nodes.md", "nodes/tcp/README.md": "tcp.md"}
_DOCS = "docs/"
_CODE_OR_LINK = re.compile(
    r"(?P<code>^```.*?^```$|`[^`]+`)|\[(?P<text>[^\]]*)\]\((?P<to>[^)\s]+)\)", re.MULTILINE | re.DOTALL
)


def anchor(title: str, separator: str = "-") -> str:
    """Of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", separator)


def source_of(page: str) -> str:
    """The file, relative to the project, that a page of the site is made of."""
    return next((source for source, name in OUTSIDE.items() if name == page), _DOCS + page)


def translated(markdown: str, page: str) -> str:
    """`markdown`, the text of what becomes `page`, with links that lead to pages of the site. The text of a
    link to another file, as one of the sources, stays without the link. Code in a table has `\\|` for a bar:
    a repository host needs the backslash, and mkdocs shows it.
    """

    def link(found: re.Match[str]) -> str:
        to = found["to"]
        if found["code"]:
            return found[0] if found[0].startswith("```") else found[0].replace("\\|", "|")
        if to.startswith(("https://", "#")):
            return found[0]
        path, mark, heading = to.partition("#")
        target = os.path.normpath(os.path.join(os.path.dirname(source_of(page)), path))
        there = OUTSIDE.get(target) or (target.removeprefix(_DOCS) if target.startswith(_DOCS) else None)
        if there is None:
            return found["text"]
        return f"[{found['text']}]({os.path.relpath(there, os.path.dirname(page) or '.')}{mark}{heading})"

    return _CODE_OR_LINK.sub(link, markdown)


def on_config(config: Any) -> Any:
    config["mdx_configs"]["toc"]["slugify"] = anchor
    return config


def on_files(files: Any, config: Any) -> Any:
    from mkdocs.structure.files import File  # where this is called, it is installed

    for source, page in OUTSIDE.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    return translated(markdown, page.file.src_uri)
