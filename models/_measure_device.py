"""A CUDA GPU behind torch or CuPy: operations made ready, and timed by events.

Each operation runs three times to warm up (library handles, kernel choice, clocks); then each of
eleven runs is enclosed in a pair of events and waited for, so launches do not overlap. Operands are
drawn on the device and stay there.
"""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from siloom.sim.ops import Attention, MatMul, Operation, SpGEMM
from siloom.sim.sparse import Csr

WARM_UP = 3
REPEATS = 11


@dataclass(frozen=True)
class Facts:
    """What a device tells of itself; 0 or nothing where it does not."""

    name: str
    capability: float
    sms: int
    memory_bytes: int
    l2_bytes: int
    uuid: str = ""


class Device(Protocol):
    """A GPU that can be measured; tests put a stand-in here."""

    def facts(self) -> Facts:
        """What the device tells of itself."""

    def conditions(self) -> dict[str, str | int | float]:
        """Versions of what measured."""

    def supports(self, op: Operation) -> bool:
        """Whether the library computes ``op``."""

    def times(self, op: Operation) -> list[float]:
        """Seconds of each timed run of ``op``, after a warm-up.

        Raises:
            RuntimeError, MemoryError: the library or the device cannot compute it.
        """

    def copy_bytes_per_s(self, size_bytes: int) -> float:
        """Bytes a second, read and written together, of a copy within the device's memory."""


class TorchDevice:
    """The first GPU, by torch: dense products, fused attention, sparse products by ``torch.sparse.mm``."""

    def __init__(self, torch: Any) -> None:
        self._torch = torch
        self._device = torch.device("cuda", 0)

    def facts(self) -> Facts:
        """Name, multiprocessors, memory and cache by ``get_device_properties``."""
        told = self._torch.cuda.get_device_properties(self._device)
        return Facts(
            name=str(told.name),
            capability=float(f"{told.major}.{told.minor}"),
            sms=int(told.multi_processor_count),
            memory_bytes=int(told.total_memory),
            l2_bytes=int(getattr(told, "L2_cache_size", 0)),
            uuid=str(getattr(told, "uuid", "")),
        )

    def conditions(self) -> dict[str, str | int | float]:
        """Versions of torch, CUDA and cuDNN, and whether fp32 products may use TF32."""
        torch = self._torch
        return {
            "torch": str(torch.__version__),
            "cuda": str(torch.version.cuda),
            "cudnn": int(torch.backends.cudnn.version() or 0),
            "tf32 in fp32 products": "off",
            "timing": f"events around each of {REPEATS} runs after {WARM_UP}, median",
        }

    def supports(self, op: Operation) -> bool:
        """Dense products in fp16, bf16 and fp32, attention forward, sparse products."""
        if isinstance(op, MatMul):
            return op.format in ("fp16", "bf16", "fp32", "fp64")
        return isinstance(op, SpGEMM) or (isinstance(op, Attention) and op.direction == "fwd")

    def times(self, op: Operation) -> list[float]:
        """Seconds of each timed run."""
        torch = self._torch
        before = torch.backends.cuda.matmul.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = False
        try:
            with torch.inference_mode():
                return self._timed(self._ready(op))
        finally:
            torch.backends.cuda.matmul.allow_tf32 = before
            torch.cuda.empty_cache()

    def copy_bytes_per_s(self, size_bytes: int) -> float:
        """A copy of ``size_bytes``: as many read and as many written."""
        torch = self._torch
        source = torch.zeros(size_bytes, dtype=torch.uint8, device=self._device)
        target = torch.empty_like(source)
        return 2 * size_bytes / statistics.median(self._timed(lambda: target.copy_(source)))

    def _ready(self, op: Operation) -> Callable[[], Any]:
        torch = self._torch
        dtypes = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32, "fp64": torch.float64}

        def drawn(*shape: int) -> Any:
            return torch.randn(*shape, device=self._device, dtype=torch.float32).to(dtypes[op.format])  # type: ignore[attr-defined]

        if isinstance(op, MatMul):
            batch = () if op.batch == 1 else (op.batch,)
            a, b = drawn(*batch, op.m, op.k), drawn(*(() if op.shared else batch), op.k, op.n)
            return lambda: torch.matmul(a, b)
        if isinstance(op, Attention):
            q = drawn(op.batch, op.heads, op.seq, op.dim)
            k, v = (drawn(op.batch, op.heads, op.seq, op.dim) for _ in range(2))
            attend = torch.nn.functional.scaled_dot_product_attention
            return lambda: attend(q, k, v, is_causal=op.causal)
        assert isinstance(op, SpGEMM)
        left, right = self._sparse(op.a), self._sparse(op.b)
        return lambda: torch.sparse.mm(left, right)

    def _sparse(self, matrix: Csr) -> Any:
        torch = self._torch
        # cuSPARSE's sparse product takes 32-bit indices everywhere, 64-bit ones in some versions.
        small = max(*matrix.shape, matrix.nnz) < 2**31
        index = np.int32 if small else np.int64
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that CSR tensors are new to torch
            return torch.sparse_csr_tensor(
                torch.from_numpy(matrix.indptr.astype(index)),
                torch.from_numpy(matrix.indices.astype(index)),
                torch.from_numpy(matrix.data.copy()),
                size=matrix.shape,
                device=self._device,
                check_invariants=False,
            )

    def _timed(self, call: Callable[[], Any]) -> list[float]:
        cuda = self._torch.cuda
        for _ in range(WARM_UP):
            call()
        cuda.synchronize(self._device)
        times = []
        for _ in range(REPEATS):
            start, end = cuda.Event(enable_timing=True), cuda.Event(enable_timing=True)
            start.record()
            call()
            end.record()
            end.synchronize()
            times.append(start.elapsed_time(end) * 1e-3)
        return times


