"""Heads of attention as ViTCoD's streams: tokens in their new order, the mask's bits, and whose work each is.

This is what is done offline with a fixed mask: the split into global tokens and others, the lines of each engine, and
the line of every sparse column and row, which is the one that the model's engine gives it to.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from siloom.models._vitcod_work import Part, works_of
from siloom.models.vitcod import products_held
from siloom.rtl.machines._vitcod_size import ViTCoDSize
from siloom.rtl.trials._sanger_streams import packed
from siloom.sim.approximation import Mask
from siloom.sim.contract import Codes
from siloom.sim.engine.column_engines import SPARSER, run_columns
from siloom.sim.split_conquer import conquer


@dataclass(frozen=True)
class Plan:
    """Of one head: keys in their new order, the first so many global, and lines of the denser engine.

    ``column_lines`` [keys, in their new order] and ``row_lines`` [queries]: which line of all works on them.
    """

    order: npt.NDArray[np.int64]
    global_tokens: int
    denser: int
    column_lines: npt.NDArray[np.int64]
    row_lines: npt.NDArray[np.int64]


def plans_of(size: ViTCoDSize, parts: list[Part], masks: list[Mask]) -> list[Plan]:
    """One for each head, of its scores and sums in ``parts``."""
    design = size.design
    works = works_of(design, [parts])
    products = [work.product for work in works[0]]
    run = run_columns(products, products_held(works))
    ends = np.cumsum([0, *(len(product.work) for product in products)])
    out = []
    for at, mask in enumerate(masks):
        seq = len(mask)
        split = conquer(np.count_nonzero(mask, axis=0), design.theta_d)
        taken = []
        for number in (2 * at, 2 * at + 1):
            product, lines = products[number], run.lines[ends[number] : ends[number + 1]]
            taken.append(np.where(product.engine == SPARSER, lines + product.denser, 0))
        row_lines = np.zeros(seq, np.int64)
        rest = mask[:, split.order[split.global_tokens :]].any(axis=1)
        # A line's number is asked for only where there is a sparser engine.
        if rest.any():
            row_lines[rest] = taken[1][products[2 * at + 1].engine == SPARSER]
        out.append(Plan(split.order, split.global_tokens, products[2 * at].denser, taken[0][seq:], row_lines))
    return out


def token_payloads(size: ViTCoDSize, q: Codes, k: Codes, mask: Mask, plan: Plan) -> list[int]:
    """Queries, then keys, [tokens, codes in all] each, with their bits and lines."""
    moved = mask[:, plan.order]
    rows = moved.copy()
    rows[:, : plan.global_tokens] = False
    out = []
    for codes, bits, lines in ((q, rows, plan.row_lines), (k[plan.order], moved.T, plan.column_lines)):
        width = size.bits * codes.shape[1]
        words = packed(codes.astype(np.int64), size.bits)
        for word, kept, line in zip(words, bits, lines.tolist(), strict=True):
            mark = int.from_bytes(np.packbits(kept, bitorder="little").tobytes(), "little")
            out.append(word | mark << width | line << (width + size.seq))
    return out
