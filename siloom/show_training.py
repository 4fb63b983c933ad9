"""Runs of training as tables on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from siloom.reports.chart import amount
from siloom.show import plain_console, show_rows


def show_training(documents: Sequence[Mapping[str, Any]], console: Console | None = None) -> None:
    """Print runs side by side; of one alone also the curve, and what left a range where."""
    console = console or plain_console()
    if len(documents) == 1 and "runs" not in documents[0]:
        _show_one(documents[0], console)
    show_rows(f"training {documents[0]['recipe']}", [_summary(d) for d in documents], console)
    costs = [row for d in documents for row in _costs(d)]
    if costs:
        show_rows("one step on a machine", costs, console)
    for note in dict.fromkeys(note for d in documents for note in d["notes"]):
        console.print(f"note: {note}")


def _show_one(document: Mapping[str, Any], console: Console) -> None:
    show_rows(
        "learning",
        [
            {
                "step": point["step"],
                "loss": point["loss"],
                "held out": point["validation_loss"],
                "accuracy": _share(point["accuracy"]),
                "rate": point["rate"],
                "density": _share(point["density"]),
            }
            for point in document["curve"]
        ],
        console,
    )
    if document["densities"]:
        kept = [{"layer": layer, "weights kept": _share(share)} for layer, share in document["densities"].items()]
        show_rows("sparse weights", kept, console)
    if document["attention"]:
        scores = [{"layer": row["layer"], "scores kept": _share(row["density"])} for row in document["attention"]]
        show_rows("attention", scores, console)
    if document["work"]:
        work = [{"work": row["what"], "done": _share(row["share"])} for row in document["work"]]
        show_rows("techniques", work, console)
    beyond = [row for row in document["counts"] if row["saturated"] or row["clipped"]]
    if beyond:
        rows = [
            {
                "layer": row["layer"],
                "pass": row["pass"],
                "results": row["sums"],
                "beyond the accumulator": _share(row["saturated"] / row["sums"]),
                "operands clipped": _share(row["clipped"] / row["operands"]),
            }
            for row in beyond
        ]
        show_rows("what left a range", rows, console)


def _summary(document: Mapping[str, Any]) -> dict[str, Any]:
    """One line: choices, then what came out."""
    backward = " / ".join(dict.fromkeys(document["backward"].values()))
    row = {
        "arithmetic": document["arithmetic"],
        "backward": backward,
        "steps": document["steps"],
        "loss": document["final_loss"],
        "held out": document["validation_loss"],
        "accuracy": _share(document["accuracy"]),
    }
    if "runs" in document:
        found = document["accuracy_interval"]
        row["95 % interval"] = "-" if found is None else f"{found[0]:.2%} to {found[1]:.2%}"
    return row | {"saturated": _share(document["saturation_rate"]), "step": amount(document["seconds_per_step"], "s")}


def _costs(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A line for each machine: what the step takes there, and how much faster that is than on the GPU."""
    rows = []
    for found in document.get("machines", []):
        over = {f"over {base}": "-" if x is None else f"{x:.3g}x" for base, x in found["speedup"].items()}
        rows.append(
            {
                "machine": found["machine"],
                "arithmetic": document["arithmetic"],
                "attention": document["attention_method"],
                "runs": _share(found["coverage"]["flops"]),
                "cycles": "-" if found["cycles"] is None else f"{found['cycles']:,}",
                "time": amount(found["seconds"], "s"),
                "energy": "-" if found["energy_j"] is None else amount(found["energy_j"], "J"),
                **over,
            }
        )
    return rows


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.2%}"
