"""Trials of the 2:4 sparse array: sparse and dense products of every awkward shape, in a row, and against stalls.

The model's cycles are those that ``siloom run sparse24:memory=ideal,...`` gives for the same product, or, for a batch,
the closed form of the engine; the RTL must take exactly as many. C is that of the model of all registers. Where
neighbours stall, or sparse products follow dense ones, only bits are compared.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from siloom.models._systolic_array import ACCUMULATORS
from siloom.models.sparse24 import Sparse24, Sparse24Design, rows_of
from siloom.rtl.cosim import Trial
from siloom.rtl.hardware import Hardware
from siloom.rtl.machines._sparse24_size import array_size
from siloom.rtl.machines._systolic_size import INTEGERS, LENGTH_BITS, ArraySize
from siloom.rtl.trials._sparse24_products import (
    WordProduct,
    dense_product,
    pruned_product,
    random_product,
    sparse_product,
)
from siloom.rtl.trials._systolic_streams import STALLS, Stalls, make_plan
from siloom.sim.engine.systolic import array_cycles
from siloom.sim.errors import InfeasibleError
from siloom.sim.ops import FORMAT_BITS, Attention, MatMul
from siloom.sim.units.quantizer import quantize
from siloom.sim.units.sparse24_cell import STAGES
from siloom.sim.units.sparse24_select import GROUP, KEPT
from siloom.workloads.registry import load

_MOST_SIDE = 256
_SLACK_CYCLES = 64


def buildable(design: Sparse24Design) -> None:
    """Refuse what is no hardware, or none of this.

    Raises:
        InfeasibleError: naming field and limit.
    """

    def refuse(field: str, rule: str) -> None:
        raise InfeasibleError(f"sparse24: {field} must be {rule} to be built, got {getattr(design, field)}")

    if design.memory != "ideal":
        refuse("memory", "ideal (operands come as streams, memory is outside)")
    if design.precision not in INTEGERS:
        refuse("precision", f"one of {', '.join(INTEGERS)}")
    sums = [name for name in ACCUMULATORS if name.startswith("int")]
    if design.accumulator not in sums:
        refuse("accumulator", f"one of {', '.join(sums)}")
    if ACCUMULATORS[design.accumulator] < FORMAT_BITS[design.precision]:
        refuse("accumulator", f"at least as wide as {design.precision}")
    for field in ("rows", "cols"):
        if getattr(design, field) > _MOST_SIDE:
            refuse(field, f"at most {_MOST_SIDE}")


def trials(design: Sparse24Design, seed: int) -> list[Trial]:
    """Products alone and in batches, whose cycles are compared; mixed ones, and products against stalls."""
    size = array_size(design)
    rng = np.random.default_rng([seed, design.rows, design.cols])
    products: dict[str, WordProduct] = {}
    for name, (m, n, rows) in _shapes(size).items():
        for dense in (False, True):
            kind = f"{'dense' if dense else 'sparse'}-{name}"
            products[kind] = random_product(size, m, n, rows, dense, rng)
    products |= _special(size, seed, rng)
    products = {name: product for name, product in products.items() if _fits(design, size, product)}
    out = [trial_of(design, name, [product], rng) for name, product in products.items()]
    for name in ("sparse-ragged", "dense-short"):
        if name in products:
            m, n, rows = _shapes(size)[name.split("-")[1]]
            again = [random_product(size, m, n, rows, products[name].dense, rng) for _ in range(3)]
            out.append(trial_of(design, f"three-{name}", again, rng))
    names = (
        "sparse-whole",
        "dense-short",
        "sparse-one",
        "dense-one",
        "sparse-ragged",
        "dense-ragged",
        "sparse-trickle",
    )
    mixed = [products[name] for name in names if name in products]
    for name, stalls in {"mixed": Stalls(), **STALLS}.items():
        out.append(trial_of(design, name, mixed, rng, stalls))
    return out


def trial_of(
    design: Sparse24Design,
    name: str,
    products: Sequence[WordProduct],
    rng: np.random.Generator,
    stalls: Stalls | None = None,
) -> Trial:
    """Products one after another; cycles are compared unless ``stalls`` are given, and then all are of one shape."""
    size = array_size(design)
    cycles = None if stalls else model_cycles(design, products[0], len(products))
    beats = sum(sum(p.a.shape) * p.b.shape[1] + p.c.size for p in products)
    limit = 8 * beats + 1000 if cycles is None else 3 * cycles + _SLACK_CYCLES
    plan, answers = make_plan(size, name, products, limit, rng, stalls or Stalls())
    return Trial(plan, answers, cycles)


def model_cycles(design: Sparse24Design, product: WordProduct, batch: int = 1) -> int:
    """What the machine's model says of a product; of several of its shape, what the array alone takes."""
    m, n, rows = product.sizes
    assert rows == rows_of(product.k, sparse=not product.dense)
    if batch > 1:
        return int(array_cycles("ws", design.rows, design.cols, m, n, rows, batch=batch, stages=STAGES))
    op = MatMul(m=m, n=n, k=product.k, format=design.precision, sparse24=not product.dense)
    cycles = Sparse24(design).run(op).cycles
    assert cycles is not None
    return cycles


