"""What the attention accelerators share: heads, one after another, on copies of one pipeline.

Knows no machine by name. A machine says what one head does (:class:`HeadRun`) and :func:`run_heads` does the rest:
runs every head, gathers how good the approximation is and adds up what happened. A schedule says what all heads
together take: on several copies of a pipeline (:func:`on_copies`), where causes and phases are those of the copy that
ends last, or through one whose stages hold different heads (:func:`pipelined`). Memory is one :class:`Port` for all.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from siloom.sim.approximation import Mask, Quality, exact_probabilities
from siloom.sim.budget import check_bytes
from siloom.sim.cost import dram_energy, table_hash
from siloom.sim.design import Design
from siloom.sim.drawn_attention import Operands, Reals32
from siloom.sim.engine.pipeline import run_pipeline
from siloom.sim.errors import InputError
from siloom.sim.fixed_point import Codes32
from siloom.sim.memory import idle_latency_s, part, stream_bytes_per_s
from siloom.sim.ops import Attention, Operation, extras_note
from siloom.sim.result import Phase, Result, utilization
from siloom.sim.units.reciprocal import reciprocals
from siloom.sim.units.scaled_code import scaled_codes
from siloom.sim.units.weighted_sum import weighted_sums

MAX_SEQ = 16_384
"""Tokens beyond which a head's scores would take gigabytes here."""

_BYTES_PER_SCORE = 60
"""While a head is worked on: probabilities, products, weights and masks."""

ENERGY_TABLES = ("horowitz", "cacti_sram", "node_scaling", "dram_energy", "dram_parts")

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

    def above_share(self, p: float) -> Mask:
        """Keys whose probability is above ``p / n``, of the n that the query may look at; all of these for p = 0."""
        allowed = self.allowed
        if p == 0:
            return allowed
        above: Mask = (self.probabilities > p / np.count_nonzero(allowed, axis=1, keepdims=True)) & allowed
        return above


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


FORWARD_ONLY = "it runs attention's forward pass alone"


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
    check_bytes(label, _BYTES_PER_SCORE * op.seq**2, f"the scores of a head of seq {op.seq}")
    return op


@dataclass(frozen=True, kw_only=True)
class Port:
    """A memory that all heads come through, one after another: cycles for a head's bytes, and until the first come."""

    cycles: int = 0
    latency: int = 0

    @classmethod
    def of(cls, memory: str, channels: int, bytes_each: int, clock_hz: float) -> Port:
        """The port of ``channels`` parts at the rate they sustain, for heads of ``bytes_each``; ideal takes no time."""
        if memory == "ideal":
            return cls()
        rate = stream_bytes_per_s(memory, channels=channels)
        return cls(cycles=math.ceil(bytes_each / rate * clock_hz), latency=math.ceil(idle_latency_s(memory) * clock_hz))


def on_copies(copies: int, port: Port, held: int) -> Callable[[Sequence[HeadRun]], Phases]:
    """Heads on ``copies`` pipelines, each to the one that is free first; the phases of the copy that ends last.

    A head starts when its operands have come through the one ``port``, in the order of heads. Each copy has room for
    ``held`` heads' operands: 1 loads a head only when one before has been worked on, 2 while one is.
    """

    def schedule(runs: Sequence[HeadRun]) -> Phases:
        free = [0] * copies
        mine: list[list[HeadRun]] = [[] for _ in range(copies)]
        waited = [0] * copies
        finish: list[int] = []
        moved = 0
        for at, run in enumerate(runs):
            # There is room when all heads before but those that the places hold have been worked on.
            room = finish[at - held * copies] if at >= held * copies else 0
            moved = max(moved, room) + port.cycles
            copy = free.index(min(free))
            start = max(free[copy], moved + port.latency)
            waited[copy] += start - free[copy]
            free[copy] = start + run.cycles
            insort(finish, free[copy])
            mine[copy].append(run)
        last = free.index(max(free))
        return {**_shown("loads", "memory", waited[last]), **_added(run.phases for run in mine[last])}

    return schedule


