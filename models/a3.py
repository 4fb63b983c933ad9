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
keys and values are loaded, then queries run, the pipeline drains. Results leave and queries come meanwhile.

The columns of K are sorted beforehand, off the critical path, as the paper has it: with ``sorters`` 0 the sorted matrix
comes from memory beside K (written there once, both counted), with more it is sorted here, by so many comparators,
before the head's queries start. Its comparisons and memory accesses cost energy either way.

Arithmetic: operands and the output in fixed point of 9 bits, 4 behind the point; exact products; the largest product
less each one, times 1/sqrt(dim) as a constant of 16 bits, halves up, with as many bits behind the point as the products
have; two tables for the exponential (``exp_split.py``); sums exact; shares and the output as in ``share_sum.py``.

Where the paper is silent: a query without any candidate takes the key of the largest greedy score, the lowest among
equals; with a causal mask the search still runs over all keys, and masked ones are dropped from its candidates. The
chip's 320 keys of 64 are no limit here: memories are sized for longer ones, and the result says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from siloom.models._attention import (
    Codes32,
    Head,
    HeadRun,
    Port,
    Whole,
    attention_result,
    exact_products,
    on_copies,
    pins_bytes_per_s,
    require_attention,
    run_heads,
    supports_attention,
    to_codes,
    with_dram,
)
from siloom.sim.approximation import Mask, exact_probabilities
from siloom.sim.cost import arithmetic, dram_energy, sram
from siloom.sim.design import Design, parameter
from siloom.sim.drawn_attention import Operands, Reals32
from siloom.sim.engine.pipeline import run_pipeline
from siloom.sim.engine.pipeline_path import longest_path
from siloom.sim.errors import InputError
from siloom.sim.machine import Machine
from siloom.sim.memory import PARTS, stream_bytes_per_s
from siloom.sim.ops import Attention, Operation
from siloom.sim.result import Result
from siloom.sim.units.exp_split import ExpSplit, exp_split_stream, split_tables
from siloom.sim.units.greedy_search import REFINEMENTS, greedy_scores, sorted_ends
from siloom.sim.units.post_score import bound_code, near_largest
from siloom.sim.units.share_sum import share_sums

_PAPER = "Ham et al., A3, HPCA 2020"
_CHIP = "A3's test chip (from a critique of the paper)"
_SILENT = "the paper gives none"
_SCALE_BITS = 16
_UNBOUNDED = 2**62
_QUERIES = 1024
"""Queries of a head that are worked on at once here: long heads would take gigabytes."""

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class A3Design(Design):
    """The choices that define one A3.

    Raises (when made):
        InputError: a field out of its range, or a point outside the operands.
    """

    copies: int = parameter(1, unit="pipelines", source=_CHIP, low=1, high=4096)
    clock_hz: float = parameter(1.0e9, unit="Hz", source=_PAPER, status="recalled", low=1e6, high=1e10)
    keys: int = parameter(320, unit="keys", source=_CHIP, low=1, high=2**20)
    lanes: int = parameter(64, unit="multipliers a module", source=_CHIP, low=1, high=4096)
    iterations_share: float = parameter(
        0.5,
        unit="",
        source=_PAPER + ": iterations over keys, 1/2 conservative, 1/8 aggressive; 0: no search",
        status="recalled",
        low=0.0,
        high=8.0,
    )
    post_threshold_percent: float = parameter(
        5.0,
        unit="%",
        source=_PAPER + ": of the largest weight, 5 conservative, 10 aggressive; 0: no post-scoring",
        status="recalled",
        low=0.0,
        high=99.0,
    )
    refinement: str = parameter(
        "skip",
        unit="",
        source=_PAPER + ": while the sum of greedy scores is negative the smallest product waits",
        status="recalled",
        choices=REFINEMENTS,
    )
    search_fill_cycles: int = parameter(
        4, unit="cycles", source="to fill a search's product buffers; " + _SILENT, status="assumed", low=0, high=1000
    )
    scan_width: int = parameter(
        16,
        unit="keys/cycle",
        source="of greedy scores, and of scores, looked at; " + _SILENT,
        status="assumed",
        low=1,
        high=4096,
    )
    module_depth_cycles: int = parameter(
        9, unit="cycles", source=_PAPER + ": 3 n + 27 a query", status="recalled", low=0, high=1000
    )
    buffered_queries: int = parameter(
        0, unit="queries", source="between two modules; " + _SILENT, status="assumed", low=0, high=1024
    )
    sorters: int = parameter(
        0,
        unit="comparators",
        source=_PAPER + ": sorting is off the critical path; 0: amortised",
        status="recalled",
        low=0,
        high=2**20,
    )
    operand_bits: int = parameter(9, unit="bit", source=_PAPER, status="recalled", low=3, high=13)
    fraction_bits: int = parameter(4, unit="bit", source=_PAPER, status="recalled", low=0, high=12)
    exponent_integer_bits: int = parameter(4, unit="bit", source=_PAPER, status="recalled", low=2, high=5)
    weight_fraction_bits: int = parameter(
        12, unit="bit", source="of exponentials and shares; " + _SILENT, status="assumed", low=1, high=20
    )
    memory: str = parameter("hbm2-2.0", unit="", source=_SILENT, status="assumed", choices=("ideal", *PARTS))
    memory_channels: int = parameter(1, unit="", source=_SILENT, status="assumed", low=1, high=64)
    node_nm: float = parameter(40.0, unit="nm", source=_CHIP, low=7.0, high=130.0)

    def __post_init__(self) -> None:
        """Check what fields must hold together."""
        super().__post_init__()
        if self.fraction_bits >= self.operand_bits:
            raise InputError(f"a3: fraction_bits must be below operand_bits, got {self.fraction_bits}")

    def iterations(self, seq: int) -> int:
        """Iterations of a search among ``seq`` keys; 0 where there is no search."""
        return max(1, round(self.iterations_share * seq)) if self.iterations_share else 0

    @property
    def exponential(self) -> ExpSplit:
        """The exponential unit: as many bits behind the point as a product has, cut in the middle."""
        fraction = 2 * self.fraction_bits
        bits = self.exponent_integer_bits + fraction
        return ExpSplit(
            integer_bits=self.exponent_integer_bits,
            x_fraction=fraction,
            low_bits=bits // 2,
            power_fraction=self.weight_fraction_bits,
        )

    @property
    def bytes_per_s(self) -> float:
        """Sustained rate of the memory."""
        return math.inf if self.memory == "ideal" else stream_bytes_per_s(self.memory, channels=self.memory_channels)


