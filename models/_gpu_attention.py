"""Attention on a GPU: the standard kernels, and FlashAttention 1, 2 and 3 as models of what they do.

A FlashAttention kernel asks four resources for time: the tensor cores (its matrix products), the
units of the softmax (exponentials, then the other arithmetic: one chain), shared memory (operands of
the products, and what groups of threads hand to each other) and HBM. Each has its time alone, counted
in ``_gpu_attention_work`` and divided by the board's rate; how far they hide behind each other is one
number. While resource r is busy for t_r of the whole time T, the part of t_r that is waited for is
the share (t_r / T) ** q:

    T = sum over r of t_r (t_r / T) ** q        and so        T ** (1 + q) = sum of t_r ** (1 + q)

``q`` is the algorithm's ``overlap``: 0, one after the other; without bound, the longest alone. For
version 2 whatever warps happen to be ready overlap; version 3 arranges it (warpgroups in turns, and
the softmax of one block under the products of the next), and so its q is larger. Backward kernels
leave room for one thread block a multiprocessor, so less overlaps: ``backward`` times q, for all
versions. Version 1 takes version 2's number: what sets it back is counted (parallel over heads alone,
warps that exchange partial outputs, outputs rescaled and passed through HBM).

A tile also costs ``tile_start_s``, in which its first loads arrive and its last stores leave; thread
blocks that share a multiprocessor hide that for each other.

Boards: Hopper's tensor cores give synchronous products (versions 1 and 2) only a part of the rate of
asynchronous ones; and such a board lowers its clock while its tensor cores are busy, under products as here
(``sustained_clock_share`` of the design: fitted here, where it shows beside an A100).

A mask other than the causal one, and dropout, are applied on the chip: a score's operations, no bytes.

Not modelled: masks that leave out whole blocks; few queries against long keys (split over the keys, as
in decoding); the additions of dQ in the L2 cache.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from siloom.models._gpu_attention_kernels import LARGEST_DIM, kernel_of
from siloom.models._gpu_attention_standard import standard_steps, step_parts
from siloom.models._gpu_attention_work import Work, count_work
from siloom.models._gpu_board import DenseBoard
from siloom.sim.cost import table
from siloom.sim.errors import InfeasibleError, InputError
from siloom.sim.ops import Attention

ALGORITHMS = ("standard", "flash1", "flash2", "flash3")
FLASH_SINCE: Mapping[str, tuple[str, ...]] = {
    "flash1": ("turing", "ampere", "ada", "hopper"),
    "flash2": ("ampere", "ada", "hopper"),
    "flash3": ("hopper",),
}
"""Generations that each version's kernels are written for."""
_SYNCHRONOUS = ("flash1", "flash2")


@dataclass(frozen=True)
class AttentionCosts:
    """The model's constants beside the board's; see ``sim/cost/gpu_attention.csv`` for their sources."""

    overlap: Mapping[str, float]
    backward: float
    mma_sync: Mapping[str, float]
    smem_bytes_per_clock: float
    shared_share: float
    gemm_efficiency: float
    tile_start_s: float

    @classmethod
    def of_table(cls) -> AttentionCosts:
        """The constants of the cost table; a generation that it does not name loses nothing."""
        rows = {key: entry.value for key, entry in table("gpu_attention").items()}
        return cls(
            overlap={
                "flash1": rows["flash2", "overlap"],
                "flash2": rows["flash2", "overlap"],
                "flash3": rows["flash3", "overlap"],
            },
            backward=rows["backward", "overlap_share"],
            mma_sync={who: v for (who, name), v in rows.items() if name == "mma_sync_share"},
            smem_bytes_per_clock=rows["sm", "smem_bytes_per_clock"],
            shared_share=rows["l2", "shared_share"],
            gemm_efficiency=rows["gemm", "efficiency"],
            tile_start_s=rows["tile", "start_s"],
        )


@dataclass(frozen=True)
class AttentionEstimate:
    """Seconds by cause and what was done; ``parts`` add up to ``seconds``.

    ``read`` and ``written`` are bytes of HBM by tensor. ``tensor_flops``, ``other_flops`` and ``exps``
    are what the hardware does: recomputed, masked and padded scores count. ``staged_bytes`` pass
    through shared memory. ``computed`` is the format of the matrix products, ``tiles`` the pieces that
    the multiprocessors share out (0 where a library decides).
    """

    algorithm: str
    computed: str
    parts: Mapping[str, float]
    read: Mapping[str, float]
    written: Mapping[str, float]
    tensor_flops: int
    other_flops: int
    exps: int
    staged_bytes: float
    tiles: int
    notes: tuple[str, ...]

    @property
    def seconds(self) -> float:
        """The whole call."""
        return math.fsum(self.parts.values())

    @property
    def flops(self) -> int:
        """Those of the tensor cores."""
        return self.tensor_flops

    @property
    def hbm_bytes(self) -> float:
        """Bytes read and written, of all tensors."""
        return math.fsum(self.read.values()) + math.fsum(self.written.values())