def pipelined(port: Port, ahead: str = "") -> Callable[[Sequence[HeadRun]], Phases]:
    """Heads through one pipeline: while one is worked on the next is loaded.

    Where a phase runs ``ahead`` of the others it is done for the next head, and the one after that is loaded. Of loads
    and of that phase the result has what shows.
    """

    def schedule(runs: Sequence[HeadRun]) -> Phases:
        early = [sum(run.phases[ahead].values()) if ahead else 0 for run in runs]
        service = np.array(
            [(port.cycles, first, run.cycles - first) for run, first in zip(runs, early, strict=True)], np.int64
        ).reshape(len(runs), 3)
        # Without a phase ahead the middle stage takes no time and holds nothing of its own.
        timed = run_pipeline(service if ahead else service[:, ::2], np.zeros(2 if ahead else 1, np.int64))
        memory, shown = port.latency, 0
        before = readied = 0
        for row in timed.departures.tolist():
            loaded, ready, left = row if ahead else (row[0], row[0], row[1])
            waited = max(0, ready - before)
            late = min(waited, max(0, loaded - readied)) if ahead else waited
            memory, shown = memory + late, shown + waited - late
            before, readied = left, ready
        rest = ({name: causes for name, causes in run.phases.items() if name != ahead} for run in runs)
        return {**_shown("loads", "memory", memory), **_shown(ahead, ahead, shown), **_added(rest)}

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


def _shown(phase: str, cause: str, cycles: int) -> dict[str, dict[str, int]]:
    """A phase of one cause, if it takes any time."""
    return {phase: {cause: cycles}} if cycles else {}


def _added(many: Iterable[Phases]) -> dict[str, dict[str, int]]:
    out: dict[str, dict[str, int]] = {}
    for phases in many:
        for name, causes in phases.items():
            own = out.setdefault(name, {})
            for cause, cycles in causes.items():
                own[cause] = own.get(cause, 0) + cycles
    return out


def pins_bytes_per_s(memory: str, channels: int) -> float:
    """Peak rate of a memory; infinite where it is ideal."""
    return math.inf if memory == "ideal" else channels * part(memory).peak_bytes_per_s


def weighted_output(weights: Reals32, v: Codes32, kept: Mask, banks: int, bits: int, fraction: int) -> Reals32:
    """Means of V's codes by single-precision ``weights`` [seq, seq], summed in ``banks``, back from their codes."""
    return divided_sums(weighted_sums(weights, v.astype(np.float32), kept, banks), bits, fraction)


def divided_sums(sums: Reals32, bits: int, fraction: int) -> Reals32:
    """Means of V's codes from their sums [seq, dim] and, behind them, the weights', back from their codes.

    One reciprocal a row, then a product with each sum, rounded to a code of V's format; a row whose weights are all
    zero is zero.
    """
    dim = sums.shape[1] - 1
    codes = scaled_codes(sums[:, :dim], reciprocals(sums[:, dim:]), bits)
    out: Reals32 = (codes / np.float32(1 << fraction)).astype(np.float32)
    return out


def dram_energy_j(memory: str, bytes_moved: int) -> dict[str, float]:
    """The part ``dram`` of an energy, typical for the kind of memory; none where it is ideal."""
    if memory == "ideal":
        return {}
    return {"dram": 8 * bytes_moved * dram_energy.energy_per_bit_j(memory.split("-")[0])}


def with_dram(traffic: Mapping[str, int], written: int) -> dict[str, int]:
    """Traffic by tensor with what memory reads and writes of it; ``written`` bytes of it are writes."""
    return {**traffic, "dram_read": sum(traffic.values()) - written, "dram_write": written}


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
    """The Result of a whole attention operation.

    ``events`` counts ``kept`` pairs; ``multiplies`` and ``adds`` of the units that work in the operands' own format,
    whose peak ``peak_multiplies_per_cycle`` is; and apart ``predictor_multiplies``, those that only choose keys.
    """
    effective = min(2 * whole.events["kept"] * op.dim, op.multiplies)
    operations = {
        "multiplies": whole.events["multiplies"],
        "adds": whole.events["adds"],
        "predictor_multiplies": whole.events.get("predictor_multiplies", 0),
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
    notes = []
    if op.q is None:
        law = op.law.seed if op.law is not None else 0
        notes.append(f"no operands were given: they were drawn by the clustered law with seed {law}")
    if op.shared > 1:
        notes.append(f"K and V are fetched for every head, though {op.shared} heads share them")
    return tuple(notes)