@dataclass(frozen=True)
class Choice:
    """What was chosen for some queries, [queries, keys]: ``candidates`` of the search, of these the keys ``kept``.

    ``scores`` are exact products, ``largest`` [queries] the largest among a query's candidates; ``rescued`` queries had
    no candidate of their own.
    """

    candidates: Mask
    kept: Mask
    scores: Counts
    largest: Counts
    rescued: int


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

    def run(self, op: Operation, *, values: bool = False) -> Result:
        """Run attention on its operands; ``values``: the output that the hardware would give.

        Raises:
            InputError: another operation.
        """
        op, design = require_attention(self.label, op), self.design
        moved = head_bytes(design, op)
        port = Port.of(design.memory, design.memory_channels, sum(moved.values()), design.clock_hz)
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
            peak_multiplies_per_cycle=design.copies * peak_multiplies(design),
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
        products = dim * (tried + chosen) + chosen
        if passes:
            products += 2 * seq * (passes + design.search_fill_cycles * dim)
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
                "multiplies": products,
                "adds": dim * (tried + chosen),
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
    """The keys of one head, so many of its queries at a time; arguments as :func:`choose`."""
    for first in range(0, len(q), _QUERIES):
        part = slice(first, first + _QUERIES)
        yield part, choose(design, q[part], k, allowed[part])


def choose(design: A3Design, q: Codes32, k: Codes32, allowed: Mask) -> Choice:
    """The keys of some queries: q [queries, dim] and k [keys, dim] are codes, ``allowed`` is [queries, keys]."""
    seq, dim = k.shape
    passes = design.iterations(seq)
    rescued = 0
    candidates = allowed
    if passes:
        ends = sorted_ends(k, min(seq, passes))
        greedy = greedy_scores(q, *ends, seq, passes, REFINEMENTS.index(design.refinement))
        candidates = (greedy > 0) & allowed
        without = np.flatnonzero(~candidates.any(axis=1))
        rescued = len(without)
        candidates[without, np.argmax(np.where(allowed[without], greedy[without], -_UNBOUNDED), axis=1)] = True
    scores = exact_products(q, k, design.operand_bits)
    bound = _UNBOUNDED
    if design.post_threshold_percent:
        bound = bound_code(design.post_threshold_percent, 2.0 ** (-2 * design.fraction_bits) / math.sqrt(dim))
    kept, largest = near_largest(scores, candidates, bound)
    return Choice(candidates, kept, scores, largest, rescued)


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
    factor = round(2**_SCALE_BITS / math.sqrt(dim))
    x = np.minimum((below * factor + (1 << (_SCALE_BITS - 1))) >> _SCALE_BITS, unit.largest)
    powers = exp_split_stream(x.ravel(), *split_tables(unit), unit.low_bits, unit.power_fraction).reshape(x.shape)
    sums = share_sums(powers, v.astype(np.int64), choice.kept, design.weight_fraction_bits, design.operand_bits)
    return (sums / (1 << design.fraction_bits)).astype(np.float32)


