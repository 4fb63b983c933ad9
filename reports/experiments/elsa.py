"""ELSA (Ham et al., ISCA 2021): hash angles, what the filter keeps and loses, speed-ups over a V100, area and power.

Operands are drawn by the law of ``sim/drawn_attention.py`` with its default settings, which are fitted to a real BERT
and to nothing of ELSA's. The paper's workloads are recalled: BERT-large, RoBERTa and ALBERT on SQuAD, RACE and IMDB
(384 and 512 tokens), SASRec and BERT4Rec on MovieLens (200).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod
from pathlib import Path

import numpy as np

from siloom.models.registry import machine
from siloom.reports.headline import CHIP_NOTE, Headline, chip_rows, find
from siloom.reports.reproduce import Table
from siloom.sim.hash_angle import angle_errors
from siloom.sim.ops import Attention

LENGTHS = (200, 384, 512)
HEADS, DIM = 16, 64
_GPUS = ("v100:attention=standard,precision=fp32", "v100:attention=standard")
DEGREES = (0.0, 0.5, 1.0, 2.0, 4.0)


def tables(matrices: Path | None, watch: Callable[[str], None]) -> Iterator[Table]:
    """All tables; no matrices are read."""
    watch("elsa: hash angles")
    yield _angles()
    watch("elsa: candidates")
    yield _candidates()
    watch("elsa: speed-ups over V100")
    yield _speedups()
    yield _chip()


def _angles() -> Table:
    rows = []
    for case, kind in (("Kronecker 4 x 4 x 4", "kronecker"), ("orthogonal", "orthogonal"), ("Gaussian", "gaussian")):
        errors = angle_errors(kind, DIM, matrices=100, pairs=2000)
        point = find("elsa", case, "80th percentile")
        ours = float(np.percentile(errors, 80))
        rows.append(
            {
                "projection": case,
                "mean_rad": f"{errors.mean():+.4f}",
                "deviation_rad": f"{errors.std():.4f}",
                "p80_rad": f"{ours:.4f}",
                "reference_p80": f"{point.value:.4f}",
                "difference": f"{ours - point.value:+.4f}",
            }
        )
    return Table(
        "ELSA: error of the angle that 64 hash bits of 64 elements give",
        rows,
        ("200,000 pairs of independent Gaussian vectors; the paper's bias, 0.127, is the 80th percentile.",),
    )


def _candidates() -> Table:
    rows = []
    for degree in DEGREES:
        result = machine(f"elsa:p={degree}").run(Attention(seq=512, heads=HEADS, dim=DIM))
        quality = result.quality
        rows.append(
            {
                "p": degree,
                "candidates": f"{quality['candidate_ratio']:.1%}",
                "recall": f"{quality['recall']:.1%}",
                "softmax kept": f"{quality['mass_kept']:.1%}",
                "output error": f"{quality['output_error']:.1%}",
                "cycles": result.cycles,
                "imbalance": f"{result.stalls['imbalance'] / (result.cycles or 1):.1%}",
            }
        )
    conservative, moderate = (find("elsa", f"loss below {n} %", "candidate ratio").value for n in (1, 2))
    return Table(
        "ELSA: what the filter keeps, 512 tokens, 16 heads",
        rows,
        (
            f"the paper (recalled): below {conservative:.0%} of the keys at a loss of at most 1 %, about "
            f"{moderate:.0%} at 2 %; its networks were not at hand, so no loss of accuracy is claimed here.",
            "p = 0 keeps all keys: what is left of the error is that of 9-bit operands.",
        ),
    )


def _speedups() -> Table:
    point = find("elsa", "geometric mean", "speed-up over V100")
    rows = []
    for gpu in _GPUS:
        for degree in (0.0, 1.0, 2.0):
            ratios, kept = [], []
            for seq in LENGTHS:
                op = Attention(seq=seq, heads=HEADS, dim=DIM, batch=3)
                ours = machine(f"elsa:p={degree}").run(op)
                ratios.append(machine(gpu).run(op).seconds / ours.seconds)
                kept.append(ours.quality["candidate_ratio"])
            mean = prod(ratios) ** (1 / len(ratios))
            rows.append(
                Headline(
                    point=point,
                    simulated=mean,
                    stands_on=f"p = {degree:g}; {', '.join(map(str, LENGTHS))} tokens ("
                    + ", ".join(f"{r:.1f}x" for r in ratios)
                    + f"), 16 heads of 64, batch 3; {min(kept):.0%} to {max(kept):.0%} of the keys; 12 copies; "
                    f"baseline {gpu}, modelled",
                    not_published="the GPU's kernels, precision and batch; lengths of the inputs that are not padding",
                    unequal="the GPU computes every score, padding included, in floating point; ELSA its candidates, "
                    "in 9 bits",
                    why="how the paper's GPU was timed is not known to us; here both have the same tokens, without "
                    "padding, and the GPU's kernels are modelled without a framework's time",
                ).row()
            )
    return Table("ELSA: speed-up of attention over a V100, geometric mean of the lengths", rows)


def _chip() -> Table:
    result = machine("elsa:copies=1").run(Attention(seq=512, heads=HEADS, dim=DIM))
    return Table("ELSA: one pipeline at 40 nm", chip_rows("elsa", "40 nm", result), (CHIP_NOTE,))
