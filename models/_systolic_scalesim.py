"""Products as SCALE-Sim counts them: no stalls, no memory, words of one byte, every layer alone.

A convolution has as many output rows as ``ceil((h + 2 pad - r + stride) / stride)``, one more than fit where
the stride does not divide: SCALE-Sim's own rule. It knows no padding; the padded size is what one
gives it. Groups are layers of one group each.
"""

from __future__ import annotations

from siloom.models._systolic_array import Core, Product, Run, add_runs
from siloom.models._systolic_lower import matmul_product
from siloom.sim.engine.systolic import across, scalesim_cycles
from siloom.sim.ops import Conv, MatMul


def scalesim_product(op: MatMul | Conv) -> Product:
    """The GEMM that SCALE-Sim makes of a layer, ``batch`` times."""
    if isinstance(op, MatMul):
        return matmul_product(op)
    high, wide = (-(-(size + 2 * op.pad - window + op.stride) // op.stride) for size, window in _sides(op))
    depth = op.r * op.s * (op.c // op.groups)
    return Product(name="product", m=op.batch * high * wide, n=op.k // op.groups, k=depth, batch=op.groups)


def _sides(op: Conv) -> tuple[tuple[int, int], tuple[int, int]]:
    return (op.h, op.r), (op.w, op.s)


def run_scalesim(core: Core, products: tuple[Product, ...]) -> Run:
    """Products one after another by the closed form; their words are SCALE-Sim's three counts."""
    return add_runs(_one(core, product) for product in products)


def _one(core: Core, product: Product) -> Run:
    m, n, k, batch = product.m, product.n, product.k, product.batch
    counts = scalesim_cycles(core.dataflow, core.rows, core.cols, m, n, k)
    across_rows, across_cols, streamed = (int(x) for x in across(core.dataflow, m, n, k))
    folds = -(-across_rows // core.rows) * -(-across_cols // core.cols)
    slant = folds * (core.rows + core.cols - 2)
    off = 1 if slant else 0  # the total is the index of the last cycle
    stalls = {
        "compute": (folds * streamed - 1 + off) * batch,
        "preload": 0 if core.dataflow == "os" else folds * core.rows * batch,
        "fill": (slant - off) * batch,
    }
    stalls = {cause: cycles for cause, cycles in stalls.items() if cycles}
    cycles = int(counts.cycles) * batch
    return Run(
        cycles=cycles,
        stalls=stalls,
        phases=((product.name, cycles, stalls),),
        multiplies=product.multiplies,
        words={
            "ifmap_read": int(counts.ifmap_reads) * batch,
            "filter_read": int(counts.filter_reads) * batch,
            "ofmap_write": int(counts.ofmap_writes) * batch,
        },
    )
