"""Sanger (Lu et al., MICRO 2021): the authors' own forms, pack and split at the paper's densities, and speed-ups.

The masks' law, stated before any result: operands are drawn by ``sim/drawn_attention.py`` with its default settings
(fitted to nothing of Sanger's) but for the concentration, which is chosen so that the predicted mask has the
paper's density; 384 tokens, heads of 64 elements, threshold 0.002 (SQuAD).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from siloom.models.registry import machine
from siloom.models.sanger import Sanger, SangerDesign, sub_rows_and_passes
from siloom.reports.headline import CHIP_NOTE, Headline, chip_rows, find
from siloom.reports.reproduce import Table, published
from siloom.sim.approximation import Mask
from siloom.sim.drawn_attention import Clustered
from siloom.sim.ops import Attention, MatMul
from siloom.sim.selection.predicted_scores import PredictedScores
from siloom.sim.units.int4_predictor import shared_scale

SEQ, HEADS, DIM = 384, 12, 64
_GPU = "v100:attention=standard"


@dataclass(frozen=True)
class Packing:
    """Masks of one density, and the share of the PEs at work by the design's ``packing``."""

    concentration: float
    density: float
    at_work: Mapping[str, float]

    @property
    def gain(self) -> float:
        """Of packing and splitting over neither."""
        return self.at_work["pack_split"] / self.at_work["none"]


def masks(law: Clustered) -> list[Mask]:
    """The predicted masks of a layer's heads under a law."""
    given = Attention(seq=SEQ, heads=HEADS, dim=DIM, law=law).operands()
    scales = shared_scale(given.q, 4), shared_scale(given.k, 4)
    return [
        PredictedScores().select(q, k, scales, np.ones((SEQ, SEQ), np.bool_)).kept
        for q, k in zip(given.q[0], given.k[0], strict=True)
    ]


def packing(many: list[Mask], concentration: float) -> Packing:
    """How full the PEs are, by the ways to pack: keys kept over places of the rows of PEs that are taken up."""
    kept = sum(int(np.count_nonzero(mask)) for mask in many)
    at_work = {}
    for way in ("pack_split", "split", "none"):
        design = replace(SangerDesign(), packing=way)
        at_work[way] = kept / (design.pes_per_row * sum(sub_rows_and_passes(design, mask)[0] for mask in many))
    return Packing(concentration, kept / sum(mask.size for mask in many), at_work)


@cache
def at_density(density: float) -> Packing:
    """Masks whose density is the one asked for, by bisection of the law's concentration."""
    low, high = 0.05, 100.0  # the density falls with the concentration
    for _ in range(18):
        middle = (low * high) ** 0.5
        found = packing(masks(replace(Clustered(), concentration=middle)), middle)
        if found.density > density:
            low = middle
        else:
            high = middle
    return found


def tables(matrices: Path | None, watch: Callable[[str], None]) -> Iterator[Table]:
    """All tables; no matrices are read."""
    watch("sanger: the authors' forms")
    yield _authors()
    watch("sanger: pack and split")
    yield _packing()
    watch("sanger: speed-ups over V100")
    yield _speedups()
    yield _chip()


def _authors() -> Table:
    rows = []
    for point in published("sanger"):
        if point.table != "authors":
            continue
        name, *settings = point.case.replace(";", ":").split(":")
        values = dict(setting.split("=") for setting in settings)
        op = Attention(seq=int(values.pop("seq")), heads=12, dim=64)
        result = Sanger(SangerDesign().with_settings("sanger", {"convention": name, **values})).run(op)
        ours = result.seconds * 1e3
        rows.append(
            {
                "form": name,
                **values,
                "seq": op.seq,
                "printed_ms": point.value,
                "ours_ms": round(ours, 6),
                "equal": round(ours, 6) == point.value,
            }
        )
    return Table("Sanger: the authors' own models", rows, ("H = 768, one sequence, projections included.",))


