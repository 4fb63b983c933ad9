"""ViTCoD (You et al., HPCA 2023): fixed masks, split into dense and sparse columns for an engine each.

Masks are made offline (``sim/split_conquer.py``): averaged attention is pruned, and tokens whose column has many
non-zeros, the global ones, are moved to the front. Lines of the array, ``pe_height`` multiply-accumulators each, are
split head by head between a denser engine for those columns and a sparser one for the rest, in proportion to their
work. Scores are made column by column with the key held still, partial sums passing between multipliers; the products
with V hold the output still, row by row. Q and K come encoded: an auto-encoder makes fewer heads of many
(``sim/units/head_mix.py``), a decoder on the chip gives all of them back.

Times: :mod:`siloom.sim.engine.column_engines`, its items the tokens and columns of every head's own mask. A column of
the denser engine is worked on by all its lines, a query each, whether kept or not. In the sparser engine a line holds
``pe_height`` elements of a key, or of an output, and takes what is kept in that column or row one after another.
Loading and decoding go on meanwhile. Attention that comes without a mask gets
one: split and conquer on other operands drawn by the same law, or, where operands are given, on these.

``convention=authors`` is the authors' simulator, on a whole kept workload (:mod:`siloom.models._vitcod_authors`).

Where the paper is silent: lines take tiles of columns as they become free; the decoder has lines of its own, as many as
its share of the whole operation's work; the exponential (``exp_float``) is applied to a head's scores as they are read
for the product with V, when each row's largest is known, and the division to the output; results are written after the
next product's operands are read; a head is charged its share of the encoded heads, a token being decoded for all of
them at once. Encoding belongs to the projections that make Q and K, and is not timed. A row of which nothing is kept
gives zeros.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from siloom.models._attention import (
    Head,
    HeadRun,
    attention_result,
    exact_products,
    pins_bytes_per_s,
    require_attention,
    run_heads,
    supports_attention,
    to_codes,
)
from siloom.models._masked import as_csr, head_masks
from siloom.models._vitcod_authors import CLOCK_HZ, AuthorsCycles, authors_cycles, layers_of
from siloom.models._vitcod_cost import Events, area_parts, energy_parts
from siloom.sim.approximation import Mask, exact_probabilities
from siloom.sim.cost import table_hash
from siloom.sim.design import Design, parameter
from siloom.sim.drawn_attention import Clustered, Operands, Reals32
from siloom.sim.engine.column_engines import CAUSES, DENSER, NONE, SPARSER, Product, run_columns
from siloom.sim.errors import InputError
from siloom.sim.machine import Machine
from siloom.sim.memory import PARTS, idle_latency_s, stream_bytes_per_s
from siloom.sim.ops import SDDMM, Attention, Item, Operation, SpMM, Workload
from siloom.sim.result import Phase, Result, utilization
from siloom.sim.sparse import Csr
from siloom.sim.split_conquer import conquer, prune
from siloom.sim.units.exp_float import ExpFloat, exp_float_codes
from siloom.sim.units.head_mix import fit_codec, mixed_heads, weight_codes
from siloom.sim.units.weighted_sum import weighted_sums

_PAPER = "You et al., ViTCoD, HPCA 2023 (from a summary of the full text)"
_CODE = "GATECH-EIC/ViTCoD, Hardware/Simulator"
_SILENT = "the paper gives none"
_TABLES = ("horowitz", "cacti_sram", "node_scaling", "dram_energy", "dram_parts")
_SCORE_BYTES = 2
_POINTER_BYTES = 2
_LARGEST_SEED = 2**63 - 1


@dataclass(frozen=True)
class ViTCoDDesign(Design):
    """The choices that define one ViTCoD.

    Raises (when made):
        InputError: a field out of its range, or a decoder that leaves fewer than two lines.
    """

    clock_hz: float = parameter(5.0e8, unit="Hz", source=_PAPER, low=1e6, high=1e10)
    pe_width: int = parameter(64, unit="lines", source=f"{_PAPER}: 512 MACs; {_CODE}", low=2, high=4096)
    pe_height: int = parameter(8, unit="MACs/line", source=f"{_PAPER}: 512 MACs; {_CODE}", low=1, high=1024)
    decoder_lines: int = parameter(
        0,
        unit="lines",
        source="of pe_width, where Q and K are encoded; 0: in proportion to the work; the paper gives none",
        status="assumed",
        low=0,
        high=4096,
    )
    ratio: float = parameter(
        0.5, unit="", source=f"{_PAPER}: heads kept of Q and K, 12 to 6; 1: not encoded", low=1e-3, high=1.0
    )
    codec_heads: int = parameter(
        12, unit="heads", source="heads that are encoded together, for products that name none", status="assumed",
        low=1, high=64,
    )  # fmt: skip
    theta_p: float = parameter(
        0.186, unit="", source="GATECH-EIC/ViTCoD, gen_mask.py: share of a row's attention kept", low=0.0, high=1.0
    )
    theta_d: int = parameter(
        50,
        unit="non-zeros",
        source="GATECH-EIC/ViTCoD, reorder.py: a global token's column has more",
        low=0,
        high=2**20,
    )
    kept_tokens: int = parameter(
        1, unit="tokens", source="GATECH-EIC/ViTCoD, gen_mask.py: [CLS] is never pruned", low=0, high=2**20
    )
    calibration_maps: int = parameter(
        1,
        unit="sequences",
        source="drawn with other seeds and averaged for a mask, where operands are drawn",
        status="assumed",
        low=1,
        high=64,
    )
    operand_bits: int = parameter(8, unit="bit", source=_CODE, low=4, high=12)
    fraction_bits: int = parameter(4, unit="bit", source=_SILENT, status="assumed", low=0, high=11)
    weight_bits: int = parameter(8, unit="bit", source=_SILENT, status="assumed", low=2, high=16)
    mantissa_bits: int = parameter(
        10, unit="bit", source="of an exponential; the paper gives none", status="assumed", low=1, high=11
    )
    softmax_cycles: int = parameter(
        16, unit="cycles", source="from a head's last score to its first product with V", status="assumed",
        low=0, high=10_000,
    )  # fmt: skip
    sram_bytes: int = parameter(320 * 1024, unit="B", source=_PAPER, low=1024, high=2**33)
    operand_sram_bytes: int = parameter(
        53 * 1024, unit="B", source=f"{_CODE}, SRAM.py: for Q, for K and for V", low=64, high=2**33
    )
    output_sram_bytes: int = parameter(
        108 * 1024, unit="B", source=f"{_CODE}, SRAM.py; taken to hold the scores", low=64, high=2**33
    )
    memory: str = parameter("ddr4-2400", unit="", source=_PAPER, choices=("ideal", *PARTS))
    memory_channels: int = parameter(
        4, unit="channels", source=f"{_PAPER}: 76.8 GB/s is four of 19.2 GB/s", low=1, high=1024
    )
    node_nm: float = parameter(28.0, unit="nm", source=_PAPER, low=7.0, high=130.0)
    convention: str = parameter(
        "physical", unit="", source="physical, or the authors' simulator", status="assumed",
        choices=("physical", "authors"),
    )  # fmt: skip

    def __post_init__(self) -> None:
        """Check what fields must hold together."""
        super().__post_init__()
        if self.convention == "physical" and self.pe_width - self.decoder_lines < 2:
            raise InputError(
                f"vitcod: decoder_lines must leave two of pe_width, {self.pe_width}, to the engines, "
                f"got {self.decoder_lines}"
            )
        if self.convention == "physical" and self.pe_width < 3:
            raise InputError(f"vitcod: pe_width must be at least 3 for two engines and a decoder, got {self.pe_width}")
        if self.fraction_bits >= self.operand_bits:
            raise InputError(f"vitcod: fraction_bits must be below operand_bits, got {self.fraction_bits}")

    @property
    def macs(self) -> int:
        """Multiply-accumulators: 64 lines of 8 as published."""
        return self.pe_width * self.pe_height

    def encoded_heads(self, heads: int) -> int:
        """Heads of Q and K that are stored instead of ``heads``."""
        return min(heads, max(1, int(self.ratio * heads + 0.5)))

    def decoder_lines_for(self, decode_macs: int, engine_macs: int) -> int:
        """Lines of the decoder where so much is to be done in all; none where there is nothing to decode."""
        if not decode_macs or self.decoder_lines:
            return self.decoder_lines if decode_macs else 0
        share = self.pe_width * decode_macs / (decode_macs + engine_macs)
        return min(max(1, round(share)), self.pe_width - 2)

    def element_bytes(self, elements: float) -> float:
        """Bytes of so many codes, packed."""
        return elements * self.operand_bits / 8

    @property
    def bytes_per_s(self) -> float:
        """Sustained rate of the memory."""
        return math.inf if self.memory == "ideal" else stream_bytes_per_s(self.memory, channels=self.memory_channels)

    def port_cycles(self, moved: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """Cycles of the port for each of ``moved`` bytes, one after another: those of their sums, rounded up."""
        return _whole_steps(moved / self.bytes_per_s * self.clock_hz)


class Work(NamedTuple):
    """A product for the engines, with what it counts; ``heads_held``: how many heads' operands the memories hold."""

    product: Product
    events: Events
    traffic: Mapping[str, int]
    heads_held: int


