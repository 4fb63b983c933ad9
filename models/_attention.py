"""What the attention accelerators share: heads, one after another, on copies of one pipeline.

Knows no machine by name. A machine says what one head does (:class:`HeadRun`) and :func:`run_heads` does the rest:
runs every head, gathers how good the approximation is and adds up what happened. A schedule says what all heads
together take: on several copies of a pipeline (:func:`on_copies`) causes and phases are those of the copy that ends
last.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from siloom.sim.approximation import Mask, Quality, exact_probabilities
from siloom.sim.cost import table_hash
from siloom.sim.design import Design
from siloom.sim.drawn_attention import Operands, Reals32
from siloom.sim.engine.dispatch import greedy
from siloom.sim.errors import InputError
from siloom.sim.memory import idle_latency_s, part, stream_bytes_per_s
from siloom.sim.ops import Attention, Operation, extras_note
from siloom.sim.result import Phase, Result, utilization

MAX_SEQ = 16_384
"""Tokens beyond which a head's scores would take gigabytes here."""

ENERGY_TABLES = ("horowitz", "cacti_sram", "node_scaling", "dram_energy", "dram_parts")

Codes32 = npt.NDArray[np.int32]
Phases = Mapping[str, Mapping[str, int]]
"""Name -> cause -> cycles, in order."""

_NONE = np.zeros((0, 0), np.bool_)


@dataclass(frozen=True)
class Head:
    """One head's operands, [seq, dim] each, and its exact probabilities [seq, seq]."""

    q: Reals32
    k: Reals32
    v: Reals32
    causal: bool
    probabilities: Reals32

    @property
    def allowed(self) -> Mask:
        """Keys that a query may look at, [seq, seq]."""
        ones = np.ones((len(self.q), len(self.q)), np.bool_)
        return np.tril(ones) if self.causal else ones


@dataclass(frozen=True, kw_only=True)
class HeadRun:
    """What a machine did with a head.

    ``phases``: name -> cause -> cycles, in order. ``output`` [seq, dim]; ``kept`` and ``matters`` [seq, seq], see
    :mod:`siloom.sim.approximation`. ``events`` counts what energy is made of; ``counters`` what else is told.
    """

    phases: Phases
    output: Reals32
    kept: Mask
    matters: Mask
    events: Mapping[str, int]
    counters: Mapping[str, int] = field(default_factory=dict)

    @property
    def cycles(self) -> int:
        """Cycles of all phases."""
        return sum(sum(causes.values()) for causes in self.phases.values())


@dataclass(frozen=True, kw_only=True)
class Whole:
    """All heads together: sums of what each did, and the phases of the schedule."""

    cycles: int
    heads: int
    events: Mapping[str, int]
    counters: Mapping[str, int]
    phases: Phases
    quality: Mapping[str, float]
    output: Reals32


def to_codes(x: Reals32, bits: int, fraction: int) -> tuple[Codes32, int]:
    """Signed fixed-point codes of ``x``, to nearest even, symmetric about zero; and how many were cut off."""
    top = (1 << (bits - 1)) - 1
    scaled = np.rint(x.astype(np.float64) * (1 << fraction))
    beyond = int(np.count_nonzero(np.abs(scaled) > top))
    return np.clip(scaled, -top, top).astype(np.int32), beyond


def exact_products(a: Codes32, b: Codes32, bits: int) -> npt.NDArray[np.int64]:
    """The exact a b^T [rows of a, rows of b] of ``bits``-wide codes, through a BLAS whose sums hold them.

    Raises:
        InputError: sums that double precision does not hold.
    """
    most = 2 * (bits - 1) + math.ceil(math.log2(a.shape[1])) if a.shape[1] > 1 else 2 * (bits - 1)
    if most > 53:
        raise InputError(f"products of {bits}-bit operands of length {a.shape[1]} need {most} bits, more than 53")
    kind: type[np.floating[Any]] = np.float32 if most <= 24 else np.float64
    products: npt.NDArray[np.int64] = np.matmul(a.astype(kind), b.astype(kind).T).astype(np.int64)
    return products


def supports_attention(op: Operation) -> bool:
    """Whether ``op`` is attention's forward pass."""
    return isinstance(op, Attention) and op.direction == "fwd"


def require_attention(label: str, op: Operation) -> Attention:
    """``op``, if it is attention's forward pass of at most ``MAX_SEQ`` tokens.

    Raises:
        InputError: it is not.
    """
    if not isinstance(op, Attention) or not supports_attention(op):
        raise InputError(f"{label}: runs attention's forward pass, not {op.kind}")
    if op.seq > MAX_SEQ:
        raise InputError(f"{label}: seq must be at most {MAX_SEQ}, got {op.seq}")
    return op


def on_copies(copies: int) -> Callable[[Sequence[HeadRun]], Phases]:
    """Heads one after another on each of ``copies`` pipelines, dealt to whichever is free; the phases of the last."""

    def schedule(runs: Sequence[HeadRun]) -> Phases:
        dealt = greedy(np.array([run.cycles for run in runs], np.int64), copies)
        last = int(dealt.server[int(np.argmax(dealt.finish))])
        servers = dealt.server.tolist()
        return _added(run.phases for run, server in zip(runs, servers, strict=True) if server == last)

    return schedule


