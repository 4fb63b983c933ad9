"""TPU v1 (Jouppi et al., ISCA 2017): rates and counters of six applications, efficiency, fragmentation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from siloom.models.registry import machine
from siloom.models.tpu import TpuV1Design
from siloom.reports.reproduce import Published, Table, published
from siloom.sim.cost import table as cost_table
from siloom.sim.machine import run_workload
from siloom.sim.ops import MatMul, Workload
from siloom.sim.result import Result
from siloom.workloads.registry import load

NON_MATRIX = ("raw_stall", "input_stall", "non_matrix")
"""Causes of ours that the paper's counters call non-matrix, all together."""
ASSUMPTIONS = (
    "weight_memory=ideal",
    "results_overlap=0",
    "activation_latency_cycles=0",
    "activation_latency_cycles=320",
)
"""What the published sources leave open of the machine, each set otherwise."""
LSTMS = ("lstm0", "lstm1")
_CNN1 = (
    "cnn1: its network was not published. Ours is BN-Inception: 69 of its 72 convolutions, more MACs unused and more",
    "vector work than the paper counts; the paper's own counters imply a rate half as high again as its measured one.",
)


def tables(matrices: Path | None, watch: Callable[[str], None]) -> Iterator[Table]:
    """All tables; there are no matrices to name, ``watch`` is told of each step."""
    rows = published("tpu_v1")
    cases = [row.case for row in rows if row.table == "rate" and row.quantity == "tops"]
    results = {}
    for case in cases:
        watch(f"tpu-v1 on tpu1-{case}")
        results[case] = _run(case)
    yield _rates(_by_case(rows, "rate"), _by_case(rows, "counters"), results)
    yield _counters(_by_case(rows, "counters"), results)
    watch("tpu-v1 with 16-bit activations")
    yield _wide_activations(_by_case(rows, "counters"), results)
    yield _efficiency(rows, results)
    yield _fragmentation(_by_case(rows, "matrix"))
    watch("tpu-v1 on tpu1-mlp0 at two batches")
    yield _inferences(_by_case(rows, "inferences"), _by_case(rows, "host")["mlp0"]["host_time"])
    watch("tpu-v1 with other memories")
    yield _scaled([row for row in rows if row.table == "scaled"], results)
    watch("tpu-v1 with other assumptions")
    yield _assumed(_by_case(rows, "rate"), results)


def _run(case: str, settings: str = "") -> Result:
    return run_workload(machine(f"tpu-v1{settings}"), load(f"tpu1-{case}"))


def _by_case(rows: Sequence[Published], table: str) -> dict[str, dict[str, float]]:
    """Case -> quantity -> value of one published table."""
    out: dict[str, dict[str, float]] = {}
    for row in rows:
        if row.table == table:
            out.setdefault(row.case, {})[row.quantity] = row.value
    return out


def tops(result: Result) -> float:
    """Useful operations a second in TOPS, two a multiply."""
    return 2 * result.operations["effective_multiplies"] / result.seconds / 1e12


def _percent(share: float) -> str:
    return f"{share:+.1%}"


def _rates(
    rates: Mapping[str, Mapping[str, float]],
    counters: Mapping[str, Mapping[str, float]],
    results: Mapping[str, Result],
) -> Table:
    """Published and simulated TOPS, and the bound that the weights' bandwidth sets."""
    design = TpuV1Design()
    peak = design.operations_per_s / 1e12
    busy = cost_table("tpu")["tpu-v1", "busy_w"].value
    rows = []
    for case, given in rates.items():
        result = results[case]
        uses = result.operations["effective_multiplies"] / load(f"tpu1-{case}").provenance["weights"]
        rows.append(
            {
                "application": case,
                "published_tops": given["tops"],
                "simulated_tops": tops(result),
                "error": _percent(tops(result) / given["tops"] - 1),
                "bound_tops": min(peak, 2 * uses * design.weight_bytes_per_s / 1e12),
                "counters_tops": counters[case]["useful_macs"] / 100 * peak,
                "papers_model_error": f"{given['model_error']:.1f}%",
                "simulated_w": result.power_w,
            }
        )
    return Table(
        "TPU v1: rate",
        rows,
        (
            "bound: 2 x multiplies a weight x 34 GB/s, or the peak; counters: the share of useful MACs that the paper",
            "counted, times the peak, which differs from its own measured rate (see the 16-bit table for the LSTMs).",
            "layer shapes follow from published layers and weights by one rule (siloom.workloads._tpu1); none was",
            "chosen by its result and no parameter of the machine was fitted.",
            *_CNN1,
            f"power: {design.idle_w:.0f} W measured at idle, plus events by cost tables; {busy:.0f} W measured busy.",
        ),
    )


