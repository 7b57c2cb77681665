"""The errno of a refused call. In: a call. Out: its errno."""

from __future__ import annotations

from collections.abc import Callable

import pytest


def errno_of(call: Callable[..., object], *arguments: object) -> int | None:
    """The errno of the OSError that the call must raise."""
    with pytest.raises(OSError) as caught:
        call(*arguments)
    return caught.value.errno
