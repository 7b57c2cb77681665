"""A page pool recycles, counts as the kernel does, and gives all netmems back after it is destroyed."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

import pytest

from nodes.machine import dmabuf
from nodes.netmem.memory_provider import (
    DmabufNetIovs,
    FreelistNetIovs,
    HostPages,
    MemoryProvider,
    host_page_size,
)
from nodes.netmem.netmem import NetIov, Netmem
from nodes.netmem.page_pool import (
    PP_ALLOC_CACHE_REFILL,
    PP_ALLOC_CACHE_SIZE,
    RING_MAX,
    Napi,
    PagePool,
    PoolContext,
)
from nodes.netmem.page_pool_stats import PagePoolStats
from tests.netmem.census import assert_conserved
from tests.netmem.failing import FailingNetIovs

NIOVS = 300


class Drained:
    """Counts calls of on_drained."""

    calls = 0

    def __call__(self) -> None:
        self.calls += 1


KINDS = [DmabufNetIovs, FreelistNetIovs]


@pytest.fixture
def provider(request: pytest.FixtureRequest) -> Iterator[DmabufNetIovs]:
    region = dmabuf.export(NIOVS * 4096)
    yield getattr(request, "param", DmabufNetIovs)(region, 4096, 7)
    region.close()


def take(pool: PagePool, count: int) -> list[Netmem]:
    taken = [pool.alloc_netmem() for _ in range(count)]
    assert None not in taken
    return [netmem for netmem in taken if netmem is not None]


def put(netmems: list[Netmem]) -> None:
    for netmem in netmems:
        netmem.put()


# --- providers


def test_net_iovs_cover_the_dma_buf_once_from_its_start(provider: DmabufNetIovs) -> None:
    taken = [provider.alloc_netmem() for _ in range(NIOVS)]
    assert [n.offset for n in taken if n] == [i * 4096 for i in range(NIOVS)]
    assert {(n.size, n.is_net_iov, n.dmabuf_id) for n in taken if n} == {(4096, True, 7)}
    assert provider.alloc_netmem() is None
    assert provider.free == 0


def offsets(provider: DmabufNetIovs, count: int) -> list[int]:
    """Which net_iovs the next `count` are."""
    taken = [provider.alloc_netmem() for _ in range(count)]
    return [netmem.offset // 4096 for netmem in taken if netmem is not None]


@pytest.mark.parametrize(
    ("kind", "first", "then"),
    [(DmabufNetIovs, [0, 1, 2], [1, 2, 3]), (FreelistNetIovs, [7, 6, 5], [6, 5, 4])],
)
def test_gen_pool_gives_the_lowest_net_iov_a_freelist_the_last_given_back(
    kind: type[DmabufNetIovs], first: list[int], then: list[int]
) -> None:
    region = dmabuf.export(8 * 4096)
    provider = kind(region, 4096, 1)
    assert offsets(provider, 3) == first
    for number in (first[2], first[1]):
        provider.release_netmem(NetIov(region, number * 4096, 4096, 1))
    assert offsets(provider, 3) == then
    region.close()


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_behind_the_last_whole_net_iov_are_not_used(kind: type[DmabufNetIovs]) -> None:
    region = dmabuf.export(3 * 4096 + 100)
    provider = kind(region, 4096, 1)
    assert sorted(offsets(provider, 4)) == [0, 1, 2]
    assert (provider.total, provider.free) == (3, 0)
    region.close()


def test_host_pages_end_at_their_limit_and_do_not_overlap() -> None:
    pages = HostPages(16384, 40 * 16384 + 5)
    taken = list(iter(pages.alloc_netmem, None))
    assert len(taken) == 40
    assert len({(id(n.region), n.offset) for n in taken}) == 40
    assert all(n.offset + n.size <= n.region.size and not n.is_net_iov for n in taken)
    pages.release_netmem(taken[3])
    assert pages.alloc_netmem() is taken[3]


@pytest.mark.parametrize(("buffer", "page"), [(1, 4096), (4096, 4096), (4097, 8192), (65535, 65536)])
def test_a_host_page_is_the_power_of_two_that_holds_a_buffer(buffer: int, page: int) -> None:
    assert host_page_size(buffer) == page


# --- alloc and put


def test_a_new_netmem_has_one_reference_and_knows_its_pool(provider: DmabufNetIovs) -> None:
    pool = PagePool(provider)
    (netmem,) = take(pool, 1)
    assert (netmem.pp_ref_count, netmem.owner) == (1, pool)
    put([netmem])


def test_only_the_last_put_gives_the_memory_back(provider: DmabufNetIovs) -> None:
    pool = PagePool(provider)
    (netmem,) = take(pool, 1)
    netmem.get()
    netmem.put()
    assert pool.stats.recycle_ring == 0
    netmem.put()
    assert pool.stats.recycle_ring == 1


@pytest.mark.parametrize("direct", [False, True])
def test_one_put_too_many_raises(provider: DmabufNetIovs, direct: bool) -> None:
    napi = Napi()
    pool = PagePool(provider, context=PoolContext(napi=napi))
    (netmem,) = take(pool, 1)
    napi.polling = direct
    netmem.put()
    with pytest.raises(RuntimeError, match="at offset 0 put more often than taken"):
        netmem.put()


def test_bytes_of_a_netmem_raise(provider: DmabufNetIovs) -> None:
    (netmem,) = take(PagePool(provider), 1)
    with pytest.raises(TypeError, match="only dma, cpu and the accelerator"):
        bytes(netmem)


def test_the_ring_refills_the_cache_64_at_a_time(provider: DmabufNetIovs) -> None:
    pool = PagePool(provider)
    taken = take(pool, 100)
    put(taken)
    assert pool.stats == PagePoolStats(alloc_empty=100, recycle_ring=100)
    again = take(pool, 1)
    assert len(pool._cache) == PP_ALLOC_CACHE_REFILL - 1
    again += take(pool, 63)
    assert (pool.stats.alloc_refill, pool.stats.alloc_fast) == (1, 63)
    again += take(pool, 1)  # the ring's last 36
    assert (pool.stats.alloc_refill, pool.stats.alloc_fast) == (2, 63)
    assert again[1:64] == taken[62::-1]
    assert all(netmem.pp_ref_count == 1 for netmem in again)
    assert pool.inflight == 100
    assert_conserved(provider, [pool], held=again)


def test_puts_while_the_nic_is_polled_fill_the_cache_then_the_ring(provider: DmabufNetIovs) -> None:
    napi = Napi()
    pool = PagePool(provider, context=PoolContext(napi=napi))
    taken = take(pool, PP_ALLOC_CACHE_SIZE + 2)
    napi.polling = True
    put(taken)
    assert (pool.stats.recycle_cached, pool.stats.recycle_cache_full) == (PP_ALLOC_CACHE_SIZE, 2)
    assert pool.stats.recycle_ring == 2
    assert_conserved(provider, [pool])


def test_what_the_ring_cannot_hold_goes_back_to_the_provider(provider: DmabufNetIovs) -> None:
    pool = PagePool(provider, ring_size=10)
    put(take(pool, 14))
    assert (pool.stats.recycle_ring, pool.stats.recycle_ring_full) == (10, 4)
    assert (pool.inflight, provider.free) == (10, NIOVS - 10)
    assert_conserved(provider, [pool])


def test_a_ring_is_silently_capped(provider: DmabufNetIovs) -> None:
    assert PagePool(provider, ring_size=RING_MAX + 1)._ring_size == RING_MAX == 16384


def test_an_empty_pool_of_an_empty_provider_allocates_none(provider: DmabufNetIovs) -> None:
    pool = PagePool(provider)
    taken = take(pool, NIOVS)
    assert pool.alloc_netmem() is None
    assert pool.inflight == NIOVS
    assert pool.stats.alloc_empty == NIOVS + 1
    put(taken[:1])
    assert pool.alloc_netmem() is taken[0]


def test_net_iovs_count_as_neither_slow_nor_released(provider: DmabufNetIovs) -> None:
    pool = PagePool(provider)
    put(take(pool, 5))
    s = pool.stats
    assert (s.alloc_slow, s.alloc_slow_high_order, s.alloc_waive, s.recycle_released_refcnt) == (0, 0, 0, 0)


@pytest.mark.parametrize(("size", "slow", "high_order", "hold"), [(4096, 1, 0, 64), (65536, 0, 3, 3)])
def test_host_pages_come_64_at_once_or_high_order_ones_singly(
    size: int, slow: int, high_order: int, hold: int
) -> None:
    pool = PagePool(HostPages(size, 1 << 20))
    take(pool, 3)
    s = pool.stats
    assert (s.alloc_slow, s.alloc_slow_high_order, pool.hold) == (slow, high_order, hold)
    assert s.alloc_fast == (2 if slow else 0)


@pytest.mark.parametrize(("kind", "empty", "hold"), [(DmabufNetIovs, 70, 70), (FreelistNetIovs, 2, 128)])
def test_net_iovs_come_singly_or_64_at_once_as_the_kernel_version_has_it(
    kind: type[DmabufNetIovs], empty: int, hold: int
) -> None:
    region = dmabuf.export(200 * 4096)
    provider = kind(region, 4096, 1)
    pool = PagePool(provider)
    taken = take(pool, 70)
    assert (pool.stats.alloc_empty, pool.hold, provider.free) == (empty, hold, 200 - hold)
    assert_conserved(provider, [pool], held=taken)
    put(taken)
    pool.destroy()
    assert (pool.inflight, provider.free) == (0, 200)
    region.close()


def test_a_bulk_allocation_takes_what_is_left() -> None:
    region = dmabuf.export(10 * 4096)
    pool = PagePool(FreelistNetIovs(region, 4096, 1))
    assert len(take(pool, 10)) == 10
    assert pool.alloc_netmem() is None
    region.close()


def test_a_trace_sees_every_netmem_that_the_provider_gives_and_gets_back(provider: DmabufNetIovs) -> None:
    seen: list[tuple[str, int, int, int]] = []

    class Trace:
        def state_hold(self, pool_id: int, netmem: Netmem, count: int) -> None:
            seen.append(("hold", pool_id, netmem.offset, count))

        def state_release(self, pool_id: int, netmem: Netmem, count: int) -> None:
            seen.append(("release", pool_id, netmem.offset, count))

    pool = PagePool(provider, context=PoolContext(trace=Trace()))
    first, second = take(pool, 2)
    put([first])
    assert pool.alloc_netmem() is first  # recycled, which the provider does not notice
    put([first, second])
    pool.destroy()
    assert seen == [
        ("hold", pool.id, 0, 1), ("hold", pool.id, 4096, 2),
        ("release", pool.id, 0, 1), ("release", pool.id, 4096, 2),
    ]  # fmt: skip


def test_there_are_eleven_counters() -> None:
    assert len(PagePoolStats.__struct_fields__) == 11


def test_ids_are_unique_within_a_host_and_begin_at_1_in_each(provider: DmabufNetIovs) -> None:
    hosts = [itertools.count(1), itertools.count(1)]
    devices = [PoolContext(ids) for ids in (hosts[0], hosts[0], hosts[1])]
    pools = [[PagePool(provider, context=device) for _ in range(2)] for device in devices]
    assert [[pool.id for pool in each] for each in pools] == [[1, 2], [3, 4], [1, 2]]


def test_two_pools_of_one_provider_count_separately(provider: DmabufNetIovs) -> None:
    context = PoolContext()
    one, two = (PagePool(provider, context=context) for _ in range(2))
    assert one.id != two.id
    of_one, of_two = take(one, 3), take(two, 4)
    put(of_two + of_one)
    assert (one.stats.recycle_ring, two.stats.recycle_ring) == (3, 4)
    assert (one.inflight, two.inflight) == (3, 4)
    assert_conserved(provider, [one, two])


# --- destroy


def test_a_pool_without_a_netmem_in_use_drains_at_once(provider: DmabufNetIovs) -> None:
    drained = Drained()
    napi = Napi()
    pool = PagePool(provider, on_drained=drained, context=PoolContext(napi=napi))
    taken = take(pool, 41)
    put(taken[:40])
    napi.polling = True
    put(taken[40:])
    assert (pool.stats.recycle_ring, pool.stats.recycle_cached) == (40, 1)
    pool.destroy()
    assert (drained.calls, pool.inflight, provider.free) == (1, 0, NIOVS)


def test_an_unused_pool_drains_at_once(provider: DmabufNetIovs) -> None:
    drained = Drained()
    PagePool(provider, on_drained=drained).destroy()
    assert drained.calls == 1


def test_a_pool_drains_once_when_its_last_netmem_is_put(provider: DmabufNetIovs) -> None:
    drained, napi = Drained(), Napi()
    pool = PagePool(provider, on_drained=drained, context=PoolContext(napi=napi))
    taken = take(pool, 50)
    put(taken[:20])
    pool.destroy()
    assert (drained.calls, pool.inflight, provider.free) == (0, 30, NIOVS - 30)
    put(taken[20:40])
    napi.polling = True  # a destroyed pool caches nothing all the same
    put(taken[40:41])
    assert (drained.calls, pool.inflight) == (0, 9)
    put(taken[41:])
    pool.destroy()
    assert (drained.calls, pool.inflight, provider.free) == (1, 0, NIOVS)
    assert pool.stats.recycle_ring_full == 0


def use(provider: MemoryProvider, drained: Drained) -> None:
    """Use a pool: bursts that grow, puts in another order, destroy while some netmems are in use."""
    pool = PagePool(provider, ring_size=8, on_drained=drained)
    held: list[Netmem] = []
    for burst in (3, 10, 20):
        held += [n for n in (pool.alloc_netmem() for _ in range(burst)) if n is not None]
        put(held[::2])
        held = held[1::2]
        assert pool.inflight >= len(held)
    pool.destroy()
    put(held)
    assert pool.inflight == 0


def test_no_failure_of_the_nth_allocation_loses_a_net_iov() -> None:
    region = dmabuf.export(NIOVS * 4096)
    for n in range(1, 100):
        failing, drained = FailingNetIovs(region, 4096, 7, n), Drained()
        use(failing, drained)
        assert drained.calls == 1
        assert_conserved(failing, [])
        if not failing.failed:
            return
    pytest.fail("some allocation failed in every run")


@pytest.mark.parametrize("provider", KINDS, indirect=True)
@pytest.mark.parametrize("seed", range(5))
def test_net_iovs_are_conserved_whatever_happens(provider: DmabufNetIovs, seed: int) -> None:
    print(f"seed {seed}")
    chance = random.Random(seed)
    drained = Drained()
    napi = Napi()
    pool = PagePool(provider, ring_size=100, on_drained=drained, context=PoolContext(napi=napi))
    references: list[Netmem] = []
    for step in range(3000):
        napi.polling = chance.random() < 0.3
        wanted = chance.choice("aaagpp" if step % 1000 < 600 else "agpppp")
        if wanted == "a" and (netmem := pool.alloc_netmem()) is not None:
            references.append(netmem)
        elif wanted == "g" and references:
            netmem = chance.choice(references)
            netmem.get()
            references.append(netmem)
        elif wanted == "p" and references:
            references.pop(chance.randrange(len(references))).put()
        if step % 50 == 0:
            assert_conserved(provider, [pool], held=references)
    pool.destroy()
    assert drained.calls == (not references)
    put(references)
    assert (drained.calls, pool.inflight) == (1, 0)
    assert_conserved(provider, [pool])
