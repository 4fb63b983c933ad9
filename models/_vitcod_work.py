"""What products at a mask ask of ViTCoD: items for :mod:`siloom.sim.engine.column_engines`, events, traffic."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from siloom.models._attention import with_dram
from siloom.models._masked import as_csr
from siloom.models._vitcod_cost import Events
from siloom.models._vitcod_design import ViTCoDDesign, whole_steps
from siloom.models._vitcod_units import OUTPUT_CYCLES
from siloom.sim.approximation import Mask
from siloom.sim.budget import check_bytes
from siloom.sim.engine.column_engines import DENSER, NONE, SPARSER, Product
from siloom.sim.ops import Attention
from siloom.sim.sparse import Csr
from siloom.sim.split_conquer import conquer

_SCORE_BYTES = 2
_POINTER_BYTES = 2
_BYTES_PER_TILE = 150
"""What the engine's arrays take for each column and tile."""


class Work(NamedTuple):
    """A product for the engines, with what it counts; ``heads_held``: how many heads' operands the memories hold."""

    product: Product
    events: Events
    traffic: Mapping[str, int]
    heads_held: int


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
    }
    scores = g * rows + sparse
    events = Events(
        engine_macs=scores * depth,
        decode_macs=(rows + trips * columns) * multiplies,
        vectors_read=scores - min(sparse, g * rows),
        vectors_forwarded=min(sparse, g * rows),
        vectors_written=rows + trips * columns,
        scores_written=scores,
        scores_read=0,
        vector_bytes=math.ceil(design.element_bytes(depth)),
    )
    store = int(design.port_cycles(np.array([float(out)]))[0])
    product = Product(
        np.where(first, design.token_cycles(moved)[columns_of], 0),
        np.where(first, whole_steps(decode)[columns_of], 0),
        work[columns_of],
        engine[columns_of],
        denser,
        sparser,
        store,
    )
    return Work(product, events, with_dram(traffic, out), held)


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
    # Of each row the largest score is looked up first, one row in a cycle, while the rows before are summed.
    work[columns : columns + groups], engine[columns : columns + groups] = max(g * tiles, denser), DENSER
    work[columns + groups - 1] = g * tiles if groups else 0
    work[columns + groups :], engine[columns + groups :] = np.repeat(having, tiles), SPARSER
    row = np.full(items, -1, np.int64)
    row[columns : columns + groups] = np.arange(groups) * denser
    row[columns + groups :] = np.repeat(np.flatnonzero(rest) if sparser else having, tiles)
    result = math.ceil(rows * token)
    traffic = {
        "v": math.ceil(columns * token),
        "index": index,
        "scores": back,
        "partial": 2 * again,
        "o": result,
    }
    used = g * rows + sparse
    events = Events(
        engine_macs=used * width,
        decode_macs=0,
        vectors_read=used,
        vectors_forwarded=0,
        vectors_written=columns + rows,
        scores_written=0,
        scores_read=used,
        vector_bytes=math.ceil(token),
    )
    store = int(design.port_cycles(np.array([float(result + again)]))[0])
    product = Product(
        np.concatenate((design.token_cycles(moved[:columns]), np.zeros(items - columns, np.int64))),
        np.zeros(items, np.int64), work, engine, denser, sparser, store, 0 if fetched else design.softmax_cycles,
        OUTPUT_CYCLES, rows, row,
    )  # fmt: skip
    return Work(product, events, with_dram(traffic, result + again), held)


def _room(design: ViTCoDDesign, tensor_bytes: float) -> tuple[int, int]:
    """In how many parts a head's operand comes to its memory, and how many heads' it holds, two at most."""
    parts = max(1, -(-math.ceil(tensor_bytes) // design.operand_sram_bytes))
    return parts, 2 if 2 * tensor_bytes <= design.operand_sram_bytes else 1


class Part(NamedTuple):
    """A product to be worked out: at a mask, so deep; scores or sums; whether its scores leave the chip."""

    mask: Csr
    depth: int
    heads: int
    scored: bool
    off_chip: bool


def attention_parts(op: Attention, masks: Mask) -> list[Part]:
    """Scores and sums of every head, batch by batch."""
    made: dict[tuple[int, ...], Csr] = {}
    out = []
    for at in np.ndindex(op.batch, op.heads):
        key = at if op.kept is not None else at[1:]  # one mask a head for the whole batch
        if key not in made:
            made[key] = as_csr(masks[at])
        out += [Part(made[key], op.dim, op.heads, scored, False) for scored in (True, False)]
    return out


def works_of(design: ViTCoDDesign, parts: Sequence[Sequence[Part]]) -> list[list[Work]]:
    """What every part takes, with one decoder for all of them: it is at work beside other heads' products.

    Raises:
        InputError: heads so deep that their tiles would take more memory than there is to spare.
    """
    flat = [part for own in parts for part in own]
    tiles = sum(sum(part.mask.shape) * -(-part.depth // design.pe_height) for part in flat)
    check_bytes("vitcod", _BYTES_PER_TILE * tiles, f"heads of dim {max((part.depth for part in flat), default=0)}")
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
