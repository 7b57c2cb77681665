"""docs/devmem.md shows every kernel version, and every commit by which versions differ."""

from __future__ import annotations

import pytest

from nodes.kernel_version import CHANGES, DEFAULT, VERSIONS, Change
from tests.docs.pages import text

PAGE = text("docs/devmem.md")


def test_the_table_has_a_column_for_each_version_and_the_page_names_the_default() -> None:
    assert f"| | {' | '.join(VERSIONS)} |" in PAGE
    assert f"The default is the newest release, {DEFAULT.name}." in PAGE


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: f"{change.field}={change.value}")
def test_a_change_has_a_row_with_its_releases_and_commits(change: Change) -> None:
    releases = "; ".join(filter(None, [change.since, ", ".join(change.stable)]))
    assert f"| {releases} | {', '.join(change.commits)} |" in PAGE


def test_cells_say_what_the_versions_have() -> None:
    rows = {
        "sending from a dma-buf": ["yes" if v.devmem_tx else "no" for v in VERSIONS.values()],
        "struct tcp_info": [f"{v.tcp_info_bytes} bytes" for v in VERSIONS.values()],
        "rx-page-size": ["yes" if v.rx_page_size else "absent" for v in VERSIONS.values()],
        "dma-buf that ends within a net_iov": [
            "EINVAL" if v.whole_niovs else "bound" for v in VERSIONS.values()
        ],
        "bind-rx without header split": ["EINVAL" if v.hds_thresh else "ENODATA" for v in VERSIONS.values()],
        "rx queue named twice": ["once" if v.queues_first else "EEXIST" for v in VERSIONS.values()],
        "dma-buf bytes behind unsent host bytes": [
            {"taken": "taken", "refused": "EFAULT", "parted": "taken"}[v.mixed_skb] if v.devmem_tx else "–"
            for v in VERSIONS.values()
        ],
        "MSG_ZEROCOPY host bytes behind unsent dma-buf bytes": [
            ("taken" if v.mixed_skb == "parted" else "EFAULT") if v.devmem_tx else "–"
            for v in VERSIONS.values()
        ],
        "net_iovs a pool takes at once": ["64" if v.niov_freelist else "1" for v in VERSIONS.values()],
    }
    for title, cells in rows.items():
        assert f"| {title} | {' | '.join(cells)} |" in PAGE, title