class CupyDevice:
    """The first GPU, by CuPy: dense and sparse products; it has no fused attention."""

    def __init__(self, cupy: Any) -> None:
        self._cupy = cupy

    def facts(self) -> Facts:
        """By ``getDeviceProperties`` of the runtime."""
        told = self._cupy.cuda.runtime.getDeviceProperties(0)
        name = told["name"]
        return Facts(
            name=name.decode() if isinstance(name, bytes) else str(name),
            capability=float(f"{told['major']}.{told['minor']}"),
            sms=int(told["multiProcessorCount"]),
            memory_bytes=int(told["totalGlobalMem"]),
            l2_bytes=int(told.get("l2CacheSize", 0)),
        )

    def conditions(self) -> dict[str, str | int | float]:
        """Versions of CuPy and CUDA."""
        runtime = self._cupy.cuda.runtime
        return {
            "cupy": str(self._cupy.__version__),
            "cuda": int(runtime.runtimeGetVersion()),
            "timing": f"events around each of {REPEATS} runs after {WARM_UP}, median",
        }

    def supports(self, op: Operation) -> bool:
        """Dense products in fp16, fp32 and fp64, sparse products."""
        return isinstance(op, SpGEMM) or (isinstance(op, MatMul) and op.format in ("fp16", "fp32", "fp64"))

    def times(self, op: Operation) -> list[float]:
        """Seconds of each timed run."""
        return self._timed(self._ready(op))

    def copy_bytes_per_s(self, size_bytes: int) -> float:
        """A copy of ``size_bytes``: as many read and as many written."""
        cupy = self._cupy
        source = cupy.zeros(size_bytes, dtype=cupy.uint8)
        target = cupy.empty_like(source)
        return 2 * size_bytes / statistics.median(self._timed(lambda: cupy.copyto(target, source)))

    def _ready(self, op: Operation) -> Callable[[], Any]:
        cupy = self._cupy
        if isinstance(op, MatMul):
            dtype = {"fp16": cupy.float16, "fp32": cupy.float32, "fp64": cupy.float64}[op.format]
            batch = () if op.batch == 1 else (op.batch,)
            a = cupy.random.random((*batch, op.m, op.k), dtype=cupy.float32).astype(dtype)
            b = cupy.random.random((*(() if op.shared else batch), op.k, op.n), dtype=cupy.float32).astype(dtype)
            return lambda: cupy.matmul(a, b)
        assert isinstance(op, SpGEMM)
        import importlib

        sparse = importlib.import_module("cupyx.scipy.sparse")
        left = sparse.csr_matrix(op.a.to_scipy())
        right = sparse.csr_matrix(op.b.to_scipy())
        return lambda: left @ right

    def _timed(self, call: Callable[[], Any]) -> list[float]:
        cuda = self._cupy.cuda
        for _ in range(WARM_UP):
            call()
        cuda.runtime.deviceSynchronize()
        times = []
        for _ in range(REPEATS):
            start, end = cuda.Event(), cuda.Event()
            start.record()
            call()
            end.record()
            end.synchronize()
            times.append(cuda.get_elapsed_time(start, end) * 1e-3)
        return times
