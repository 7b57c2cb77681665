"""The one exception for a topology that cannot be."""

from __future__ import annotations


class TopologyError(ValueError):
    """A topology that cannot be built; the text is one sentence with the part, its value and the remedy."""
