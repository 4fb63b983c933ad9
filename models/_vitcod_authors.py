"""What the authors' own simulator of ViTCoD says of a whole set of masks: closed sums, one head of each layer.

Heads of a layer are taken to run in parallel, each on its share of the array, and alike: only the first head's mask is
read. Its global tokens (columns of more than ``theta`` non-zeros) go to the denser engine, the rest to the sparser one;
lines of the array are split between them in proportion. Loading a token takes whole cycles, at 76.8 * 2^30 B/s.

With n tokens, d elements a head, h heads, W the width, r the ratio, g global tokens, s the other non-zeros::

    denser = int(W * (g n / (s + g n)))                          sparser = W - denser
    scores = max(g ceil(n / denser) t, ceil(s / sparser) t)      t = ceil(d / (W / h))
    sums   = max(ceil(n d g / int(denser W / h)), ceil(s d / int(sparser W / h)))
    preload = n (2 load(h r d) + load(h d)) + 3 load(h r, a head's share of the rate)
    decode  = 2 n ceil(h r d / int(W W / h))
    total   = max(preload, decode + compute), all three summed over the layers

Q and K come encoded, V as it is; the decoder's weights come with the first K of either engine and with the first Q.
The width stands for both sides of the array: 64 makes 4096 multiply-accumulators, not the paper's 512.

Where the program stops with a division by zero, this goes on: an engine without work takes no time, one that has some
but no line is given one of the other's, and where W W / h is below one it is taken as one. Without a global token the
program loads every query as often as a column has non-zeros in the mean; so does this, up to whole cycles.

Source: GATECH-EIC/ViTCoD at b2f7fb5, Hardware/Simulator: ViTCoD.py, SRAM.py and reorder.py, read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from siloom.models._masked import masked_products
from siloom.models._vitcod_design import ViTCoDDesign
from siloom.sim.errors import InputError
from siloom.sim.ops import SDDMM, Attention, SpMM, Workload
from siloom.sim.result import Phase, Result
from siloom.sim.sparse import Csr

CLOCK_HZ = 500 * 1e6
BITS_PER_S = 76.8 * 1024 * 1024 * 1024 * 8
_BITS = 8


@dataclass(frozen=True)
class AuthorsCycles:
    """Cycles of the three parts, which overlap, and what the sums had to be lent."""

    preload: int
    decode: int
    compute: int
    notes: tuple[str, ...]

    @property
    def total(self) -> int:
        """Loading behind the rest, or the rest behind loading."""
        return max(self.preload, self.decode + self.compute)


@dataclass(frozen=True)
class Layer:
    """Masks of a layer's heads, ``tokens`` square each, of heads ``dim`` wide."""

    heads: tuple[Csr, ...]
    dim: int

    @property
    def tokens(self) -> int:
        """Rows of a mask, and columns."""
        return self.heads[0].shape[0]


def load_cycles(elements: float, share: float = 1.0) -> int:
    """Cycles for so many bytes at a share of the rate, in the order in which the program rounds."""
    seconds = elements * _BITS / (BITS_PER_S * share)
    return math.ceil(seconds * CLOCK_HZ)


def split_head(mask: Csr, theta: int) -> tuple[int, int]:
    """Global tokens (columns of more than ``theta`` non-zeros), and the non-zeros of all other columns."""
    columns = mask.transposed.row_lengths
    many = columns > theta
    return int(many.sum()), int(columns[~many].sum())


def authors_cycles(layers: Sequence[Layer], ratio: float, width: int, theta: int) -> AuthorsCycles:
    """The program's sums; ``width`` at least 2."""
    preload = decode = 0.0
    compute = 0
    notes: dict[str, None] = {}
    for layer in layers:
        n, d, h = layer.tokens, layer.dim, len(layer.heads)
        g, s = split_head(layer.heads[0], theta)
        loaded, decoded, without = _streams(n, d, h, g, s, ratio, width)
        preload, decode = preload + loaded, decode + decoded
        denser, sparser, lent = _split(g * n, s, width)
        compute += _scores(n, d, h, g, s, denser, sparser, width) + _sums(n, d, h, g, s, denser, sparser, width)
        notes |= dict.fromkeys(without + lent)
    return AuthorsCycles(math.ceil(preload), math.ceil(decode), compute, tuple(notes))


