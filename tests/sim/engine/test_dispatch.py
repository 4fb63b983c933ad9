"""Does dispatch give every item its server and its cycle as the rules say, within the closed forms?"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siloom.sim.engine.dispatch import (
    MAX_SERVERS,
    OPEN,
    Port,
    Schedule,
    greedy,
    least_makespan,
    most_makespan,
    round_robin,
    static_blocks,
    unlimited,
)
from siloom.sim.engine.dispatch_reference import fixed_reference, greedy_reference
from siloom.sim.errors import InputError

POLICIES = (greedy, static_blocks, round_robin)
policy = pytest.mark.parametrize("policy", POLICIES)
fixed_seed = settings(derandomize=True, deadline=None, max_examples=200)


class Case(NamedTuple):
    service: np.ndarray
    servers: int
    release: np.ndarray
    port: Port


@st.composite
def cases(draw: st.DrawFn, most_items: int = 14, most_cycles: int = 6) -> Case:
    items = draw(st.integers(0, most_items))
    service = [draw(st.integers(0, most_cycles)) for _ in range(items)]
    release = [draw(st.integers(0, 12)) for _ in range(items)]
    port = Port(draw(st.integers(1, 4)), draw(st.integers(0, 4)))
    return Case(np.array(service, np.int64), draw(st.integers(1, 6)), np.array(release, np.int64), port)


def assigned(choose: Callable[..., Schedule], items: int, servers: int) -> list[int]:
    """Who gets which item, by the words of the rule."""
    if choose is round_robin:
        return [i % servers for i in range(items)]
    return [server for server, block in enumerate(np.array_split(range(items), servers)) for _ in block]


@fixed_seed
@given(cases())
def test_greedy_equals_the_cycle_by_cycle_reference(case: Case) -> None:
    schedule = greedy(*case)
    start, server = greedy_reference(case.service.tolist(), case.servers, case.release.tolist(), *case.port)
    assert schedule.start.tolist() == start
    assert schedule.server.tolist() == server


@pytest.mark.parametrize("choose", [static_blocks, round_robin])
@fixed_seed
@given(case=cases())
def test_own_queues_equal_the_cycle_by_cycle_reference(choose: Callable[..., Schedule], case: Case) -> None:
    schedule = choose(*case)
    who = assigned(choose, len(case.service), case.servers)
    assert schedule.server.tolist() == who
    assert schedule.start.tolist() == fixed_reference(case.service.tolist(), who, case.release.tolist(), *case.port)


@policy
@fixed_seed
@given(case=cases())
def test_a_schedule_is_possible(policy: Callable[..., Schedule], case: Case) -> None:
    schedule = policy(*case)
    assert (schedule.finish - schedule.start == case.service).all()
    assert (schedule.start >= case.release).all()
    assert schedule.makespan == max(schedule.finish, default=0)
    for server in range(case.servers):
        own = schedule.server == server
        assert schedule.busy[server] == case.service[own].sum() <= schedule.makespan
        assert (schedule.start[own][1:] >= schedule.finish[own][:-1]).all(), "two items at once"
    starts = np.sort(schedule.start)
    through = case.port.starts
    assert (starts[through:] - starts[:-through] >= case.port.cycles).all(), "too many through the port"


@policy
@fixed_seed
@given(case=cases(most_cycles=40))
def test_makespan_is_at_least_the_closed_form(policy: Callable[..., Schedule], case: Case) -> None:
    schedule = policy(*case)
    assert schedule.makespan >= least_makespan(case.service, case.servers, case.release, case.port)
    assert schedule.makespan >= max(case.service, default=0)
    assert schedule.makespan >= -(-int(case.service.sum()) // case.servers)
    assert schedule.makespan >= unlimited(case.service, np.zeros_like(case.release)).makespan


@fixed_seed
@given(cases(most_cycles=40))
def test_greedy_is_at_most_the_closed_form(case: Case) -> None:
    assert greedy(*case).makespan <= most_makespan(*case)


@pytest.mark.parametrize("choose", [static_blocks, round_robin])
@fixed_seed
@given(case=cases())
def test_own_queues_fall_behind_only_while_the_port_is_full(choose: Callable[..., Schedule], case: Case) -> None:
    alone = choose(case.service, case.servers, case.release).makespan
    full = -(-max(len(case.service) - 1, 0) // case.port.starts) * case.port.cycles
    assert alone <= choose(*case).makespan <= alone + full


@fixed_seed
@given(cases(most_items=6, most_cycles=9))
def test_greedy_is_at_most_grahams_factor_above_the_optimum(case: Case) -> None:
    servers = min(case.servers, 3)
    loads = (
        np.bincount(who, weights=case.service, minlength=servers).max() if len(who) else 0
        for who in product(range(servers), repeat=len(case.service))
    )
    assert greedy(case.service, servers).makespan * servers <= (2 * servers - 1) * min(loads)


@fixed_seed
@given(cases())
def test_an_open_port_and_items_free_from_the_start_are_the_defaults(case: Case) -> None:
    for choose in POLICIES:
        plain = choose(case.service, case.servers)
        spelt = choose(case.service, case.servers, np.zeros_like(case.release), OPEN)
        never_full = choose(case.service, case.servers, None, Port(len(case.service) + 1, 9))
        assert plain.start.tolist() == spelt.start.tolist() == never_full.start.tolist()
        assert plain.server.tolist() == spelt.server.tolist()


@fixed_seed
@given(cases())
def test_unlimited_equals_greedy_with_a_server_for_every_item(case: Case) -> None:
    ideal = unlimited(case.service, case.release)
    enough = greedy(case.service, max(len(case.service), 1), case.release)
    assert ideal.start.tolist() == enough.start.tolist()
    assert ideal.makespan == enough.makespan
    assert ideal.server.tolist() == list(range(len(case.service)))


@fixed_seed
@given(st.integers(0, 40), st.integers(0, 9), st.integers(1, 9))
def test_equal_items_go_in_turn_under_every_rule_of_one_length(items: int, cycles: int, servers: int) -> None:
    service = np.full(items, cycles)
    rounds = -(-items // servers)
    assert {choose(service, servers).makespan for choose in POLICIES} == {rounds * cycles}


def test_greedy_takes_the_server_free_for_longest_and_the_lowest_of_equals() -> None:
    schedule = greedy([5, 2, 2, 1, 4], 3)
    assert schedule.server.tolist() == [0, 1, 2, 1, 2]
    assert schedule.start.tolist() == [0, 0, 0, 2, 2]
    assert schedule.busy.tolist() == [5, 3, 6]


def test_the_heads_release_holds_up_the_one_queue_but_not_the_other_servers_queues() -> None:
    service, release = [1, 1, 1, 1], [9, 0, 0, 0]
    assert greedy(service, 2, release).start.tolist() == [9, 9, 10, 10]
    assert round_robin(service, 2, release).start.tolist() == [9, 0, 10, 1]


def test_blocks_differ_by_at_most_one_item_and_the_first_are_larger() -> None:
    assert static_blocks(np.ones(7, np.int64), 3).server.tolist() == [0, 0, 0, 1, 1, 2, 2]


def test_servers_wait_at_the_port_in_the_order_they_came() -> None:
    """Servers 1 and 2 are ready at 1, server 0 at 3: one start every 4 cycles, from cycle 1 on."""
    schedule = round_robin([9, 9, 9], 3, [3, 1, 1], Port(1, 4))
    assert schedule.start.tolist() == [9, 1, 5]


@policy
def test_no_items_take_no_cycles(policy: Callable[..., Schedule]) -> None:
    schedule = policy([], 3, [], Port(2, 2))
    assert (schedule.makespan, len(schedule.start), schedule.busy.tolist()) == (0, 0, [0, 0, 0])


@policy
def test_cycles_near_the_limit_do_not_wrap(policy: Callable[..., Schedule]) -> None:
    assert policy([2**60, 2**60, 2**60], 1).makespan == 3 * 2**60


@policy
def test_many_servers_are_numbered_exactly(policy: Callable[..., Schedule]) -> None:
    schedule = policy(np.full(MAX_SERVERS, 2**40), MAX_SERVERS, None, Port(MAX_SERVERS, 1))
    assert schedule.server.tolist() == list(range(MAX_SERVERS))
    assert schedule.makespan == 2**40


@pytest.mark.parametrize("policy", [greedy, round_robin])
def test_a_time_that_leaves_no_room_for_the_servers_number_is_refused(policy: Callable[..., Schedule]) -> None:
    """1024 servers take 10 of the 62 bits."""
    port = Port(4, 1)
    assert policy([5, 5], 1024, [2**52 - 7, 2**52 - 7], port).start.tolist() == [2**52 - 7] * 2
    with pytest.raises(InputError, match=f"the run may take {2**52} cycles, it must stay below {2**52}$"):
        policy([5, 5], 1024, [2**52 - 6, 2**52 - 6], port)


BAD = {
    "dispatch: service[1] must not be negative, got -3": ([1, -3], 2, None, OPEN),
    "dispatch: service[0] must be below 2^62, got 4611686018427387904": ([2**62], 2, None, OPEN),
    "dispatch: service must hold whole numbers below 2^62, got float64": ([0.5], 2, None, OPEN),
    "dispatch: service must have shape any, got one number": (7, 2, None, OPEN),
    "dispatch: release must have shape 2, got 1": ([1, 1], 2, [0], OPEN),
    "dispatch: servers must be 1 to 1048576, got 0": ([1], 0, None, OPEN),
    "dispatch: servers must be 1 to 1048576, got 1048577": ([1], 2**20 + 1, None, OPEN),
    "dispatch: port.starts must be at least 1 and below 2^62, got 0": ([1], 1, None, Port(0, 1)),
    "dispatch: port.cycles must be at least 0 and below 2^62, got -1": ([1], 1, None, Port(1, -1)),
    "dispatch: the run may take": ([2**61, 2**61], 1, None, OPEN),
    "dispatch: the run may take ": ([1, 1], 2, [0, 2**62 - 2], Port(1, 1)),
}


@policy
@pytest.mark.parametrize("message", BAD)
def test_refuses_with_field_rule_and_value(policy: Callable[..., Schedule], message: str) -> None:
    with pytest.raises(InputError) as caught:
        policy(*BAD[message])
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
