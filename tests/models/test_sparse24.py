"""Does the 2:4 array take as long as its registers, as a plain reference, and as a dense array at half of k?"""

from __future__ import annotations

import numpy as np
import pytest

from siloom.models.registry import machine
from siloom.models.sparse24 import rows_of
from siloom.sim.engine.sparse24_cells import dense_words, multiply_words, sparse_words
from siloom.sim.engine.systolic import array_cycles
from siloom.sim.engine.systolic_reference import Case, run_reference
from siloom.sim.errors import InfeasibleError, InputError
from siloom.sim.machine import run_workload
from siloom.sim.ops import Attention, Elementwise, MatMul, Reduce
from siloom.sim.testing import check_conformance
from siloom.sim.units.sparse24_cell import Sparse24Cell
from siloom.workloads.registry import load


def run(settings, op):
    return machine(f"sparse24:{settings}" if settings else "sparse24").run(op)


@pytest.mark.parametrize("settings", ["memory=ideal", "precision=int8", "rows=1,cols=1", "rows=7,cols=130"])
def test_every_kind_of_design_keeps_the_promises_of_a_machine(settings):
    failed = [row for row in check_conformance(machine(f"sparse24:{settings}")) if not row["passed"]]
    assert failed == []


@pytest.mark.parametrize("sparse", [True, False])
def test_cycles_are_those_of_every_register(sparse):
    rng = np.random.default_rng(4)
    for _ in range(25):
        rows, cols, m, n, groups = (int(x) for x in rng.integers(1, 8, 5))
        k = 4 * groups - (0 if sparse else int(rng.integers(0, 4)))
        a, b = rng.integers(-128, 128, (m, k)), rng.integers(-128, 128, (k, n))
        if sparse:
            kept, places = rng.integers(-128, 128, (groups, n, 2)), rng.integers(0, 4, (groups, n, 2))
            words = sparse_words(a, kept, places, 8)
        else:
            words = dense_words(a, b, 8)
        ran = multiply_words(Sparse24Cell(), rows, cols, words)
        op = MatMul(m=m, n=n, k=k, format="int8", sparse24=sparse)
        assert run(f"rows={rows},cols={cols},memory=ideal", op).cycles == ran.cycles


def test_cycles_by_hand():
    # One cell: weights come in, operands are chosen, multiplied, and the sum stands at the edge.
    assert run("rows=1,cols=1,memory=ideal", MatMul(m=1, n=1, k=4, sparse24=True)).cycles == 4
    # 768 / 4 of k on 16 rows and 768 columns on 32: 12 x 24 folds of 128, a first load, and the way through the array.
    assert run("memory=ideal", MatMul(m=128, n=768, k=768, sparse24=True)).cycles == 12 * 24 * 128 + 16 + 15 + 32 + 1


def test_a_sparse_product_takes_the_cycles_of_a_dense_array_of_as_many_multipliers_at_half_of_k():
    for m, n, k in ((128, 768, 768), (7, 100, 64), (1000, 3, 4096)):
        sparse = run("rows=16,cols=32,memory=ideal", MatMul(m=m, n=n, k=k, sparse24=True)).cycles
        dense = run("rows=16,cols=32,memory=ideal", MatMul(m=m, n=n, k=k)).cycles
        array = machine("systolic:rows=16,cols=32,memory=ideal")
        assert sparse == array.run(MatMul(m=m, n=n, k=k // 4)).cycles + 1
        assert dense == array.run(MatMul(m=m, n=n, k=k // 2)).cycles + 1
        assert dense == array_cycles("ws", 16, 32, m, n, k // 2, stages=1)


@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("k", [96, 1000])
def test_the_schedule_with_memory_is_the_plain_references(sparse, k):
    settings = "rows=4,cols=8,precision=int8,ifmap_sram_bytes=2048,filter_sram_bytes=2048,ofmap_sram_bytes=4096"
    op = MatMul(m=150, n=90, k=k, format="int8", sparse24=sparse)
    made = machine(f"sparse24:{settings}")
    result = made.run(op)
    (text,) = result.provenance["blocks"]
    words = text.replace(",", "").split()
    sizes = [int(words[words.index(axis) + 1]) for axis in ("m", "n", "k")]
    core = made.design.core
    expected = run_reference(
        Case(
            dataflow="ws", rows=4, cols=8, double=True, m=150, n=90, k=rows_of(k, sparse=sparse), batch=1,
            blocks=(sizes[0], sizes[1], sizes[2]), order="".join(words[-3:]), stages=1,
            a_bits=32 if sparse else 16, b_bits=20 if sparse else 16, bytes_per_cycle=core.bytes_per_cycle,
            latency=core.latency, write_costs=core.write_costs,
        )
    )  # fmt: skip
    assert result.cycles == expected["cycles"]
    assert result.traffic_bytes["dram_ifmap_read"] == expected["a_read"]
    assert result.traffic_bytes["dram_filter_read"] == expected["b_read"]


def test_half_of_the_products_and_the_bytes_of_kept_weights():
    shape = {"m": 64, "n": 64, "k": 256, "format": "int8"}
    sparse, dense = (run("", MatMul(**shape, sparse24=s)) for s in (True, False))
    for result, share in ((sparse, 2), (dense, 1)):
        assert result.operations["multiplies"] == result.operations["effective_multiplies"] == 64 * 64 * 256 // share
    assert dense.traffic_bytes["dram_filter_read"] == 64 * 256
    assert sparse.traffic_bytes["dram_filter_read"] == 64 * 256 // 2 * 10 // 8
    # All of A comes either way: which of it meets a weight differs from column to column.
    assert sparse.traffic_bytes["dram_ifmap_read"] == dense.traffic_bytes["dram_ifmap_read"] == 64 * 256
    assert sparse.energy_parts["mac"] == pytest.approx(dense.energy_parts["mac"] / 2)
    assert "B is dense" in dense.notes[0]
    assert sparse.notes == ()
    odd = run("memory=ideal", MatMul(m=2, n=3, k=5))
    assert odd.operations["multiplies"] == 2 * 3 * 6


def test_vector_work_runs_beside_and_attention_is_left_to_others():
    assert run("", Elementwise(elements=1000)).cycles > 0
    assert run("", Reduce(rows=10, length=10, function="softmax")).cycles > 0
    attention = load("attention:seq=16,heads=1,dim=8")
    with pytest.raises(InfeasibleError, match="supports none of attention"):
        run_workload(machine("sparse24"), attention)
    op = attention.items[0].op
    assert isinstance(op, Attention)
    with pytest.raises(InputError, match="sparse24: does not run attention"):
        run("", op)


def test_an_sram_that_holds_no_fold_is_named():
    with pytest.raises(InfeasibleError, match=r"filter_sram_bytes must be at least 640 B .* 8 x 16 cells"):
        machine("sparse24:rows=8,cols=16,precision=int8,filter_sram_bytes=639")
