"""What a recorded training step takes on machines, beside the GPU that would run it otherwise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from siloom import api
from siloom.sim.errors import InfeasibleError
from siloom.sim.link import DEFAULT, Link
from siloom.sim.ops import Workload

BASELINE = "h100"
"""The GPU against which a step's time is told."""


def step_cost(
    step: Workload,
    machines: Sequence[str],
    rest: str | None = None,
    link: str | Link = DEFAULT,
    watch: Callable[[str], None] = lambda _: None,
) -> list[dict[str, Any]]:
    """Results of the whole step on each machine, with ``speedup`` over the baseline on what both run.

    Where a machine runs a part alone and no ``rest`` is named, its time and energy are of that part (``coverage``),
    and so is the baseline's in the ratio.

    Raises:
        SiloomError: see :func:`siloom.api.run`.
    """
    rows = []
    for text in machines:
        watch(f"{step.name} on {text}")
        result = api.run(text, step, rest=rest, link=link)
        try:
            both = api.compare_results(step, [text], [BASELINE], rest, link=link)
        except InfeasibleError:  # a machine whose operations the GPU's model lacks
            rows.append({**result.to_dict(), "speedup": {BASELINE: None}, "baseline": None})
            continue
        base = next(r for r in both.results if r.machine == both.baselines[0])
        about = {"seconds": base.seconds, "energy_j": base.energy_j, "coverage": dict(base.coverage)}
        rows.append({**result.to_dict(), "speedup": dict(both.speedups[both.results[0].machine]), "baseline": about})
    return rows
