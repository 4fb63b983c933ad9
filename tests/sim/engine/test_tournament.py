"""Is the root always the next server, and a free place always free?"""

from __future__ import annotations

import heapq

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siloom.sim.engine.tournament import NEVER, bits_for, free_slot, new_tree, replace


@pytest.mark.parametrize(("servers", "bits"), [(1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (128, 7), (129, 8)])
def test_bits_number_the_servers(servers: int, bits: int) -> None:
    assert bits_for(servers) == bits


@given(st.integers(1, 37), st.lists(st.integers(0, 9), max_size=120))
@settings(max_examples=60, deadline=None)
def test_pops_in_the_order_of_a_heap_with_ties_to_the_lowest_number(servers: int, delays: list[int]) -> None:
    bits = bits_for(servers)
    tree = new_tree(servers, bits)
    heap = [(0, server) for server in range(servers)]
    for delay in delays:
        now, server = heapq.heappop(heap)
        assert (tree[1] >> bits, tree[1] & ((1 << bits) - 1)) == (now, server)
        heapq.heappush(heap, (now + delay, server))
        replace(tree, bits, server, now + delay)


def test_servers_that_are_done_never_come_back() -> None:
    bits = bits_for(5)
    tree = new_tree(5, bits)
    for server in range(5):
        assert tree[1] >> bits == 0
        replace(tree, bits, server, NEVER)
    assert tree[1] >> bits == NEVER


def test_times_up_to_never_keep_their_order_beside_the_most_servers() -> None:
    bits = bits_for(256 * 64)
    tree = new_tree(256 * 64, bits)
    for server in range(256 * 64):
        replace(tree, bits, server, NEVER)
    replace(tree, bits, 7, NEVER - 1)
    assert (tree[1] >> bits, tree[1] & ((1 << bits) - 1)) == (NEVER - 1, 7)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=8), st.integers(0, 7), st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_free_slot_is_free_or_the_earliest(until: list[int], hint: int, now: int) -> None:
    place = free_slot(np.array([[99] * len(until), until], np.int64), 1, hint % len(until), now)
    if min(until) <= now:
        assert until[place] <= now
        assert place >= 0
    else:
        assert until[-1 - place] == min(until)
