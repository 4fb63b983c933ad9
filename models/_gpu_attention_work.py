"""What a FlashAttention kernel does: blocks visited, arithmetic, bytes of shared memory and of HBM.

Everything is counted from the kernel's loops in closed form; tests walk the loops themselves. A
causal kernel leaves out whole blocks only, so it computes the blocks on the diagonal in full.

HBM traffic, tensor by tensor. Version 1 is counted as its paper counts it (Dao et al., NeurIPS 2022,
algorithms 1, 2 and 4, theorem 2): keys and values once, and for every block of keys all queries with
the partial outputs, which are read, rescaled and written back; there is no cache in that count, and
no read of the zeros with which outputs begin. Versions 2 and 3 keep a row of blocks (backward: a
column) on the chip; what runs side by side finds its keys and values in the L2 cache as long as they
fit. Softmax statistics are fp32. Dropout costs no traffic, its mask being drawn anew from a counter; nor does
another mask, being a rule (lengths, windows) that the kernel knows.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass

from siloom.models._gpu_attention_kernels import FP32_BYTES, Kernel
from siloom.models._gpu_board import DenseBoard
from siloom.sim.ops import Attention

FORWARD_OPERATIONS = 4
"""Operations on the ordinary units for each score: running maximum, scale and subtract, sum, and the
rounding to the operands' format."""
BACKWARD_OPERATIONS = 5
"""Scale and subtract, dP - D, times P, and the rounding of P and dS."""
EXTRA_OPERATIONS: Mapping[str, int] = {"mask": 1, "dropout": 7}
"""What a score costs beyond that, forward or backward: a mask is added; dropout compares and selects, and
its random bytes are drawn anew in each pass (ten Philox rounds of eight operations make 16 of them: 5 each;
flash-attention's ``csrc/flash_attn/src/philox.cuh`` and ``dropout.h``, recalled). Version 3's released
kernels have no dropout: it is charged as in version 2's."""
RESCALES: Mapping[str, int] = {"flash1": 3, "flash2": 1, "flash3": 1}
"""Operations for each element of O and block of keys: version 1 undoes the old normaliser, adds and
divides by the new one; later versions only rescale (Dao 2023, section 3.1)."""
_ROW_OPERATIONS = 4
"""For each row of a block: two maxima, the rescaling of the sum and its addition."""
_SIMULATED_WAVES = 32
_LONG = 500


@dataclass(frozen=True)
class Work:
    """The counts of one call; bytes by tensor are those of HBM.

    ``useful_share`` is the part of the tensor work that the operation asks for: the rest is masked or
    padding. ``makespan_share`` is the time of the busiest multiprocessor over the mean.
    ``streamed_bytes`` of the traffic belong to small kernels before and after the main one, and
    ``launches`` counts all kernels.
    """

    blocks: int
    tiles: int
    useful_share: float
    makespan_share: float
    tensor_flops: int
    other_flops: int
    exps: int
    staged_bytes: int
    read: Mapping[str, float]
    written: Mapping[str, float]
    streamed_bytes: float
    launches: int


def count_work(
    board: DenseBoard, op: Attention, algorithm: str, kernel: Kernel, element_bytes: int, shared_share: float
) -> Work:
    """Count ``op`` as ``kernel`` of ``algorithm`` runs it.

    ``shared_share`` of the L2 cache holds what the running blocks share.
    """
    backward = op.direction == "bwd"
    per_head = visited_blocks(op.seq, kernel, op.causal)
    pairs = op.batch * op.heads
    blocks = per_head * pairs
    scores = blocks * kernel.rows * kernel.columns
    asked = 2 * op.multiplies
    extra = scores * sum(EXTRA_OPERATIONS[name] for name in op.extras)
    if backward:
        exps, other = scores, scores * BACKWARD_OPERATIONS
    else:
        exps = scores + blocks * kernel.rows
        each = RESCALES[algorithm] * kernel.dim + _ROW_OPERATIONS
        other = scores * FORWARD_OPERATIONS + blocks * kernel.rows * each
    tiles, share = _makespan(board.sms, op, algorithm, kernel, per_head)
    if algorithm == "flash1":
        read, written, streamed = _flash1_traffic(op, kernel, per_head, element_bytes)
        launches = 1
    else:
        held = shared_share * board.l2_bytes
        read, written, streamed = _row_traffic(op, kernel, element_bytes, tiles, board.sms, held)
        launches = 3 if backward else 1
    return Work(
        blocks=blocks,
        tiles=tiles,
        useful_share=min(1.0, asked / (blocks * kernel.flops)),
        makespan_share=share,
        tensor_flops=blocks * kernel.flops,
        other_flops=other + extra,
        exps=exps,
        staged_bytes=blocks * kernel.staged_bytes(element_bytes),
        read=read,
        written=written,
        streamed_bytes=streamed,
        launches=launches,
    )


# --- blocks ----------------------------------------------------------------------------------------


