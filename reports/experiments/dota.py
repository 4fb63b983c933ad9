"""DOTA (Qu et al., ASPLOS 2022): what its detector keeps, its order of keys, and speed-ups over a GPU and over ELSA.

Operands are drawn by the law of ``sim/drawn_attention.py``. The paper's workloads are recalled: question answering with
BERT-large on 384 tokens, and three tasks of the Long Range Arena on 1024, 2048 and 4096, of which the last is left out
for the time that it takes here; a fifth to a tenth of the keys is kept on the first, a twentieth on the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod
from pathlib import Path
from typing import Any

from siloom.models.registry import machine
from siloom.reports.headline import Headline, find
from siloom.reports.reproduce import Table
from siloom.sim.ops import Attention

CASES = (
    (Attention(seq=384, heads=16, dim=64), 0.15),
    (Attention(seq=1024, heads=4, dim=64), 0.05),
    (Attention(seq=2048, heads=4, dim=64), 0.05),
)
_GPU = "v100:attention=standard,precision=fp32"


def tables(matrices: Path | None, watch: Callable[[str], None]) -> Iterator[Table]:
    """All tables; no matrices are read."""
    watch("dota: detector")
    yield _detector()
    watch("dota: speed-ups")
    yield _speedups()


def _detector() -> Table:
    op = Attention(seq=512, heads=16, dim=64)
    rows = []
    for settings in ("", "scheduler=in_order", "selection=threshold", "retention=0.05", "detector_bits=2"):
        result = machine(f"dota:{settings}" if settings else "dota").run(op)
        quality = result.quality
        rows.append(
            {
                "settings": settings or "as published",
                "kept": f"{quality['candidate_ratio']:.1%}",
                "recall": f"{quality['recall']:.1%}",
                "softmax kept": f"{quality['mass_kept']:.1%}",
                "output error": f"{quality['output_error']:.1%}",
                "cycles": result.cycles,
                "keys fetched": result.counters["key_fetches"],
                "imbalance": f"{result.stalls['imbalance'] / (result.cycles or 1):.1%}",
            }
        )
    return Table(
        "DOTA: 512 tokens, 16 heads",
        rows,
        (
            "the detector's low-rank weights are a least-squares fit on the same operands, not trained with a network "
            "as the paper's are: its recall says nothing of theirs.",
        ),
    )


def _speedups() -> Table:
    ours = [machine(f"dota:retention={kept}").run(op).seconds for op, kept in CASES]

    def headline(quantity: str, baseline: str, **about: str) -> dict[str, Any]:
        other = machine(baseline)
        ratios = [other.run(op).seconds / seconds for (op, _), seconds in zip(CASES, ours, strict=True)]
        cases = ", ".join(
            f"{op.seq} tokens x {op.heads} heads at {kept:.0%} kept ({ratio:.1f}x)"
            for (op, kept), ratio in zip(CASES, ratios, strict=True)
        )
        return Headline(
            point=find("dota", "attention", quantity),
            simulated=prod(ratios) ** (1 / len(ratios)),
            stands_on=f"geometric mean of {cases}; batch 1; one DOTA of 4 lanes; baseline {baseline}, modelled",
            **about,
        ).row()

    rows = (
        headline(
            "speed-up over GPU",
            _GPU,
            not_published="which GPU, its kernels, precision and batch",
            unequal="the GPU computes every score, in fp32; DOTA the keys it keeps, in int16",
            why="the paper's GPU, and how DOTA was scaled to it, are not known to us; here one chip of four lanes "
            "stands against a whole V100, whose kernels are modelled without a framework's time",
        ),
        headline(
            "speed-up over ELSA",
            "elsa:copies=1",
            not_published="how the other hardware was scaled to DOTA's size",
            unequal="ELSA, in 9 bits at 40 nm, keeps what its threshold for p = 1 leaves; DOTA, int16 at 22 nm, less",
            why="one pipeline of ELSA has 512 multipliers for attention against DOTA's 2048, and keeps more keys",
        ),
    )
    return Table("DOTA: speed-ups of attention", rows)