def _whole_steps(amounts: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    sums = np.ceil(np.round(np.cumsum(amounts), 9)).astype(np.int64)
    return np.diff(sums, prepend=0)


def split_lines(dense: int, sparse: int, lines: int) -> tuple[int, int]:
    """Lines of the denser and of the sparser engine, as their work is; one at least to each that has some."""
    if not dense or not sparse:
        return (lines, 0) if dense else (0, lines)
    denser = min(max(1, lines * dense // (dense + sparse)), lines - 1)
    return denser, lines - denser


def scores_work(design: ViTCoDDesign, mask: Csr, depth: int, heads: int, decoder: int, spilled: bool) -> Work:
    """Scores at a mask [queries, keys]: queries come first, then the keys' columns, the global tokens' in front.

    ``heads`` are encoded together; ``decoder`` lines decode them and the rest are the engines'.
    ``spilled``: the scores leave the chip, as no product with V follows. Others do where they are too many.
    """
    rows, columns = mask.shape
    lengths = mask.transposed.row_lengths
    split = conquer(lengths, design.theta_d)
    lengths, g = lengths[split.order], split.global_tokens
    sparse = int(lengths[g:].sum())
    denser, sparser = split_lines(g * rows, sparse, design.pe_width - decoder)
    tiles = -(-depth // design.pe_height)
    encoded = design.encoded_heads(heads)
    token = design.element_bytes(depth * encoded / heads)
    # Keys come again for every part of the queries that the memory holds.
    trips, held = _room(design, design.element_bytes(rows * depth))
    index = np.where(np.arange(columns) < g, 0.0, trips * (_POINTER_BYTES + _index_bytes(rows) * lengths))
    moved = np.concatenate((np.full(rows, token), trips * token + index))
    multiplies = 0 if encoded == heads else depth * encoded
    per_cycle = max(1, decoder) * design.pe_height
    decode = np.concatenate((np.ones(rows), np.full(columns, float(trips)))) * multiplies / per_cycle
    work, engine = np.zeros(rows + columns, np.int64), np.full(rows + columns, NONE, np.int64)
    if denser:
        work[rows : rows + g] = -(-rows // denser) * tiles
        engine[rows : rows + g] = DENSER
    if sparser:
        work[rows + g :] = lengths[g:]
        engine[rows + g :] = np.where(lengths[g:] > 0, SPARSER, NONE)
    columns_of, first = _tiled(engine, tiles)
    out = _off_chip_scores(design, g * rows + sparse, mask.nnz, spilled)
    traffic = {
        "q": math.ceil(rows * token),
        "k": math.ceil(trips * columns * token),
        "index": math.ceil(index.sum()),
        "scores": out,
        "dram_read": math.ceil(moved.sum()),
        "dram_write": out,
    }
    scores = g * rows + sparse
    events = Events(
        engine_macs=scores * depth,
        decode_macs=(rows + trips * columns) * multiplies,
        scores=scores,
        vectors_read=scores - min(sparse, g * rows),
        vectors_forwarded=min(sparse, g * rows),
        vectors_written=rows + trips * columns,
        score_accesses=scores,
        vector_bytes=math.ceil(design.element_bytes(depth)),
    )
    store = int(design.port_cycles(np.array([float(out)]))[0])
    product = Product(
        np.where(first, design.port_cycles(moved)[columns_of], 0),
        np.where(first, _whole_steps(decode)[columns_of], 0),
        work[columns_of],
        engine[columns_of],
        denser,
        sparser,
        store,
    )
    return Work(product, events, traffic, held)


def sums_work(design: ViTCoDDesign, weights: Csr, width: int, decoder: int, fetched: bool) -> Work:
    """Weights [queries, keys] times V: V comes first, then the rows; the global tokens' part is dense.

    ``fetched``: the weights come from memory, as no scores were made before. Others do where they are too many.
    """
    rows, columns = weights.shape
    lengths = weights.transposed.row_lengths
    many = lengths > design.theta_d
    g = int(np.count_nonzero(many))
    # Non-zeros of each row outside the global tokens' columns.
    rest = np.bincount(np.repeat(np.arange(rows), weights.row_lengths)[~many[weights.indices]], minlength=rows)
    sparse = int(rest.sum())
    denser, sparser = split_lines(g * rows, sparse, design.pe_width - decoder)
    tiles = -(-width // design.pe_height)
    groups = -(-rows // denser) if denser else 0
    having = rest[rest > 0] if sparser else np.zeros(0, np.int64)
    token = design.element_bytes(width)
    # Where V comes in parts, sums of 16 bits leave and come back in between.
    trips, held = _room(design, columns * token)
    again = (trips - 1) * rows * width * _SCORE_BYTES
    back = _off_chip_scores(design, g * rows + sparse, weights.nnz, fetched)
    index = weights.nnz * _index_bytes(columns) + rows * _POINTER_BYTES if fetched else 0
    items = columns + groups + len(having) * tiles
    moved = np.zeros(items)
    moved[:columns] = token + (back + index + again) / max(columns, 1)
    work, engine = np.zeros(items, np.int64), np.full(items, NONE, np.int64)
    work[columns : columns + groups], engine[columns : columns + groups] = g * tiles, DENSER
    work[columns + groups :], engine[columns + groups :] = np.repeat(having, tiles), SPARSER
    result = math.ceil(rows * token)
    traffic = {
        "v": math.ceil(columns * token),
        "index": index,
        "scores": back,
        "partial": 2 * again,
        "o": result,
        "dram_read": math.ceil(columns * token) + index + back + again,
        "dram_write": result + again,
    }
    used = g * rows + sparse
    events = Events(
        engine_macs=used * width,
        decode_macs=0,
        scores=0,
        vectors_read=used,
        vectors_forwarded=0,
        vectors_written=columns + rows,
        score_accesses=used,
        vector_bytes=math.ceil(token),
    )
    store = int(design.port_cycles(np.array([float(result + again)]))[0])
    product = Product(
        design.port_cycles(moved), np.zeros(items, np.int64), work, engine, denser, sparser, store,
        0 if fetched else design.softmax_cycles,
    )  # fmt: skip
    return Work(product, events, traffic, held)


def _room(design: ViTCoDDesign, tensor_bytes: float) -> tuple[int, int]:
    """In how many parts a head's operand comes to its memory, and how many heads' it holds, two at most."""
    parts = max(1, -(-math.ceil(tensor_bytes) // design.operand_sram_bytes))
    return parts, 2 if 2 * tensor_bytes <= design.operand_sram_bytes else 1


class _Part(NamedTuple):
    """A product to be worked out: at a mask, so deep; scores or sums; whether its scores leave the chip."""

    mask: Csr
    depth: int
    heads: int
    scored: bool
    off_chip: bool


def _attention_parts(op: Attention, masks: Mask) -> list[_Part]:
    """Scores and sums of every head, batch by batch."""
    made: dict[tuple[int, ...], Csr] = {}
    out = []
    for at in np.ndindex(op.batch, op.heads):
        key = at if op.kept is not None else at[1:]  # one mask a head for the whole batch
        if key not in made:
            made[key] = as_csr(masks[at])
        out += [_Part(made[key], op.dim, op.heads, scored, False) for scored in (True, False)]
    return out


def _works(design: ViTCoDDesign, parts: Sequence[Sequence[_Part]]) -> list[list[Work]]:
    """What every part takes, with one decoder for all of them: it is at work beside other heads' products."""
    flat = [part for own in parts for part in own]
    encoded = [design.encoded_heads(part.heads) % part.heads if part.scored else 0 for part in flat]
    decoding = sum(sum(part.mask.shape) * part.depth * kept for part, kept in zip(flat, encoded, strict=True))
    scores = {id(part.mask): computed_scores(design, part.mask) for part in flat}
    decoder = design.decoder_lines_for(decoding, sum(scores[id(part.mask)] * part.depth for part in flat))
    made: dict[tuple[int, int, int, bool, bool], Work] = {}
    for part in flat:
        key = (id(part.mask), *part[1:])
        if key not in made:
            mask, depth, heads, scored, off_chip = part
            made[key] = (
                scores_work(design, mask, depth, heads, decoder, off_chip)
                if scored
                else sums_work(design, mask, depth, decoder, off_chip)
            )
    return [[made[(id(part.mask), *part[1:])] for part in own] for own in parts]


def computed_scores(design: ViTCoDDesign, mask: Csr) -> int:
    """Scores that the engines compute: all of global tokens' columns, and the non-zeros of the others."""
    lengths = mask.transposed.row_lengths
    many = lengths > design.theta_d
    return int(np.count_nonzero(many)) * mask.shape[0] + int(lengths[~many].sum())


def _tiled(engine: npt.NDArray[np.int64], tiles: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Places of items, those of the sparser engine once for every tile of their depth; and which come first."""
    places = np.repeat(np.arange(len(engine)), np.where(engine == SPARSER, tiles, 1))
    return places, np.diff(places, prepend=-1) > 0


def _index_bytes(rows: int) -> int:
    """Bytes of a row's index."""
    return max(1, -(-(rows - 1).bit_length() // 8))


def _off_chip_scores(design: ViTCoDDesign, on_chip: int, nnz: int, all_of_them: bool) -> int:
    """Bytes of scores that do not stay on the chip."""
    return nnz * _SCORE_BYTES if all_of_them else max(0, on_chip * _SCORE_BYTES - design.output_sram_bytes)


class ViTCoD(Machine):
    """Attention under fixed masks, and the sparse products that it is made of."""

    name = "vitcod"
    kind = "accelerator"
    summary = "attention under fixed masks, dense and sparse columns on an engine each (ViTCoD, HPCA 2023)"
    operations = (Attention, SDDMM, SpMM)
    design_type = ViTCoDDesign
    design: ViTCoDDesign

    def supports(self, op: Operation) -> bool:
        """Attention's forward pass, sampled products and products with a dense side."""
        return isinstance(op, (SDDMM, SpMM)) or supports_attention(op)

    def run(self, op: Operation, *, values: bool = False) -> Result:
        """Run one operation; ``values``: attention's output that the hardware would give.

        Raises:
            InputError: another operation, or one that the authors' convention is not defined on.
        """
        return self.run_in_order([Item(op)], values=values)[0]

    def run_in_order(self, items: Sequence[Item], *, values: bool = False) -> Sequence[Result]:
        """Products one after another on the engines: the next one's operands come meanwhile.

        Scores stay on the chip where the product with V at the same mask comes next.

        Raises:
            InputError: as :meth:`run`.
        """
        if self.design.convention == "authors":
            return [self._by_authors(Workload.of(item.op.name or item.op.kind, item.op)) for item in items]
        ops = [item.op for item in items]
        fitted_on: dict[int, list[Operands]] = {}
        masks: dict[int, Mask] = {}
        parts: list[list[_Part]] = []
        for at, op in enumerate(ops):
            if isinstance(op, (SDDMM, SpMM)):
                mask, depth = (op.mask, op.k) if isinstance(op, SDDMM) else (op.a, op.n)
                scored = isinstance(op, SDDMM)
                off_chip = not _pair(ops, at if scored else at - 1)
                parts.append([_Part(mask, depth, self.design.codec_heads, scored, off_chip)])
            else:
                attention = require_attention(self.label, op)
                fitted_on[at] = self._calibration(attention)
                masks[at] = self._masks(attention, fitted_on[at])
                parts.append(_attention_parts(attention, masks[at]))
        works = _works(self.design, parts)
        products = _with_latency(self.design, [work.product for own in works for work in own])
        causes = run_columns(products, min((2 * work.heads_held for own in works for work in own), default=2)).causes
        results, first = [], 0
        for at, (op, own) in enumerate(zip(ops, works, strict=True)):
            spent = causes[first : first + len(own)]
            first += len(own)
            if isinstance(op, Attention):
                results.append(self._attention_result(op, fitted_on[at], masks[at], own, spent, values))
            else:
                results.append(self._product_result(op, own[0], spent[0]))
        return results

    def run_whole(self, workload: Workload) -> Result | None:
        """The authors' convention, which reads one head of each layer."""
        return self._by_authors(workload) if self.design.convention == "authors" else None

    def _by_authors(self, workload: Workload) -> Result:
        design = self.design
        found = authors_cycles(layers_of(workload), design.ratio, design.pe_width, design.theta_d)
        return _authors_result(self.label, design, workload, found)

    def _masks(self, op: Attention, fitted_on: Sequence[Operands]) -> Mask:
        """Masks of an operation, [batch, heads, seq, seq]: those it is given, else one a head for the whole batch."""
        if op.kept is not None:
            return head_masks(op)
        maps = np.zeros((op.heads, op.seq, op.seq), np.float32)
        for given in fitted_on:
            for at in np.ndindex(given.q.shape[:2]):
                maps[at[1]] += exact_probabilities(given.q[at], given.k[at], op.causal)
        kept = np.stack([prune(own, self.design.theta_p, self.design.kept_tokens) for own in maps])
        if op.causal:
            kept = np.tril(kept)
        return np.broadcast_to(kept, (op.batch, *kept.shape))

    def _calibration(self, op: Attention) -> list[Operands]:
        """Operands to fit masks and codec on: the operation's where they are given, else drawn with other seeds."""
        if op.kept is not None and self.design.encoded_heads(op.heads) == op.heads:
            return []
        if op.q is not None:
            return [op.operands()]
        law = op.law if op.law is not None else Clustered()
        seeds = ((law.seed + 1 + at) % _LARGEST_SEED for at in range(self.design.calibration_maps))
        return [replace(op, batch=1, kept=None, law=replace(law, seed=seed)).operands() for seed in seeds]

    def _attention_result(
        self,
        op: Attention,
        fitted_on: Sequence[Operands],
        masks: Mask,
        works: list[Work],
        causes: npt.NDArray[np.int64],
        values: bool,
    ) -> Result:
        design = self.design
        given = op.operands()
        codes = [to_codes(x, design.operand_bits, design.fraction_bits) for x in (given.q, given.k, given.v)]
        decoded, saturated = self._through_codec(op, fitted_on, codes[0][0], codes[1][0])
        kept_of, places = masks.reshape(-1, op.seq, op.seq), iter(range(op.batch * op.heads))
        flat = [x.reshape(-1, op.seq, op.dim) for x in (*decoded, codes[2][0])]
        lost = {"difference": 0.0, "output": 0.0}
        plain = [x[0].reshape(-1, op.seq, op.dim) for x in codes]

        def head(given_head: Head) -> HeadRun:
            at = next(places)
            kept = kept_of[at]
            output = attend(design, flat[0][at], flat[1][at], flat[2][at], kept)
            if design.encoded_heads(op.heads) != op.heads:
                without = attend(design, plain[0][at], plain[1][at], plain[2][at], kept)
                lost["difference"] += float(np.square(output - without).sum())
                lost["output"] += float(np.square(without).sum())
            return HeadRun(
                phases={},
                output=output,
                kept=kept,
                matters=prune(given_head.probabilities, design.theta_p) & given_head.allowed,
                events={"kept": int(np.count_nonzero(kept))},
                counters={"rows_without_key": int(np.count_nonzero(~kept.any(axis=1)))},
            )

        phases = {
            name: _by_cause(causes[part::2].sum(axis=0)) for part, name in enumerate(("scores", "products with v"))
        }
        whole = run_heads(op, given, head, lambda _: phases)
        events, traffic = _added(works)
        macs = events.engine_macs + events.decode_macs
        cut = saturated + sum(beyond for _, beyond in codes)
        whole = replace(
            whole,
            events={**whole.events, "multiplies": macs, "adds": macs},
            counters={**whole.counters, "saturations": cut, **_counters(works)},
        )
        energy = energy_parts(design, events, whole.heads * op.seq, op.dim, _moved(traffic))
        area = area_parts(design)
        result = attention_result(
            self.label,
            op,
            design,
            whole,
            clock_hz=design.clock_hz,
            precision=(f"int{design.operand_bits}",),
            peak_multiplies_per_cycle=design.macs,
            bytes_per_s=pins_bytes_per_s(design.memory, design.memory_channels),
            energy=energy,
            area=area,
            traffic=traffic,
            notes=self._notes(op),
            values=values,
        )
        checks = {"reconstruction_error": _relative(codes[0][0], decoded[0], codes[1][0], decoded[1])}
        checks["codec_output_error"] = math.sqrt(lost["difference"] / lost["output"]) if lost["output"] else 0.0
        return replace(result, checks=checks)

    def _through_codec(
        self, op: Attention, samples: Sequence[Operands], q: npt.NDArray[np.int32], k: npt.NDArray[np.int32]
    ) -> tuple[list[npt.NDArray[np.int32]], int]:
        """Q and K as the decoder gives them back, and how many codes were held at the ends of their format."""
        design = self.design
        kept = design.encoded_heads(op.heads)
        if kept == op.heads:
            return [q, k], 0
        fraction = design.weight_bits - 2  # weights of singular vectors lie between -1 and 1
        back, held = [], 0
        for name, codes in (("q", q), ("k", k)):
            fitted = fit_codec(
                np.concatenate([np.moveaxis(getattr(s, name), 1, 0).reshape(op.heads, -1) for s in samples], axis=1),
                kept,
            )
            heads = np.moveaxis(codes, 1, 0).astype(np.int64)
            for weights in (fitted.encoder, fitted.decoder):
                heads, beyond = mixed_heads(
                    heads, weight_codes(weights, design.weight_bits, fraction), fraction, design.operand_bits
                )
                held += beyond
            back.append(np.ascontiguousarray(np.moveaxis(heads, 0, 1)).astype(np.int32))
        return back, held

    def _notes(self, op: Attention) -> tuple[str, ...]:
        design = self.design
        notes = ["encoding Q and K belongs to the projections that make them and is not timed"]
        if op.kept is None:
            drawn = f"{design.calibration_maps} other sequence(s) drawn by the same law"
            where = "these operands" if op.q is not None else drawn
            notes.append(f"one mask a head, by split and conquer on {where}")
        if design.encoded_heads(op.heads) != op.heads:
            notes.append("the auto-encoder is a least-squares fit, not trained with a network as the paper's is")
        return tuple(notes)

    def _product_result(self, op: Operation, work: Work, causes: npt.NDArray[np.int64]) -> Result:
        design = self.design
        stalls = _by_cause(causes)
        cycles = sum(stalls.values())
        seconds = cycles / design.clock_hz
        scored = isinstance(op, SDDMM)
        structure = op.mask if isinstance(op, SDDMM) else op.a if isinstance(op, SpMM) else None
        assert structure is not None
        depth = op.k if isinstance(op, SDDMM) else op.n if isinstance(op, SpMM) else 0
        divided = 0 if scored else structure.shape[0]
        traffic = dict(work.traffic)
        energy = energy_parts(design, work.events, divided, depth, _moved(traffic))
        area = area_parts(design)
        macs = work.events.engine_macs + work.events.decode_macs
        operations = {
            "multiplies": macs,
            "adds": macs,
            "effective_multiplies": op.multiplies,
            "results": structure.nnz if scored else structure.shape[0] * depth,
        }
        peaks = {"operations_per_s": 2.0 * design.macs * design.clock_hz}
        pins = pins_bytes_per_s(design.memory, design.memory_channels)
        if math.isfinite(pins):
            peaks["bytes_per_s"] = pins
        return Result(
            machine=self.label,
            workload=op.name or op.kind,
            seconds=seconds,
            overhead_s=0.0,
            cycles=cycles,
            clock_hz=design.clock_hz,
            energy_j=math.fsum(energy.values()),
            energy_parts=energy,
            area_mm2=math.fsum(area.values()),
            area_parts=area,
            operations=operations,
            traffic_bytes=traffic,
            phases=(Phase("scores" if scored else "products with v", cycles, seconds, stalls),),
            stalls=stalls,
            counters=_counters([work]),
            precision=(f"int{design.operand_bits}",),
            utilization=utilization(operations, op.flops, peaks, seconds),
            peaks=peaks,
            notes=(f"Q and K encoded with {design.codec_heads} heads",) if scored else (),
            design=design.as_dict(),
            provenance=_provenance(design),
        )


def attend(
    design: ViTCoDDesign,
    q: npt.NDArray[np.int32],
    k: npt.NDArray[np.int32],
    v: npt.NDArray[np.int32],
    kept: Mask,
) -> Reals32:
    """The output of one head, back from its codes: exact scores, powers below each row's largest, sums in singles."""
    dim = q.shape[1]
    step = 2.0 ** (-2 * design.fraction_bits) / math.sqrt(dim)
    score_bits = 2 * design.operand_bits + (dim - 1).bit_length() + 1
    # As fine a constant as a word of 63 bits holds beside the score: its error grows with the score.
    scale_bits = min(30, 62 - score_bits - math.ceil(math.log2(step * math.log2(math.e))))
    unit = ExpFloat(unit=step, score_bits=score_bits, scale_bits=scale_bits, mantissa_bits=design.mantissa_bits)
    scores = exact_products(q, k, design.operand_bits)
    scores -= np.max(scores, axis=1, keepdims=True, where=kept, initial=-(1 << (score_bits - 2)))
    np.minimum(scores, 0, out=scores)  # those that are not kept, and are not read
    weights = (exp_float_codes(scores, unit) << (23 - unit.mantissa_bits)).astype(np.uint32).view(np.float32)
    sums = weighted_sums(weights, v.astype(np.float32), kept, 1)
    total = sums[:, dim:]
    share = np.where(total > 0, np.float32(1.0) / np.where(total > 0, total, np.float32(1.0)), np.float32(0.0))
    out: Reals32 = (np.rint(sums[:, :dim] * share) / np.float32(1 << design.fraction_bits)).astype(np.float32)
    return out


def _pair(ops: Sequence[Operation], at: int) -> bool:
    """Whether scores at place ``at`` are followed by their product with V."""
    if not 0 <= at < len(ops) - 1:
        return False
    scores, sums = ops[at], ops[at + 1]
    return (
        isinstance(scores, SDDMM)
        and isinstance(sums, SpMM)
        and scores.mask.structure_hash == sums.a.structure_hash
        and scores.k == sums.n
    )


def _with_latency(design: ViTCoDDesign, products: list[Product]) -> list[Product]:
    """The first operand waits for the memory's answer; nothing is there to hide it."""
    if design.memory == "ideal" or not products or not len(products[0].load):
        return products
    first = products[0].load.copy()
    first[0] += math.ceil(idle_latency_s(design.memory) * design.clock_hz)
    return [replace(products[0], load=first), *products[1:]]


def _by_cause(causes: npt.NDArray[np.int64]) -> dict[str, int]:
    return dict(zip(CAUSES, causes.tolist(), strict=True))


def _added(works: Sequence[Work]) -> tuple[Events, dict[str, int]]:
    traffic: dict[str, int] = {}
    for work in works:
        for name, moved in work.traffic.items():
            traffic[name] = traffic.get(name, 0) + moved
    return Events.sum_of([work.events for work in works]), traffic


def _moved(traffic: Mapping[str, int]) -> int:
    return traffic["dram_read"] + traffic["dram_write"]


def _counters(works: Sequence[Work]) -> dict[str, int]:
    return {
        "denser_items": sum(int((work.product.engine == DENSER).sum()) for work in works),
        "sparser_items": sum(int((work.product.engine == SPARSER).sum()) for work in works),
        "queries_forwarded": sum(work.events.vectors_forwarded for work in works),
    }


def _provenance(design: ViTCoDDesign) -> dict[str, object]:
    return {"design_hash": design.content_hash(), "tables": {name: table_hash(name) for name in _TABLES}}


def _relative(q: npt.NDArray[np.int32], q_back: npt.NDArray[np.int32], k: npt.NDArray[np.int32],
              k_back: npt.NDArray[np.int32]) -> float:  # fmt: skip
    """Error of Q and K together in the Frobenius norm."""
    lost = sum(float(np.square((a - b).astype(np.float64)).sum()) for a, b in ((q, q_back), (k, k_back)))
    whole = sum(float(np.square(a.astype(np.float64)).sum()) for a in (q, k))
    return math.sqrt(lost / whole) if whole else 0.0


def _authors_result(label: str, design: ViTCoDDesign, workload: Workload, found: AuthorsCycles) -> Result:
    """Phases overlap and add up to more than the cycles; stalls say what shows of each."""
    clock = CLOCK_HZ
    parts = {"preload": found.preload, "decode": found.decode, "compute": found.compute}
    shown = {"compute": found.compute, "decode": found.decode}
    effective = sum(item.op.multiplies * item.repeat for item in workload.items)
    notes = [
        "the authors' simulator: each layer's first head stands for all; preload goes on beside decode and compute",
        f"its array is pe_width x pe_width, {design.pe_width**2} multiply-accumulators, at 500 MHz and 76.8 x 2^30 B/s",
    ]
    return Result(
        machine=label,
        workload=workload.name,
        seconds=found.total / clock,
        overhead_s=0.0,
        cycles=found.total,
        clock_hz=clock,
        operations={"effective_multiplies": effective},
        phases=tuple(Phase(name, cycles, cycles / clock, {name: cycles}) for name, cycles in parts.items()),
        stalls={**shown, "memory": found.total - sum(shown.values())},
        precision=("int8",),
        notes=(*notes, *found.notes),
        design=design.as_dict(),
        provenance={"design_hash": design.content_hash()},
    )
