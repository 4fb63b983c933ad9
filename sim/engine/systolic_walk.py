"""The schedule of a GEMM's blocks on one array with double-buffered SRAMs and one memory port.

Step s works on one block triple; see ``systolic_tiling`` for blocks and loops. All times in cycles, from 0:

- its operands cross the port in ``load`` cycles once the port is free and step s-2 has read its last
  operand (its half of the SRAMs is free), and must be there before its first fold is shifted in;
- its first fold begins an interval after the last fold of step s-1 (``systolic_folds``), once its operands
  are there, and so that its first result finds those of step s-2 written (its half of the ofmap SRAM);
- it leaves the array when its last result has; its results then cross the port in ``store`` cycles.

The port serves load 0, load 1, load 2, store 0, load 3, store 1, ... in order, at the rate that it has at the
job's share of writes; a transfer takes whole cycles, and the first waits for the memory's latency. Nothing else
waits for it: streams are prefetched.

Every step is a max-plus linear map of the times before it. So when one round of a loop, or two (as halves of the
SRAMs take turns), have moved all times by the same number of cycles, every equal round after will, and
they are added at once: exact, and a GEMM of a million blocks costs some tens of steps. ``skip=False``
walks them all.

Every cycle has one cause: ``compute`` (operands stream in), ``preload`` (waiting for operands to shift into
the cells), ``fill`` (the slant of the last fold), ``drain`` (results on their way out, or in the way),
``dram_latency``, ``dram_bandwidth`` (waiting for the port).
"""

from __future__ import annotations

import math

import numpy as np

from siloom.sim.engine.cycles import MAX_COUNT
from siloom.sim.engine.systolic_folds import interval, leaves
from siloom.sim.engine.systolic_jobs import (
    A_BITS,
    A_COPIES,
    A_HALO,
    A_UNIQUE,
    B_BITS,
    B_COPIES,
    B_UNIQUE,
    BATCH,
    COLS,
    DATAFLOW,
    DOUBLE,
    LATENCY,
    O_BITS,
    O_COPIES,
    ROWS,
    STAGES,
    SUM_BITS,
    Floats,
    Ints,
    K,
    M,
    N,
)
from siloom.sim.engine.systolic_tiling import axis_at, choose_blocks
from siloom.sim.jit import inline_kernel, kernel

OUTCOME = (
    "cycles", "compute", "preload", "fill", "drain", "dram_latency", "dram_bandwidth",
    "a_read", "b_read", "sum_read", "sum_write", "c_write", "stationary_loads",
    "mb", "nb", "kb", "order", "steps",
)  # fmt: skip
(
    CYCLES, COMPUTE, PRELOAD, FILL, DRAIN, DRAM_LATENCY, DRAM_BANDWIDTH,
    A_READ, B_READ, SUM_READ, SUM_WRITE, C_WRITE, STATIONARY_LOADS,
    MB, NB, KB, ORDER, STEPS,
) = range(len(OUTCOME))  # fmt: skip

# What a step reads of those before it. Times: the port is free; the last fold began; the last two steps read
# their last operand, and left the array. Sizes: what they have to store; the last fold's.
_PORT, _BEGUN, _READ1, _READ2, _LEFT1, _LEFT2, _STORE1, _STORE2, _STREAMED, _SHIFTED = range(10)
_TIMES, _STATE = 6, 10


@inline_kernel
def _bytes(elements: float, bits: int) -> int:
    return math.ceil(elements * bits / 8.0)


@inline_kernel
def _cycles(moved: int, rate: float) -> int:
    return math.ceil(moved / rate)


@inline_kernel
def _changes(level: int, axis: int, order: int, n0: int, n1: int, n2: int) -> bool:
    """Whether the block index of ``axis`` moves when loop ``level`` (0 batch, 1 outer .. 3 inner) goes on."""
    if level == 0:
        return True
    for inner in range(level, 4):
        if axis_at(order, inner - 1) == axis:
            return inner == level or (n0 if axis == 0 else n1 if axis == 1 else n2) > 1
    return False


@inline_kernel
def _same_but_later(now: Ints, before: Ints) -> bool:
    """Whether all times moved by the same number of cycles and all sizes are what they were."""
    same = True
    for i in range(1, _STATE):
        same &= now[i] - before[i] == (now[0] - before[0] if i < _TIMES else 0)
    return same


