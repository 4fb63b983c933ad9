"""Cosimulation: one way to run a component against its model - drive, monitor, score.

The model's side is fixed before any RTL runs: a :class:`Trial` says what is driven, which beats must
come out of every stream, what memories must hold at the end, and in how many cycles. Four simulators
run the same trials: Amaranth's own (nothing else needed), Verilator and Icarus (driven by cocotb), and
a loop in C++ for long runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from siloom.rtl.exchange import Plan, Seen

SIMULATORS = {
    "amaranth": "siloom.rtl.pysim",
    "verilator": "siloom.rtl.verilator",
    "icarus": "siloom.rtl.icarus",
    "cxxrtl": "siloom.rtl.cxxrtl",
}
"""Name -> the module whose ``simulate(component, plans, waves)`` runs it."""

WAVES = {"amaranth": ".vcd", "verilator": ".vcd", "icarus": ".fst"}
"""The waveforms that a simulator writes; the loop in C++ writes none."""


@dataclass(frozen=True)
class Finding:
    """Results in a place of the machine's own choice: ``find`` takes them, ``bits`` each, from a memory's words."""

    memory: str
    find: Callable[[Sequence[int]], Sequence[int]]
    expected: Sequence[int]
    bits: int


@dataclass(frozen=True)
class Trial:
    """One run of a machine with the model's side of it.

    ``answers``: the payloads that every drained stream gives, in their order, or in any order for
    streams in ``unordered``. ``words``: what the first words of each memory hold at the end; ``findings``: what is
    found in them where the model does not say in which words.
    ``model_cycles``: up to and with the last transfer; None where cycles are not compared, because the model knows
    nothing of how the neighbours stall.
    """

    plan: Plan
    answers: Mapping[str, Sequence[int]]
    model_cycles: int | None
    words: Mapping[str, Sequence[int]] = field(default_factory=dict)
    unordered: frozenset[str] = frozenset()
    findings: Sequence[Finding] = ()


@dataclass(frozen=True)
class Verdict:
    """How a component compares with its model, over all runs.

    ``mismatched_bits`` counts wrong bits of results, all bits of one missing or too many, and one for
    each cycle in which a waiting result changed. ``mismatched_cycles`` counts, for a unit, transfers
    in another cycle than the model's; for a machine, by how many cycles its runs differ from the model's.
    ``cycle_error`` is the largest error of one run's cycles, relative to the RTL's. ``fault`` says where the
    first difference is that is not allowed; empty when there is none.
    """

    vectors: int
    mismatched_bits: int
    mismatched_cycles: int
    model_cycles: int
    rtl_cycles: int
    cycle_error: float
    fault: str

    @property
    def passed(self) -> bool:
        """Whether nothing differs that must not."""
        return not self.fault


def cosimulate(make: Callable[[], Any], plans: Sequence[Plan], simulator: str, waves: Path | None = None) -> list[Seen]:
    """Run plans on a new component, each from reset.

    Args:
        make: makes the component.
        plans: what is driven.
        simulator: a name in ``SIMULATORS``.
        waves: a file for the waveforms of all signals, in the form of ``WAVES``.

    Raises:
        MissingPartError: the simulator is not installed.
    """
    seen: list[Seen] = import_module(SIMULATORS[simulator]).simulate(make(), plans, waves)
    return seen


def score(trials: Sequence[Trial], sightings: Sequence[Seen], bound: float) -> Verdict:
    """Compare what was seen with what the model says; ``bound`` is the cycle error allowed for one run."""
    bits = off = model_cycles = rtl_cycles = vectors = 0
    worst, fault = 0.0, ""
    for trial, seen in zip(trials, sightings, strict=True):
        wrong, first = _compare(trial, seen)
        model = seen.cycles if trial.model_cycles is None else trial.model_cycles
        apart = abs(seen.cycles - model)
        error = apart / max(seen.cycles, 1)
        if not first and error > bound:
            first = f"{seen.cycles} cycles, not {model}"
        if first and not fault:
            fault = f"{trial.plan.name}: {first}"
        bits += wrong
        off += apart
        worst = max(worst, error)
        if trial.model_cycles is not None:
            model_cycles += trial.model_cycles
            rtl_cycles += seen.cycles
        vectors += sum(len(feed.payloads) for feed in trial.plan.feeds.values())
    return Verdict(vectors, bits, off, model_cycles, rtl_cycles, worst, fault)


def _compare(trial: Trial, seen: Seen) -> tuple[int, str]:
    total, fault = 0, ""
    for name, expected in trial.answers.items():
        transfers, bits = seen.streams[name], trial.plan.drains[name].bits
        came = transfers.payloads
        if name in trial.unordered:
            expected, came = sorted(expected), sorted(came)
        wrong, first = compare_payloads(expected, came, bits)
        if transfers.unstable and not first:
            first = f"{transfers.unstable} waiting results changed or were withdrawn"
        total += wrong + transfers.unstable
        fault = fault or (first and f"stream {name}: {first}")
    for name, words in trial.words.items():
        bits = trial.plan.memories[name].data_bits
        wrong, first = compare_payloads(words, seen.words[name][: len(words)], bits)
        total += wrong
        fault = fault or (first and f"memory {name}: {first}")
    for finding in trial.findings:
        wrong, first = compare_payloads(finding.expected, finding.find(seen.words[finding.memory]), finding.bits)
        total += wrong
        fault = fault or (first and f"found in memory {finding.memory}: {first}")
    return total, fault


def compare_payloads(expected: Sequence[int], came: Sequence[int], bits: int) -> tuple[int, str]:
    """Wrong bits, all bits of a result that is missing or too many, and the first difference in words."""
    wrong, fault = abs(len(expected) - len(came)) * bits, ""
    if wrong:
        fault = f"{len(expected)} results expected, {len(came)} came"
    for k, (want, got) in enumerate(zip(expected, came, strict=False)):
        if want != got:
            if not wrong:
                fault = f"result {k} is {got:#x}, not {want:#x}"
            wrong += (want ^ got).bit_count()
    return wrong, fault
