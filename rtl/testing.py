"""Conformance: does a twin keep its Contract, bit for bit and cycle for cycle?

The model side (results and the cycle of every transfer) is computed from the Contract before any RTL
runs. Then the twin is driven with the same beats and both are compared. See :func:`make_plans` for
what is tried. Units of your own are tested by the same call: ``conform(contract, make_twin, ...)``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from siloom.rtl.cosim import Verdict, compare_payloads, cosimulate
from siloom.rtl.exchange import Drain, Feed, Plan, Seen
from siloom.sim.contract import Answer, Codes, Contract, Float, Format, Schedule, as_code

EXHAUSTIVE_BITS = 12
"""Beats of at most this many bits are all tried."""

_SLACK_CYCLES = 64


@dataclass(frozen=True)
class Case:
    """One plan with the model's side of it."""

    plan: Plan
    answer: Answer
    schedule: Schedule


def conform(
    contract: Contract,
    make: Callable[[], Any],
    *,
    vectors: int,
    seed: int,
    simulator: str = "amaranth",
    waves: Path | None = None,
) -> Verdict:
    """Drive a twin with about ``vectors`` beats and compare it with its Contract.

    Args:
        contract: the promise.
        make: makes the twin, a component with streams ``i`` and ``o`` of the Contract's ports.
        vectors: beats in all, shared among the cases; small streams are tried exhaustively besides.
        seed: of all operands, stalls and junk.
        simulator: a name in ``siloom.rtl.cosim.SIMULATORS``.
        waves: a file for the waveforms.

    Raises:
        MissingPartError: the simulator is not installed.
    """
    cases = make_cases(contract, vectors, seed)
    return judge(contract, cases, cosimulate(make, [case.plan for case in cases], simulator, waves))


