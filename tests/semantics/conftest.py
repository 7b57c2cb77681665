"""The fixture of tests/path: two hosts joined by a fake wire, whose memory is counted after the test."""

from __future__ import annotations

from tests.path.conftest import hosts as hosts
