"""Do the closed forms, the schedule and its shortcuts agree with registers, plain folds and SCALE-Sim's own runs?"""

from __future__ import annotations

import csv
import math
from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siloom.sim.engine.systolic import (
    DATAFLOWS,
    OUTCOME,
    STALLS,
    Jobs,
    array_cycles,
    axis_at,
    jobs,
    run_gemms,
    scalesim_cycles,
)
from siloom.sim.engine.systolic_cells import fold_list, multiply
from siloom.sim.engine.systolic_reference import Case, run_reference
from siloom.sim.errors import InfeasibleError, InputError

PORT = ("a_read", "b_read", "sum_read", "sum_write", "c_write")


def random_shapes(rng, count, largest):
    return {
        "dataflow": rng.integers(0, 3, count),
        "rows": 2 ** rng.integers(1, 8, count),
        "cols": 2 ** rng.integers(1, 8, count),
        **{name: rng.integers(1, largest, count) for name in "mnk"},
    }


# SCALE-Sim


def test_every_stall_free_run_of_scalesim_is_equal_to_the_digit(shared_data):
    with (shared_data / "scalesim_cycles.csv").open() as file:
        rows = [r for r in csv.DictReader(file) if r["stall_cycles"] == "0" and r["status"] == "ok"]
    assert len(rows) == 153
    assert {r["dataflow"] for r in rows} == set(DATAFLOWS)
    sizes = ([int(r[name]) for r in rows] for name in ("rows", "cols", "M", "N", "K"))
    counts = scalesim_cycles([r["dataflow"] for r in rows], *sizes)
    columns = ("total_cycles", "ifmap_sram_reads", "filter_sram_reads", "ofmap_sram_writes")
    for got, column in zip(counts, columns, strict=True):
        assert got.tolist() == [int(r[column]) for r in rows], column


def test_scalesim_by_hand():
    # 24 x 24 folds of 2 x 32 + 32 + 128 - 2 cycles, counted from 0.
    assert scalesim_cycles("ws", 32, 32, 128, 768, 768).cycles == 24 * 24 * 222 - 1 == 127871
    # The 4 x 4 case of which an open report says 9 where hardware takes 10.
    assert scalesim_cycles("os", 4, 4, 4, 4, 4).cycles == 9


# The array by itself


