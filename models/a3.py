"""A3 (Ham et al., HPCA 2020): attention over keys chosen by a greedy search, one query after another.

The base machine has three modules in a row, one for each step of attention: exact products of a query with all keys, a
key a cycle; exponentials of their distance below the largest; shares of their sum, times rows of V. Each takes
``keys + 9`` cycles for a query: a query leaves after three times that, and the next one ``keys + 9`` later.

The approximate machine has more. Before the products a greedy search (``sim/units/greedy_search.py``) takes the largest
and the smallest component product of the query with the sorted columns of K, ``iterations_share * keys`` times, and a
scan of its sums leaves the keys with one above zero. Behind the products post-scoring (``post_score.py``) leaves those
whose weight is above ``post_threshold_percent`` of the largest one. 0 for either switches it off: both are off in the
base machine. Modules then take as long as there are iterations, candidates and keys left, query by query.

Times. Queries go through the modules in order (:mod:`siloom.sim.engine.pipeline`), on the counts of every single query;
the chain of services that fills the time (``pipeline_path.py``) says what it was spent on. Heads follow one another:
the bytes of a head, those of its result too, come through one port that all copies share, once the pipeline that they
go to is free; then queries run, the pipeline drains. However fast the port, a head takes :func:`write_cycles` to be
written to the pipeline's memories.

The columns of K are sorted beforehand, off the critical path, as the paper has it. Of both ends of a column a search
reaches no more than ``iterations`` places, and only these are kept. With ``sorters`` 0 they come from memory beside K,
where they were written once; both are counted, the write too of these places alone and not of whole columns. With more
they are sorted here, by so many comparators, before the head's queries start. In either case the sort costs
energy, whole columns' comparisons and accesses to a buffer that holds a column.

Arithmetic: operands and the output in fixed point of 9 bits, 4 behind the point; exact products; the largest product
less each one, times 1/sqrt(dim) as a constant of 16 bits, halves up, with as many bits behind the point as the products
have; two tables for the exponential (``exp_split.py``); sums exact; shares and the output as in ``share_sum.py``.

Where the paper is silent: a query without any candidate takes the key of the largest greedy score, the lowest among
equals; with a causal mask the search still runs over all keys, and masked ones are dropped from its candidates. The
chip's 320 keys of 64 are no limit here: memories are sized for longer ones, and the result says so.

Fields and their sources: ``_a3_design.py``; energy and area: ``_a3_cost.py``; settings learnt from operands:
``_a3_fit.py``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from siloom.models._a3_cost import area_parts, energy_parts
from siloom.models._a3_design import A3Design, row_bits
from siloom.models._a3_units import SCALE_BITS, scale_factor
from siloom.models._attention import (
    FORWARD_ONLY,
    Head,
    HeadRun,
    Port,
    attention_result,
    on_copies,
    pins_bytes_per_s,
    require_attention,
    run_heads,
    supports_attention,
    with_dram,
)
from siloom.sim.approximation import Mask
from siloom.sim.drawn_attention import Reals32
from siloom.sim.engine.pipeline import run_pipeline
from siloom.sim.engine.pipeline_path import longest_path
from siloom.sim.fixed_point import Codes32, to_codes
from siloom.sim.machine import Machine
from siloom.sim.ops import Attention, Operation
from siloom.sim.result import Result
from siloom.sim.selection.greedy_keys import Choice
from siloom.sim.units.exp_split import exp_split_stream, split_tables
from siloom.sim.units.share_sum import share_sums

_QUERIES = 1024
"""Queries of a head that are worked on at once here: long heads would take gigabytes."""

Counts = npt.NDArray[np.int64]


class A3(Machine):
    """Attention over the keys that a greedy search and a threshold leave."""

    name = "a3"
    kind = "accelerator"
    summary = "attention over keys found by greedy search among sorted columns (Ham et al., A3, HPCA 2020)"
    operations = (Attention,)
    design_type = A3Design
    design: A3Design
    variants = {  # noqa: RUF012
        "a3-base": {"iterations_share": 0.0, "post_threshold_percent": 0.0},
        "a3-conservative": {"iterations_share": 0.5, "post_threshold_percent": 5.0},
        "a3-aggressive": {"iterations_share": 0.125, "post_threshold_percent": 10.0},
    }

    def supports(self, op: Operation) -> bool:
        """Attention's forward pass."""
        return supports_attention(op)

    def needs(self, op: Operation) -> str:
        """The forward pass."""
        return FORWARD_ONLY

    def run(self, op: Operation, *, values: bool = False) -> Result:
        """Run attention on its operands; ``values``: the output that the hardware would give.

        Raises:
            InputError: another operation.
        """
        op, design = require_attention(self.label, op), self.design
        moved = head_bytes(design, op)
        port = Port.of(design.memory, design.memory_channels, sum(moved.values()), design.clock_hz)
        port = replace(port, cycles=max(port.cycles, write_cycles(design, op.seq)))
        whole = run_heads(op, op.operands(), self._head, on_copies(design.copies, port, held=1))
        traffic = {name: each * whole.heads for name, each in moved.items()}
        traffic = with_dram(traffic, traffic["o"] + traffic.get("sorted_k", 0) // 2)
        return attention_result(
            self.label,
            op,
            design,
            whole,
            clock_hz=design.clock_hz,
            precision=(f"int{design.operand_bits}",),
            peak_multiplies_per_cycle=2 * design.lanes * design.copies,
            bytes_per_s=pins_bytes_per_s(design.memory, design.memory_channels),
            energy=energy_parts(design, op, whole, traffic["dram_read"] + traffic["dram_write"]),
            area=area_parts(design, op),
            traffic=traffic,
            notes=_notes(design, op),
            values=values,
        )

    def _head(self, head: Head) -> HeadRun:
        design = self.design
        seq, dim = head.q.shape
        (q, q_cut), (k, k_cut), (v, v_cut) = (
            to_codes(x, design.operand_bits, design.fraction_bits) for x in (head.q, head.k, head.v)
        )
        kept = np.empty((seq, seq), np.bool_)
        output = np.empty((seq, dim), np.float32)
        candidates = np.empty(seq, np.int64)
        rescued = 0
        for part, choice in choices(design, q, k, head.allowed):
            candidates[part] = np.count_nonzero(choice.candidates, axis=1)
            kept[part], output[part] = choice.kept, _attend(design, v, choice, dim)
            rescued += choice.rescued
        service, parts = query_cycles(design, seq, dim, candidates, np.count_nonzero(kept, axis=1))
        attention = attention_causes(design, service, parts)
        passes = design.iterations(seq)
        chosen, tried = int(np.count_nonzero(kept)), int(candidates.sum())
        comparisons = dim * seq * max(0, (seq - 1).bit_length()) if passes else 0
        return HeadRun(
            phases=_phases(design, attention, comparisons),
            output=output,
            kept=kept,
            matters=above_percent(head.probabilities, design.post_threshold_percent) & head.allowed,
            events={
                "kept": chosen,
                "candidates": tried,
                "iterations": seq * passes,
                "comparisons": comparisons,
                # Exact products of candidates, those that post-scoring drops too, and weighted sums of keys kept.
                "multiplies": dim * (tried + chosen),
                "adds": dim * (tried + chosen),
                # A search takes two products an iteration, and fills the buffers of both ends of all columns.
                "predictor_multiplies": 2 * seq * (passes + design.search_fill_cycles * dim) if passes else 0,
            },
            counters={
                "search_iterations": seq * passes,
                "candidates": tried,
                "scores_kept": chosen,
                "query_latency_cycles": int(service.sum()),
                "saturations": q_cut + k_cut + v_cut,
                "queries_without_candidate": rescued,
            },
        )


def choices(design: A3Design, q: Codes32, k: Codes32, allowed: Mask) -> Iterator[tuple[slice, Choice]]:
    """The keys of one head, so many of its queries at a time; arguments as those of ``design.selection.select``."""
    for first in range(0, len(q), _QUERIES):
        part = slice(first, first + _QUERIES)
        yield part, design.selection.select(q[part], k, allowed[part])


def above_percent(probabilities: Reals32, percent: float) -> Mask:
    """Keys whose exact probability [seq, seq] is above ``percent`` of their row's largest; all of them for 0."""
    if percent == 0:
        return np.ones(probabilities.shape, np.bool_)
    above: Mask = probabilities > np.float32(percent / 100) * probabilities.max(axis=1, keepdims=True)
    return above


def query_cycles(
    design: A3Design, seq: int, dim: int, candidates: Counts, kept: Counts
) -> tuple[Counts, Sequence[Mapping[str, int]]]:
    """Cycles of every query in every module, [seq, modules], and for each module its constant parts by cause.

    What a module takes beyond its constant parts is its own work, the cause named first, with 0 cycles.
    """
    wide = -(-dim // design.lanes)
    depth = design.module_depth_cycles
    columns: list[Counts] = []
    parts: list[Mapping[str, int]] = []
    passes = design.iterations(seq)
    if passes:
        scan, fill = -(-seq // design.scan_width), design.search_fill_cycles
        columns += [np.full(seq, passes * wide + fill, np.int64), np.full(seq, scan, np.int64)]
        parts += [{"search": 0, "fill": fill}, {"scan": 0}]
    columns.append(candidates * wide + depth)
    parts.append({"dot product": 0, "depth": depth})
    if design.post_threshold_percent:
        columns.append(-(-candidates // design.scan_width))
        parts.append({"post scoring": 0})
    columns += [kept + depth, kept * wide + depth]
    parts += [{"exponent": 0, "depth": depth}, {"output": 0, "depth": depth}]
    return np.stack(columns, axis=1), parts


def attention_causes(design: A3Design, service: Counts, parts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """The time of one head's queries by cause, from the counts of :func:`query_cycles`."""
    slots = np.full(service.shape[1] - 1, design.buffered_queries, np.int64)
    timed = run_pipeline(service, slots)
    on_path = longest_path(service, slots, timed.departures)
    out: dict[str, int] = {}
    for column, constant in enumerate(parts):
        links = int(np.count_nonzero(on_path[:, column]))
        spent = int(service[on_path[:, column], column].sum())
        work = next(iter(constant))
        out[work] = out.get(work, 0) + spent - links * sum(constant.values())
        for cause, each in constant.items():
            out[cause] = out.get(cause, 0) + links * each
    return out


def _phases(design: A3Design, attention: dict[str, int], comparisons: int) -> dict[str, dict[str, int]]:
    """A head's phases: sorting, if it is done here, then queries."""
    if not design.sorters or not comparisons:
        return {"attention": attention}
    return {"sorting": {"sorting": -(-comparisons // design.sorters)}, "attention": attention}


def _attend(design: A3Design, v: Codes32, choice: Choice, dim: int) -> Reals32:
    """The output of one head, back from its codes."""
    unit = design.exponential
    below = np.where(choice.kept, choice.largest[:, None] - choice.scores, 0)
    x = np.minimum((below * scale_factor(dim) + (1 << (SCALE_BITS - 1))) >> SCALE_BITS, unit.largest)
    powers = exp_split_stream(x.ravel(), *split_tables(unit), unit.low_bits, unit.power_fraction).reshape(x.shape)
    sums = share_sums(powers, v.astype(np.int64), choice.kept, design.weight_fraction_bits, design.operand_bits)
    return (sums / (1 << design.fraction_bits)).astype(np.float32)


def write_cycles(design: A3Design, seq: int) -> int:
    """Cycles before a head's first query: one to announce it, then its rows are written, then the query is taken up.

    Rows of K, V and Q go to memories of their own, side by side, one of each a cycle. So do the places of sorted
    columns, a place of all columns and of one end a cycle, unless they are made here.
    """
    places = 0 if design.sorters else design.sorted_places(seq)
    return 1 + max(seq, places) + 1


def head_bytes(design: A3Design, op: Attention) -> dict[str, int]:
    """Bytes of a head's operands and result; ``sorted_k`` counts the ends of sorted columns twice, written and read."""
    each = op.seq * -(-op.dim * design.operand_bits // 8)
    moved = {"q": each, "k": each, "v": each, "o": each}
    if design.iterations_share and not design.sorters:
        moved["sorted_k"] = (
            2 * design.sorted_places(op.seq) * -(-op.dim * (design.operand_bits + row_bits(op.seq)) // 8)
        )
    return moved


def _notes(design: A3Design, op: Attention) -> tuple[str, ...]:
    notes = ["the paper was not at hand: most of the design is recalled, see siloom machines --json"]
    if op.seq > design.keys or op.dim > design.lanes:
        notes.append(
            f"the design has room for {design.keys} keys and {design.lanes} lanes: "
            f"memories were sized for {op.seq} keys of {op.dim}"
        )
    return tuple(notes)
