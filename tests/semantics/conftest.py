"""In: nothing. Out: two hosts joined by a fake wire, counted afterwards; a host's endpoint without a loop."""

from __future__ import annotations

from tests.path.conftest import hosts as hosts