def make_cases(contract: Contract, vectors: int, seed: int) -> list[Case]:
    """What is tried, with what the model says to it.

    - ``back-to-back``: random codes without a gap, the consumer always ready.
    - ``corners``: corner codes of every format, without a gap, the consumer stalling.
    - ``streaks``: most columns hold a code, mostly an end of its range, for a while: sums run to their limits.
    - ``stalled``: random codes, both sides stalling at random, in single cycles and in long bursts.
    - ``exhaustive``: every code of the whole beat, in random order, where it has few bits.
    """
    rng = np.random.default_rng([seed, sum(contract.name.encode())])
    count = max(vectors // 4, 16)
    formats = contract.inputs.formats
    free, stall = _never, _bursts
    recipes = [
        ("back-to-back", _columns(formats, lambda form: _random(rng, form, count)), free, free),
        ("corners", _columns(formats, lambda form: _corners(rng, form, count)), free, stall),
        ("streaks", _streaks(rng, formats, count), stall, free),
        ("stalled", _columns(formats, lambda form: _random(rng, form, count)), stall, stall),
    ]
    if contract.inputs.bits <= EXHAUSTIVE_BITS:
        every = rng.permutation(1 << contract.inputs.bits).tolist()
        recipes.append(("exhaustive", contract.inputs.unpack(every), stall, free))
    return [
        _case(contract, name, beats, idle(rng, len(beats)), ~_bits(rng, consumer, len(beats)), int(rng.integers(2**31)))
        for name, beats, idle, consumer in recipes
    ]


def _case(
    contract: Contract, name: str, beats: Codes, idle: Codes, ready: npt.NDArray[np.bool_], junk_seed: int
) -> Case:
    if contract.legal is not None:
        beats = contract.legal(beats)
        idle = np.resize(idle, len(beats))
    answer = contract.answer(beats)
    schedule = contract.schedule(beats, idle, ready)
    plan = Plan(
        name=name,
        feeds={"i": Feed(contract.inputs.bits, contract.inputs.pack(beats), idle.tolist())},
        drains={"o": Drain(contract.outputs.bits, len(answer.beats), ready.tolist())},
        # A slower twin is let run on a little, so that what it does can be told, but not for ever.
        limit=3 * schedule.cycles + _SLACK_CYCLES,
        seed=junk_seed,
    )
    return Case(plan, answer, schedule)


def judge(contract: Contract, cases: Sequence[Case], sightings: Sequence[Seen]) -> Verdict:
    """Compare what was seen with what the model says."""
    bits = cycles = model_cycles = rtl_cycles = vectors = 0
    worst, fault = 0.0, ""
    for case, seen in zip(cases, sightings, strict=True):
        wrong_bits, bits_fault = _compare_bits(contract, case, seen)
        wrong_cycles, cycles_fault = _compare_cycles(case, seen)
        bits += wrong_bits
        cycles += wrong_cycles
        vectors += len(case.plan.feeds["i"].payloads)
        model_cycles += case.schedule.cycles
        rtl_cycles += seen.cycles
        worst = max(worst, abs(seen.cycles - case.schedule.cycles) / max(seen.cycles, 1))
        if not fault and (first := bits_fault or cycles_fault):
            fault = f"{case.plan.name}: {first}"
    return Verdict(vectors, bits, cycles, model_cycles, rtl_cycles, worst, fault)


def _compare_bits(contract: Contract, case: Case, seen: Seen) -> tuple[int, str]:
    results = seen.streams["o"]
    expected = contract.outputs.pack(case.answer.beats)
    wrong, fault = compare_payloads(expected, results.payloads, contract.outputs.bits)
    if results.unstable and not fault:
        fault = f"{results.unstable} waiting results changed or were withdrawn"
    return wrong + results.unstable, fault


def _compare_cycles(case: Case, seen: Seen) -> tuple[int, str]:
    given, results = seen.streams["i"], seen.streams["o"]
    wrong, fault = 0, ""
    for what, word, times, rtl in (
        ("taken", "beat", case.schedule.taken, given.moved),
        ("shown", "result", case.schedule.shown, results.shown),
        ("left", "result", case.schedule.left, results.moved),
    ):
        model = times.tolist()
        differ = [k for k, (want, got) in enumerate(zip(model, rtl, strict=False)) if want != got]
        wrong += len(differ) + abs(len(model) - len(rtl))
        if not fault and differ:
            k = differ[0]
            fault = f"{word} {k} was {what} in cycle {rtl[k]}, not {model[k]}"
        elif not fault and len(model) != len(rtl):
            fault = f"{len(rtl)} {word}s were {what}, not {len(model)}"
    return wrong, fault


# Operands: one column at a time, as int64 codes.


def _columns(formats: Sequence[Format], draw: Callable[[Format], Codes]) -> Codes:
    return np.stack([draw(form) for form in formats], axis=1)


def _random(rng: np.random.Generator, form: Format, count: int) -> Codes:
    words = rng.integers(0, 2**64, count, np.uint64) >> np.uint64(64 - form.bits)
    return np.array([as_code(w, form) for w in words.tolist()], np.int64)


def _corners(rng: np.random.Generator, form: Format, count: int) -> Codes:
    return rng.choice(np.array(form.corners(), np.int64), count)


def _streaks(rng: np.random.Generator, formats: Sequence[Format], count: int) -> Codes:
    streak = np.cumsum(rng.random(count) < 1 / 48)  # about 48 beats each

    def draw(form: Format) -> Codes:
        ends = form.corners() if isinstance(form, Float) else (form.corners()[0], form.corners()[-1])
        extreme = rng.choice(np.array(ends, np.int64), count)
        held = np.where(rng.random(count) < 0.9, extreme, _random(rng, form, count))[streak]
        return np.where((rng.random(count) < 0.9)[streak], held, _random(rng, form, count))

    return _columns(formats, draw)


# Stalls: cycles to wait before each of ``count`` beats.


def _never(rng: np.random.Generator, count: int) -> Codes:
    return np.zeros(count, np.int64)


def _bursts(rng: np.random.Generator, count: int) -> Codes:
    """Half the beats at once, most others after a cycle or two, a few after twenty or so."""
    short = rng.integers(1, 4, count)
    long = rng.integers(8, 32, count)
    kind = rng.random(count)
    return np.where(kind < 0.5, 0, np.where(kind < 0.95, short, long)).astype(np.int64)


def _bits(rng: np.random.Generator, stalls: Callable[[np.random.Generator, int], Codes], count: int) -> Any:
    """The same as a pattern by cycle: True where the consumer stalls."""
    waits = stalls(rng, count)
    out = np.ones(int(waits.sum()) + count, np.bool_)
    out[np.cumsum(waits + 1) - 1] = False
    return out
