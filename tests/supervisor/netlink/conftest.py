"""The bench of one NIC (tests/control)."""

from __future__ import annotations

from tests.control.conftest import bench as bench