def refusal(board: DenseBoard, op: Attention, algorithm: str) -> str:
    """Why ``algorithm`` cannot run ``op`` on ``board``; empty where it can."""
    if algorithm == "standard":
        return ""
    if board.generation not in FLASH_SINCE[algorithm]:
        return f"attention={algorithm} needs a board of {', '.join(FLASH_SINCE[algorithm])}, got {board.generation}"
    if op.dim > LARGEST_DIM[algorithm]:
        return f"attention={algorithm} needs a head dimension of at most {LARGEST_DIM[algorithm]}, got {op.dim}"
    computed = _flash_format(board, op, algorithm)
    if computed not in board.tensor_flops:
        has = ", ".join(board.tensor_flops) or "none"
        return f"attention={algorithm} needs tensor cores for {computed}, the board has {has}"
    return ""


def run_attention(
    board: DenseBoard,
    op: Attention,
    algorithm: str,
    *,
    layout_copies: bool = False,
    costs: AttentionCosts | None = None,
) -> AttentionEstimate:
    """Estimate one attention, forward or backward as ``op.direction`` says.

    Args:
        board: the GPU.
        op: the operation; in formats that FlashAttention has no kernels for it is computed in a
            16-bit one, and ``notes`` say so.
        algorithm: one of :data:`ALGORITHMS`.
        layout_copies: whether the standard algorithm copies its operands head by head first.
        costs: constants; those of the cost table by default.

    Raises:
        InputError: an unknown algorithm.
        InfeasibleError: a version that the board's generation or the head dimension has no kernel for.
    """
    if algorithm not in ALGORITHMS:
        raise InputError(f"{board.name}: attention must be one of {', '.join(ALGORITHMS)}, got {algorithm!r}")
    why = refusal(board, op, algorithm)
    if why:
        raise InfeasibleError(f"{board.name}: {why}")
    costs = costs or AttentionCosts.of_table()
    if algorithm == "standard":
        return _standard(board, op, layout_copies, costs)
    return _flash(board, op, algorithm, costs)