def visited_blocks(seq: int, kernel: Kernel, causal: bool) -> int:
    """Blocks of one head's scores that are computed: all, or those with an unmasked score.

    Causal: the block of rows i ends at query min(seq, (i+1) R) and needs ceil of that / C blocks of
    keys.
    """
    rows, columns = kernel.rows, kernel.columns
    across = -(-seq // rows)
    if not causal:
        return across * -(-seq // columns)
    whole = across - 1  # the last block of rows may be cut short by the end
    return floor_sum(whole, columns, rows, rows + columns - 1) + -(-seq // columns)


def floor_sum(n: int, m: int, a: int, b: int) -> int:
    """Sum over i in 0 .. n-1 of floor((a i + b) / m), exactly, in O(log) steps (Euclid's way)."""
    total = 0
    while n > 0:
        total += (n - 1) * n // 2 * (a // m) + n * (b // m)
        a, b = a % m, b % m
        last = a * n + b
        if last < m:
            break
        n, b, m, a = last // m, last % m, a, m
    return total


def tile_blocks(seq: int, kernel: Kernel, causal: bool, by_columns: bool) -> list[int]:
    """Blocks of each tile of one head, in the order of its index: a tile is a row or a column."""
    rows, columns = -(-seq // kernel.rows), -(-seq // kernel.columns)
    if by_columns:
        skipped = kernel.columns if causal else 0
        return [rows - j * skipped // kernel.rows for j in range(columns)]
    if not causal:
        return [columns] * rows
    return [-(-min(seq, (i + 1) * kernel.rows) // kernel.columns) for i in range(rows)]


def _makespan(sms: int, op: Attention, algorithm: str, kernel: Kernel, per_head: int) -> tuple[int, float]:
    """How many tiles there are, and the busiest multiprocessor's share of blocks over the mean.

    Version 1 gives a whole head to one thread block; later ones a row, backward a column of blocks.
    Tiles start in the order of their index, head after head, as in the papers' kernels: the shortest
    of a head first, and a long one last of all (backward the other way round). Releases of version 3
    from 2025 on start the longest first and lose nothing here.
    """
    pairs = op.batch * op.heads
    if algorithm == "flash1":
        return pairs, -(-pairs // sms) * sms / pairs
    backward = op.direction == "bwd"
    each = -(-op.seq // (kernel.columns if backward else kernel.rows))
    tiles = each * pairs
    if not op.causal:
        return tiles, -(-tiles // sms) * sms / tiles
    if each > _LONG * sms:
        return tiles, 1.0  # the longest tile is less than half a percent of a multiprocessor's work
    heads = min(pairs, -(-_SIMULATED_WAVES * sms // each))
    queue = tile_blocks(op.seq, kernel, True, backward) * heads
    mean = sum(queue) / sms
    excess = busiest(queue, sms) - mean
    # Heads that are not simulated come first and are worked off evenly; the end is what is uneven.
    return tiles, 1.0 + excess / (per_head * pairs / sms)


def busiest(queue: list[int], servers: int) -> int:
    """Blocks until all are done when each tile goes to the multiprocessor that is free first."""
    free = [0] * servers
    for blocks in queue:
        heapq.heapreplace(free, free[0] + blocks)
    return max(free)


# --- HBM -------------------------------------------------------------------------------------------

_Traffic = tuple[dict[str, float], dict[str, float], float]


def _flash1_traffic(op: Attention, kernel: Kernel, per_head: int, element_bytes: int) -> _Traffic:
    """Keys outside, queries inside: rows of Q, O (backward Q, dO, dQ) pass once for each block of keys.

    Per head, ``passes`` is the visited blocks over the blocks of rows: the number of times that a row
    of queries passes, on average; the first pass reads no partial results.
    """
    rows = -(-op.seq // kernel.rows)
    passes = per_head / rows
    q, kv = op.q_elements * element_bytes, float(op.kv_elements * element_bytes)
    row = float(op.rows * FP32_BYTES)
    if op.direction == "fwd":
        read = {"q": q * passes, "k": kv, "v": kv, "o": q * (passes - 1), "statistics": row * (passes - 1)}
        written = {"o": q * passes, "statistics": row * passes}
        return read, written, 0.0
    # Two statistics a row: the normaliser, and D = rowsum(dO o O), which the first pass makes from O.
    read = {"q": q * passes, "k": kv, "v": kv, "o": q, "do": q * passes, "dq": q * (passes - 1)}
    read["statistics"] = row * passes + row * (passes - 1)
    written = {"dq": q * passes, "dk": kv, "dv": kv, "statistics": row}
    return read, written, 0.0


def _row_traffic(op: Attention, kernel: Kernel, element_bytes: int, tiles: int, sms: int, held: float) -> _Traffic:
    """A tile keeps its own side on the chip, and the other side streams past it."""
    q, kv = float(op.q_elements * element_bytes), float(op.kv_elements * element_bytes)
    row = float(op.rows * FP32_BYTES)
    if op.direction == "fwd":
        times = _stream_times(op, tiles, sms, 2.0 * kv, held)
        read = {"q": q, "k": kv * times, "v": kv * times}
        return read, {"o": q, "statistics": row}, 0.0
    times = _stream_times(op, tiles, sms, 2.0 * q, held)
    # A kernel before makes D of dO and O and clears dQ's fp32 sum; one after rounds that sum.
    total = row * op.dim
    read = {
        "q": q * times,
        "k": kv,
        "v": kv,
        "o": q,
        "do": q * (1.0 + times),
        "statistics": 2.0 * row * times,
        "dq_sum": total * (1.0 + times),
    }
    written = {"dq": q, "dk": kv, "dv": kv, "statistics": row, "dq_sum": total * (1.0 + times)}
    return read, written, 3.0 * q + row + 2.0 * total


def _stream_times(op: Attention, tiles: int, sms: int, streamed: float, held: float) -> float:
    """How often the streamed side comes from HBM.

    Once where the L2 cache holds that of all heads in flight, else once for each wave of tiles that a
    head takes.
    """
    pairs = op.batch * op.heads
    per_head = tiles // pairs
    in_flight = min(pairs, 1 + sms // per_head)
    if streamed / pairs * in_flight <= held:
        return 1.0
    return max(1.0, per_head / sms)