def _shares(result: Result) -> dict[str, float]:
    """The paper's counters of a run of ours, in per cent of the cycles."""
    cycles = result.cycles or 1
    out = {name: 100 * count / cycles for name, count in result.stalls.items()}
    design = TpuV1Design()
    useful = 100 * result.operations["effective_multiplies"] / (design.rows * design.cols * cycles)
    out["non_matrix"] = sum(out[name] for name in NON_MATRIX)
    return {**out, "useful_macs": useful, "unused_macs": out["array_active"] - useful}


def _counters(given: Mapping[str, Mapping[str, float]], results: Mapping[str, Result]) -> Table:
    """Where the cycles went, published beside simulated."""
    rows: list[dict[str, Any]] = []
    for case, counters in given.items():
        ours = _shares(results[case])
        for word, values in (("published", counters), ("simulated", ours)):
            rows.append({"application": case, "in %": word, **{name: round(values[name], 1) for name in counters}})
    return Table(
        "TPU v1: cycles by cause",
        rows,
        (
            "array_active, weight_stall, weight_shift and non_matrix add up to 100; useful_macs and unused_macs to",
            "array_active. raw_stall and input_stall are parts of our non_matrix; the paper's may overlap with all.",
            "ours blame the weights first, so a wait for results behind a wait for weights is not seen as one: the",
            "paper counts 10 to 32 % of non-matrix cycles where ours hide behind the FIFO and count as weight stalls.",
        ),
    )


def _wide_activations(given: Mapping[str, Mapping[str, float]], results: Mapping[str, Result]) -> Table:
    """The LSTMs at 16-bit activations, half the array's rate: the counters of the paper suggest them."""
    rows = []
    for case in LSTMS:
        wide = _run(case, ":activation_bits=16")
        rows.append(
            {
                "application": case,
                "published_active_%": given[case]["array_active"],
                "active_%_at_8_bits": round(_shares(results[case])["array_active"], 1),
                "active_%_at_16_bits": round(_shares(wide)["array_active"], 1),
                "tops_at_8_bits": tops(results[case]),
                "tops_at_16_bits": tops(wide),
            }
        )
    return Table(
        "TPU v1: LSTMs with 16-bit activations",
        rows,
        (
            "the paper's useful MACs times the peak are twice its measured rate on both LSTMs, and on no MLP: as if",
            "activations had 16 bits, which run at half speed. Our inference; weights bound the rate either way.",
        ),
    )


def _efficiency(rows: Sequence[Published], results: Mapping[str, Result]) -> Table:
    """Performance per watt over Haswell and K80: their published rates, our rate, published server powers."""
    relative, servers = _by_case(rows, "relative"), _by_case(rows, "servers")
    rates = _by_case(rows, "rate")
    haswell = servers["haswell"]["server_tdp"]
    watts = {"haswell": haswell / servers["haswell"]["dies"]}
    for name in ("k80", "tpu"):
        watts[name] = (servers[name]["server_tdp"] - haswell) / servers[name]["dies"]
    out: list[dict[str, Any]] = []
    for case, over in relative.items():
        ours = over["tpu"] * tops(results[case]) / rates[case]["tops"]
        out.append(
            {
                "application": case,
                "published_over_haswell": over["tpu"] * watts["haswell"] / watts["tpu"],
                "simulated_over_haswell": ours * watts["haswell"] / watts["tpu"],
                "published_over_k80": over["tpu"] / over["k80"] * watts["k80"] / watts["tpu"],
                "simulated_over_k80": ours / over["k80"] * watts["k80"] / watts["tpu"],
            }
        )
    columns = [name for name in out[0] if name != "application"]
    means = {name: math.exp(sum(math.log(row[name]) for row in out) / len(out)) for name in columns}
    out.append({"application": "geometric mean", **means})
    stated = _by_case(rows, "efficiency")
    for kind in ("geometric mean", "weighted mean"):
        values = {"published_over_haswell": stated["haswell"][kind], "published_over_k80": stated["k80"][kind]}
        out.append({"application": f"{kind}, as stated", **dict.fromkeys(columns), **values})
    return Table(
        "TPU v1: performance per watt over Haswell and K80",
        out,
        (
            "the paper's '30 to 80 times' is its geometric (41, 25) and weighted (83, 29) means of this measure.",
            "rates of Haswell and K80: published, by die; TPU: published and simulated. Power: TDP of the servers by",
            "die, the host's taken off for K80 and TPU ('incremental'), recalled. How the weighted mean weights the",
            "applications was not published.",
        ),
    )