def row_bits(seq: int) -> int:
    """Bits of a key's number."""
    return max(1, (seq - 1).bit_length())


def head_bytes(design: A3Design, op: Attention) -> dict[str, int]:
    """Bytes of a head's operands and result; ``sorted_k`` counts the sorted columns twice, written and read."""
    each = op.seq * -(-op.dim * design.operand_bits // 8)
    moved = {"q": each, "k": each, "v": each, "o": each}
    if design.iterations_share and not design.sorters:
        moved["sorted_k"] = 2 * op.seq * -(-op.dim * (design.operand_bits + row_bits(op.seq)) // 8)
    return moved


def peak_multiplies(design: A3Design) -> int:
    """Multiplies a cycle of one pipeline: products, their exponential, outputs, and a search filling its buffers."""
    return 2 * design.lanes + 1 + (2 * design.lanes + 2 if design.iterations_share else 0)


def fitted_design(
    design: A3Design,
    given: Operands,
    wish: float,
    *,
    measure: str = "mass_kept",
    causal: bool = False,
    shares: Sequence[float] = (0.03125, 0.0625, 0.125, 0.25, 0.375, 0.5, 0.75, 1.0),
    percents: Sequence[float] = (50.0, 20.0, 10.0, 5.0, 2.0, 1.0, 0.1, 0.0),
) -> A3Design:
    """The fastest of the settings tried that reaches ``wish`` on calibration operands; the base machine if none does.

    Args:
        design: everything but the two settings.
        given: calibration operands of some heads, [batch, heads, seq, dim].
        wish: share from 0 to 1 that must be reached over all heads.
        measure: ``mass_kept``, the exact softmax's probability on the keys kept, mean over rows; or ``recall``, the
            share kept of the keys whose exact probability is above the threshold's percentage of their row's largest.
        causal: whether a query sees only keys up to its own.
        shares: of iterations, to be tried with each of ``percents``.
        percents: thresholds of post-scoring.

    Raises:
        InputError: another measure, or a wish outside 0 to 1.
    """
    if measure not in ("mass_kept", "recall"):
        raise InputError(f"a3: measure must be mass_kept or recall, got {measure!r}")
    if not 0.0 <= wish <= 1.0:
        raise InputError(f"a3: wish must be from 0 to 1, got {wish}")
    heads = []
    for at in np.ndindex(given.q.shape[:2]):
        q, k = (to_codes(x[at], design.operand_bits, design.fraction_bits)[0] for x in (given.q, given.k))
        heads.append((q, k, exact_probabilities(given.q[at], given.k[at], causal)))
    base = replace(design, iterations_share=0.0, post_threshold_percent=0.0)
    best, least = base, _settled(base, heads, causal, measure)[1]
    for share in shares:
        for percent in percents:
            tried = replace(design, iterations_share=share, post_threshold_percent=percent)
            reached, cycles = _settled(tried, heads, causal, measure)
            if reached >= wish and cycles < least:
                best, least = tried, cycles
    return best


def _settled(
    design: A3Design, heads: Sequence[tuple[Codes32, Codes32, Reals32]], causal: bool, measure: str
) -> tuple[float, int]:
    """What a design reaches on these heads, and the cycles of their queries."""
    reached, of, cycles = 0.0, 0, 0
    for q, k, probabilities in heads:
        seq, dim = q.shape
        allowed = np.tril(np.ones((seq, seq), np.bool_)) if causal else np.ones((seq, seq), np.bool_)
        counts = np.empty((2, seq), np.int64)
        for part, choice in choices(design, q, k, allowed):
            counts[0, part] = np.count_nonzero(choice.candidates, axis=1)
            counts[1, part] = np.count_nonzero(choice.kept, axis=1)
            exact = probabilities[part]
            if measure == "recall":
                matters = above_percent(exact, design.post_threshold_percent) & allowed[part]
                reached += int(np.count_nonzero(matters & choice.kept))
                of += int(np.count_nonzero(matters))
            else:
                reached += float(np.sum(exact, where=choice.kept, dtype=np.float64))
                of += len(exact)
        cycles += sum(attention_causes(design, *query_cycles(design, seq, dim, *counts)).values())
    return (reached / of if of else 1.0), cycles


def _notes(design: A3Design, op: Attention) -> tuple[str, ...]:
    notes = ["the paper was not at hand: most of the design is recalled, see siloom machines --json"]
    if op.seq > design.keys or op.dim > design.lanes:
        notes.append(
            f"the design has room for {design.keys} keys and {design.lanes} lanes: "
            f"memories were sized for {op.seq} keys of {op.dim}"
        )
    return tuple(notes)


def _memories(design: A3Design, op: Attention) -> dict[str, int]:
    """Bytes of one pipeline's memories: for the design's keys and lanes, or this operation's where it has more."""
    seq, dim = max(design.keys, op.seq), max(design.lanes, op.dim)
    each = seq * -(-dim * design.operand_bits // 8)
    out = {"k": each, "v": each}
    if design.iterations_share:
        entry = design.operand_bits + row_bits(seq)
        out["sorted"] = 2 * min(seq, design.iterations(seq)) * -(-dim * entry // 8)
    return out


def energy_parts(design: A3Design, op: Attention, whole: Whole, dram_bytes: int) -> dict[str, float]:
    """Joules by component; clock, wires, registers and leakage are in no table and left out.

    Of a tree of comparators the path that changed is counted, of a refilled buffer one product.
    """
    node, bits, dim, events = design.node_nm, design.operand_bits, op.dim, whole.events

    def add(width: int) -> float:
        return arithmetic.operation_energy_j("add", f"int{min(width, 64)}", node)

    def multiply(width: int) -> float:
        return arithmetic.operation_energy_j("mul", f"int{width}", node)

    memories = _memories(design, op)
    wide = 2 * bits + row_bits(dim)
    vector = -(-dim * bits // 8)
    rows = whole.heads * op.seq
    power = design.weight_fraction_bits + 1
    table = max(256, (1 << design.exponential.low_bits) * power // 8)
    out = {
        "products": events["candidates"] * dim * (multiply(bits) + add(wide)),
        "exponentials": events["kept"]
        * (add(wide) + multiply(16) + multiply(power) + 2 * sram.read_energy_j(table, 4, node)),
        "division": events["kept"] * arithmetic.operation_energy_j("mul", "int32", node),
        "weighted sums": events["kept"] * dim * (multiply(max(bits, power)) + add(bits + power + row_bits(op.seq))),
        "key memory": events["candidates"] * sram.read_energy_j(memories["k"], vector, node)
        + rows * sram.write_energy_j(memories["k"], vector, node),
        "value memory": events["kept"] * sram.read_energy_j(memories["v"], vector, node)
        + rows * sram.write_energy_j(memories["v"], vector, node),
    }
    if design.post_threshold_percent:
        out["post scoring"] = events["candidates"] * add(wide)
    if design.iterations_share:
        entry = -(-(bits + row_bits(op.seq)) // 8)
        read, write = (access(memories["sorted"], entry, node) for access in (sram.read_energy_j, sram.write_energy_j))
        taken = 2 * events["iterations"]
        filled = 2 * rows * design.search_fill_cycles * dim
        passes = max(1, (op.seq - 1).bit_length())
        out["search"] = (
            (taken + filled) * multiply(bits)
            + taken * (row_bits(dim) * add(2 * bits) + 2 * add(wide))
            + filled * add(2 * bits)
            + rows * op.seq * add(wide)
        )
        out["sorted memory"] = (taken + filled) * read + rows * dim * write
        out["sorting"] = events["comparisons"] * add(bits) + rows * dim * passes * (read + write)
    if design.memory != "ideal":
        out["dram"] = 8 * dram_bytes * dram_energy.energy_per_bit_j(design.memory.split("-")[0])
    return out


def area_parts(design: A3Design, op: Attention) -> dict[str, float]:
    """Square millimetres by component of all pipelines."""
    node, bits = design.node_nm, design.operand_bits

    def add(width: int) -> float:
        return arithmetic.operation_area_mm2("add", f"int{min(width, 64)}", node)

    def multiply(width: int) -> float:
        return arithmetic.operation_area_mm2("mul", f"int{width}", node)

    seq, dim = max(design.keys, op.seq), max(design.lanes, op.dim)
    power = design.weight_fraction_bits + 1
    wide = 2 * bits + row_bits(dim)
    table_bytes = 2 * max(256, (1 << design.exponential.low_bits) * power // 8)
    parts = {
        "products": design.lanes * (multiply(bits) + add(wide)),
        "exponentials": add(wide) + multiply(16) + multiply(power) + sram.area_mm2(table_bytes, node),
        "division": arithmetic.operation_area_mm2("mul", "int32", node),
        "weighted sums": design.lanes * (multiply(max(bits, power)) + add(bits + power + row_bits(seq))),
        "memories": sum(sram.area_mm2(size, node) for size in _memories(design, op).values()),
    }
    if design.post_threshold_percent:
        parts["post scoring"] = design.scan_width * add(wide)
    if design.iterations_share:
        # A multiplier and a comparator for each column and end, and an adder for each end's greedy score.
        parts["search"] = 2 * design.lanes * (multiply(bits) + add(2 * bits)) + (2 + design.scan_width) * add(wide)
    if design.sorters:
        parts["sorting"] = design.sorters * add(bits)
    return {name: design.copies * area for name, area in parts.items()}
