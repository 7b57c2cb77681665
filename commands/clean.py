"""The command clean: removes what ended runs left, and prints what `topologies.mininet.inventory` did."""

from __future__ import annotations

from typing import Any

from topologies.mininet.inventory import InventoryError, clean, state_directory

CONTEXT_SETTINGS: dict[str, Any] = {}
FAILURES = (InventoryError,)


def command() -> int:
    """Remove what earlier runs recorded and left behind; runs in progress are left alone."""
    found = clean(state_directory())
    for one in found:
        print(f"run {one.run_id}: {'removed' if one.removed else 'left alone'}: {one.what}")
    if not found:
        print("nothing to clean")
    return 0