def _fragmentation(given: Mapping[str, Mapping[str, float]]) -> Table:
    """A 600 x 600 matrix on two sizes of array: the larger one fills less and takes longer."""
    rows = []
    for side, values in given.items():
        one = MatMul(name="matrix", m=96, n=600, k=600, format="int8")
        many = Workload.of("many", *[one] * 20)
        # Its time in a row of others: weights are fetched ahead, so the first one's wait is not its own.
        result = run_workload(machine(f"tpu-v1:rows={side},cols={side},accumulator_rows=4096"), many)
        later = sum(row["seconds"] for row in result.rows[10:]) / 10
        rows.append(
            {
                "array": f"{side} x {side}",
                "published_steps": int(values["steps"]),
                "simulated_steps": result.counters["weight_tiles"] // len(result.rows),
                "published_us": values["time"],
                "simulated_us": later * 1e6,
                "error": _percent(later * 1e6 / values["time"] - 1),
            }
        )
    return Table("TPU v1: a 600 x 600 matrix of LSTM1, 96 rows", rows)


def _inferences(given: Mapping[str, Mapping[str, float]], host: float) -> Table:
    """MLP0's inferences a second at the two batches of the paper's latency table."""
    rows = []
    for case, values in given.items():
        seconds = run_workload(machine("tpu-v1"), load(f"tpu1-mlp0:batch={case}")).seconds
        rate = int(case) / seconds
        rows.append(
            {
                "batch": int(case),
                "published_per_s": values["rate"],
                "simulated_per_s": rate,
                "with_host_per_s": rate / (1 + host / 100),
                "error": _percent(rate / (1 + host / 100) / values["rate"] - 1),
            }
        )
    return Table(
        "TPU v1: MLP0's inferences a second",
        rows,
        (
            f"with host: the published time of the host's software, {host:.0f} % of the TPU's, comes on top.",
            "the published rates are those at which 99 % of the answers keep a limit of time, below capacity.",
        ),
    )


def _scaled(given: Sequence[Published], results: Mapping[str, Result]) -> Table:
    """Other designs over the published one: the paper's model beside ours."""
    rows: list[dict[str, Any]] = []
    for row in given:
        ratios = {case: base.seconds / _run(case, f":{row.case}").seconds for case, base in results.items()}
        mean = math.exp(sum(math.log(ratio) for ratio in ratios.values()) / len(ratios))
        kind = {row.quantity: row.value}
        rows.append(
            {
                "design": row.case,
                "paper_gm": kind.get("geometric mean"),
                "paper_wm": kind.get("weighted mean"),
                "ours_gm": mean,
                **ratios,
            }
        )
    return Table(
        "TPU v1: speed-up of other designs",
        rows,
        ("geometric and weighted means; the paper's are its own model's, recalled, its weights not published.",),
    )


def _assumed(rates: Mapping[str, Mapping[str, float]], results: Mapping[str, Result]) -> Table:
    """How far each assumption moves the distance to the published rates."""
    rows = [{"design": "as assumed", **{case: _off(result, rates[case]) for case, result in results.items()}}]
    for settings in ASSUMPTIONS:
        others = {case: _off(_run(case, f":{settings}"), rates[case]) for case in results}
        rows.append({"design": settings, **others})
    return Table(
        "TPU v1: error of the rate under other assumptions",
        rows,
        (
            "34 GB/s is the memory's peak: refresh alone takes 3.3 % of it. Rates under load are rates of batches in a",
            "row, so results leave while inputs come; alone, a batch waits for both.",
        ),
    )


def _off(result: Result, given: Mapping[str, float]) -> str:
    return _percent(tops(result) / given["tops"] - 1)
