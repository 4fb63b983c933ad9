"""2:4 sparsity on an A100: the rate that training reaches, and where the doubled peak is lost.

torchao's measurement (its training README; benchmark_semi_structured_training.py) is of a linear
layer forward *and* backward: the output and the input's gradient are products with 2:4 weights, the
weight's gradient is a dense product, the bias has its gradient, and the weights are pruned anew in
each forward pass. It replays a CUDA graph, so calls are queued here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from siloom.models._gpu_gemm import GemmProblem
from siloom.models.registry import machine
from siloom.reports.reproduce import Published, Table, published
from siloom.sim.machine import Machine
from siloom.sim.ops import Elementwise, MatMul, Operation, Reduce
from siloom.sim.result import Result

BOARD = "a100:calls=queued"
STEPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("multiply-adds at peak, the weight gradient dense", ("compute",)),
    ("and operand loading, metadata included", ("operand_loading",)),
    ("and tiles, waves and split-K", ("tile_quantisation", "wave_quantisation", "split_k", "alignment")),
    ("and waiting for memory", ("memory",)),
    ("and launches, pruning, other kernels", ("launch",)),
)
"""What is added to the time, in order; the causes of the products' seconds."""


@dataclass(frozen=True)
class Layers:
    """A measured case: its matrix products, and its other kernels dense and sparse."""

    case: str
    products: tuple[MatMul, ...]
    others: tuple[Operation, ...]
    pruning: tuple[Operation, ...]

    @property
    def sparse_products(self) -> tuple[MatMul, ...]:
        """The same with 2:4 weights: every third one is the weight's gradient and stays dense."""
        return tuple(
            MatMul(name=p.name, m=p.m, n=p.n, k=p.k, sparse24=p.name != "weight gradient") for p in self.products
        )


def linear(rows: int, inputs: int, outputs: int) -> tuple[MatMul, ...]:
    """The three products of one linear layer's training step."""
    return (
        MatMul(name="output", m=rows, n=outputs, k=inputs),
        MatMul(name="input gradient", m=rows, n=inputs, k=outputs),
        MatMul(name="weight gradient", m=outputs, n=inputs, k=rows),
    )


def pruner(inputs: int, outputs: int) -> Elementwise:
    """Reads the weight; writes it kept, and kept transposed, with metadata: 9/8 of its bytes, taken as 1."""
    return Elementwise(name="pruning", elements=inputs * outputs, reads=1, writes=1)


def layers(point: Published) -> Layers:
    """The case of a published row: ``rows x in x out`` of a layer, or ``rows x in x hidden`` of an MLP."""
    rows, inputs, outputs = (int(size) for size in point.case.split("x"))
    if point.table == "linear":
        bias = Reduce(name="bias gradient", rows=outputs, length=rows)
        return Layers(point.case, linear(rows, inputs, outputs), (bias,), (pruner(inputs, outputs),))
    gelu = (
        Elementwise(name="gelu", elements=rows * outputs, function="gelu", flops_each=8),
        Elementwise(name="gelu backward", elements=rows * outputs, reads=2, function="gelu", flops_each=16),
    )
    both = (*linear(rows, inputs, outputs), *linear(rows, outputs, inputs))
    return Layers(point.case, both, gelu, (pruner(inputs, outputs), pruner(outputs, inputs)))


