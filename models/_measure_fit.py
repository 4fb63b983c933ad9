"""Fit named fields of a machine's design to timed operations; knows nothing of how they were timed.

Least squares of ln(model / measured), so that a microsecond and a second weigh the same, over the
logarithm of each field within the range that the design gives it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from siloom.models._measured_file import Fit, Measurement
from siloom.sim.errors import InputError
from siloom.sim.machine import Machine
from siloom.sim.ops import Operation

_FOLDS = 5
_SMALLEST = 1e-12
"""Where a field's range begins at 0, the least value that its logarithm takes."""


@dataclass(frozen=True)
class Sample:
    """One operation and its timed runs; ``text`` is the operation as the command line writes it."""

    text: str
    op: Operation
    seconds: float
    fastest_s: float
    slowest_s: float
    repeats: int


def sample(text: str, op: Operation, times: Sequence[float]) -> Sample:
    """The median of timed runs.

    Raises:
        InputError: no runs, or a time that is not positive and finite.
    """
    if not times or not all(math.isfinite(t) and t > 0 for t in times):
        raise InputError(f"{text}: needs times above 0 s, got {list(times)[:5]}")
    return Sample(text, op, float(np.median(times)), min(times), max(times), len(times))


def fit_fields(machine: Machine, fields: Sequence[str], samples: Sequence[Sample], *, starts: int = 4) -> Machine:
    """The machine with ``fields`` of its design fitted to ``samples``.

    The descent begins at the best ``starts`` points of a grid about the design's own values (each
    field at 1/3, 0.58, 1, 1.7 and 3 times its value); with 1 at the design's own values alone.

    Raises:
        InputError: fewer samples than fields.
    """
    if len(samples) < len(fields):
        raise InputError(f"fit: {len(fields)} fields need as many measurements, got {len(samples)}")
    from scipy.optimize import least_squares

    about = machine.design.parameters()
    low = np.log([max(about[f].low or 0.0, _SMALLEST) for f in fields])
    high = np.log([about[f].high or 1e30 for f in fields])
    own = np.log([max(float(getattr(machine.design, f)), _SMALLEST) for f in fields])

    def residuals(logs: Any) -> Any:
        made = _with(machine, fields, logs)
        return np.array([math.log(made.run(s.op).seconds / s.seconds) for s in samples])

    grid = (
        [own]
        if starts == 1
        else [own + math.log(3) * np.array(at) for at in product((-1, -0.5, 0, 0.5, 1), repeat=len(fields))]
    )
    inside = [np.clip(point, low + 1e-6, high - 1e-6) for point in grid]
    inside = sorted(inside, key=lambda point: float(np.square(residuals(point)).sum()))[:starts]
    # Rooflines have corners and tiles change by steps: differences wide enough to cross them.
    step = [1e-3] * len(fields)
    found = [least_squares(residuals, at, bounds=(low, high), diff_step=step, max_nfev=60) for at in inside]
    return _with(machine, fields, min(found, key=lambda result: float(result.cost)).x)


def _with(machine: Machine, fields: Sequence[str], logs: Any) -> Machine:
    values = {f: float(math.exp(v)) for f, v in zip(fields, logs, strict=True)}
    about = machine.design.parameters()
    for f in fields:  # exp(ln(limit)) may miss the limit by a rounding
        limits = about[f]
        values[f] = min(max(values[f], limits.low or 0.0), limits.high or math.inf)
    return type(machine)(machine.design.with_settings(machine.label, values), machine.label)


def errors(machine: Machine, samples: Sequence[Sample]) -> list[float]:
    """|model / measured - 1| of each sample."""
    return [abs(machine.run(s.op).seconds / s.seconds - 1) for s in samples]


def judge(machine: Machine, fields: Sequence[str], samples: Sequence[Sample]) -> Fit:
    """Errors of the fitted machine in sample, and held out: each fifth predicted from a fit on the others.

    Where ``fields`` are given they are those that were fitted on these samples.
    """
    found = errors(machine, samples)
    held_out = None
    if fields and len(samples) >= _FOLDS * 2 and len(samples) * (_FOLDS - 1) // _FOLDS >= len(fields):
        out = []
        for fold in range(_FOLDS):
            rest = [s for i, s in enumerate(samples) if i % _FOLDS != fold]
            own = [s for i, s in enumerate(samples) if i % _FOLDS == fold]
            out += errors(fit_fields(machine, fields, rest, starts=1), own)
        held_out = float(np.mean(out))
    return Fit(
        samples=len(samples),
        fields=list(fields),
        error_mean=float(np.mean(found)),
        error_max=max(found),
        error_mean_held_out=held_out,
    )


def measurement(machine: Machine, timed: Sample) -> Measurement:
    """A sample as the file holds it."""
    return Measurement(
        operation=timed.text,
        seconds=timed.seconds,
        fastest_s=timed.fastest_s,
        slowest_s=timed.slowest_s,
        repeats=timed.repeats,
        modelled_s=machine.run(timed.op).seconds,
    )
