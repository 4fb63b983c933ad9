"""Does every tile go through the FIFO when the rules say, and does every cycle have its cause?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siloom.sim.engine.weight_fifo import Block, Cause, Kind, WeightFifo, run_blocks
from siloom.sim.engine.weight_fifo_reference import reference
from siloom.sim.errors import InputError

fixed_seed = settings(derandomize=True, deadline=None, max_examples=200)
TPU = WeightFifo(depth=4, fetch=1349.27, shift=256, array_latency=512, activation_latency=32)


@st.composite
def programs(draw: st.DrawFn, most: int = 9) -> list[Block]:
    blocks: list[Block] = []
    for _ in range(draw(st.integers(1, 5))):
        if draw(st.integers(0, 3)) == 0:
            kind = draw(st.sampled_from([Kind.VECTOR, Kind.HOST, Kind.STORE]))
            blocks.append(Block(kind=kind, delay=draw(st.integers(0, 12))))
            continue
        tiles = draw(st.integers(1, 4))
        block = Block(
            groups=draw(st.integers(1, 30 if tiles == 1 else 5)),
            held=draw(st.integers(1, 20)) if tiles == 1 else 1,
            tiles=tiles,
            rows=draw(st.integers(1, most)),
            drain=draw(st.integers(0, most)),
            waits=draw(st.booleans()) or bool(blocks and blocks[-1].kind != Kind.MATRIX),
        )
        blocks.append(block)
    return blocks


hardware = st.tuples(
    st.integers(1, 4), st.integers(0, 9), st.integers(0, 6), st.integers(0, 5), st.integers(0, 4)
)  # depth, fetch, shift, array latency, activation latency


@fixed_seed
@given(hardware, programs())
def test_equals_the_cycle_by_cycle_reference(sizes: tuple[int, int, int, int, int], blocks: list[Block]) -> None:
    run = run_blocks(WeightFifo(*sizes), blocks)
    finish, causes = reference(*sizes, blocks)
    assert run.finish.tolist() == finish
    assert run.causes.sum(axis=0).tolist() == causes


@fixed_seed
@given(hardware, programs())
def test_causes_add_up_wherever_a_block_waits(sizes: tuple[int, int, int, int, int], blocks: list[Block]) -> None:
    run = run_blocks(WeightFifo(*sizes), blocks)
    upto = run.causes.sum(axis=1).cumsum()
    for b in range(len(blocks)):
        last = b == len(blocks) - 1
        if last or blocks[b + 1].waits or blocks[b + 1].kind != Kind.MATRIX:
            assert upto[b] == run.finish[b]
    assert run.causes[:, Cause.ACTIVE].tolist() == [b.groups * b.tiles * b.rows for b in blocks]


@fixed_seed
@given(st.data(), hardware, programs())
def test_no_resource_slows_a_run_by_getting_better(
    data: st.DataObject, sizes: tuple[int, int, int, int, int], blocks: list[Block]
) -> None:
    fifo = WeightFifo(*sizes)
    field = data.draw(st.sampled_from(["fetch", "shift", "array_latency", "activation_latency"]))
    quicker = replace(fifo, **{field: getattr(fifo, field) / 2})
    deeper = replace(fifo, depth=fifo.depth + 1)
    for better in (quicker, deeper):
        assert (run_blocks(better, blocks).finish <= run_blocks(fifo, blocks).finish).all()


@pytest.mark.parametrize(("tiles", "held"), [(1, 1), (1, 7), (1, 40), (3, 1), (9, 1)])
@pytest.mark.parametrize(("fetch", "rows", "drain"), [(1349.27, 96, 96), (1349.27, 1444, 1444), (700.3, 700, 2000)])
def test_long_blocks_leap_to_where_stepping_goes(tiles: int, held: int, fetch: float, rows: int, drain: int) -> None:
    fifo = replace(TPU, fetch=fetch)
    piece = -(-40 // held) * held
    long = Block(groups=50 * piece, held=held, tiles=tiles, rows=rows, drain=drain, waits=True)
    # Pieces below the length at which the engine looks for periods, joined without a barrier.
    steps = [replace(long, groups=piece, waits=False)] * 50
    leapt, stepped = run_blocks(fifo, [long]), run_blocks(fifo, steps)
    assert leapt.finish[-1] == pytest.approx(stepped.finish[-1], abs=0.01)
    assert leapt.causes.sum(axis=0) == pytest.approx(stepped.causes.sum(axis=0), abs=0.01)


def test_closed_forms_of_the_extremes() -> None:
    # Bound by the fetch: n tiles come in n fetches, the last is shifted, used and drained.
    few = Block(groups=10, tiles=9, rows=96, drain=96)
    assert run_blocks(TPU, [few]).finish[-1] == pytest.approx(90 * 1349.27 + 256 + 96 + 512 + 96 + 32)
    # Bound by the array: it never waits after the first tile.
    many = Block(groups=10, tiles=9, rows=2048, drain=2048)
    assert run_blocks(TPU, [many]).finish[-1] == pytest.approx(1349.27 + 256 + 90 * 2048 + 512 + 2048 + 32)
    # Bound by the shift, memory costing nothing.
    free = replace(TPU, fetch=0.0)
    assert run_blocks(free, [few]).finish[-1] == pytest.approx(90 * 256 + 96 + 512 + 96 + 32)
    # Bound by the activation unit: it drains one half after the other.
    slow = Block(groups=10, tiles=1, rows=100, drain=5000)
    assert run_blocks(free, [slow]).finish[-1] == pytest.approx(256 + 100 + 512 + 10 * 5000 + 32)


def test_a_full_fifo_hides_a_wait_of_its_own_depth() -> None:
    """During a host transfer depth + 1 tiles are fetched: the FIFO's, and one shifted into the array."""
    wait = Block(kind=Kind.HOST, delay=100_000)
    work = Block(groups=1, tiles=12, rows=96, drain=96, waits=True)
    run = run_blocks(TPU, [wait, work])
    # The tile at the array's door and four behind it are there; the other seven are fetched from then on,
    # the first of them as soon as the door's tile has left its place in the FIFO, which is when it was shifted.
    begun = 100_000
    assert run.finish[0] == begun
    after = run.finish[1] - begun
    assert after < 8 * 1349.27
    assert after > 6 * 1349.27
    assert run.causes[0, Cause.HOST] == pytest.approx(begun - 1349.27 - 256)