def tables(matrices: Path | None, watch: Callable[[str], None]) -> Iterator[Table]:
    """The speed-ups, where they are lost, and the peaks; no matrices are used."""
    points = published("sparse24")
    board = machine(BOARD)
    measured = {(p.table, p.case, p.quantity): p.value for p in points}
    ladders = []
    rows = []
    for point in points:
        if point.quantity != "speed-up":
            continue
        watch(f"2:4 on {point.case}")
        case = layers(point)
        dense, sparse = _seconds(board, case, sparse24=False), _seconds(board, case, sparse24=True)
        known = measured.get((point.table, point.case, "dense"))
        rows.append(
            {
                "case": f"{point.table} {point.case}",
                "measured_dense_ms": known,
                "simulated_dense_ms": dense * 1e3,
                "measured_sparse_ms": measured.get((point.table, point.case, "sparse")),
                "simulated_sparse_ms": sparse * 1e3,
                "measured": f"{point.value:.2f}x",
                "simulated": f"{dense / sparse:.2f}x",
                "error": f"{dense / sparse / point.value - 1:+.1%}",
            }
        )
        ladders.append(_ladder(board, case, point))
    yield Table(
        "2:4 weights in training on an A100",
        rows,
        (
            "no constant of the model was fitted on any of these: its GEMM constants come from dense products.",
            "the dense step was measured a fifth slower than the board that the model was fitted on would run it;",
            "why is not published. Time that both steps share lowers the measured ratio and is in neither of ours.",
        ),
    )
    yield Table(
        "2:4: where the doubled peak goes (speed-up, as each loss is added)",
        ladders,
        ("the last column is what is left between the model and the measurement, as a factor.",),
    )
    yield _peaks(board)


def _run(board: Machine, ops: Sequence[Operation]) -> list[Result]:
    return [board.run(op) for op in ops]


def _seconds(board: Machine, case: Layers, *, sparse24: bool) -> float:
    products = case.sparse_products if sparse24 else case.products
    extra = case.pruning if sparse24 else ()
    return sum(r.seconds for r in _run(board, (*products, *case.others, *extra)))


def _ladder(board: Machine, case: Layers, point: Published) -> dict[str, str]:
    """Speed-up with the causes of :data:`STEPS` counted one after another."""
    dense, sparse = _run(board, case.products), _run(board, case.sparse_products)
    row = {"case": f"{point.table} {point.case}", "tensor-core peaks": "2.00x"}
    counted: tuple[str, ...] = ()
    for title, causes in STEPS[:-1]:
        counted += causes
        row[title] = f"{_cycles(dense, counted) / _cycles(sparse, counted):.2f}x"
    whole = _seconds(board, case, sparse24=False) / _seconds(board, case, sparse24=True)
    row[STEPS[-1][0]] = f"{whole:.2f}x"
    row["measured"] = f"{point.value:.2f}x"
    row["left over"] = f"{point.value / whole:.2f}"
    return row


def _cycles(results: Sequence[Result], causes: Sequence[str]) -> int:
    return sum(r.stalls.get(cause, 0) for r in results for cause in causes)


def _peaks(board: Machine) -> Table:
    """Single products: dense and sparse rate beside the peaks, from small to large."""
    rows = []
    for size in (1024, 2048, 4096, 8192, 16384):
        dense, sparse = _run(
            board,
            (MatMul(m=size, n=size, k=size), MatMul(m=size, n=size, k=size, sparse24=True)),
        )
        work = 2.0 * size**3
        peak = dense.peaks["operations_per_s"]
        rows.append(
            {
                "m = n = k": size,
                "dense_tflops": work / dense.seconds / 1e12,
                "dense_peak": peak / 1e12,
                "sparse_tflops": work / sparse.seconds / 1e12,
                "sparse_peak": 2 * peak / 1e12,
                "speed-up": f"{dense.seconds / sparse.seconds:.2f}x",
                "dense_weight_mb": GemmProblem(size, size, size, 1, "fp16", "fp16").b_bytes / 1e6,
                "sparse_weight_mb": GemmProblem(size, size, size, 1, "fp16", "fp16", skips24=True).b_bytes / 1e6,
            }
        )
    return Table(
        "2:4: one product on an A100, dense and sparse",
        rows,
        (
            "rates count the dense product's operations in both columns; half of the sparse one's are skipped.",
            "a kept value of 16 bits carries 2 bits of metadata: 18 bits where the dense operand has 32.",
        ),
    )
