"""A3 (Ham et al., HPCA 2020): approximate over base, in throughput and latency, at the paper's lengths.

Operands are drawn by the law of ``sim/drawn_attention.py``. The paper's workloads are recalled: key-value memory
networks (186 keys on average) and BERT on SQuAD (320); its memory networks of 20 keys are left out, since a query of
theirs is one of one matrix, not of as many as there are keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from siloom.models.registry import machine
from siloom.reports.headline import CHIP_NOTE, Headline, chip_rows, find
from siloom.reports.reproduce import Table
from siloom.sim.ops import Attention

LENGTHS = (186, 320)
WAYS = ("a3-conservative", "a3-aggressive")


def tables(matrices: Path | None, watch: Callable[[str], None]) -> Iterator[Table]:
    """All tables; no matrices are read."""
    watch("a3: approximate over base")
    found = {(way, seq): _against_base(way, seq) for seq in LENGTHS for way in WAYS}
    yield Table(
        "A3: approximate over base",
        list(found.values()),
        ("latency: cycles from a query's arrival at an idle machine to its output, mean over queries.",),
    )
    yield _headlines(found)
    result = machine("a3-base").run(Attention(seq=320, heads=1, dim=64))
    yield Table("A3: base, at 40 nm", chip_rows("a3", "40 nm", result), (CHIP_NOTE,))


def _against_base(way: str, seq: int) -> dict[str, Any]:
    op = Attention(seq=seq, heads=4, dim=64)
    base, ours = machine("a3-base").run(op), machine(way).run(op)
    latency = [r.counters["query_latency_cycles"] / (4 * seq) for r in (base, ours)]
    return {
        "machine": way,
        "keys": seq,
        "kept": f"{ours.quality['candidate_ratio']:.1%}",
        "softmax kept": f"{ours.quality['mass_kept']:.1%}",
        "output error": f"{ours.quality['output_error']:.1%}",
        "throughput": base.seconds / ours.seconds,
        "latency": latency[0] / latency[1],
        "base latency, cycles": round(latency[0]),
    }


def _headlines(found: dict[tuple[str, int], dict[str, Any]]) -> Table:
    rows = []
    for quantity, key in (("throughput over base A3", "throughput"), ("latency of base A3 over it", "latency")):
        values = {case: row[key] for case, row in found.items()}
        for which, pick in (("least", min), ("most", max)):
            (way, seq), value = pick(values.items(), key=lambda item: item[1])
            rows.append(
                Headline(
                    point=find("a3", which, quantity),
                    simulated=value,
                    stands_on=f"{which} of {len(values)} cases: {way}, {seq} keys, 4 heads of 64; one A3; "
                    "baseline a3-base",
                    not_published="candidates and keys left of each workload",
                    unequal="the approximate machine skips keys; base computes all of them",
                    why="operands are drawn, not the paper's networks': how many candidates the search leaves follows "
                    "their structure, and the shortest memories of the paper are not among ours",
                ).row()
            )
    return Table("A3: published range of approximate over base", rows)
