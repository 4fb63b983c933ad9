"""Trials of the systolic array: products of every awkward shape, alone, in a row and against stalls.

The model's cycles are those that ``siloom run systolic:memory=ideal,...`` gives for the same product, or, for a batch,
the closed form of the engine; the RTL must take exactly as many. C is that of the model of all registers, wrapped
to the accumulator. Where neighbours stall, only bits are compared.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from siloom.models._systolic_array import ACCUMULATORS
from siloom.models.systolic import Systolic, SystolicDesign
from siloom.rtl.cosim import Trial
from siloom.rtl.hardware import Hardware
from siloom.rtl.machines._systolic_size import FLOAT_SUMS, FLOATS, INTEGERS, LENGTH_BITS, ArraySize, array_size
from siloom.rtl.trials._systolic_numbers import codes_of, end_codes, product_of, random_codes
from siloom.rtl.trials._systolic_streams import STALLS, Product, Stalls, make_plan
from siloom.sim.engine.systolic import array_cycles
from siloom.sim.errors import InfeasibleError
from siloom.sim.ops import FORMAT_BITS, Attention, MatMul
from siloom.workloads.registry import load

_MOST_SIDE = 256
_SLACK_CYCLES = 64


def buildable(design: SystolicDesign) -> None:
    """Refuse what is no hardware, or none of this.

    Raises:
        InfeasibleError: naming field and limit.
    """

    def refuse(field: str, rule: str) -> None:
        raise InfeasibleError(f"systolic: {field} must be {rule} to be built, got {getattr(design, field)}")

    if design.convention != "physical":
        refuse("convention", "physical")
    if design.memory != "ideal":
        refuse("memory", "ideal (operands come as streams, memory is outside)")
    whole = design.precision in INTEGERS
    if not whole and design.precision not in FLOATS:
        refuse("precision", f"one of {', '.join((*INTEGERS, *FLOATS))}")
    sums = [name for name in ACCUMULATORS if name.startswith("int")] if whole else list(FLOAT_SUMS)
    if design.accumulator not in sums:
        refuse("accumulator", f"one of {', '.join(sums)} for {design.precision}")
    if whole and ACCUMULATORS[design.accumulator] < FORMAT_BITS[design.precision]:
        refuse("accumulator", f"at least as wide as {design.precision}")
    for field in ("rows", "cols"):
        if getattr(design, field) > _MOST_SIDE:
            refuse(field, f"at most {_MOST_SIDE}")


def trials(design: SystolicDesign, seed: int) -> list[Trial]:
    """Products alone and in batches, whose cycles are compared, and products against stalls."""
    size = array_size(design)
    rng = np.random.default_rng([seed, design.rows, design.cols])
    shapes = {name: shape for name, shape in _shapes(size).items() if _fits(design, size, shape)}
    products = {name: _random(size, shape, rng) for name, shape in shapes.items()}
    products |= {name: p for name, p in _special(size, seed, rng).items() if _fits(design, size, p.sizes)}
    out = [trial_of(design, name, [p], rng) for name, p in products.items()]
    for name in ("ragged", "short"):
        if name in shapes:
            out.append(trial_of(design, f"three-{name}", [_random(size, shapes[name], rng) for _ in range(3)], rng))
    mixed = [products[name] for name in ("whole", "short", "one", "ragged", "trickle") if name in products]
    out += [trial_of(design, name, mixed, rng, stalls) for name, stalls in STALLS.items()]
    return out


def trial_of(
    design: SystolicDesign,
    name: str,
    products: Sequence[Product],
    rng: np.random.Generator,
    stalls: Stalls | None = None,
) -> Trial:
    """Products one after another; cycles are compared unless there are stalls, and then all are of one shape."""
    size = array_size(design)
    cycles = None if stalls else model_cycles(design, products[0].sizes, len(products))
    beats = sum(sum(p.a.shape) * p.b.shape[1] + p.c.size for p in products)
    limit = 8 * beats + 1000 if cycles is None else 3 * cycles + _SLACK_CYCLES
    plan, answers = make_plan(size, name, products, limit, rng, stalls or Stalls())
    return Trial(plan, answers, cycles)


def model_cycles(design: SystolicDesign, sizes: tuple[int, int, int], batch: int = 1) -> int:
    """What the machine's model says of products of one shape; of several, what the array alone takes."""
    m, n, k = sizes
    if batch > 1:
        array = (design.dataflow, design.rows, design.cols)
        return int(array_cycles(*array, m, n, k, batch=batch, double=design.double_buffer))
    cycles = Systolic(design).run(MatMul(m=m, n=n, k=k, format=design.precision)).cycles
    assert cycles is not None
    return cycles