def _shapes(size: ArraySize) -> dict[str, tuple[int, int, int]]:
    """``m``, ``n`` and the rows of cells that k takes, by name."""
    rows, cols = size.rows, size.cols
    return {
        "one": (1, 1, 1),
        "whole": (3 * rows + 2, 2 * cols, 2 * rows),
        "ragged": (rows + 3, 2 * cols + cols // 2 + 1, 2 * rows + 1),
        "part": (5, cols // 2 + 1, rows // 2 + 1),
        "short": (rows // 2 + 1, 2 * cols - 1, 3 * rows - 1),
        "trickle": (1, cols + 1, 2 * rows + 1),
        "narrow-end": (3 * cols, cols + 1, rows // 2 + 1),
        "tall": (9, cols // 2 + 1, 20 * rows + 3),
        "long": (200, 2 * cols + 1, 3 * rows - 1),
    }


def _fits(design: Sparse24Design, size: ArraySize, product: WordProduct) -> bool:
    """Whether the model works on this product as one block, and the hardware has room for its sums."""
    m, n, rows = product.sizes
    halves = (
        (m * rows * size.left_bits, "ifmap"),
        (rows * n * size.top_bits, "filter"),
        (m * n * size.sum_bits, "ofmap"),
    )
    room = all(need <= 4 * getattr(design, f"{name}_sram_bytes") for need, name in halves)
    return room and m <= size.depth and max(m, n, product.k) < 1 << LENGTH_BITS


def _special(size: ArraySize, seed: int, rng: np.random.Generator) -> dict[str, WordProduct]:
    """Codes at the ends of their range, and the scores of a head of attention, its keys dense and pruned."""
    bits = size.left_bits // GROUP
    ends = np.array([-(1 << (bits - 1)), -(1 << (bits - 1)), (1 << (bits - 1)) - 1])
    a = rng.choice(ends, (size.rows + 1, 40))
    kept, places = rng.choice(ends, (10, size.cols + 1, KEPT)), rng.integers(0, GROUP, (10, size.cols + 1, KEPT))
    op = load(f"attention:seq={2 * max(size.rows, size.cols) + 5},heads=1,dim=32,seed={seed}").items[0].op
    assert isinstance(op, Attention)
    operands = op.operands()
    top = np.float32((1 << (bits - 1)) - 1)
    q, keys = (quantize(x, top / np.abs(x).max(), bits).astype(np.int64) for x in (operands.q[0, 0], operands.k[0, 0]))
    return {
        "ends": sparse_product(size, a, kept, places),
        "dense-ends": dense_product(size, a, rng.choice(ends, (40, size.cols + 1)), rng),
        "pruned-scores": pruned_product(size, q, keys.T),
        "scores": dense_product(size, q, keys.T, rng),
    }


def _size(rows: int, cols: int, **changes: object) -> Sparse24Design:
    given = {"precision": "int8", "accumulator": "int32", "memory": "ideal", "ofmap_sram_bytes": 2**16}
    return Sparse24Design(rows=rows, cols=cols, **{**given, **changes})  # type: ignore[arg-type]


HARDWARE = Hardware(
    name="sparse24",
    summary="2:4 sparse weight-stationary systolic array: cells choose operands by place, dense products in pairs of k",
    base=_size(4, 4),
    sizes=(
        _size(4, 4),
        _size(3, 5, precision="int4", accumulator="int16"),
        _size(8, 8),
        _size(4, 16, accumulator="int16"),
        _size(16, 4),
        _size(16, 16),
    ),
    trials=trials,
    bound=0.0,
    buildable=buildable,
)
