"""The design of a GPU: one class of fields, and a board as rows of ``sim/cost/devices.csv``.

:class:`GpuDesign` names the fields once; :func:`of_board` gives a subclass the defaults of another
board, with that board's sources. What is fitted (cuSPARSE on an H100, GEMM on an A100) is the same
for every board and is carried by multiprocessors, clock and rates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from siloom.models._gpu_board import DenseBoard, generation
from siloom.models._gpu_spgemm import Board
from siloom.sim.cost import from_table, table
from siloom.sim.design import Design, parameter
from siloom.sim.ops import FORMAT_BITS

TENSOR_FORMATS = ("fp64", "tf32", "fp16", "bf16", "fp8", "int8", "int4")
MEMORIES = ("gddr5", "gddr6", "hbm2", "hbm2e", "hbm3", "hbm3e")

_RANGES: Mapping[str, dict[str, Any]] = {
    "clock_hz": {"low": 1e8, "high": 1e10},
    "sustained_clock_share": {"low": 0.1, "high": 1.0},
    "sms": {"whole": True, "low": 1, "high": 4096},
    "fp64_per_sm": {"whole": True, "low": 1, "high": 4096},
    "bandwidth_bytes_per_s": {"low": 1e9, "high": 1e14},
    "stream_efficiency": {"low": 0.01, "high": 1.0},
    "l2_bytes": {"low": 1024.0, "high": 2.0**34},
    "memory_bytes": {"low": 1e6, "high": 1e13},
    "launch_s": {"low": 0.0, "high": 1.0},
    "tdp_w": {"low": 1.0, "high": 5000.0},
    "idle_w": {"low": 0.0, "high": 5000.0},
    "node_nm": {"low": 1.0, "high": 250.0},
    "compute_capability": {"low": 3.0, "high": 9.9},
    "fp32_per_sm": {"whole": True, "low": 1, "high": 4096},
    "sfu_per_sm": {"whole": True, "low": 1, "high": 4096},
    "smem_bytes": {"low": 1024.0, "high": 2.0**30},
    "fp16_per_sm": {"whole": True, "low": 0, "high": 65536},
    "int8_per_sm": {"whole": True, "low": 0, "high": 65536},
    **{f"tensor_{name}_per_sm": {"whole": True, "low": 0, "high": 65536} for name in TENSOR_FORMATS},
}
"""The fields that describe a board, and what exploration may make of them."""


def _of(board: str, field: str) -> Any:
    """A field with the board's own row as default; a unit that the board has not got counts 0."""
    about = _RANGES[field]
    if field == "sustained_clock_share":
        return _sustained_clock_share(board, **about)
    if (board, field) in table("devices"):
        return from_table("devices", board, field, **about)
    limits = {name: value for name, value in about.items() if name != "whole"}
    return parameter(0, unit="per cycle", source="the board has no such units", status="recalled", **limits)


def _sustained_clock_share(board: str, **about: Any) -> Any:
    """Fitted for a generation on attention, which keeps tensor cores busiest; 1 where nothing speaks against it."""
    owner = generation(table("devices")[board, "compute_capability"].value)
    if (owner, "sustained_clock_share") in table("gpu_attention"):
        return from_table("gpu_attention", owner, "sustained_clock_share", **about)
    source = "held under tensor load over clock_hz; an A100's measured products and attention ask for no less than 1"
    return parameter(1.0, unit="", source=source, status="assumed", **about)


def _memory(kind: str) -> Any:
    return parameter(kind, unit="", source="board specification", status="recalled", choices=MEMORIES)


