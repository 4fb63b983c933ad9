"""SCALE-Sim: its stall-free runs beside ours, and what separates its count from an array's own cycles.

The runs are read from ``scalesim_cycles.csv`` where a folder with it is named or stands at hand; some of
them stand in ``published/scalesim.csv``.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from siloom.models.systolic import Systolic, SystolicDesign
from siloom.reports.reproduce import Table, published
from siloom.sim.engine.systolic import DATAFLOWS, array_cycles, scalesim_cycles
from siloom.sim.errors import InputError
from siloom.sim.ops import MatMul

BESIDE = Path("../shared/data")
FILE = "scalesim_cycles.csv"
COUNTS = {
    "cycles": "total_cycles",
    "ifmap reads": "ifmap_sram_reads",
    "filter reads": "filter_sram_reads",
    "ofmap writes": "ofmap_sram_writes",
}
LAYERS = {
    "BERT-base projection": (128, 768, 768),
    "BERT-base feed-forward": (128, 3072, 768),
    "BERT-base scores, one head": (128, 128, 64),
    "ResNet-50 3 x 3, stage 2": (3136, 64, 576),
    "depthwise 3 x 3, one channel": (196, 1, 9),
    "matrix times vector": (1, 1000, 2048),
}
"""m, n, k."""


class Shape(NamedTuple):
    """An array and a product on it."""

    dataflow: str
    rows: int
    cols: int
    m: int
    n: int
    k: int


def tables(matrices: Path | None, watch: Callable[[str], None]) -> Iterator[Table]:
    """All tables; ``matrices`` is a folder that may hold the measured runs, ``watch`` is told of each step."""
    watch("SCALE-Sim's runs")
    path = measured_file(matrices)
    yield _stated() if path is None else _measured(path)
    watch("causes")
    yield _causes()


def measured_file(folder: Path | None) -> Path | None:
    """The file of runs: in the folder named, beside it, or beside the checkout; None where there is none."""
    places = [folder, folder.parent] if folder is not None else []
    return next((place / FILE for place in [*places, BESIDE] if (place / FILE).is_file()), None)


def _stated() -> Table:
    """The runs that stand in our own table."""
    rows = []
    for point in published("scalesim"):
        words = point.case.split()
        ours = scalesim_cycles(words[0], *(int(word) for word in words[1:]))
        rows.append(
            {
                "dataflow rows cols m n k": point.case,
                "published": int(point.value),
                "ours": int(ours.cycles),
                "difference": int(ours.cycles) - int(point.value),
            }
        )
    return Table(
        "SCALE-Sim: stall-free runs",
        rows,
        (f"all measured runs are compared where {FILE} is at hand; name its folder with --matrices",),
    )


def stall_free(path: Path) -> list[dict[str, str]]:
    """The runs of the file that ended well and never stalled.

    Raises:
        InputError: the file cannot be read, or has other columns.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            found = list(csv.DictReader(file))
        return [row for row in found if row["status"] == "ok" and int(row["stall_cycles"]) == 0]
    except (OSError, UnicodeDecodeError, KeyError, ValueError) as error:
        raise InputError(f"{path}: is not a table of SCALE-Sim runs: {error}") from None


def _measured(path: Path) -> Table:
    """Every stall-free run, by release and dataflow."""
    groups: dict[tuple[str, str], list[dict[str, str]]] = {}
    for run in stall_free(path):
        groups.setdefault((run["version"], run["dataflow"]), []).append(run)
    rows: list[dict[str, Any]] = []
    for (version, dataflow), some in sorted(groups.items()):
        sizes = ([int(run[name]) for run in some] for name in ("rows", "cols", "M", "N", "K"))
        ours = dict(zip(COUNTS, scalesim_cycles(dataflow, *sizes), strict=True))
        row: dict[str, Any] = {"release": version, "dataflow": dataflow, "runs": len(some)}
        worst = 0
        for name, column in COUNTS.items():
            off = [abs(int(a) - int(run[column])) for a, run in zip(ours[name], some, strict=True)]
            row[f"{name} equal"] = off.count(0)
            worst = max(worst, *off)
        rows.append({**row, "largest difference": worst})
    return Table("SCALE-Sim: stall-free runs", rows, (f"{sum(r['runs'] for r in rows)} runs of {path.name}",))


def causes(shape: Shape) -> dict[str, int]:
    """What separates SCALE-Sim's stall-free count from the physical array's cycles, in cycles, one upon another.

    - ``last index``: SCALE-Sim gives the index of the last cycle, counted from 0.
    - ``way out``: output-stationary sums take as many cycles as the array has rows to leave, which are not
      charged; sums that flow leave through a register at the lower edge.
    - ``edge folds``: an edge fold takes its own rows and columns, not the whole array.
    - ``folds in a row``: the next fold begins when the last has streamed in, not when it is out.
    - ``second register``: operands come in, or sums go out, while others are worked on.
    """
    dataflow, rows, cols, m, n, k = shape
    on_rows, on_cols, streamed = {"os": (m, n, k), "ws": (k, n, m), "is": (k, m, n)}[dataflow]
    folds = [
        (min(rows, on_rows - row), min(cols, on_cols - col))
        for col in range(0, on_cols, cols)
        for row in range(0, on_rows, rows)
    ]

    def alone(r: int, c: int) -> int:
        if dataflow == "os":
            return streamed + r + c + rows - 2
        return r + streamed + rows + c - 1

    counted = int(scalesim_cycles(*shape).cycles)
    whole = len(folds) * alone(rows, cols)
    single = int(array_cycles(*shape, double=False))
    own = sum(alone(r, c) for r, c in folds)
    return {
        "last index": 1,
        "way out": whole - counted - 1,
        "edge folds": own - whole,
        "folds in a row": single - own,
        "second register": int(array_cycles(*shape)) - single,
    }


def _causes() -> Table:
    """Physical minus SCALE-Sim, cause by cause."""
    design = SystolicDesign()
    rows: list[dict[str, Any]] = []
    for layer, (m, n, k) in LAYERS.items():
        for dataflow in DATAFLOWS:
            shape = Shape(dataflow, design.rows, design.cols, m, n, k)
            parts = causes(shape)
            physical = Systolic(SystolicDesign(dataflow=dataflow)).run(MatMul(m=m, n=n, k=k))
            counted = int(scalesim_cycles(*shape).cycles)
            assert physical.cycles is not None
            parts["memory"] = physical.cycles - int(array_cycles(*shape))
            rows.append(
                {"layer": layer, "dataflow": dataflow, "scalesim": counted, **parts, "physical": physical.cycles}
            )
    return Table(
        f"Physical minus SCALE-Sim, by cause: cycles on {design.rows} x {design.cols} cells",
        rows,
        (
            "each cause is what one more step from SCALE-Sim's count to the array changes; they add up.",
            f"memory: {design.memory}, SRAMs of {design.ifmap_sram_bytes} B, fp16: blocks, loads, stores and latency",
            "of the layer as a plain product, every element of its windows moved.",
        ),
    )