def _packing() -> Table:
    lowest, highest = (find("sanger", "BERT", which).value for which in ("lowest", "highest"))
    sparse = find("sanger", "sparse model on a dense array", "throughput")
    gain = find("sanger", "pack and split", "gain")
    asked = {lowest: "lowest density", sparse.value: "", 0.2: "", highest: "highest density"}
    found = {density: at_density(density) for density in asked}
    rows: list[dict[str, Any]] = []
    for density, case in asked.items():
        ours = found[density]
        row: dict[str, Any] = {"density": f"{ours.density:.3f}", "concentration": f"{ours.concentration:.2f}"}
        for way, quantity in (
            ("pack_split", "PE utilisation"),
            ("split", "PE utilisation without pack and split"),
            ("none", "PE utilisation without pack and split"),
        ):
            row[way] = f"{ours.at_work[way]:.2f}"
            if case:
                point = find("sanger", case, quantity).value
                row[way] += f" (published {point:.2f}, {ours.at_work[way] / point - 1:+.0%})"
        row["gain"] = f"{ours.gain:.2f}x"
        rows.append(row)
    mean = fmean(ours.gain for ours in found.values())
    useful = found[sparse.value].density
    return Table(
        "Sanger: share of the PEs at work",
        rows,
        (
            f"masks are drawn by the law of sim/drawn_attention.py: {SEQ} tokens, {HEADS} heads of {DIM}, threshold "
            "0.002; its concentration alone follows the density.",
            "pack_split: as built. split: rows without a key take a place too, as in the authors' no-skip measure. "
            "none: a tile of 64 rows waits for its fullest row.",
            f"gain of pack and split over none, mean of the densities: {mean:.2f}x; published {gain.value}x "
            f"({mean / gain.value - 1:+.0%}).",
            f"a sparse model on a dense array is useful for its density's share of the time, {useful:.3f}x here by "
            f"construction; published {sparse.value}x, which we take for the models' density.",
            "published utilisation without packing lies near one or the other of our ways to do without it; over "
            "which of them, and at which density, the gain was taken is not said.",
        ),
    )


_CASES = (
    ("BERT", "384 tokens (SQuAD)", Attention(seq=384, heads=12, dim=64)),
    ("GPT-2", "512 tokens, causal", Attention(seq=512, heads=12, dim=64, causal=True)),
    ("BART", "512 tokens (CLOTH)", Attention(seq=512, heads=12, dim=64)),
)


def _speedups() -> Table:
    """Our kernels on both sides; the authors' form says what their GPU's time must have been."""
    rows = []
    gpu = machine(_GPU)
    form = machine("sanger:convention=authors-v2,density=0.127,load_balance=0.65")
    for name, about, op in _CASES:
        point = find("sanger", name, "speed-up over V100 FP16")
        ours = machine("sanger").run(op)
        density = ours.quality["candidate_ratio"]
        implied = point.value * form.run(op).seconds
        rows.append(
            Headline(
                point=point,
                simulated=gpu.run(op).seconds / ours.seconds,
                stands_on=f"{about}, 12 heads of 64, attention of a layer, batch 1; threshold 0.002: density "
                f"{density:.2f}; one Sanger at 500 MHz; baseline {_GPU}, modelled",
                not_published="batch, lengths and densities of each task; how the GPU's time was taken",
                unequal=f"the GPU computes every score, in fp16; Sanger {1 - density:.0%} fewer, in int16",
                why=f"the authors' form for a whole layer times the published ratio puts their GPU at "
                f"{implied * 1e3:.1f} ms a layer; the modelled kernels of one take {_layer_seconds(op) * 1e3:.2f} ms, "
                "so most of theirs was not kernels",
            ).row()
        )
    return Table("Sanger: speed-ups over a V100", rows)


def _layer_seconds(op: Attention) -> float:
    """Kernels of the GPU for attention and the four projections around it, which the authors' form has in it."""
    gpu, width = machine(_GPU), op.heads * op.dim
    return gpu.run(op).seconds + 4 * gpu.run(MatMul(m=op.seq, n=width, k=width)).seconds


def _chip() -> Table:
    result = machine("sanger").run(Attention(seq=SEQ, heads=HEADS, dim=DIM))
    return Table("Sanger: area and power at 55 nm", chip_rows("sanger", "UMC 55 nm", result), (CHIP_NOTE,))