@dataclass(frozen=True)
class GpuDesign(Design):
    """A board, the libraries on it and how its work is timed; the defaults are the Tesla K40.

    Rates ``*_per_sm`` are multiply-adds (``sfu``: exponentials) a clock of one multiprocessor.
    """

    clock_hz: float = _of("k40", "clock_hz")
    sustained_clock_share: float = _of("k40", "sustained_clock_share")
    sms: int = _of("k40", "sms")
    fp64_per_sm: int = _of("k40", "fp64_per_sm")
    bandwidth_bytes_per_s: float = _of("k40", "bandwidth_bytes_per_s")
    stream_efficiency: float = _of("k40", "stream_efficiency")
    l2_bytes: float = _of("k40", "l2_bytes")
    memory_bytes: float = _of("k40", "memory_bytes")
    launch_s: float = _of("k40", "launch_s")
    tdp_w: float = _of("k40", "tdp_w")
    idle_w: float = _of("k40", "idle_w")
    node_nm: float = _of("k40", "node_nm")
    compute_capability: float = _of("k40", "compute_capability")
    fp32_per_sm: int = _of("k40", "fp32_per_sm")
    sfu_per_sm: int = _of("k40", "sfu_per_sm")
    smem_bytes: float = _of("k40", "smem_bytes")
    fp16_per_sm: int = _of("k40", "fp16_per_sm")
    int8_per_sm: int = _of("k40", "int8_per_sm")
    tensor_fp64_per_sm: int = _of("k40", "tensor_fp64_per_sm")
    tensor_tf32_per_sm: int = _of("k40", "tensor_tf32_per_sm")
    tensor_fp16_per_sm: int = _of("k40", "tensor_fp16_per_sm")
    tensor_bf16_per_sm: int = _of("k40", "tensor_bf16_per_sm")
    tensor_fp8_per_sm: int = _of("k40", "tensor_fp8_per_sm")
    tensor_int8_per_sm: int = _of("k40", "tensor_int8_per_sm")
    tensor_int4_per_sm: int = _of("k40", "tensor_int4_per_sm")
    memory: str = _memory("gddr5")
    library: str = parameter(
        "cusparse",
        unit="",
        source="for sparse products; OuterSPACE's GPU baselines were cuSPARSE and CUSP",
        status="published",
        choices=("cusparse", "cusp"),
    )
    overhead_s: float = from_table("spgemm_fit", "cusparse", "overhead_s", low=0.0, high=1.0)
    allocation_s: float = from_table("spgemm_fit", "cusparse", "allocation_s", low=0.0, high=1.0)
    allocation_products: float = from_table("spgemm_fit", "cusparse", "allocation_products", low=0.0, high=1e12)
    cycles_per_product: float = from_table("spgemm_fit", "cusparse", "cycles_per_product", low=0.0, high=1e5)
    cycles_per_result: float = from_table("spgemm_fit", "cusparse", "cycles_per_result", low=0.0, high=1e5)
    precision: str = parameter(
        "auto",
        unit="",
        source="auto: the operation's own format; the user's choice otherwise",
        status="assumed",
        choices=("auto", *FORMAT_BITS),
    )
    attention: str = parameter(
        "auto",
        unit="",
        source="auto: the newest kernel that the board has (FlashAttention 3 on Hopper, 2 from Ampere on); "
        "masked: the sparse library's SDDMM and SpMM at a given mask; sparse24: 2:4 products with a mask that fits",
        status="assumed",
        choices=("auto", "standard", "flash1", "flash2", "flash3", "masked", "sparse24"),
    )
    layout_copies: bool = parameter(
        True,
        unit="",
        source="1: standard attention finds Q, K and V token by token, as projections leave them, and copies them head "
        "by head, K transposed (eager PyTorch); 0: they lie so already. FlashAttention takes either",
        status="assumed",
    )
    calls: str = parameter(
        "auto",
        unit="",
        source="timed: each call waits for its end, as where the constants were fitted; queued: launches overlap; "
        "auto: an operation alone is timed, those of a workload of several are queued and waited for once",
        status="assumed",
        choices=("auto", "timed", "queued"),
    )
    call_s: float = from_table("gpu_gemm_fit", "cublas", "call_s", low=0.0, high=1.0)
    kernel_call_s: float = parameter(
        1.28e-5,
        unit="s",
        source="the same of a framework's own kernel, elementwise or normalising: the shortest softmax measured on an "
        "A100 by the authors of LLMCompass (4096 rows of 32), 13.1 us, less what its bytes take",
        status="calibrated",
        low=0.0,
        high=1.0,
    )
    math_efficiency: float = from_table("gpu_gemm_fit", "cublas", "math_efficiency", low=0.01, high=1.0)
    operand_bytes_per_clock: float = from_table("gpu_gemm_fit", "cublas", "operand_bytes_per_clock", low=1.0, high=1e6)
    unaligned_share: float = parameter(
        0.5,
        unit="",
        source="rate of 2-byte-aligned operands beside 16-byte-aligned ones (NVIDIA: aligned ones are faster)",
        status="assumed",
        low=0.01,
        high=1.0,
    )

    @property
    def bytes_per_s(self) -> float:
        """Bandwidth that streams reach."""
        return self.bandwidth_bytes_per_s * self.stream_efficiency

    def rate(self, per_sm: int) -> float:
        """Operations a second of units that do ``per_sm`` multiply-adds a clock and multiprocessor."""
        return 2.0 * per_sm * self.sms * self.clock_hz

    @property
    def operations_per_s(self) -> float:
        """Peak fp64 additions and multiplications a second: two per fused unit and cycle."""
        return self.rate(self.fp64_per_sm)

    @property
    def board(self) -> Board:
        """What the stages of a sparse product read."""
        return Board(
            sms=self.sms,
            l2_bytes=self.l2_bytes,
            memory_bytes=self.memory_bytes,
            launch_s=self.launch_s,
            overhead_s=self.overhead_s,
            allocation_s=self.allocation_s,
            allocation_products=self.allocation_products,
            cycles_per_product=self.cycles_per_product,
            cycles_per_result=self.cycles_per_result,
        )

    def dense_board(self, name: str) -> DenseBoard:
        """What dense kernels read, under the machine's name."""
        rates = {form: self.rate(getattr(self, f"tensor_{form}_per_sm")) for form in TENSOR_FORMATS}
        other = {"fp32": self.rate(self.fp32_per_sm), "fp64": self.operations_per_s}
        if self.fp16_per_sm > self.fp32_per_sm:
            other["fp16"] = self.rate(self.fp16_per_sm)
        if self.int8_per_sm:
            other["int8"] = self.rate(self.int8_per_sm)
        return DenseBoard(
            name=name,
            generation=generation(self.compute_capability),
            clock_hz=self.clock_hz,
            sms=self.sms,
            tensor_flops={form: rate for form, rate in rates.items() if rate},
            other_flops=other,
            exp_per_sm_clock=self.sfu_per_sm,
            bandwidth_bytes_per_s=self.bandwidth_bytes_per_s,
            stream_share=self.stream_efficiency,
            memory_bytes=self.memory_bytes,
            l2_bytes=self.l2_bytes,
            smem_bytes=self.smem_bytes,
            launch_s=self.launch_s,
            sustained_clock_share=self.sustained_clock_share,
        )

    @property
    def call_overhead_s(self) -> float:
        """What a dense call of a library costs beside its kernel's own time."""
        return self.launch_s if self.calls == "queued" else self.call_s

    @property
    def kernel_overhead_s(self) -> float:
        """The same of a kernel that no library chooses: no more than of one that is chosen."""
        return self.launch_s if self.calls == "queued" else min(self.kernel_call_s, self.call_s)


G = TypeVar("G", bound=GpuDesign)


def of_board(board: str, *, memory: str) -> Callable[[type[G]], type[G]]:
    """Decorate a subclass of :class:`GpuDesign`: its defaults are those of ``board``'s rows."""

    def decorate(cls: type[G]) -> type[G]:
        # A dataclass takes as its own the fields that its class annotates, so each is named again.
        annotations = {f.name: f.type for f in fields(cls) if f.name in _RANGES or f.name == "memory"}
        for name in annotations:
            setattr(cls, name, _memory(memory) if name == "memory" else _of(board, name))
        cls.__annotations__ = annotations
        return dataclass(frozen=True)(cls)

    return decorate
