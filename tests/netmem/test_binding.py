"""The dma-buf of a binding is freed when it is unbound and no reference is left, and not before."""

from __future__ import annotations

import pytest

from nodes.machine import dmabuf
from nodes.machine.memory import Region
from nodes.netmem.binding import Binding, RxBinding, TxBinding
from nodes.netmem.netmem import Netmem
from nodes.netmem.page_pool import PoolContext
from tests.netmem.census import assert_conserved

PAGES = 16


class Freed:
    """The bindings whose dma-buf was freed."""

    def __init__(self) -> None:
        self.bindings: list[Binding] = []

    def __call__(self, binding: Binding) -> None:
        self.bindings.append(binding)


def rx(freed: Freed, niov_size: int = 4096) -> RxBinding:
    return RxBinding(3, 2, dmabuf.export(PAGES * 4096), freed, niov_size)


def tx(freed: Freed, size: int = PAGES * 4096) -> TxBinding:
    return TxBinding(4, 2, dmabuf.export(size), freed)


def gone(region: Region) -> bool:
    return region.fd == -1


# --- rx


def test_an_unused_binding_is_freed_once_at_unbind() -> None:
    freed = Freed()
    binding = rx(freed)
    binding.unbind()
    binding.unbind()
    assert freed.bindings == [binding]
    assert gone(binding.region)
    assert not binding.bound


@pytest.mark.parametrize("niov_size", [4096, 8192, 65536])
def test_net_iovs_carry_the_id_and_the_size_of_the_binding(niov_size: int) -> None:
    freed = Freed()
    binding = rx(freed, niov_size)
    assert binding.provider.total == binding.region.size // niov_size
    pool = binding.page_pool(64, PoolContext())
    netmem = pool.alloc_netmem()
    assert netmem is not None
    assert (netmem.dmabuf_id, netmem.size, netmem.region) == (3, niov_size, binding.region)


def test_the_dma_buf_is_freed_after_its_last_pool_and_netmem() -> None:
    freed = Freed()
    binding = rx(freed)
    pools = [binding.page_pool(64, PoolContext()), binding.page_pool(64, PoolContext())]
    held = [netmem for pool in pools for netmem in (pool.alloc_netmem(), pool.alloc_netmem()) if netmem]
    held[0].put()  # goes to the ring of the first pool
    binding.unbind()
    pools[0].destroy()
    assert freed.bindings == []
    pools[1].destroy()
    assert [pool.inflight for pool in pools] == [1, 2]
    assert_conserved(binding.provider, pools, held=held[1:])
    for netmem in held[1:]:
        assert not gone(binding.region)
        assert freed.bindings == []
        netmem.put()
    assert freed.bindings == [binding]
    assert gone(binding.region)


def test_a_drained_pool_does_not_free_a_bound_binding() -> None:
    freed = Freed()
    binding = rx(freed)
    pool = binding.page_pool(64, PoolContext())
    pool.destroy()
    assert freed.bindings == []
    assert binding.page_pool(64, PoolContext()).alloc_netmem() is not None


# --- tx


def test_packets_in_flight_keep_the_dma_buf() -> None:
    freed = Freed()
    binding = tx(freed)
    first, second = binding.netmem(), binding.netmem()
    binding.unbind()
    first.put()
    assert freed.bindings == []
    assert not gone(binding.region)
    second.put()
    assert freed.bindings == [binding]
    assert gone(binding.region)


def test_an_idle_binding_can_send_again() -> None:
    freed = Freed()
    binding = tx(freed)
    for _ in range(3):
        netmem: Netmem = binding.netmem()
        netmem.get()
        netmem.put()
        netmem.put()
        assert freed.bindings == []
    binding.unbind()
    assert freed.bindings == [binding]


def test_one_put_too_many_of_a_tx_netmem_raises() -> None:
    netmem = tx(Freed()).netmem()
    netmem.put()
    with pytest.raises(RuntimeError, match="put more often than taken"):
        netmem.put()


@pytest.mark.parametrize(("size", "sendable"), [(1, 0), (4095, 0), (4097, 4096), (8192, 8192)])
def test_what_lies_behind_the_last_whole_page_cannot_be_sent(size: int, sendable: int) -> None:
    binding = tx(Freed(), size)
    assert binding.sendable_bytes == sendable
    binding.unbind()
