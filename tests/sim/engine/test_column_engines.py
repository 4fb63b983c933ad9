"""Do columns take the time that a walk cycle by cycle says, and does every cycle have its cause?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siloom.sim.engine.column_engines import CAUSES, DENSER, NONE, SPARSER, Product, even_cycles, run_columns
from siloom.sim.engine.column_engines_reference import run_columns_reference
from siloom.sim.errors import InputError

cycles = st.integers(0, 5)


@st.composite
def products(draw: st.DrawFn) -> list[Product]:
    """Up to four products of up to seven items."""
    out = []
    for _ in range(draw(st.integers(0, 4))):
        items = draw(st.integers(0, 7))
        load, decode, work = (
            np.array(draw(st.lists(cycles, min_size=items, max_size=items)), np.int64) for _ in range(3)
        )
        engine = np.array(draw(st.lists(st.integers(0, 2), min_size=items, max_size=items)), np.int64)
        work[engine == NONE] = 0
        out.append(
            Product(
                load,
                decode,
                work,
                engine,
                draw(st.integers(1, 3)),
                draw(st.integers(1, 3)),
                draw(cycles),
                draw(cycles),
                draw(cycles),
            )
        )
    return out


@settings(max_examples=150, deadline=None)
@given(products(), st.integers(1, 4))
def test_ends_are_those_of_a_walk_cycle_by_cycle_and_causes_add_up(many: list[Product], held: int) -> None:
    run = run_columns(many, held)
    ends, makespan = run_columns_reference(many, held)
    assert run.ends.tolist() == ends
    assert run.makespan == makespan
    assert int(run.causes.sum()) == makespan
    assert (run.causes >= 0).all()
    assert np.array_equal(run.causes.sum(axis=1)[:-1], np.diff(run.ends, prepend=0)[:-1])


def test_rows_that_are_done_together_leave_one_after_another() -> None:
    # Three rows at once by the denser engine at 4; then a row alone at 2 and one of the three again at 9.
    work, engine = np.array([4, 2, 7]), np.array([DENSER, SPARSER, SPARSER])
    nothing = np.zeros(3, np.int64)
    for row, late in (([0, 3, 1], 0), ([-1, -1, -1], 0), ([0, 3, 3], 0)):
        product = Product(nothing, nothing, work, engine, 3, 1, drain=5, rows=4, row=np.array(row))
        assert run_columns([product]).makespan == 9 + 5 + late
    together = Product(nothing[:1], nothing[:1], work[:1], engine[:1], 3, 0, drain=5, rows=3, row=np.array([0]))
    assert run_columns([together]).makespan == 4 + 5 + 2
    assert run_columns([together, together]).makespan == 8 + 5 + 2


def test_lines_are_told_in_the_order_in_which_they_become_free() -> None:
    nothing, work = np.zeros(5, np.int64), np.array([3, 1, 1, 2, 9])
    engine = np.array([SPARSER, SPARSER, SPARSER, SPARSER, DENSER])
    assert run_columns([Product(nothing, nothing, work, engine, 1, 2)]).lines.tolist() == [0, 1, 1, 1, -1]


@settings(max_examples=100, deadline=None)
@given(products())
def test_no_product_beats_its_work_spread_evenly_nor_the_port_its_bytes(many: list[Product]) -> None:
    run = run_columns(many)
    for at, product in enumerate(many):
        share = int(np.diff(run.ends, prepend=0)[at])
        assert share >= even_cycles(product)[1] + product.between
    assert run.makespan >= sum(int(p.load.sum()) + p.store for p in many)
    assert run.makespan >= sum(int(p.decode.sum()) for p in many[-1:])


@settings(max_examples=100, deadline=None)
@given(products(), st.integers(1, 3))
def test_more_lines_or_faster_loads_and_decodes_are_never_slower(many: list[Product], more: int) -> None:
    before = run_columns(many).makespan
    assert run_columns([replace(p, sparser=p.sparser + more) for p in many]).makespan <= before
    assert run_columns([replace(p, load=p.load // 2) for p in many]).makespan <= before
    assert run_columns([replace(p, decode=p.decode // 2) for p in many]).makespan <= before
    assert run_columns([replace(p, store=p.store // 2) for p in many]).makespan <= before
    assert run_columns(many, 2 + more).makespan <= before


def whole(**changes: object) -> Product:
    """Three columns for the sparser engine and one for the denser."""
    nothing = np.zeros(4, np.int64)
    base = Product(nothing, nothing, np.array([4, 1, 1, 6]), np.array([DENSER, SPARSER, SPARSER, SPARSER]), 2, 2)
    return replace(base, **changes)  # type: ignore[arg-type]


def test_causes_name_what_they_are() -> None:
    def of(product: Product) -> dict[str, int]:
        return {name: n for name, n in zip(CAUSES, run_columns([product]).causes[0].tolist(), strict=True) if n}

    # 4 cycles of two lines and 8 of one are 4 of all four; a line of the sparser engine has 7 to do.
    assert of(whole()) == {"compute": 4, "imbalance": 3}
    assert of(whole(work=np.array([4, 6, 6, 6]))) == {"compute": 7, "split": 2, "imbalance": 3}
    assert of(whole(decode=np.array([5, 0, 0, 0]))) == {"compute": 4, "imbalance": 3, "decode": 5}
    assert of(whole(load=np.array([5, 0, 0, 0]), store=2, between=1)) == {
        "compute": 4, "imbalance": 3, "between": 1, "memory": 6,
    }  # fmt: skip


def test_operands_of_the_next_product_come_while_this_one_is_worked_on_but_not_those_of_the_one_after() -> None:
    load = np.array([10])
    one = Product(load, np.array([0]), np.array([10]), np.array([DENSER]), 1, 0)
    assert run_columns([one] * 3).ends.tolist() == [20, 30, 40]
    slow = replace(one, load=np.array([2]), work=np.array([10]))
    assert run_columns([slow] * 3).ends.tolist() == [12, 22, 32]
    # The third one's operands are fetched from cycle 12 on, when the first one's are no longer needed.
    third = replace(one, load=np.array([15]))
    assert run_columns([slow, slow, third]).ends.tolist() == [12, 22, 37]


def test_lines_and_lengths_are_checked() -> None:
    with pytest.raises(InputError, match="column engines: product 0: sparser must be 1 to 4096 lines, got 0"):
        run_columns([whole(sparser=0)])
    with pytest.raises(InputError, match="column engines: product 1: work must have shape 4"):
        run_columns([whole(), whole(work=np.zeros(3, np.int64))])
    with pytest.raises(InputError, match="must not be negative"):
        run_columns([whole(load=np.array([-1, 0, 0, 0]))])
    with pytest.raises(InputError, match="held must be at least 1 product, got 0"):
        run_columns([whole()], 0)
    with pytest.raises(InputError, match="store must be at least 0, got -1"):
        run_columns([whole(store=-1)])
