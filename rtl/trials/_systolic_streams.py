"""Products as streams at the edges of a systolic array, and C as the streams that come out of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from siloom.rtl.exchange import Drain, Feed, Plan
from siloom.rtl.machines._systolic_size import LENGTH_BITS, ArraySize
from siloom.sim.contract import Codes
from siloom.sim.engine.systolic_cells import Fold, fold_list


@dataclass(frozen=True)
class Product:
    """Codes of A (m, k), of B (k, n), and of the C (m, n) that the model gives."""

    a: Codes
    b: Codes
    c: Codes

    @property
    def sizes(self) -> tuple[int, int, int]:
        """``m``, ``n``, ``k``."""
        return (*self.c.shape, self.a.shape[1])

    @property
    def job(self) -> tuple[int, int]:
        """What the machine is told of it, and the bits of that."""
        m, n, k = self.sizes
        return m | n << LENGTH_BITS | k << 2 * LENGTH_BITS, 3 * LENGTH_BITS


@dataclass(frozen=True)
class Stalls:
    """How the neighbours of the array stall.

    ``idle``: cycles before each beat of a stream in, repeated; ``ready``: of a stream out by cycle, repeated.
    """

    idle: Sequence[int] = (0,)
    ready: Sequence[bool] = (True,)


_LATE = (0, 0, 0, 0, 0, 1, 0, 0, 2, 0, 0, 0, 7)
_BUSY = (True, True, True, False, True, True, False, False, True, True, True, True) + (False,) * 9

STALLS = {
    "late-operands": Stalls(idle=_LATE),
    "full-queues": Stalls(ready=_BUSY),
    "both": Stalls(idle=_LATE, ready=_BUSY),
}
"""Neighbours that no model knows of."""


def make_plan(
    size: ArraySize, name: str, products: Sequence[Product], limit: int, rng: np.random.Generator, stalls: Stalls
) -> tuple[Plan, dict[str, list[int]]]:
    """What is driven for these products, one after another, and what must come out of every stream.

    Lanes that a fold does not use hold junk.
    """
    left: list[Codes] = []
    top: list[Codes] = []
    sums: list[list[Codes]] = [[] for _ in range(size.cols)]
    for product in products:
        for fold in _folds(size, product):
            left.append(_filled(rng, _left(size, product, fold), size.rows))
            top.append(_filled(rng, _top(size, product, fold), size.cols))
            for j, column in enumerate(_sums(size, product, fold)):
                sums[j].append(column)
    given = {
        "job": (products[0].job[1], [product.job[0] for product in products]),
        "left": (size.rows * size.left_bits, packed(np.concatenate(left), size.left_bits)),
        "top": (size.cols * size.top_bits, packed(np.concatenate(top), size.top_bits)),
    }
    answers = {
        f"sums{j}": packed(np.concatenate(columns)[:, None], size.sum_bits) if columns else []
        for j, columns in enumerate(sums)
    }
    plan = Plan(
        name=name,
        feeds={
            name: Feed(bits, payloads, np.resize(rng.permutation(stalls.idle), len(payloads)).tolist())
            for name, (bits, payloads) in given.items()
        },
        drains={
            name: Drain(size.sum_bits, len(payloads), _pattern(rng, stalls.ready, limit))
            for name, payloads in answers.items()
        },
        limit=limit,
        seed=int(rng.integers(2**31)),
    )
    return plan, answers


def packed(codes: Codes, bits: int) -> list[int]:
    """The payload of each row of codes, the first in its lowest bits."""
    lanes = np.ascontiguousarray(codes, "<i8").view(np.uint8).reshape(*codes.shape, 8)
    wires = np.unpackbits(lanes, axis=2, bitorder="little")[:, :, :bits].reshape(len(codes), -1)
    return [int.from_bytes(row.tobytes(), "little") for row in np.packbits(wires, axis=1, bitorder="little")]


def _folds(size: ArraySize, product: Product) -> Iterator[Fold]:
    yield from fold_list(size.cell.dataflow, size.rows, size.cols, *product.sizes, size.cell.double)


def _left(size: ArraySize, product: Product, fold: Fold) -> Codes:
    """A beat for each step of what streams, a code for each row of the fold."""
    across = {"os": product.a, "ws": product.a.T, "is": product.b}[size.cell.dataflow]
    return across[fold.row : fold.row + fold.r].T


def _top(size: ArraySize, product: Product, fold: Fold) -> Codes:
    """A beat for each step of what streams, or for each row of what stays, the lowest first."""
    tile = {"os": product.b, "ws": product.b, "is": product.a.T}[size.cell.dataflow][:, fold.col : fold.col + fold.c]
    return tile if size.sums_stay else tile[fold.row : fold.row + fold.r][::-1]


def _sums(size: ArraySize, product: Product, fold: Fold) -> Iterator[Codes]:
    """What leaves below each column of the fold; nothing where k is cut and this is not its last part."""
    for col in range(fold.col, fold.col + fold.c):
        if size.sums_stay:
            yield product.c[fold.row : fold.row + fold.r, col][::-1]
        elif fold.row + fold.r == product.a.shape[1]:
            yield product.c[:, col] if size.cell.dataflow == "ws" else product.c[col]


def _filled(rng: np.random.Generator, beats: Codes, lanes: int) -> Codes:
    """The beats with junk in the lanes that are left."""
    out = rng.integers(-(2**62), 2**62, (len(beats), lanes))
    out[:, : beats.shape[1]] = beats
    return out


def _pattern(rng: np.random.Generator, ready: Sequence[bool], limit: int) -> list[bool]:
    if all(ready):
        return []
    turned = np.roll(np.array(ready), int(rng.integers(len(ready))))
    return [bool(r) for r in np.resize(turned, limit)]
