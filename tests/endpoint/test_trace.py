"""A trace file has a line for each netmem that a provider gave or got back, with the time it was told."""

from __future__ import annotations

import io
import itertools
import json

from nodes.endpoint.trace import TraceFile
from nodes.netmem.memory_provider import HostPages
from nodes.netmem.page_pool import PagePool, PoolContext


def test_a_line_has_the_time_of_the_clock_that_was_passed_in() -> None:
    file, times = io.BytesIO(), iter([1.5, 2.5])
    pool = PagePool(HostPages(65536, 65536), context=PoolContext(trace=TraceFile(file, times.__next__)))
    netmem = pool.alloc_netmem()
    assert netmem is not None
    netmem.put()
    pool.destroy()
    page = {"pool": 1, "netmem": "page", "dmabuf_id": 0, "offset": 0}
    assert [json.loads(line) for line in file.getvalue().splitlines()] == [
        {"time_s": 1.5, "event": "page_pool_state_hold", **page, "hold": 1},
        {"time_s": 2.5, "event": "page_pool_state_release", **page, "release": 1},
    ]


def test_two_hosts_trace_with_clocks_of_their_own() -> None:
    files = [io.BytesIO(), io.BytesIO()]
    for file, now in zip(files, (10.0, 20.0), strict=True):
        context = PoolContext(trace=TraceFile(file, itertools.repeat(now).__next__))
        assert PagePool(HostPages(65536, 65536), context=context).alloc_netmem() is not None
    lines = [json.loads(file.getvalue()) for file in files]
    assert [(line["time_s"], line["pool"]) for line in lines] == [(10.0, 1), (20.0, 1)]