def run_heads(
    op: Attention,
    given: Operands,
    run_head: Callable[[Head], HeadRun],
    schedule: Callable[[Sequence[HeadRun]], Phases],
) -> Whole:
    """Run every head of ``op`` on its operands ``given``; ``schedule`` says what all of them together take.

    Raises:
        InputError: what ``run_head`` refuses.
    """
    quality = Quality()
    output = np.empty((op.batch, op.heads, op.seq, op.dim), np.float32)
    runs = []
    events: dict[str, int] = {}
    counters: dict[str, int] = {}
    for at in np.ndindex(op.batch, op.heads):
        q, k, v = given.q[at], given.k[at], given.v[at]
        head = Head(q, k, v, op.causal, exact_probabilities(q, k, op.causal))
        run = run_head(head)
        quality.add(head.probabilities, v, run.kept, run.matters, run.output, op.causal)
        output[at] = run.output
        runs.append(replace(run, kept=_NONE, matters=_NONE, output=output[at]))
        for total, own in ((events, run.events), (counters, run.counters)):
            for name, value in own.items():
                total[name] = total.get(name, 0) + value
    phases = schedule(runs)
    return Whole(
        cycles=sum(sum(causes.values()) for causes in phases.values()),
        heads=len(runs),
        events=events,
        counters=counters,
        phases=phases,
        quality=quality.figures(),
        output=output,
    )


def _added(many: Iterable[Phases]) -> dict[str, dict[str, int]]:
    out: dict[str, dict[str, int]] = {}
    for phases in many:
        for name, causes in phases.items():
            own = out.setdefault(name, {})
            for cause, cycles in causes.items():
                own[cause] = own.get(cause, 0) + cycles
    return out


def memory_cycles(bytes_each: int, sharers: int, memory: str, channels: int, clock_hz: float) -> int:
    """Cycles to move a head's operands and result where ``sharers`` copies share the memory's sustained rate."""
    if memory == "ideal":
        return 0
    rate = stream_bytes_per_s(memory, channels=channels) / sharers
    return math.ceil(bytes_each / rate * clock_hz)


def pins_bytes_per_s(memory: str, channels: int) -> float:
    """Peak rate of a memory; infinite where it is ideal."""
    return math.inf if memory == "ideal" else channels * part(memory).peak_bytes_per_s


def first_load_cycles(bytes_each: int, memory: str, channels: int, clock_hz: float) -> int:
    """Cycles until the first head's operands are there, with nothing to overlap them with."""
    if memory == "ideal":
        return 0
    seconds = idle_latency_s(memory) + bytes_each / stream_bytes_per_s(memory, channels=channels)
    return math.ceil(seconds * clock_hz)


def attention_result(
    label: str,
    op: Attention,
    design: Design,
    whole: Whole,
    *,
    clock_hz: float,
    precision: tuple[str, ...],
    peak_multiplies_per_cycle: int,
    bytes_per_s: float,
    energy: Mapping[str, float],
    area: Mapping[str, float],
    traffic: Mapping[str, int],
    notes: tuple[str, ...],
    values: bool,
) -> Result:
    """The Result of a whole attention operation; ``events`` must count ``multiplies``, ``adds`` and ``kept`` pairs."""
    effective = min(2 * whole.events["kept"] * op.dim, op.multiplies)
    operations = {
        "multiplies": whole.events["multiplies"],
        "adds": whole.events["adds"],
        "effective_multiplies": effective,
        "skipped_multiplies": op.multiplies - effective,
    }
    phases = tuple(
        Phase(name, sum(causes.values()), sum(causes.values()) / clock_hz, dict(causes))
        for name, causes in whole.phases.items()
    )
    stalls: dict[str, int] = {}
    for phase in phases:
        for cause, spent in phase.stalls.items():
            stalls[cause] = stalls.get(cause, 0) + spent
    peaks = {"operations_per_s": 2.0 * peak_multiplies_per_cycle * clock_hz}
    if math.isfinite(bytes_per_s):
        peaks["bytes_per_s"] = bytes_per_s
    return Result(
        machine=label,
        workload=op.name or op.kind,
        seconds=whole.cycles / clock_hz,
        overhead_s=0.0,
        cycles=whole.cycles,
        clock_hz=clock_hz,
        energy_j=math.fsum(energy.values()),
        energy_parts=energy,
        area_mm2=math.fsum(area.values()),
        area_parts=area,
        operations=operations,
        traffic_bytes=traffic,
        phases=phases,
        stalls=stalls,
        counters=whole.counters,
        precision=precision,
        quality=whole.quality,
        utilization=utilization(operations, op.flops, peaks, whole.cycles / clock_hz),
        peaks=peaks,
        notes=(*_operand_notes(op), *extras_note(op), *notes),
        design=design.as_dict(),
        provenance={
            "design_hash": design.content_hash(),
            "tables": {name: table_hash(name) for name in ENERGY_TABLES},
        },
        values=whole.output if values else None,
    )


def _operand_notes(op: Attention) -> tuple[str, ...]:
    if op.q is not None:
        return ()
    law = op.law.seed if op.law is not None else 0
    return (
        f"operands were drawn by the clustered law with seed {law} (sim/drawn_attention.py), nobody having given any",
    )