@st.composite
def small_products(draw):
    m, n, k = (draw(st.integers(1, 13)) for _ in range(3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    # No zeros: a product missed or taken twice shows.
    a, b = rng.integers(1, 100, (m, k)), rng.integers(1, 100, (k, n))
    return draw(st.sampled_from(DATAFLOWS)), draw(st.integers(1, 6)), draw(st.integers(1, 6)), a, b, draw(st.booleans())


@settings(max_examples=150, deadline=None)
@given(small_products())
def test_registers_give_the_product_in_the_cycles_of_the_closed_form(case):
    dataflow, rows, cols, a, b, double = case
    ran = multiply(dataflow, rows, cols, a, b, double=double)
    assert (ran.product == a @ b).all()
    assert ran.cycles == array_cycles(dataflow, rows, cols, a.shape[0], b.shape[1], a.shape[1], double=double)


@settings(max_examples=150, deadline=None)
@given(small_products(), st.data())
def test_no_fold_can_begin_a_cycle_earlier(case, data):
    dataflow, rows, cols, a, b, double = case
    folds = fold_list(dataflow, rows, cols, a.shape[0], b.shape[1], a.shape[1], double)
    if len(folds) == 1:
        return
    at = data.draw(st.integers(1, len(folds) - 1))
    early = folds[:at] + [f._replace(begin=f.begin - 1) for f in folds[at:]]
    try:
        product = multiply(dataflow, rows, cols, a, b, double=double, folds=early).product
    except ValueError as collision:
        assert "want lane" in str(collision)
    else:
        assert (product != a @ b).any()


@pytest.mark.parametrize("dataflow", DATAFLOWS)
def test_a_batch_takes_as_long_as_its_folds_in_one_row(dataflow):
    # A batch of 3 along the axis that lies on the columns is one product three times as wide.
    m, n, k = {"os": (5, 4, 9), "ws": (9, 4, 5), "is": (4, 9, 5)}[dataflow]
    wide = {"m": 3 * m, "n": n, "k": k} if dataflow == "is" else {"m": m, "n": 3 * n, "k": k}
    assert array_cycles(dataflow, 2, 4, m, n, k, batch=3) == array_cycles(dataflow, 2, 4, **wide)


def test_the_closed_form_by_hand():
    # One full output-stationary fold: the first operand in cycle 0, 4 + 4 + 4 - 2 cycles to the last product,
    # 4 to shift out.
    assert array_cycles("os", 4, 4, 4, 4, 4) == 14
    # One cell: a weight comes in, an operand is multiplied, the sum stands at the edge.
    assert array_cycles("ws", 1, 1, 1, 1, 1) == 3
    assert array_cycles("os", 1, 1, 1, 1, 1) == 2


def test_the_closed_form_never_beats_the_cells_nor_the_work():
    shapes = random_shapes(np.random.default_rng(3), 2000, 500)
    cycles = array_cycles(**shapes)
    assert (cycles * shapes["rows"] * shapes["cols"] >= shapes["m"] * shapes["n"] * shapes["k"]).all()
    assert (array_cycles(**shapes, double=False) >= cycles).all()


# The schedule with memory


def random_job(rng):
    dataflow = str(rng.choice(DATAFLOWS))
    rows, cols = (int(x) for x in 2 ** rng.integers(1, 5, 2))
    m, n, k = (int(x) for x in rng.integers(1, 50, 3))
    least = {"os": (rows, cols, rows * cols), "ws": (rows, rows * cols, cols), "is": (rows * cols, rows, cols)}
    rooms = [
        int(2 * size * width * rng.uniform(1, 8)) + 1 for size, width in zip(least[dataflow], (1, 1, 4), strict=True)
    ]
    shape = {"dataflow": dataflow, "rows": rows, "cols": cols, "m": m, "n": n, "k": k}
    shape |= {"batch": int(rng.integers(1, 4)), "double": bool(rng.integers(2)), "latency": int(rng.integers(0, 50))}
    shape["stages"] = int(rng.integers(0, 4))
    shape["bytes_per_cycle"] = float(rng.choice([math.inf, 0.7, 3.0, 20.0]))
    shape["write_costs"] = ((1.0,), (1.0, 1.5, 1.2), (1.0, 1.1, 1.25, 1.3, 1.1))[rng.integers(3)]
    return shape, dict(zip(("ifmap_bytes", "filter_bytes", "ofmap_bytes"), rooms, strict=True))


def test_the_schedule_equals_the_plain_reference_fold_by_fold():
    rng = np.random.default_rng(5)
    for _ in range(100):
        shape, rooms = random_job(rng)
        got = {name: int(column[0]) for name, column in run_gemms(jobs(**shape, **rooms)).items()}
        order = "".join("mnk"[axis_at(got["order"], level)] for level in range(3))
        expected = run_reference(Case(**shape, blocks=(got["mb"], got["nb"], got["kb"]), order=order))
        assert {name: got[name] for name in expected} == expected, (shape, rooms)


def memory_jobs(count, seed, **more):
    shapes = random_shapes(np.random.default_rng(seed), count, 3000)
    return shapes, jobs(
        **shapes, batch=np.arange(count) % 5 + 1, ifmap_bytes=2**17, filter_bytes=2**17, ofmap_bytes=2**18, **more
    )


@pytest.mark.parametrize("rate", [math.inf, 2.0, 60.0])
def test_adding_equal_rounds_at_once_changes_nothing(rate):
    _, work = memory_jobs(300, 7, bytes_per_cycle=rate, latency=77)
    quick, slow = run_gemms(work), run_gemms(work, skip=False)
    assert slow["steps"].max() > 1000 > 10 * quick["steps"].mean()
    for name in OUTCOME:
        if name != "steps":
            assert (quick[name] == slow[name]).all(), name


@pytest.mark.parametrize("rate", [math.inf, 2.0, 60.0])
def test_every_cycle_has_one_cause_and_no_bound_is_beaten(rate):
    shapes, work = memory_jobs(3000, 11, bytes_per_cycle=rate, latency=77)
    got = run_gemms(work)
    batch = np.arange(3000) % 5 + 1
    assert (sum(got[cause] for cause in STALLS) == got["cycles"]).all()
    assert min(int(got[cause].min()) for cause in STALLS) >= 0
    moved = sum(got[name] for name in PORT)
    assert (got["cycles"] >= array_cycles(**shapes, batch=batch)).all()
    assert (got["cycles"] >= moved / rate).all()
    m, n, k = (shapes[name] for name in "mnk")
    assert (got["a_read"] >= m * k * batch).all()
    assert (got["b_read"] >= k * n * batch).all()
    assert (got["c_write"] == m * n * batch).all()
    assert ((got["sum_read"] == 0) == (got["sum_write"] == 0)).all()


def test_the_port_runs_at_the_rate_of_the_jobs_own_share_of_writes():
    costs = (1.0, 1.1, 1.3, 1.2, 1.1)
    _, work = memory_jobs(3000, 11, bytes_per_cycle=2.0, latency=77, write_costs=costs)
    got, flat = run_gemms(work), run_gemms(memory_jobs(3000, 11, bytes_per_cycle=2.0, latency=77)[1])
    moved = sum(got[name] for name in PORT)
    share = (got["sum_write"] + got["c_write"]) / moved
    least = moved * np.interp(share, np.arange(5) / 4, costs) / 2.0
    assert (got["cycles"] >= least * (1 - 1e-9)).all()
    assert np.median(got["cycles"] / least) < 1.1
    assert (got["cycles"] >= flat["cycles"]).mean() > 0.99  # now and then other blocks are chosen, and luckier ones
    # Tensors on chip: all the port does is write.
    last = run_gemms(jobs(dataflow="ws", rows=8, cols=8, m=64, n=64, k=64, a_copies=0, b_copies=0,
                          bytes_per_cycle=0.01, write_costs=(1.0, 1.5)))  # fmt: skip
    assert last["cycles"][0] >= 64 * 64 / 0.01 * 1.5


def test_ideal_memory_with_room_for_all_is_the_array_by_itself():
    shapes = random_shapes(np.random.default_rng(13), 5000, 4000)
    got = run_gemms(jobs(**shapes))
    assert (got["cycles"] == array_cycles(**shapes)).all()
    assert (got["steps"] == 1).all()


def test_blocks_fit_half_of_each_sram_and_are_whole_folds():
    shapes, work = memory_jobs(3000, 17, bytes_per_cycle=10.0)
    got = run_gemms(work)
    mb, nb, kb = got["mb"], got["nb"], got["kb"]
    assert (mb * kb <= 2**16).all()
    assert (kb * nb <= 2**16).all()
    assert (mb * nb * 4 <= 2**17).all()
    grains = {
        0: (shapes["rows"], shapes["cols"], 1),
        1: (1, shapes["cols"], shapes["rows"]),
        2: (shapes["cols"], 1, shapes["rows"]),
    }
    for code, grain in grains.items():
        of = shapes["dataflow"] == code
        for block, size, unit in zip((mb, nb, kb), (shapes[name] for name in "mnk"), grain, strict=True):
            assert ((block == size) | (block % unit == 0))[of].all()


def best_by_force(shape, rooms):
    """The fewest cycles over a grid of blocks, half an octave apart, and all orders, by the plain reference."""
    grain = {
        "os": (shape["rows"], shape["cols"], 1),
        "ws": (1, shape["cols"], shape["rows"]),
        "is": (shape["cols"], 1, shape["rows"]),
    }[shape["dataflow"]]
    steps = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
    choices = [
        {shape[axis], *(unit * step for step in steps if unit * step < shape[axis])}
        for axis, unit in zip("mnk", grain, strict=True)
    ]
    best = math.inf
    for m, n, k in product(*choices):
        fits = 2 * m * k <= rooms["ifmap_bytes"] and 2 * k * n <= rooms["filter_bytes"]
        # Blocks that could all be twice as tall or deep are left out: they only take the reference's time.
        small = 8 * min(m * k, k * n, m * n) * 8 < min(rooms.values())
        if fits and 8 * m * n <= rooms["ofmap_bytes"] and not small:
            for order in map("".join, permutations("mnk")):
                best = min(best, run_reference(Case(**shape, blocks=(m, n, k), order=order))["cycles"])
    return best


def test_the_chosen_blocks_are_near_the_best_that_force_finds():
    rng = np.random.default_rng(19)
    ratios = []
    while len(ratios) < 9:
        shape, rooms = random_job(rng)
        shape |= {"batch": 1, "bytes_per_cycle": float(rng.choice([2.0, 8.0]))}
        if min(shape[name] for name in "mnk") >= 12 and min(shape["rows"], shape["cols"]) >= 4:
            ratios.append(run_gemms(jobs(**shape, **rooms))["cycles"][0] / best_by_force(shape, rooms))
    assert np.median(ratios) < 1.1
    assert np.percentile(ratios, 90) < 1.4


def test_a_single_job_by_hand():
    # 4 x 4 weight-stationary, everything fits: 32 B in at 4 B a cycle after 10 cycles, weights shift in 4, four rows
    # of A stream, the last sum leaves 4 + 4 + 4 - 1 cycles after the first operand, 16 B out.
    one = jobs(
        dataflow="ws", rows=4, cols=4, m=4, n=4, k=4, ifmap_bytes=64, filter_bytes=64, ofmap_bytes=256,
        bytes_per_cycle=4.0, latency=10,
    )  # fmt: skip
    got = run_gemms(one)
    assert got["cycles"][0] == 10 + 8 + 4 + 11 + 4
    assert (got["dram_latency"][0], got["dram_bandwidth"][0], got["preload"][0], got["compute"][0]) == (10, 12, 4, 4)


def test_tensors_on_chip_and_shared_windows_move_less():
    shape = {"dataflow": "ws", "rows": 8, "cols": 8, "m": 64, "n": 32, "k": 72}
    plain = run_gemms(jobs(**shape, bytes_per_cycle=4.0))
    assert plain["a_read"][0] == 64 * 72
    windows = run_gemms(jobs(**shape, a_unique=500, a_halo=100, bytes_per_cycle=math.inf))
    assert windows["a_read"][0] == 600
    kept = run_gemms(jobs(**shape, a_copies=0.0, o_copies=0.0, bytes_per_cycle=4.0))
    assert (kept["a_read"][0], kept["c_write"][0], kept["b_read"][0]) == (0, 0, 72 * 32)
    assert kept["cycles"][0] < plain["cycles"][0]


# Rules


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"m": 0}, "m must be at least 1, got 0"),
        ({"rows": 0}, "rows must be at least 1, got 0"),
        ({"dataflow": "rs"}, "dataflow must be one of os, ws, is, got 'rs'"),
        ({"bytes_per_cycle": 0.0}, "bytes_per_cycle must be above 0"),
        ({"write_costs": (1.0, 0.9)}, "write_costs must be at least 1, got 0.9"),
        ({"m": 2**40, "n": 2**20, "k": 4}, r"m\*n\*k\*batch must be below 2\^62"),
        ({"m": 2**30, "n": 2**30, "rows": 1, "cols": 1, "bytes_per_cycle": 1e-3}, r"may take 2\^62 cycles or bytes"),
    ],
)
def test_bad_jobs_name_the_field_the_rule_and_the_value(change, message):
    shape = {"dataflow": "ws", "rows": 8, "cols": 8, "m": 4, "n": 4, "k": 1, **change}
    with pytest.raises(InputError, match=message):
        run_gemms(jobs(**shape))


