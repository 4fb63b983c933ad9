"""Dense work on a board: which kernel runs an operation, and its Result.

Matrix products and convolutions (as implicit products, which gather their input and write no
unfolded copy) by ``_gpu_gemm``, attention by ``_gpu_attention``, the rest by ``_gpu_kernels``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from siloom.models._gpu_attention import refusal, run_attention
from siloom.models._gpu_board import DenseBoard
from siloom.models._gpu_design import GpuDesign
from siloom.models._gpu_gemm import GemmCosts, GemmProblem, estimate_gemm
from siloom.models._gpu_kernels import KernelEstimate, direct_convolution, elementwise, reduction
from siloom.models._gpu_power import Activity, energy_parts
from siloom.sim.cost import table, table_hash
from siloom.sim.errors import InfeasibleError
from siloom.sim.ops import FORMAT_BITS, Attention, Conv, Elementwise, MatMul, Operation, Reduce, format_bytes
from siloom.sim.result import Phase, Result, apportion, utilization

_TABLES = ("devices", "gpu_gemm_fit", "gpu_attention", "horowitz", "cacti_sram", "node_scaling", "dram_energy")
_ATTO = 10**18
_NEWEST = ("flash3", "flash2")
_FLASH_BITS = 16
_SCORE_TENSORS = 2
"""What standard attention keeps of all scores at a time: before and after a kernel."""


@dataclass(frozen=True)
class _Run:
    """What any of the kernels did, in one shape; ``phases`` groups the causes of ``parts``."""

    parts: Mapping[str, float]
    phases: Mapping[str, tuple[str, ...]]
    operations: Mapping[str, int]
    read: Mapping[str, float]
    written: Mapping[str, float]
    computed: str
    multiply_adds: int
    other_operations: int
    staged_bytes: float = 0.0
    notes: tuple[str, ...] = ()
    counters: Mapping[str, int] = field(default_factory=dict)


def run_dense(label: str, design: GpuDesign, op: MatMul | Conv | Attention | Elementwise | Reduce) -> Result:
    """Estimate one dense operation.

    Raises:
        InfeasibleError: operands that the board's memory cannot hold, or an attention kernel that
            its generation has not got.
    """
    board = design.dense_board(label)
    stored = op.format if design.precision == "auto" else design.precision
    needed = _operand_bytes(board, design, op, stored)
    if needed > design.memory_bytes:
        raise InfeasibleError(
            f"{label}: {op.name or op.kind} needs {needed:.0f} bytes for its operands, "
            f"memory_bytes is {design.memory_bytes:.0f}"
        )
    if isinstance(op, MatMul):
        run = _product(board, design, op, stored)
    elif isinstance(op, Conv):
        run = _convolution(board, design, op, stored)
    elif isinstance(op, Attention):
        run = _attention(board, design, op, stored)
    elif isinstance(op, Elementwise):
        run = _streaming(elementwise(board, design.kernel_overhead_s, op, stored))
    else:
        run = _streaming(reduction(board, design.kernel_overhead_s, op, stored))
    return _result(label, design, board, op, run, stored)


def _operand_bytes(board: DenseBoard, design: GpuDesign, op: Operation, stored: str) -> float:
    """What must lie in memory at once: operands, results, and standard attention's scores."""
    if isinstance(op, MatMul):
        return _as_product(op, stored, stored, op.sparse24).operand_bytes
    if isinstance(op, Conv):
        rows, cols = op.out_hw
        weights = op.k * (op.c // op.groups) * op.r * op.s
        return format_bytes(stored, op.batch * (op.c * op.h * op.w + op.k * rows * cols) + weights)
    if isinstance(op, Attention):
        op = replace(op, format=stored)
        standard = _algorithm(board, design, op) == "standard"
        scores = op.scores if standard else 0
        drawn = scores if op.dropout else 0  # which were dropped, a byte each
        copied = op.q_elements + 2 * op.kv_elements if standard and design.layout_copies else 0
        return format_bytes(stored, op.elements_in + op.elements_out + copied + _SCORE_TENSORS * scores) + drawn
    if isinstance(op, Elementwise):
        return format_bytes(stored, op.elements * (op.reads + op.writes))
    if isinstance(op, Reduce):
        return format_bytes(stored, op.rows * op.length) + format_bytes(
            stored, op.rows * (1 if op.function in ("sum", "max") else op.length)
        )
    raise TypeError(f"no dense operation: {op.kind}")


def _as_product(op: MatMul, stored: str, computed: str, skips24: bool) -> GemmProblem:
    """``shared`` weights turn a batch into one taller product."""
    if op.shared:
        return GemmProblem(op.m * op.batch, op.n, op.k, 1, stored, computed, skips24)
    return GemmProblem(op.m, op.n, op.k, op.batch, stored, computed, skips24)


def _costs(design: GpuDesign) -> GemmCosts:
    return GemmCosts(
        design.call_overhead_s, design.math_efficiency, design.operand_bytes_per_clock, design.unaligned_share
    )


def _product(board: DenseBoard, design: GpuDesign, op: MatMul, stored: str) -> _Run:
    computed = board.computed_in(stored)
    skips24 = op.sparse24 and board.sparse24 and computed in board.tensor_flops and computed != "fp64"
    notes = [_fit_note()]
    if skips24:
        notes.append("2:4: half the values of B with 2 bits of metadata each; its zeros are skipped")
    elif op.sparse24:
        notes.append(f"2:4: {board.generation} skips no zeros in {computed}: B is stored and multiplied dense")
    return _of_gemm(board, design, _as_product(op, stored, computed, skips24), tuple(notes))


def _of_gemm(board: DenseBoard, design: GpuDesign, problem: GemmProblem, notes: tuple[str, ...]) -> _Run:
    found = estimate_gemm(board, _costs(design), problem)
    summed = (found.split_k - 1) * problem.m * problem.n * problem.batch
    product = tuple(cause for cause in found.parts if cause != "split_k")
    name = f"product in {found.tile[0]} x {found.tile[1]} tiles"
    if found.split_k > 1:
        name += f", k in {found.split_k} parts"
    return _Run(
        parts=found.parts,
        phases={name: product, "reduction": ("split_k",)},
        operations={"multiplies": found.multiplies, "adds": found.multiplies + summed},
        read=found.read,
        written=found.written,
        computed=problem.computed,
        multiply_adds=found.multiplies,
        other_operations=summed,
        staged_bytes=found.staged_bytes,
        notes=notes,
        counters={"tiles": found.tiles, "waves": found.waves},
    )


def _convolution(board: DenseBoard, design: GpuDesign, op: Conv, stored: str) -> _Run:
    rows, cols = op.out_hw
    problem = GemmProblem(
        m=op.batch * rows * cols,
        n=op.k // op.groups,
        k=op.r * op.s * (op.c // op.groups),
        batch=op.groups,
        stored=stored,
        computed=board.computed_in(stored),
        a_elements=op.touched,
    )
    run = _of_gemm(board, design, problem, (_fit_note(), "convolution as an implicit product: no unfolded copy"))
    if op.groups == 1:
        return run
    direct = direct_convolution(board, design.call_overhead_s, op, stored)
    if direct.seconds >= math.fsum(run.parts.values()):
        return run
    return _streaming(direct, "grouped convolution by a direct fp32 kernel, faster here than a product for each group")


def _streaming(found: KernelEstimate, *notes: str) -> _Run:
    return _Run(
        parts=found.parts,
        phases={"kernel": tuple(found.parts)},
        operations={"multiplies": found.multiplies, "adds": found.adds, "exponentials": found.exponentials},
        read=found.read,
        written=found.written,
        computed="fp32",
        multiply_adds=found.multiplies,
        other_operations=found.adds - found.multiplies,
        notes=(
            "modelled: bytes at streaming bandwidth or the work of fp32 and special-function units, not fitted; only "
            "the cost of a call is measured (A100)",
            *notes,
        ),
    )


def _algorithm(board: DenseBoard, design: GpuDesign, op: Attention) -> str:
    """The design's attention kernel; by default the newest that the board has for this operation.

    FlashAttention computes in 16 bits or fewer: what is stored in more is left to the standard kernels.
    """
    if design.attention != "auto":
        return design.attention
    if FORMAT_BITS[op.format] > _FLASH_BITS:
        return "standard"
    return next((name for name in _NEWEST if not refusal(board, op, name)), "standard")


def _attention(board: DenseBoard, design: GpuDesign, op: Attention, stored: str) -> _Run:
    op = replace(op, format=stored)
    algorithm = _algorithm(board, design, op)
    found = run_attention(board, op, algorithm, layout_copies=design.layout_copies)
    macs = found.tensor_flops // 2
    return _Run(
        parts=found.parts,
        phases={algorithm: tuple(found.parts)},
        operations={
            "multiplies": macs,
            "adds": macs,
            "softmax_operations": found.other_flops,
            "exponentials": found.exps,
        },
        read=found.read,
        written=found.written,
        computed=found.computed,
        multiply_adds=macs,
        other_operations=found.other_flops + found.exps,
        staged_bytes=found.staged_bytes,
        notes=found.notes,
        counters={"tiles": found.tiles},
    )


def _result(label: str, design: GpuDesign, board: DenseBoard, op: Operation, run: _Run, stored: str) -> Result:
    """Whole cycles of the board's clock: seconds are those cycles, so that both agree to the digit."""
    cycles = max(1, math.ceil(math.fsum(run.parts.values()) * design.clock_hz))
    seconds = cycles / design.clock_hz
    stalls = apportion(cycles, {cause: round(part * _ATTO) for cause, part in run.parts.items()})
    phases = []
    for name, causes in run.phases.items():
        own = {cause: stalls[cause] for cause in causes if stalls[cause]}
        if own:
            phases.append(Phase(name, sum(own.values()), sum(own.values()) / design.clock_hz, own))
    read, written = sum(run.read.values()), sum(run.written.values())
    activity = Activity(
        seconds, run.computed, run.multiply_adds, run.other_operations, read + written, run.staged_bytes
    )
    energy = energy_parts(design, board, activity)
    tensors = sorted({*run.read, *run.written})
    peak = board.matmul_flops(run.computed)
    peaks = {"operations_per_s": peak, "bytes_per_s": design.bandwidth_bytes_per_s}
    operations = {**run.operations, "effective_multiplies": op.multiplies}
    return Result(
        machine=label,
        workload=op.name or op.kind,
        precision=(run.computed,) if op.multiplies else (),
        seconds=seconds,
        overhead_s=stalls.get("launch", 0) / design.clock_hz,
        cycles=cycles,
        clock_hz=design.clock_hz,
        energy_j=math.fsum(energy.values()),
        energy_parts=energy,
        operations=operations,
        traffic_bytes={
            **{name: round(run.read.get(name, 0.0) + run.written.get(name, 0.0)) for name in tensors},
            "dram_read": round(read),
            "dram_write": round(written),
        },
        phases=tuple(phases),
        stalls={cause: count for cause, count in stalls.items() if count},
        utilization=utilization(operations, op.flops, peaks, seconds),
        counters=run.counters,
        peaks=peaks,
        notes=(*_format_notes(label, board, op, stored, run.computed), *run.notes, *_clock_note(board, run.computed)),
        design=design.as_dict(),
        provenance={
            "kind": "modelled",
            "design_hash": design.content_hash(),
            "tables": {name: table_hash(name) for name in _TABLES},
        },
    )


def _format_notes(label: str, board: DenseBoard, op: Operation, stored: str, computed: str) -> list[str]:
    """What differs from the format that the workload asks for; elementwise work is fp32 everywhere."""
    notes = []
    asked = getattr(op, "format", stored)
    if stored != asked:
        notes.append(f"{label} runs in {stored}, the workload asks for {asked}")
    if computed == board.computed_in(stored) != stored and op.multiplies:
        notes.append(f"{label} has no {stored} units: operands are stored as {stored} and computed in {computed}")
    return notes


def _clock_note(board: DenseBoard, computed: str) -> list[str]:
    if board.busy_clock_hz(computed) == board.clock_hz:
        return []
    return [
        f"tensor cores at {board.sustained_clock_share:.1%} of the boost clock in products and attention alike: fitted "
        "on attention on an H100, checked by no measured product"
    ]


def _fit_note() -> str:
    fit = {name: e.value for (owner, name), e in table("gpu_gemm_fit").items() if owner == "cublas"}
    return (
        "modelled: constants fitted on ten fp16 products measured on an A100, mean error "
        f"{fit['error_mean']:.1%} in sample, {fit['error_mean_leave_one_out']:.1%} leave-one-out; other boards and "
        "formats by multiprocessors, clock, rates and bandwidth, checked by no measurement"
    )