def _shapes(size: ArraySize) -> dict[str, tuple[int, int, int]]:
    """``m``, ``n``, ``k`` by name; what is said of rows, columns and streams holds in every dataflow."""
    rows, cols = size.rows, size.cols
    across = {  # on the array's rows, on its columns, streamed
        "one": (1, 1, 1),
        "whole": (2 * rows, 2 * cols, 3 * rows + 2),
        "ragged": (2 * rows + 1, 2 * cols + cols // 2 + 1, rows + 3),
        "part": (rows // 2 + 1, cols // 2 + 1, 5),
        "short": (3 * rows - 1, 2 * cols - 1, rows // 2 + 1),
        "trickle": (2 * rows + 1, cols + 1, 1),
        "narrow-end": (rows // 2 + 1, cols + 1, 3 * cols),
        "tall": (20 * rows + 3, cols // 2 + 1, 9),
        "long": (3 * rows - 1, 2 * cols + 1, 200),
    }
    order = {"os": (0, 1, 2), "ws": (2, 1, 0), "is": (1, 2, 0)}[size.cell.dataflow]
    return {name: (s[order[0]], s[order[1]], s[order[2]]) for name, s in across.items()}


def _fits(design: SystolicDesign, size: ArraySize, shape: tuple[int, int, int]) -> bool:
    """Whether the model works on this product as one block, and the hardware has room for its sums."""
    m, n, k = shape
    bits = FORMAT_BITS[design.precision]
    halves = ((m * k * bits, "ifmap"), (k * n * bits, "filter"), (m * n * ACCUMULATORS[design.accumulator], "ofmap"))
    streamed = {"os": 0, "ws": m, "is": n}[size.cell.dataflow]
    room = all(need <= 4 * getattr(design, f"{name}_sram_bytes") for need, name in halves)
    return room and (streamed <= size.depth or size.sums_stay) and max(shape) < 1 << LENGTH_BITS


def _random(size: ArraySize, shape: tuple[int, int, int], rng: np.random.Generator) -> Product:
    m, n, k = shape
    return product_of(size, random_codes(size, (m, k), rng), random_codes(size, (k, n), rng))


def _special(size: ArraySize, seed: int, rng: np.random.Generator) -> dict[str, Product]:
    """Codes at the ends of their range, and the scores of a head of attention."""
    a, b = end_codes(size, (size.rows + 1, 40), rng), end_codes(size, (40, size.cols + 1), rng)
    op = load(f"attention:seq={2 * max(size.rows, size.cols) + 5},heads=1,dim=32,seed={seed}").items[0].op
    assert isinstance(op, Attention)
    operands = op.operands()
    q, keys = (codes_of(size, x[0, 0]) for x in (operands.q, operands.k))
    return {"ends": product_of(size, a, b), "scores": product_of(size, q, keys.T)}


def _size(rows: int, cols: int, dataflow: str, **changes: object) -> SystolicDesign:
    given = {"precision": "int8", "accumulator": "int32", "memory": "ideal", "ofmap_sram_bytes": 2**16}
    return SystolicDesign(rows=rows, cols=cols, dataflow=dataflow, **{**given, **changes})  # type: ignore[arg-type]


HARDWARE = Hardware(
    name="systolic",
    summary="systolic array of any size: three dataflows, fold controller, sums of a cut k added below",
    base=_size(4, 4, "ws"),
    sizes=(
        _size(4, 4, "ws"),
        _size(4, 4, "os"),
        _size(4, 4, "is"),
        _size(3, 5, "os", double_buffer=False, precision="int4", accumulator="int16"),
        _size(5, 3, "ws", double_buffer=False, accumulator="int16"),
        _size(8, 8, "ws"),
        _size(8, 8, "os"),
        _size(8, 8, "is"),
        _size(4, 16, "ws"),
        _size(16, 4, "os"),
        _size(16, 16, "ws"),
        _size(16, 16, "os"),
        _size(16, 16, "is"),
        _size(4, 4, "ws", precision="bf16", accumulator="fp32"),
        _size(4, 4, "os", precision="fp8", accumulator="fp16"),
        _size(3, 5, "is", precision="fp16", accumulator="fp16", double_buffer=False),
        _size(8, 8, "os", precision="bf16", accumulator="fp32"),
    ),
    trials=trials,
    bound=0.0,
    buildable=buildable,
)