def _flash(board: DenseBoard, op: Attention, algorithm: str, costs: AttentionCosts) -> AttentionEstimate:
    backward = op.direction == "bwd"
    computed = _flash_format(board, op, algorithm)
    notes = [_fit_note(algorithm)]
    if computed != op.format:
        notes.append(f"{algorithm} has no {'backward ' if backward else ''}kernel for {op.format}: runs in {computed}")
    element_bytes = 1 if computed == "fp8" else 2
    kernel = kernel_of(algorithm, op.dim, backward, op.causal, board.smem_bytes, computed == "fp8")
    work = count_work(board, op, algorithm, kernel, element_bytes, costs.shared_share)
    q = costs.overlap[algorithm] * (costs.backward if backward else 1.0)
    parts = _flash_parts(board, work, _times(board, work, algorithm, computed, costs), q)
    parts["tile_start"] = -(-work.tiles // board.sms) * costs.tile_start_s / kernel.resident
    notes.append(f"blocks of {kernel.rows} x {kernel.columns}, {work.tiles} tiles on {board.sms} multiprocessors")
    return AttentionEstimate(
        algorithm=algorithm,
        computed=computed,
        parts=parts,
        read=work.read,
        written=work.written,
        tensor_flops=work.tensor_flops,
        other_flops=work.other_flops,
        exps=work.exps,
        staged_bytes=float(work.staged_bytes),
        tiles=work.tiles,
        notes=tuple(notes),
    )


def _flash_format(board: DenseBoard, op: Attention, algorithm: str) -> str:
    if op.format == "fp8" and algorithm == "flash3" and op.direction == "fwd" and "fp8" in board.tensor_flops:
        return "fp8"
    return op.format if op.format == "bf16" and "bf16" in board.tensor_flops else "fp16"


@dataclass(frozen=True)
class _Times:
    """Seconds that each resource alone needs, the work spread evenly over all multiprocessors."""

    tensor: float
    exp: float
    fp32: float
    smem: float
    memory: float

    def scaled(self, share: float) -> _Times:
        """The same with ``share`` of the work on the multiprocessors; HBM's stays."""
        return replace(
            self, tensor=self.tensor * share, exp=self.exp * share, fp32=self.fp32 * share, smem=self.smem * share
        )

    def together(self, q: float) -> float:
        """T of the module's equation."""
        alone = (self.tensor, self.exp + self.fp32, self.smem, self.memory)
        longest = max(alone)
        return float(longest * math.fsum((t / longest) ** (1.0 + q) for t in alone) ** (1.0 / (1.0 + q)))

    def waited(self, q: float) -> dict[str, float]:
        """What of each resource's time is waited for; adds up to :meth:`together`."""
        whole = self.together(q)
        softmax = ((self.exp + self.fp32) / whole) ** q
        return {
            "tensor": self.tensor * (self.tensor / whole) ** q,
            "exp": self.exp * softmax,
            "fp32": self.fp32 * softmax,
            "smem": self.smem * (self.smem / whole) ** q,
            "memory": self.memory * (self.memory / whole) ** q,
        }


def _times(board: DenseBoard, work: Work, algorithm: str, computed: str, costs: AttentionCosts) -> _Times:
    share = board.sustained_clock_share
    synchronous = costs.mma_sync.get(board.generation, 1.0) if algorithm in _SYNCHRONOUS else 1.0
    moved = math.fsum(work.read.values()) + math.fsum(work.written.values()) - work.streamed_bytes
    return _Times(
        tensor=work.tensor_flops / (board.tensor_flops[computed] * synchronous * share),
        exp=work.exps / (board.exp_per_s * share),
        fp32=work.other_flops / (board.fp32_flops / 2.0 * share),  # a lane does one of them a clock
        smem=work.staged_bytes / (costs.smem_bytes_per_clock * board.sms * board.clock_hz * share),
        memory=moved / board.stream_bytes_per_s,
    )


def _flash_parts(board: DenseBoard, work: Work, times: _Times, q: float) -> dict[str, float]:
    """First the work that was asked for, then what whole blocks add, then what uneven shares add."""
    useful = times.scaled(work.useful_share)
    even, real = times.together(q), times.scaled(work.makespan_share).together(q)
    parts = {"launch": work.launches * board.launch_s, **useful.waited(q)}
    parts["memory"] += work.streamed_bytes / board.stream_bytes_per_s
    parts["block_granularity"] = max(0.0, even - useful.together(q))
    parts["wave_quantisation"] = max(0.0, real - even)
    return parts


def _standard(board: DenseBoard, op: Attention, layout_copies: bool, costs: AttentionCosts) -> AttentionEstimate:
    computed = board.computed_in(op.format)
    rate = board.matmul_flops(computed) * costs.gemm_efficiency * board.busy_clock_hz(computed) / board.clock_hz
    steps = standard_steps(op, op.format, layout_copies)
    parts: dict[str, float] = {}
    read: dict[str, float] = {}
    written: dict[str, float] = {}
    for step in steps:
        for into, amounts in ((parts, step_parts(board, step, rate)), (read, step.read), (written, step.written)):
            for name, amount in amounts.items():
                into[name] = into.get(name, 0.0) + amount
    note = f"standard attention, {len(steps)} kernels, scores in memory; not fitted: " + (
        f"products at {costs.gemm_efficiency:.0%} of peak, softmax by its instructions or, as "
        "the rest, at streaming bandwidth" + (", Q, K and V copied head by head first" if layout_copies else "")
    )
    return AttentionEstimate(
        algorithm="standard",
        computed=computed,
        parts=parts,
        read=read,
        written=written,
        tensor_flops=sum(s.flops for s in steps),
        other_flops=sum(s.other_flops for s in steps),
        exps=sum(s.exps for s in steps),
        staged_bytes=0.0,
        tiles=0,
        notes=(note,),
    )


def _fit_note(algorithm: str) -> str:
    if algorithm == "flash1":
        return (
            "modelled: no constant was fitted on FlashAttention 1 and none held out; its published range on an "
            "A100 is missed by up to 9 points of the peak"
        )
    rows = {name: entry.value for (owner, name), entry in table("gpu_attention").items() if owner == "error"}
    return (
        "modelled: five constants fitted on head dimension 128 without a mask (H100, and two figures of an A100); "
        f"mean error {rows['mean']:.1%} there, {rows['mean_held_out']:.1%} on what was not fitted"
    )