def _streams(n: int, d: int, h: int, g: int, s: int, ratio: float, width: int) -> tuple[float, float, tuple[str, ...]]:
    """Cycles of loading and of decoding one layer."""
    encoded, plain, weights = load_cycles(h * ratio * 1 * d), load_cycles(h * 1 * d), load_cycles(h * ratio * 1, 1 / h)
    step = math.ceil((h * ratio * 1 * d) / max(1, int(width * width / h)))
    # The queries come once with the denser engine's keys; without one, again and again for the sparser.
    again, notes = (1.0, ()) if g else (s / n, ("a layer without global tokens: its queries are loaded per non-zero",))
    first_loads = (g > 0) + 1 + (g < n)
    return n * (encoded * (1 + again) + plain) + weights * first_loads, n * step * (1 + again), notes


def _split(dense: int, sparse: int, width: int) -> tuple[int, int, tuple[str, ...]]:
    """Lines of the denser and of the sparser engine."""
    if not dense or not sparse:
        return (width if dense else 0), (0 if dense else width), ()
    share = dense / (sparse + dense)
    denser = int(width * share)
    if denser:
        return denser, width - denser, ()
    return 1, width - 1, ("a denser engine whose share is below one line is given one",)


def _scores(n: int, d: int, h: int, g: int, s: int, denser: int, sparser: int, width: int) -> int:
    tiles = math.ceil(d / (width / h))
    return max(g * math.ceil(n / denser) * tiles if g else 0, math.ceil(s / sparser) * tiles if s else 0)


def _sums(n: int, d: int, h: int, g: int, s: int, denser: int, sparser: int, width: int) -> int:
    return max(
        math.ceil((n * d * g) / max(1, int(denser * width / h))) if g else 0,
        math.ceil(s * d / max(1, int(sparser * width / h))) if s else 0,
    )


def layers_of(workload: Workload) -> list[Layer]:
    """The layers of a kept workload, or of attention whose masks are given: there each sequence of a batch is one.

    A mask's label up to its last dot is its layer (``layer3`` of ``layer3.head1``); one without a dot is a layer of
    one head.

    Raises:
        InputError: other operations, scores without their sums, repeats, masks that are not square or not alike.
    """
    if len(workload.items) == 1 and isinstance(workload.items[0].op, Attention):
        op = workload.items[0].op
        pairs = masked_products(op)
        return [
            Layer(tuple(scores.mask for scores, _ in pairs[at : at + op.heads]), op.dim)
            for at in range(0, len(pairs), op.heads)
        ]
    grouped: dict[str, list[SDDMM]] = {}
    ops = [item.op for item in workload.items]
    if any(item.repeat != 1 for item in workload.items) or len(ops) % 2:
        raise _refused("an SDDMM and an SpMM for every mask, once each")
    for scores, sums in zip(ops[::2], ops[1::2], strict=True):
        if not isinstance(scores, SDDMM) or not isinstance(sums, SpMM):
            raise _refused("an SDDMM and an SpMM for every mask")
        if scores.mask.structure_hash != sums.a.structure_hash or scores.k != sums.n:
            raise _refused(f"scores and sums of one mask and depth, {scores.name} and {sums.name} differ")
        label = scores.name.removesuffix("sddmm").rstrip(".")
        grouped.setdefault(label.rpartition(".")[0] or label, []).append(scores)
    layers = [Layer(tuple(own.mask for own in heads), heads[0].k) for heads in grouped.values()]
    for name, layer in zip(grouped, layers, strict=True):
        if any(mask.shape != (layer.tokens, layer.tokens) for mask in layer.heads):
            raise _refused(f"square masks of one size in each layer, {name} has others")
        if any(own.k != layer.dim for own in grouped[name]):
            raise _refused(f"one depth in each layer, {name} has several")
    return layers


def authors_result(label: str, design: ViTCoDDesign, workload: Workload) -> Result:
    """What the program says of ``workload``.

    Phases overlap and add up to more than the cycles; stalls say what shows of each.

    Raises:
        InputError: as :func:`layers_of`.
    """
    found = authors_cycles(layers_of(workload), design.ratio, design.pe_width, design.theta_d)
    clock = CLOCK_HZ
    parts = {"preload": found.preload, "decode": found.decode, "compute": found.compute}
    shown = {"compute": found.compute, "decode": found.decode}
    effective = sum(item.op.multiplies * item.repeat for item in workload.items)
    notes = [
        "the authors' simulator: each layer's first head stands for all; preload goes on beside decode and compute: "
        "phases overlap, cycles are the longer of the two",
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


def _refused(rule: str) -> InputError:
    return InputError(f"vitcod: convention=authors is defined on a kept workload: it must hold {rule}")