def test_weights_are_not_fetched_before_they_are_stored() -> None:
    blocks = [Block(kind=Kind.STORE, delay=5000), Block(groups=1, tiles=1, rows=10, waits=True)]
    assert run_blocks(TPU, blocks).finish[-1] == pytest.approx(5000 + 1349.27 + 256 + 10 + 512 + 32)
    vector = [replace(blocks[0], kind=Kind.VECTOR), blocks[1]]
    assert run_blocks(TPU, vector).finish[-1] == pytest.approx(5000 + 10 + 512 + 32)


def test_a_run_of_half_a_billion_tiles_is_quick_and_exact() -> None:
    run = run_blocks(TPU, [Block(groups=10**7, tiles=50, rows=96, drain=96)])
    assert run.finish[-1] == pytest.approx(5 * 10**8 * 1349.27 + 256 + 96 + 512 + 96 + 32, rel=1e-12)
    assert run.causes.sum() == pytest.approx(run.finish[-1], rel=1e-12)


def test_a_tile_that_stays_for_half_a_trillion_groups_is_quick_and_exact() -> None:
    """Two halves that drain in 2012 cycles each, 512 behind: a pair of groups takes 4012 cycles, not 4000."""
    run = run_blocks(TPU, [Block(groups=2**39, held=2**39, tiles=1, rows=2000, drain=1500)])
    assert run.finish[-1] == pytest.approx(2**38 * 4012, rel=1e-9)
    assert run.causes.sum() == pytest.approx(run.finish[-1], rel=1e-12)


def test_nothing_to_do_takes_no_time() -> None:
    assert run_blocks(TPU, []).finish.tolist() == []
    run = run_blocks(TPU, [Block(kind=Kind.VECTOR)])
    assert run.finish.tolist() == [0.0]
    assert np.array_equal(run.causes, np.zeros((1, len(Cause))))


@pytest.mark.parametrize(
    ("make", "rule"),
    [
        (lambda: Block(groups=0, tiles=1, rows=1), "groups must be at least 1, got 0"),
        (lambda: Block(groups=1, tiles=1, rows=0), "rows must be at least 1, got 0"),
        (lambda: Block(kind=Kind.HOST, delay=-1), "delay must be at least 0, got -1"),
        (lambda: Block(groups=1, tiles=2, rows=1, held=2), "held only where a group has one, got 2"),
        (lambda: replace(TPU, depth=0), "depth must be at least 1, got 0"),
        (lambda: replace(TPU, fetch=-1.0), "fetch must be 0 to 2^53 cycles, got -1.0"),
        (lambda: replace(TPU, shift=float("nan")), "shift must be 0 to 2^53 cycles, got nan"),
        (
            lambda: run_blocks(TPU, [Block(kind=Kind.HOST, delay=1), Block(groups=1, tiles=1, rows=1)]),
            "matrix work after other work must wait",
        ),
        (lambda: run_blocks(TPU, [Block(groups=2**40, tiles=1, rows=2**20)]), "must stay below 2^53"),
    ],
)
def test_what_cannot_be_is_refused(make, rule: str) -> None:
    with pytest.raises(InputError, match=r"^weight FIFO: ") as caught:
        make()
    assert rule in str(caught.value)
