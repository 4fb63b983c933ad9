"""Dense operations on a CPU: rooflines of published rates, with register tiles, cores and caches in them.

- A product is padded to register tiles (rows x two vectors) and its tiles are shared out whole to the
  cores; it runs at a share of the peak that good libraries reach. Memory moves each operand once where
  the smallest fits in a third of the last-level cache, and as often as square blocks of that size ask for
  otherwise.
- A convolution is a product of windows cut out on the way, or, depthwise, a direct loop over channels.
- Attention is its products with the softmax between them; scores go through memory where those that
  the cores work on at once exceed the last-level cache.
- The rest is bandwidth or vector operations, whichever takes longer.

Operands start in memory. A format that the part cannot compute in is held and computed as the next one
it can (fp16 as fp32).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from siloom.models._cpu_design import CpuDesign
from siloom.sim.cost import table_hash
from siloom.sim.cost.dram_energy import energy_per_bit_j
from siloom.sim.ops import Attention, Conv, Elementwise, MatMul, Operation, Reduce, extras_note, format_bytes
from siloom.sim.result import Phase, Result, utilization

Dense = MatMul | Conv | Attention | Elementwise | Reduce

TILE_ROWS = 6
"""Rows of a register tile: 6 x 2 vectors is what BLIS and MKL use with 16 registers (recalled)."""
WIDEST_TILE = 32
"""Columns of a register tile at most, matrix units included."""
_NOTE = "modelled: roofline of published rates, register tiles, cores and caches; fitted on no measurement"


@dataclass(frozen=True)
class Work:
    """What one step asks of the part: seconds of its units, bytes from and to memory, counted work."""

    compute_s: float
    read: Mapping[str, int]
    written: Mapping[str, int]
    operations: Mapping[str, int]
    notes: tuple[str, ...] = field(default=())


def run_dense(label: str, design: CpuDesign, op: Dense) -> Result:
    """Estimate one dense operation."""
    stored = op.format if design.precision == "auto" else design.precision
    computed = design.computed_in(stored)
    if isinstance(op, MatMul):
        steps = [_matmul(design, op, computed)]
    elif isinstance(op, Conv):
        steps = [_conv(design, op, computed)]
    elif isinstance(op, Attention):
        steps = _attention(design, op, computed)
    elif isinstance(op, Elementwise):
        steps = [_elementwise(design, op, computed)]
    else:
        steps = [_reduce(design, op.rows, op.length, op.function, computed)]
    return _result(label, design, op, computed, steps)


def padded_share(design: CpuDesign, m: int, n: int, batch: int, computed: str) -> float:
    """Time of ``batch`` products of m x n over that of perfectly filled tiles and cores, at least 1.

    A library may turn the product round, so the better of the two orientations counts.
    """
    width = min(design.per_core(computed), WIDEST_TILE)
    best = math.inf
    for rows, columns in ((m, n), (n, m)):
        tiles = -(-rows // TILE_ROWS) * -(-columns // width) * batch
        padding = tiles * TILE_ROWS * width / (rows * columns * batch)
        spread = -(-tiles // design.cores) * design.cores / tiles
        best = min(best, padding * spread)
    return best


def product_bytes(m: int, n: int, k: int, each: int, cache_bytes: int) -> tuple[int, int, int]:
    """Bytes of A, B and C that memory moves for one product whose elements take ``each`` bytes.

    Once each where the smallest of the three fits in a third of the cache: it stays there while the
    others stream past. Otherwise C in square blocks of a third of the cache, for each of which A's
    rows and B's columns pass once.
    """
    a, b, c = m * k * each, k * n * each, m * n * each
    if 3 * min(a, b, c) <= cache_bytes:
        return a, b, c
    side = max(1, math.isqrt(cache_bytes // (3 * each)))
    return a * -(-n // side), b * -(-m // side), c


def _gemm_seconds(design: CpuDesign, multiplies: int, m: int, n: int, batch: int, computed: str) -> float:
    ideal = 2 * multiplies / (design.peak(computed) * design.gemm_efficiency)
    return ideal * padded_share(design, m, n, batch, computed)


def _matmul(design: CpuDesign, op: MatMul, computed: str) -> Work:
    each = format_bytes(computed, 1)
    m, batch = (op.m * op.batch, 1) if op.shared else (op.m, op.batch)
    a, b, c = product_bytes(m, op.n, op.k, each, design.l3_bytes)
    notes = ("2:4: a CPU skips no zeros; B is held and multiplied dense",) if op.sparse24 else ()
    return Work(
        compute_s=_gemm_seconds(design, op.dense_multiplies, m, op.n, batch, computed),
        read={"a": a * batch, "b": b * batch},
        written={"c": c * batch},
        operations={"multiplies": op.dense_multiplies, "adds": op.dense_multiplies},
        notes=notes,
    )


def _conv(design: CpuDesign, op: Conv, computed: str) -> Work:
    each = format_bytes(computed, 1)
    rows, cols = op.out_hw
    m, n, k = op.batch * rows * cols, op.k // op.groups, op.r * op.s * (op.c // op.groups)
    _, b, c = product_bytes(m, n, k, each, design.l3_bytes)
    passes = b // (k * n * each)  # blocks of outputs that the filters pass
    product = _gemm_seconds(design, op.multiplies, m, n, op.groups, computed)
    direct = 2 * op.multiplies / (design.peak(computed) * design.direct_efficiency)
    notes = ("convolution as a product of windows that are cut out on the way",)
    if op.groups > 1 and direct < product:
        product, notes = direct, ("grouped convolution by direct loops over channels",)
    return Work(
        compute_s=product,
        read={"a": op.touched * each, "b": passes * op.k * k * each},
        written={"c": c * op.groups},
        operations={"multiplies": op.multiplies, "adds": op.multiplies},
        notes=notes,
    )


def _attention(design: CpuDesign, op: Attention, computed: str) -> list[Work]:
    """The products of one pass and the softmax; a causal mask is applied to scores that were computed."""
    each = format_bytes(computed, 1)
    heads, kv = op.batch * op.heads, 2 * op.kv_elements
    in_flight = min(heads, design.cores) * op.seq * op.seq * each
    # Scores are written by one step and read by the next; backward, the scores' gradients too.
    spilled = 0 if in_flight <= design.l3_bytes else op.scores * each * op.score_products
    one = op.dense_multiplies // op.products
    seconds = _gemm_seconds(design, one, op.seq, op.seq, heads, computed) * op.score_products
    seconds += _gemm_seconds(design, one, op.seq, op.dim, heads, computed) * (op.products - op.score_products)
    notes = ["scores stay in the cache" if not spilled else "scores go through memory"]
    if op.causal:
        notes.append("causal: all scores are computed, half of them masked")
    matmuls = Work(
        compute_s=seconds,
        read={"q": (op.elements_in - kv) * each, "kv": kv * each, "scores": spilled},
        written={"out": op.elements_out * each, "scores": spilled},
        operations={"multiplies": op.dense_multiplies, "adds": op.dense_multiplies},
        notes=tuple(notes),
    )
    vectors, counted = _softmax(design, op.rows, op.seq, computed), _softmax_operations(op.scores)
    if op.direction == "bwd":
        gradient = op.SOFTMAX_GRADIENT * op.scores
        vectors += gradient / _vector_peak(design, computed)
        counted["adds"] += gradient
    return [matmuls, Work(vectors, {"scores": spilled}, {"scores": spilled}, counted)]


def _softmax(design: CpuDesign, rows: int, length: int, computed: str) -> float:
    """Seconds of the vector units: four operations an element and an exponential."""
    each = Reduce.FLOPS_EACH["softmax"] - 1 + design.exp_operations
    return rows * length * each / _vector_peak(design, computed)


def _softmax_operations(elements: int) -> dict[str, int]:
    return {"multiplies": 0, "adds": elements * (Reduce.FLOPS_EACH["softmax"] - 1), "exponentials": elements}


def _vector_format(computed: str) -> str:
    """What vector units compute in; matrix units take no part."""
    return "fp64" if computed == "fp64" else "fp32"


def _vector_peak(design: CpuDesign, computed: str) -> float:
    """Vector operations a second: one a unit, fused or not."""
    return design.peak(_vector_format(computed)) / 2


def _elementwise(design: CpuDesign, op: Elementwise, computed: str) -> Work:
    return Work(
        compute_s=op.flops / _vector_peak(design, computed),
        read={"operands": format_bytes(computed, op.elements * op.reads)},
        written={"results": format_bytes(computed, op.elements * op.writes)},
        operations={"multiplies": 0, "adds": op.flops},
    )


def _reduce(design: CpuDesign, rows: int, length: int, function: str, computed: str) -> Work:
    left = rows * (1 if function in ("sum", "max") else length)
    moved = {"operands": format_bytes(computed, rows * length)}
    written = {"results": format_bytes(computed, left)}
    if function == "softmax":
        return Work(_softmax(design, rows, length, computed), moved, written, _softmax_operations(rows * length))
    flops = rows * length * Reduce.FLOPS_EACH[function]
    return Work(flops / _vector_peak(design, computed), moved, written, {"multiplies": 0, "adds": flops})


def _result(label: str, design: CpuDesign, op: Operation, computed: str, steps: list[Work]) -> Result:
    phases = [Phase("overhead", None, design.overhead_s * len(steps))]
    operations: dict[str, int] = {}
    traffic: dict[str, int] = {}
    read = written = 0
    compute_s = wait_s = 0.0
    for step in steps:
        bytes_in, bytes_out = sum(step.read.values()), sum(step.written.values())
        memory_s = (bytes_in + bytes_out) / design.bytes_per_s
        compute_s += step.compute_s
        wait_s += max(0.0, memory_s - step.compute_s)
        read, written = read + bytes_in, written + bytes_out
        for moved in (step.read, step.written):
            for tensor, count in moved.items():
                traffic[tensor] = traffic.get(tensor, 0) + count
        for name, count in step.operations.items():
            operations[name] = operations.get(name, 0) + count
    phases += [Phase("compute", None, compute_s), Phase("memory", None, wait_s)]
    seconds = math.fsum(p.seconds for p in phases)
    energy = {
        "package idle": design.idle_w * seconds,
        "package at TDP, beyond idle (assumed, an upper estimate)": max(0.0, design.tdp_w - design.idle_w) * seconds,
        "dram": 8 * (read + written) * energy_per_bit_j(design.memory),
    }
    operations["effective_multiplies"] = op.multiplies
    peaks = {
        "operations_per_s": design.peak(computed if op.multiplies else _vector_format(computed)),
        "bytes_per_s": design.bandwidth_bytes_per_s,
    }
    return Result(
        machine=label,
        workload=op.name or op.kind,
        precision=(computed,),
        seconds=seconds,
        overhead_s=phases[0].seconds,
        energy_j=math.fsum(energy.values()),
        energy_parts=energy,
        operations=operations,
        traffic_bytes={**traffic, "dram_read": read, "dram_write": written},
        phases=tuple(p for p in phases if p.seconds),
        utilization=utilization(operations, op.flops, peaks, seconds),
        peaks=peaks,
        notes=(*_format_notes(op, computed), _NOTE, *extras_note(op), *(note for step in steps for note in step.notes)),
        design=design.as_dict(),
        provenance={
            "kind": "modelled",
            "library": design.library,
            "design_hash": design.content_hash(),
            "tables": {name: table_hash(name) for name in ("devices", "dram_energy", "spgemm_fit")},
        },
    )


def _format_notes(op: Operation, computed: str) -> list[str]:
    asked = getattr(op, "format", computed)
    if asked == computed:
        return []
    return [f"computed in {computed}, the workload asks for {asked}"]
