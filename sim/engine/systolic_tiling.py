"""How a GEMM is cut into blocks that fit the SRAMs, and in which order the blocks are run.

A block of C is ``mb`` x ``nb``, worked on over ``kb`` of k. Half of each SRAM holds the blocks at work,
the other half those that come and go: A's block (mb x kb) in the ifmap SRAM, B's (kb x nb) in the filter
SRAM, sums of C (mb x nb, at the accumulator's width) in the ofmap SRAM. Blocks run in three nested loops;
a tensor crosses the memory port again whenever its block changes. So a loop over an axis that a tensor
does not have repeats its traffic if a loop that runs inside it changes its block; for C every repeat is
a write and a read of sums.

Tried are all six orders of the loops, three depths kb (as deep as fits, as shallow as the array is tall,
their geometric mean), and five shapes (as tall, as wide, as square as fits, as low or as narrow as keeps
the array busy). Taken is the least estimate: the longest of the array's cycles with the bursts that a step does
not hide, the port's, and half of both with the slant of every step (two steps take turns in the halves of
an SRAM), and to it the first load and the last store; weighed by 2 % for every crossing of all
tensors; then the first tried. This is
a heuristic, no exhaustive search; what is charged afterwards is what its schedule moves.

The port is slower where it turns between reads and writes: each try runs at its own share of writes.
"""

from __future__ import annotations

import math

from siloom.sim.engine.systolic_folds import interval
from siloom.sim.engine.systolic_jobs import (
    A_BITS,
    A_COPIES,
    A_HALO,
    A_ROOM,
    A_UNIQUE,
    B_BITS,
    B_COPIES,
    B_ROOM,
    B_UNIQUE,
    BATCH,
    COLS,
    DATAFLOW,
    DOUBLE,
    O_BITS,
    O_COPIES,
    O_ROOM,
    RATE,
    ROWS,
    SUM_BITS,
    Floats,
    Ints,
    K,
    M,
    N,
)
from siloom.sim.jit import inline_kernel, kernel

_CROSSING = 0.02
"""Every tensor once more over the port is worth so much of the time, as energy and others' bandwidth are."""

# Outer, middle and inner axis (0 m, 1 n, 2 k) of each order of the loops, two bits each.
# (m,n,k) (n,m,k) (m,k,n) (k,m,n) (n,k,m) (k,n,m)
_ORDERS = (0b000110, 0b010010, 0b001001, 0b100001, 0b011000, 0b100100)


@inline_kernel
def axis_at(order: int, level: int) -> int:
    """Axis of loop ``level`` (0 outer, 2 inner) of an order."""
    return (order >> (4 - 2 * level)) & 3


@inline_kernel
def _fit(room: int, size: int, grain: int) -> int:
    """The largest block of at most ``room``: all of the size, or whole grains (0: none)."""
    return size if room >= size else room // grain * grain


