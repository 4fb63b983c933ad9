"""The schedule of ``systolic_walk`` in plain Python: every fold and every transfer, one after another.

Nothing is skipped and nothing is counted in closed form. Bytes are those of the blocks that move; a convolution's
shared inputs are not known here.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product


@dataclass(frozen=True, kw_only=True)
class Case:
    """One job: array, GEMM, blocks, the order of the loops over them (``"mnk"`` from the outermost in), port."""

    dataflow: str
    rows: int
    cols: int
    double: bool
    m: int
    n: int
    k: int
    batch: int
    blocks: tuple[int, int, int]
    order: str
    a_bits: int = 8
    b_bits: int = 8
    o_bits: int = 8
    sum_bits: int = 32
    bytes_per_cycle: float = math.inf
    latency: int = 0
    stages: int = 0
    write_costs: tuple[float, ...] = (1.0,)


@dataclass
class Step:
    """A block triple: its place, its sizes, what it loads and stores in bytes."""

    place: dict[str, int]
    size: dict[str, int]
    loads: Counter[str] = field(default_factory=Counter)
    stores: Counter[str] = field(default_factory=Counter)
    fresh_stationary: bool = True

    def block(self, tensor: str) -> tuple[int, ...]:
        """Which block of a tensor this step works on, the product in the batch included."""
        axes = {"a": "mk", "b": "kn", "c": "mn"}[tensor]
        return (self.place["batch"], *(self.place[axis] for axis in axes))


def steps_of(case: Case) -> list[Step]:
    """All steps in order, with what crosses the port for each."""
    sizes = {"m": case.m, "n": case.n, "k": case.k}
    block = dict(zip("mnk", case.blocks, strict=True))
    trips = {axis: math.ceil(sizes[axis] / block[axis]) for axis in "mnk"}
    out: list[Step] = []
    for index, *at in product(range(case.batch), *(range(trips[axis]) for axis in case.order)):
        place = dict(zip(case.order, at, strict=True))
        size = {axis: min(block[axis], sizes[axis] - place[axis] * block[axis]) for axis in "mnk"}
        out.append(Step({"batch": index, **place}, size))
    for here, before in zip(out, [None, *out], strict=False):
        size = here.size
        if before is None or here.block("a") != before.block("a"):
            here.loads["a_read"] += math.ceil(size["m"] * size["k"] * case.a_bits / 8)
        if before is None or here.block("b") != before.block("b"):
            here.loads["b_read"] += math.ceil(size["k"] * size["n"] * case.b_bits / 8)
        if (before is None or here.block("c") != before.block("c")) and here.place["k"] > 0:
            here.loads["sum_read"] += math.ceil(size["m"] * size["n"] * case.sum_bits / 8)
        stays = {"os": "c", "ws": "b", "is": "a"}[case.dataflow]
        here.fresh_stationary = before is None or here.block(stays) != before.block(stays)
    for here, after in zip(out, [*out[1:], None], strict=True):
        if after is None or here.block("c") != after.block("c"):
            final = here.place["k"] == trips["k"] - 1
            name, bits = ("c_write", case.o_bits) if final else ("sum_write", case.sum_bits)
            here.stores[name] += math.ceil(here.size["m"] * here.size["n"] * bits / 8)
    return out


def folds_of(case: Case, size: dict[str, int]) -> Iterator[tuple[int, int]]:
    """Rows and columns used by each fold of a step."""
    on_rows, on_cols = {"os": ("m", "n"), "ws": ("k", "n"), "is": ("k", "m")}[case.dataflow]
    for col in range(0, size[on_cols], case.cols):
        for row in range(0, size[on_rows], case.rows):
            yield min(case.rows, size[on_rows] - row), min(case.cols, size[on_cols] - col)


def _write_cost(case: Case, steps: list[Step]) -> float:
    """A byte's time at the share of writes of all steps, over that of reads alone."""
    written = sum(sum(step.stores.values()) for step in steps)
    share = written / (written + sum(sum(step.loads.values()) for step in steps))
    at = share * (len(case.write_costs) - 1)
    below, above = math.floor(at), math.ceil(at)
    return case.write_costs[below] + (at - below) * (case.write_costs[above] - case.write_costs[below])


def run_reference(case: Case) -> dict[str, int]:
    """Cycles, the bytes of each kind of transfer, and the cycles in which operands stream in (``compute``)."""
    steps = steps_of(case)
    output_stationary = case.dataflow == "os"
    rate = case.bytes_per_cycle / _write_cost(case, steps)
    moved: Counter[str] = Counter()
    port = 0
    compute = 0
    read_end: list[int] = []  # when each step had read its last operand
    left: list[int] = []  # when its last result was out
    stored_at: dict[int, int] = {}
    fold: tuple[int, int, int] | None = None  # begin, rows and streamed length of the last fold

    def transfer(size: int, earliest: int) -> int:
        return max(port, earliest) + math.ceil(size / rate)

    for s, step in enumerate(steps):
        streamed = step.size[{"os": "k", "ws": "m", "is": "n"}[case.dataflow]]
        folds = list(folds_of(case, step.size))
        bytes_in = sum(step.loads.values())
        moved.update(step.loads)
        moved.update(step.stores)
        ready = 0
        if bytes_in:
            free = case.latency if s == 0 else read_end[s - 2] if s >= 2 else 0
            port = ready = transfer(bytes_in, free)
        if s >= 2 and steps[s - 2].stores:
            port = stored_at[s - 2] = transfer(sum(steps[s - 2].stores.values()), left[s - 2])
        gone = 0
        for number, (r, c) in enumerate(folds):
            # A tile that stays in the cells over the next step is not shifted in again.
            shifts_in = not output_stationary and (step.fresh_stationary or len(folds) > 1)
            ahead = r if shifts_in else 0
            begin = ahead
            if fold is not None:
                then, last_rows, last_streamed = fold
                shifted = last_rows if output_stationary else ahead
                if case.double or not (output_stationary or shifts_in):
                    begin = then + max(last_streamed, shifted)
                else:
                    begin = then + last_streamed + shifted - 1
            if number == 0:
                if bytes_in:
                    begin = max(begin, ready + ahead)
                if s - 2 in stored_at:
                    first_result = streamed + case.rows - 1 if output_stationary else case.rows
                    begin = max(begin, stored_at[s - 2] - first_result - case.stages)
            fold = (begin, r, streamed)
            compute += streamed
            last = r + c - 2 if output_stationary else c - 1
            gone = max(gone, begin + streamed + case.rows + last + case.stages)
        assert fold is not None
        tallest, widest = max(r for r, _ in folds), max(c for _, c in folds)
        slant = max(tallest, widest) - 1 if output_stationary else tallest - 1
        read_end.append(fold[0] + streamed + slant)
        left.append(gone)
    for s in range(max(0, len(steps) - 2), len(steps)):
        if steps[s].stores:
            port = transfer(sum(steps[s].stores.values()), left[s])
    return {"cycles": max(port, *left[-2:]), "compute": compute, **moved}