def test_counts_beyond_64_bits_are_refused_by_the_closed_forms():
    for form in (array_cycles, scalesim_cycles):
        with pytest.raises(InputError, match=r"must stay below 2\^62"):
            form("ws", 1, 1, 2**31, 2**31, 2)


def test_an_sram_too_small_for_a_fold_is_infeasible():
    with pytest.raises(InfeasibleError, match="filter_sram_bytes must be at least 128 B"):
        run_gemms(jobs(dataflow="ws", rows=8, cols=8, m=4, n=8, k=8, filter_bytes=127))
    # A smaller product needs less.
    run_gemms(jobs(dataflow="ws", rows=8, cols=8, m=4, n=2, k=2, filter_bytes=127))


def test_a_million_blocks_are_walked_in_some_hundred_steps():
    one = jobs(
        dataflow="ws", rows=8, cols=8, m=10**5, n=10**5, k=10**5, bytes_per_cycle=3.0,
        ifmap_bytes=4096, filter_bytes=4096, ofmap_bytes=8192,
    )  # fmt: skip
    got = run_gemms(one)
    assert got["steps"][0] < 2000
    assert got["compute"][0] >= 10**15 // 64


def test_jobs_broadcast_and_may_be_none():
    work = jobs(dataflow=["os", "ws"], rows=8, cols=8, m=np.array([[4], [5], [6]]), n=4, k=4)
    assert work.table.shape == (6, 20)
    assert run_gemms(Jobs(work.table[:0], work.port[:0], work.write_costs[:0]))["cycles"].shape == (0,)


@pytest.mark.parametrize("dataflow", ["os", "ws", "is"])
@pytest.mark.parametrize("shape", sorted(set(permutations((10**8, 10**8, 1)))))
def test_flat_products_are_counted_where_counters_hold_them(dataflow, shape):
    """Folds times their length, in Python's integers, is a thousandth or less of what counters hold."""
    m, n, k = shape
    down, over, streamed = {"os": (m, n, k), "ws": (k, n, m), "is": (k, m, n)}[dataflow]
    each = streamed + 32 + 32 - 2 + (0 if dataflow == "os" else 32)
    assert int(scalesim_cycles(dataflow, 32, 32, m, n, k).cycles) == -(-down // 32) * -(-over // 32) * each - 1