@kernel
def walk(job: Ints, port: Floats, costs: Floats, skip: bool, out: Ints) -> None:
    """Run one job and fill one row of outcomes; ``cycles`` -1: it may reach 2^62, -2: not one fold fits."""
    out[:] = 0
    mb, nb, kb, order, rate = choose_blocks(job, port, costs)
    out[MB], out[NB], out[KB], out[ORDER] = mb, nb, kb, order
    if mb == 0:
        out[CYCLES] = -2
        return
    m, n, k, dataflow = job[M], job[N], job[K], job[DATAFLOW]
    rows, cols, double = job[ROWS], job[COLS], job[DOUBLE]
    nm, nn, nk = -(-m // mb), -(-n // nb), -(-k // kb)
    a_per_row = job[A_UNIQUE] / float(m)
    b_share = job[B_UNIQUE] / (float(k) * n)
    plain_a, plain_b = job[A_UNIQUE] >= m * k, job[B_UNIQUE] >= k * n

    trips = np.ones(4, np.int64)
    trips[0] = job[BATCH]
    for level in range(3):
        axis = axis_at(order, level)
        trips[level + 1] = nm if axis == 0 else nn if axis == 1 else nk
    if _beyond_counting(job, port, rate, mb, nb, kb, trips):
        out[CYCLES] = -1
        return

    at = np.zeros(4, np.int64)
    now = np.zeros(_STATE, np.int64)
    saved = np.zeros((2, 4, _STATE), np.int64)
    saved_out = np.zeros((2, 4, STATIONARY_LOADS + 1), np.int64)
    level, first = 0, True
    last_end = 0
    while True:
        # Where this step is, and what of it is new since the step before.
        im = in_ = ik = 0
        for inner in range(3):
            axis = axis_at(order, inner)
            if axis == 0:
                im = at[inner + 1]
            elif axis == 1:
                in_ = at[inner + 1]
            else:
                ik = at[inner + 1]
        bm = mb if im < nm - 1 else m - im * mb
        bn = nb if in_ < nn - 1 else n - in_ * nb
        bk = kb if ik < nk - 1 else k - ik * kb
        new_m = first or _changes(level, 0, order, nm, nn, nk)
        new_n = first or _changes(level, 1, order, nm, nn, nk)
        new_k = first or _changes(level, 2, order, nm, nn, nk)
        load = 0
        if (new_m or new_k) and port[A_COPIES] > 0:
            held = float(bm) * bk
            if not plain_a:
                held = min(held, math.ceil((bm * a_per_row + job[A_HALO]) * bk / k))
            moved = _bytes(held * port[A_COPIES], job[A_BITS])
            load += moved
            out[A_READ] += moved
        if (new_k or new_n) and port[B_COPIES] > 0:
            held = float(bk) * bn
            if not plain_b:
                held = min(held, math.ceil(held * b_share))
            moved = _bytes(held * port[B_COPIES], job[B_BITS])
            load += moved
            out[B_READ] += moved
        if (new_m or new_n) and ik > 0:
            moved = _bytes(bm * bn * port[O_COPIES], job[SUM_BITS])
            load += moved
            out[SUM_READ] += moved

        # The folds of this step.
        if dataflow == 0:
            on_rows, on_cols, streamed = bm, bn, bk
        elif dataflow == 1:
            on_rows, on_cols, streamed = bk, bn, bm
        else:
            on_rows, on_cols, streamed = bk, bm, bn
        down, over = -(-on_rows // rows), -(-on_cols // cols)
        last_r, last_c = on_rows - (down - 1) * rows, on_cols - (over - 1) * cols
        first_r = min(on_rows, rows)
        column = (down - 1) * interval(streamed, rows, double) + interval(streamed, last_r, double)
        if dataflow == 0:
            inside = over * column - interval(streamed, last_r, double)
            ahead, apart = 0, interval(now[_STREAMED], now[_SHIFTED], double)
            fresh = True
            slant, emerges = max(first_r, min(on_cols, cols)) - 1, streamed + rows - 1 + job[STAGES]
        else:
            inside = over * column - interval(streamed, first_r, double)
            moved_stationary = new_k or (new_n if dataflow == 1 else new_m)
            # The tile in the cells serves the next step too where that step has no other.
            fresh = moved_stationary or down * over > 1
            ahead = first_r if fresh else 0
            apart = interval(now[_STREAMED], first_r, double) if fresh else now[_STREAMED]
            slant, emerges = first_r - 1, rows + job[STAGES]
        if fresh:
            out[STATIONARY_LOADS] += on_rows * on_cols
        tail = leaves(dataflow, rows, streamed, last_r, last_c)
        if over > 1:
            tail = max(tail, leaves(dataflow, rows, streamed, last_r, cols) - column)
        tail += job[STAGES]

        # Load, then the store of the step before the last, then this step's folds.
        ready = now[_PORT]
        if load > 0:
            ready = max(now[_PORT], now[_READ2])
            if first:
                ready += job[LATENCY]
            ready += _cycles(load, rate)
            now[_PORT] = ready
        if now[_STORE2] > 0:
            now[_PORT] = max(now[_PORT], now[_LEFT2]) + _cycles(now[_STORE2], rate)
        if first:
            begin = ready + ahead
            out[PRELOAD] += ahead
            if load > 0:
                out[DRAM_LATENCY] += job[LATENCY]
                out[DRAM_BANDWIDTH] += ready - job[LATENCY]
        else:
            earliest = now[_BEGUN] + apart
            begin = earliest
            if load > 0:
                begin = max(begin, ready + ahead)
            if now[_STORE2] > 0:
                begin = max(begin, now[_PORT] - emerges)
            out[COMPUTE] += now[_STREAMED]
            if dataflow == 0:
                out[DRAIN] += apart - now[_STREAMED]
            else:
                out[PRELOAD] += apart - now[_STREAMED]
            # What a memory without delay would wait for too: the other half still at work.
            own = 0
            if load > 0:
                own = max(own, now[_READ2] + ahead - earliest)
            if now[_STORE2] > 0:
                own = max(own, now[_LEFT2] - emerges - earliest)
            out[DRAIN] += own
            out[DRAM_BANDWIDTH] += begin - earliest - own
        structural = inside - (down * over - 1) * streamed
        out[COMPUTE] += inside - structural
        if dataflow == 0:
            out[DRAIN] += structural
        else:
            out[PRELOAD] += structural
        now[_BEGUN] = begin + inside
        now[_READ2], now[_LEFT2] = now[_READ1], now[_LEFT1]
        now[_READ1] = now[_BEGUN] + streamed + slant
        now[_LEFT1] = now[_BEGUN] + tail
        now[_STREAMED] = streamed
        now[_SHIFTED] = last_r
        last_end = last_r + last_c - 2

        # The next step, and what becomes of this one's sums.
        level = 3
        while level >= 0 and at[level] == trips[level] - 1:
            level -= 1
        store = 0
        if level < 0 or _changes(level, 0, order, nm, nn, nk) or _changes(level, 1, order, nm, nn, nk):
            if ik == nk - 1:
                store = _bytes(bm * bn * port[O_COPIES], job[O_BITS])
                out[C_WRITE] += store
            else:
                store = _bytes(bm * bn * port[O_COPIES], job[SUM_BITS])
                out[SUM_WRITE] += store
        now[_STORE2] = now[_STORE1]
        now[_STORE1] = store
        out[STEPS] += 1
        first = False
        if level < 0:
            break
        # Rounds of loops that end here; the outermost of them is the one that goes on.
        if skip:
            for period in range(1, 3):
                left = (trips[level] - 2 - at[level]) // period
                if left > 0 and at[level] >= period and _same_but_later(now, saved[period - 1, level]):
                    delta = now[0] - saved[period - 1, level, 0]
                    for i in range(_TIMES):
                        now[i] += left * delta
                    for i in range(STATIONARY_LOADS + 1):
                        out[i] += left * (out[i] - saved_out[period - 1, level, i])
                    at[level] += left * period
                    break
            saved[1, level], saved_out[1, level] = saved[0, level], saved_out[0, level]
            saved[0, level], saved_out[0, level] = now, out[: STATIONARY_LOADS + 1]
        at[level] += 1
        for inner in range(level + 1, 4):
            at[inner] = 0

    # What is left to store, and the way out of the array.
    if now[_STORE2] > 0:
        now[_PORT] = max(now[_PORT], now[_LEFT2]) + _cycles(now[_STORE2], rate)
    if now[_STORE1] > 0:
        now[_PORT] = max(now[_PORT], now[_LEFT1]) + _cycles(now[_STORE1], rate)
    gone = max(now[_LEFT1], now[_LEFT2])
    out[COMPUTE] += now[_STREAMED]
    out[FILL] += last_end
    out[DRAIN] += gone - now[_BEGUN] - now[_STREAMED] - last_end
    out[DRAM_BANDWIDTH] += max(0, now[_PORT] - gone)
    out[CYCLES] = max(gone, now[_PORT])


@inline_kernel
def _beyond_counting(job: Ints, port: Floats, rate: float, mb: int, nb: int, kb: int, trips: Ints) -> bool:
    """Whether cycles or bytes might reach 2^62: every step taken as the largest, nothing overlapped."""
    if job[DATAFLOW] == 0:
        on_rows, on_cols, streamed = mb, nb, kb
    elif job[DATAFLOW] == 1:
        on_rows, on_cols, streamed = kb, nb, mb
    else:
        on_rows, on_cols, streamed = kb, mb, nb
    rows, cols = float(job[ROWS]), float(job[COLS])
    moved = (
        8.0
        + (
            float(mb) * kb * job[A_BITS] * port[A_COPIES]
            + float(kb) * nb * job[B_BITS] * port[B_COPIES]
            + 2.0 * float(mb) * nb * job[SUM_BITS] * port[O_COPIES]
        )
        / 8.0
    )
    folds = (on_rows // job[ROWS] + 1.0) * (on_cols // job[COLS] + 1.0)
    cycles = folds * (streamed + 2.0 * rows + cols) + job[STAGES] + job[LATENCY] + moved / rate + 4.0
    steps = 1.0
    for level in range(4):
        steps *= trips[level]
    return bool(steps * max(cycles, moved) >= MAX_COUNT / 2)


@kernel
def walk_all(table: Ints, port: Floats, costs: Floats, skip: bool, out: Ints) -> None:
    """:func:`walk` for every row of ``table``."""
    for i in range(len(table)):
        walk(table[i], port[i], costs[i], skip, out[i])