@inline_kernel
def _even(size: int, block: int, grain: int) -> int:
    """The smallest block of whole grains that cuts ``size`` as often as ``block`` does: no short block at the end."""
    cuts = -(-size // block)
    return min(size, -(-size // (cuts * grain)) * grain)


@inline_kernel
def _repeats(order: int, free: int, nm: int, nn: int, nk: int) -> int:
    """How often a tensor without axis ``free`` crosses the port."""
    inside = 1
    for back in range(3):
        axis = axis_at(order, 2 - back)
        trips = nm if axis == 0 else nn if axis == 1 else nk
        if axis == free:
            return trips if inside > 1 else 1
        inside *= trips
    return 1


@inline_kernel
def cost_at(costs: Floats, share: float) -> float:
    """A byte's time at a share of writes over that of reads alone, between two of ``costs`` in proportion."""
    steps = len(costs) - 1
    below = min(int(share * steps), max(steps - 1, 0))
    return float(costs[below] + (share * steps - below) * (costs[min(below + 1, steps)] - costs[below]))


@inline_kernel
def _array_cycles(job: Ints, mb: int, nb: int, kb: int) -> float:
    """Intervals of all folds of one product whose streamed axis is cut into blocks."""
    rows, cols, double = job[ROWS], job[COLS], job[DOUBLE]
    if job[DATAFLOW] == 0:
        on_rows, on_cols, size, block = job[M], job[N], job[K], kb
    elif job[DATAFLOW] == 1:
        on_rows, on_cols, size, block = job[K], job[N], job[M], mb
    else:
        on_rows, on_cols, size, block = job[K], job[M], job[N], nb
    down, over = -(-on_rows // rows), -(-on_cols // cols)
    last = on_rows - (down - 1) * rows
    cuts = -(-size // block)
    rest = size - (cuts - 1) * block
    whole = (down - 1.0) * interval(block, rows, double) + interval(block, last, double)
    ragged = (down - 1.0) * interval(rest, rows, double) + interval(rest, last, double)
    return float(over * ((cuts - 1.0) * whole + ragged))


@kernel
def choose_blocks(job: Ints, port: Floats, costs: Floats) -> tuple[int, int, int, int, float]:
    """``mb``, ``nb``, ``kb``, the order's code and the port's rate for one job; mb is 0 where no fold fits."""
    m, n, k = job[M], job[N], job[K]
    rows, cols = job[ROWS], job[COLS]
    # A block is whole folds along the axes across the array, anything along the one that streams.
    if job[DATAFLOW] == 0:
        gm, gn, gk = rows, cols, 1
    elif job[DATAFLOW] == 1:
        gm, gn, gk = 1, cols, rows
    else:
        gm, gn, gk = cols, 1, rows
    # A convolution's A is kept and moved as the inputs it is made of, so more of it fits.
    a_share = min(1.0, (job[A_UNIQUE] + job[A_HALO]) / (float(m) * k))
    a_room = job[A_ROOM] if a_share >= 1.0 else int(min(job[A_ROOM] / a_share, 2.0**61))
    b_share = min(1.0, job[B_UNIQUE] / (float(k) * n))
    b_room = job[B_ROOM] if b_share >= 1.0 else int(min(job[B_ROOM] / b_share, 2.0**61))
    o_room = job[O_ROOM]
    um, un, uk = min(m, gm), min(n, gn), min(k, gk)
    if a_room // k >= m and b_room // k >= n and o_room // m >= n and port[RATE] == math.inf:
        return m, n, k, _ORDERS[0], math.inf
    if job[DATAFLOW] == 0:
        slant = max(min(m, rows), min(n, cols))
    else:
        slant = max(2 * min(k, rows), min(n if job[DATAFLOW] == 1 else m, cols))
    best_m, best_n, best_k, best_order = 0, 0, 0, _ORDERS[0]
    best_time = best_rate = math.inf
    least = float(job[A_UNIQUE]) * job[A_BITS] + float(job[B_UNIQUE]) * job[B_BITS] + float(m) * n * job[SUM_BITS]
    deepest = _fit(min(a_room // um, b_room // un), k, gk)
    # Small blocks come soon and leave soon; below the array's height, streaming would not hide shifting.
    small_m, small_n = max(um, _fit(rows, m, gm)), max(un, _fit(rows, n, gn))
    shallow = max(uk, _fit(min(deepest, rows), k, gk))
    for depth in range(3):
        kb = deepest if depth == 0 else shallow if depth == 1 else _fit(int(math.sqrt(float(deepest) * shallow)), k, gk)
        if kb < uk or deepest < uk:
            continue
        kb = _even(k, kb, gk)
        tall, wide = a_room // kb, b_room // kb
        for shape in range(5):
            # The first of the two sizes; the other takes what room is left, and the first what that leaves.
            if shape == 0:
                mb = _fit(min(tall, o_room // un), m, gm)
            elif shape == 1:
                mb = max(um, min(_fit(min(tall, o_room // min(o_room, n)), m, gm), m))
            elif shape == 2:
                mb = max(um, _fit(min(tall, int(math.sqrt(float(o_room)))), m, gm))
            elif shape == 3:
                mb = min(small_m, _fit(min(tall, o_room // un), m, gm))
            else:
                mb = _fit(min(tall, o_room // small_n), m, gm)
            if mb < um:
                continue
            nb = _fit(min(wide, o_room // mb), n, gn)
            if shape == 4:
                nb = min(nb, small_n)
            if nb < un:
                continue
            mb, nb = _even(m, mb, gm), _even(n, nb, gn)
            nm, nn, nk = -(-m // mb), -(-n // nb), -(-k // kb)
            array = _array_cycles(job, mb, nb, kb)
            a_bits = (float(job[A_UNIQUE]) + float(job[A_HALO]) * nm) * job[A_BITS] * port[A_COPIES]
            b_bits = float(job[B_UNIQUE]) * job[B_BITS] * port[B_COPIES]
            c_size = float(m) * n * port[O_COPIES]
            a_once, b_once, c_once = a_bits / (nm * nk), b_bits / (nk * nn), c_size * job[O_BITS] / (nm * nn)
            ends, steps = a_once + b_once + c_once, float(nm) * nn * nk
            for code in _ORDERS:
                sums = c_size * (_repeats(code, 2, nm, nn, nk) - 1.0) * job[SUM_BITS]
                written = c_size * job[O_BITS] + sums
                bits = a_bits * _repeats(code, 1, nm, nn, nk) + b_bits * _repeats(code, 0, nm, nn, nk) + sums + written
                rate = port[RATE] / cost_at(costs, written / bits if bits > 0 else 0.0)
                moved = bits / 8.0 / rate
                # Two steps take turns in the halves: neither loads before the other has read.
                turns = (array + moved + steps * slant) / 2.0
                # What comes once in many steps comes at once: one step's spare port time hides it, no more.
                inner = axis_at(code, 2)
                rare = c_once if inner == 2 else b_once if inner == 0 else a_once
                usual = (ends - rare) / 8.0 / rate
                burst = rare / 8.0 / rate - max(0.0, array / steps - usual)
                times = steps / (nk if inner == 2 else nm if inner == 0 else nn)
                time = max(array + max(0.0, burst) * times, moved, turns) + ends / 8.0 / rate / job[BATCH]
                time *= 1.0 + _CROSSING * bits / least
                if time < best_time:
                    best_time, best_rate = time, rate
                    best_m, best_n, best_k, best_order = mb, nb, kb, code
    return best_m, best_n, best_k, best_order, best_rate
