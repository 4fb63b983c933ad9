"""What a TPU from v2 on makes of an operation: steps for its arrays and vector units.

The arrays, their shared memory port and the lowering are those of every systolic machine
(:mod:`siloom.models._systolic_array`, :mod:`siloom.models._systolic_lower`). What is a TPU's own:

- sizes are padded to what the chip lays out, k and n to the array's side and m to 8 sublanes, and padded
  operands are what crosses HBM (a convolution's inputs are not padded);
- a cell that multiplies two pairs of int8 a cycle counts as two rows of cells;
- the activations of an operation that fit into CMEM (v4) together stay there; weights, an optimizer's state, what a
  training step wants again much later (saved results, recalled operands), scores of attention that neither VMEM nor
  CMEM holds, and other activations cross HBM;
- the vector units compute in fp32: elementwise work and reductions on numbers wider than bf16 move four bytes each;
- VMEM is shared out by thirds to streamed operands, weights and sums.

Nothing overlaps between operations, a compiled program has no launches, the two cores share all work, and the
chip's interconnect is not modelled.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from siloom.models._systolic_array import Core, Product, Run, Step, accumulator_of, run_steps
from siloom.models._systolic_lower import lower
from siloom.models._tpu_design import TpuDesign
from siloom.sim.memory import write_costs
from siloom.sim.ops import FORMAT_BITS, Attention, Conv, Elementwise, Item, MatMul, Operation, Reduce

SUBLANES = 8


def precision_of(design: TpuDesign, op: Operation) -> str:
    """The format that an operation's numbers have: of the arrays' two the nearer, or the vector units' fp32."""
    if design.precision != "auto":
        return design.precision
    form = str(getattr(op, "format", "bf16"))
    if isinstance(op, Elementwise | Reduce) and FORMAT_BITS[form] > FORMAT_BITS["bf16"]:
        return "fp32"
    return "int8" if form in ("int4", "int8") else "bf16"


def run_operation(design: TpuDesign, item: Item, precision: str, *, first: bool, last: bool) -> Run:
    """Run one repetition of an operation; where there is room, operands and result are in CMEM.

    But operands of the ``first`` of a run come from HBM, and the result of the ``last`` goes there.

    Raises:
        InputError: an operation of another kind, or more work than can be counted.
        InfeasibleError: a VMEM that does not hold one fold of the arrays.
    """
    core = core_of(design, precision)
    steps = lower(item.op, core, precision, layout=partial(_padded, design))
    if not (first and last):
        steps = tuple(_kept(design, item, step, precision, first, last) for step in steps)
    return run_steps(core, steps, precision, accumulator_of(precision))


def core_of(design: TpuDesign, precision: str) -> Core:
    """The chip as systolic arrays: v4's 8 of 128 x 128."""
    third = design.cores * design.vmem_bytes // 3
    return Core(
        rows=design.mxu_size * (design.int8_rate if precision == "int8" else 1),
        cols=design.mxu_size,
        dataflow="ws",
        arrays=design.mxus,
        ifmap_bytes=third,
        filter_bytes=third,
        ofmap_bytes=third,
        vector_lanes=design.vector_per_cycle,
        bytes_per_cycle=design.sustained_bytes_per_s / design.clock_hz,
        write_costs=(1.0,) if design.memory == "ideal" else write_costs(design.memory),
        latency=design.latency_cycles,
    )


def _kept(design: TpuDesign, item: Item, step: Step, precision: str, first: bool, last: bool) -> Step:
    """A step without the traffic of what stays in CMEM."""
    op = item.op

    def fits(elements: int) -> bool:
        return elements * FORMAT_BITS[precision] <= 8 * design.cmem_bytes

    if (isinstance(op, Elementwise) and op.state) or not fits(activations(op)):
        return step
    leaves = item.saved or last
    if isinstance(op, Attention):
        held = fits(activations(op) + op.score_products * op.scores)
        return _kept_attention(step, recalled=bool(item.recalled), first=first, leaves=leaves, scores_fit=held)
    # B of a matrix product may be weights, which come from HBM; beside a recalled A it is a gradient, just made.
    found = "a" if not item.recalled else "b" if fits(activations(op) + weights(op)) else ""
    reads = max(1, op.reads if isinstance(op, Elementwise) else 1)
    come = reads if first else min(reads, item.recalled)
    return replace(
        step,
        products=tuple(_on_chip(p, ("" if first else found) + ("" if leaves else "c")) for p in step.products),
        vectors=tuple(
            replace(work, read_bytes=work.read_bytes * come // reads, write_bytes=work.write_bytes if leaves else 0)
            for work in step.vectors
        ),
    )


def _kept_attention(step: Step, *, recalled: bool, first: bool, leaves: bool, scores_fit: bool) -> Step:
    """Attention's step: scores may be too many for CMEM where Q, K, V and O are not.

    What comes from HBM comes once: all operands of a first operation; backward Q, K, V and O where they are
    recalled, dO having just been made.
    """
    products = []
    for product in step.products:
        if product.name in ("scores", "dP"):  # Q K', dO V'
            found = "" if first else "ab" if not recalled else "a" if product.name == "dP" else ""
            products.append(_on_chip(product, found + ("c" if scores_fit else "")))
        else:  # of the scores, or their gradients; only P V meets an operand that has not come yet
            found = "" if first and product.name == "output" else "b"
            products.append(_on_chip(product, found + ("" if leaves else "c") + ("a" if scores_fit else "")))
    vectors = []
    for work in step.vectors:
        moved = 0 if scores_fit else work.write_bytes  # scores in and out; what else is read is O and dO
        beside = work.read_bytes - work.write_bytes
        come = beside if first else beside // 2 if recalled else 0
        vectors.append(replace(work, read_bytes=moved + come, write_bytes=moved))
    return replace(step, products=tuple(products), vectors=tuple(vectors))


def _on_chip(product: Product, tensors: str) -> Product:
    return replace(product, on_chip="".join(sorted({*product.on_chip, *tensors})))


def _padded(design: TpuDesign, product: Product) -> Product:
    def up(size: int, to: int) -> int:
        return -(-size // to) * to

    m, n, k = up(product.m, SUBLANES), up(product.n, design.mxu_size), up(product.k, design.mxu_size)
    return replace(product, m=m, n=n, k=k)


def activations(op: Operation) -> int:
    """Elements of all tensors in and out that are not weights."""
    if isinstance(op, MatMul):
        return op.m * (op.k + op.n) * op.batch
    if isinstance(op, Conv):
        high, wide = op.out_hw
        return op.batch * (op.h * op.w * op.c + high * wide * op.k)
    if isinstance(op, Attention):
        return op.elements_in + op.elements_out
    if isinstance(op, Elementwise):
        return op.elements * (op.reads + op.writes)
    if isinstance(op, Reduce):
        return op.rows * (op.length + (1 if op.function in ("sum", "max") else op.length))
    raise TypeError(f"{op.kind}: not an operation of a TPU")


def weights(op: Operation) -> int:
    """Elements of the operand that may be weights: B of a matrix product, the filters of a convolution."""
    if isinstance(op, MatMul):
        return op.k * op.n * (1 if op.shared else op.batch)
    return op.r * op.s * (op.c // op.groups) * op.k if isinstance(op, Conv) else 0
