"""The one exception for a command line that cannot be met."""

from __future__ import annotations


class UsageError(ValueError):
    """Options that cannot be, alone or together; str() is one sentence. Nothing has been started."""
