"""The command doctor: prints what `topologies.mininet.doctor` finds about this machine."""

from __future__ import annotations

from typing import Any

from topologies.mininet.doctor import checks

CONTEXT_SETTINGS: dict[str, Any] = {}
FAILURES: tuple[type[Exception], ...] = ()


def command() -> int:
    """What this machine offers and lacks, and the remedy; exit status 1 if something needed is missing."""
    words = {True: "ok", False: "missing", None: "unknown"}
    found = checks()
    for check in found:
        remedy = f"; {check.remedy}" if check.ok is False and check.remedy else ""
        word = words[check.ok] if check.needed or check.ok else "absent"
        print(f"{word:<8} {check.name:<32} {check.found}{remedy}")
    return int(any(check.needed and check.ok is False for check in found))
