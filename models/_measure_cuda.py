"""Measure a CUDA GPU and fit the GPU model to it; with torch, or with CuPy where torch is absent.

Written against the documented interfaces of torch and CuPy and **not yet run on a GPU**: the tests
cover the fit on synthetic timings, every call to a real torch with only its device and events replaced, and
every way of having no GPU.

The model is that of the nearest board of ``gpu.py`` (same compute capability, else the next lower)
with what the device tells of itself. Fitted: a call's cost, the share of the peak and the operands'
bandwidth of products (fp16), and the cycles of a sparse product. Bandwidth is a copy's. Attention and
other formats are measured beside them and only judged.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from siloom.models._gpu_design import GpuDesign
from siloom.models._measure_device import CupyDevice, Device, Facts, TorchDevice
from siloom.models._measure_fit import Sample, fit_fields, judge, measurement, sample
from siloom.models._measure_host import uniform
from siloom.models._measured_file import Fit, MeasuredFile
from siloom.models._measured_machine import bases
from siloom.sim.errors import MissingPartError
from siloom.sim.machine import Machine
from siloom.sim.ops import Attention, MatMul, Operation, SpGEMM

Watch = Callable[[str], None]

PRODUCT_FIELDS = ("call_s", "math_efficiency", "operand_bytes_per_clock")
SPARSE_FIELDS = ("overhead_s", "cycles_per_product", "cycles_per_result")
_INSTALL = "pip install 'siloom[train]', in a build for CUDA from pytorch.org"
_COPY_BYTES = (2**30, 2**28, 2**26)
"""Of the copies that measure bandwidth the first that the memory holds is taken."""
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def find_device() -> Device:
    """The first CUDA GPU, by torch, or by CuPy where torch is not installed.

    Raises:
        MissingPartError: neither library, a torch built for CPUs only, or no GPU that it can see.
    """
    torch = _imported("torch")
    cupy = _imported("cupy")
    if torch is None and cupy is None:
        raise MissingPartError(f"measure cuda: neither torch nor CuPy is installed; {_INSTALL}")
    if torch is not None:
        if torch.version.cuda is None and cupy is None:
            raise MissingPartError(
                f"measure cuda: torch {torch.__version__} is built for CPUs only, it could not use a GPU; {_INSTALL}"
            )
        if torch.version.cuda is not None:
            if not torch.cuda.is_available() or torch.cuda.device_count() == 0:
                raise MissingPartError(
                    f"measure cuda: torch {torch.__version__} is built for CUDA {torch.version.cuda} but finds no GPU "
                    "on this computer; check the driver with nvidia-smi"
                )
            return TorchDevice(torch)
    return _cupy_device(cupy)


def _cupy_device(cupy: Any) -> Device:
    try:
        count = int(cupy.cuda.runtime.getDeviceCount())
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise MissingPartError(
            f"measure cuda: CuPy {cupy.__version__} finds no GPU on this computer: {' '.join(str(error).split())}"
        ) from None
    if count == 0:
        raise MissingPartError(f"measure cuda: CuPy {cupy.__version__} finds no GPU on this computer")
    return CupyDevice(cupy)


def _imported(name: str) -> Any:
    """A module, or None where it is not installed.

    Raises:
        MissingPartError: it is installed but cannot be loaded (a CUDA library it needs is missing).
    """
    import importlib

    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name == name or error.name is None:
            return None
        raise MissingPartError(f"measure cuda: {name} is installed but cannot be loaded: {error}") from None
    except (ImportError, OSError) as error:
        raise MissingPartError(
            f"measure cuda: {name} is installed but cannot be loaded: {' '.join(str(error).split())[:200]}"
        ) from None


def operations(quick: bool) -> Iterator[tuple[str, Operation]]:
    """What is measured, as the command line writes it and as operations."""
    sizes = (64, 128, 256, 512, 1024, 2048, 4096, 8192)
    for size in sizes[: 5 if quick else None]:
        yield _gemm(size, size, size, "fp16")
    shapes = (
        (16, 4096, 4096),
        (128, 4096, 4096),
        (8192, 128, 8192),
        (8192, 8192, 128),
        (4096, 1024, 512),
        (1000, 3000, 500),
    )
    for m, n, k in () if quick else shapes:
        yield _gemm(m, n, k, "fp16")
    for form in ("bf16", "fp32"):
        yield _gemm(1024, 1024, 1024, form)
        if not quick:
            yield _gemm(4096, 4096, 4096, form)
    for seq in (512, 1024) if quick else (512, 1024, 2048, 4096, 8192):
        for causal in (False, True):
            text = f"attention:seq={seq},heads=16,dim=128,batch={8192 // seq},causal={int(causal)}"
            yield text, Attention(seq=seq, heads=16, dim=128, batch=8192 // seq, causal=causal)
    for rows, density in ((1000, 0.005), (5000, 0.001), (20_000, 0.0004), (50_000, 0.0002), (100_000, 0.00005)):
        if not quick or rows <= 5000:
            a = uniform(rows, density)
            yield f"uniform:n={rows},density={density},seed=0", SpGEMM(a=a, b=a)


def measure(watch: Watch, date: str, *, quick: bool = False, device: Device | None = None) -> MeasuredFile:
    """Measure the GPU and fit its model; what it cannot compute (a format, too large) is left out and told.

    Raises:
        MissingPartError: no GPU, see :func:`find_device`, or one that computes nothing of what is asked.
    """
    found = device if device is not None else find_device()
    facts = found.facts()
    watch("measuring memory")
    bandwidth = _bandwidth(found, _COPY_BYTES[2:] if quick else _COPY_BYTES)
    samples, failed = [], []
    for text, op in operations(quick):
        if not found.supports(op):
            continue
        watch(f"measuring {text}")
        try:
            samples.append(sample(text, op, found.times(op)))
        except (RuntimeError, MemoryError) as error:
            failed.append(f"{text}: {_line(error)}")
            watch(f"left out {failed[-1]}")
    if not samples:
        raise MissingPartError(f"measure cuda: {facts.name} computed nothing of what was asked; {failed[0]}")
    conditions = {**found.conditions(), **clocks(facts.uuid)}
    if failed:
        conditions["left out"] = f"{len(failed)}, the first {failed[0]}"[:400]
    watch("fitting")
    return fitted(samples, facts, bandwidth, date, conditions)


def _bandwidth(device: Device, sizes: Sequence[int]) -> float:
    """Bytes a second of the largest copy that fits.

    Raises:
        MissingPartError: none does.
    """
    error: Exception | None = None
    for size in sizes:
        try:
            return device.copy_bytes_per_s(size)
        except (RuntimeError, MemoryError) as failed:
            error = failed
    raise MissingPartError(f"measure cuda: no copy within the GPU's memory: {_line(error)}")


def _line(error: Exception | None) -> str:
    return " ".join(str(error).split())[:200]


def fitted(
    samples: Sequence[Sample],
    facts: Facts,
    bandwidth: float,
    date: str,
    conditions: dict[str, str | int | float],
) -> MeasuredFile:
    """Fit the GPU model to samples of any origin and put all of it into a file."""
    base = nearest_board(facts)
    start = base(_as_told(base, facts, bandwidth, conditions), base.name)
    products = [s for s in samples if isinstance(s.op, MatMul) and s.op.format == "fp16"]
    others = [s for s in samples if isinstance(s.op, MatMul) and s.op.format != "fp16"]
    sparse = [s for s in samples if isinstance(s.op, SpGEMM)]
    attention = [s for s in samples if isinstance(s.op, Attention)]
    dense_end = fit_fields(start, PRODUCT_FIELDS, products) if len(products) >= len(PRODUCT_FIELDS) else start
    enough = len(sparse) >= len(SPARSE_FIELDS)
    found = fit_fields(dense_end, SPARSE_FIELDS, sparse) if enough else dense_end
    fits: dict[str, Fit] = {}
    if products:
        fields = PRODUCT_FIELDS if dense_end is not start else ()
        fits["matmul"] = judge(found, fields, products)
    for kind, own in (("matmul in other formats", others), ("attention", attention)):
        if own:
            fits[kind] = judge(found, (), own)
    if sparse:
        fits["spgemm"] = judge(found, SPARSE_FIELDS if enough else (), sparse)
    default, chosen = base.design_type().as_dict(), found.design.as_dict()
    always = (*PRODUCT_FIELDS, *SPARSE_FIELDS)
    return MeasuredFile(
        siloom_measured=1,
        base=base.name,
        device=facts.name,
        date=date,
        settings={name: v for name, v in chosen.items() if v != default[name] or name in always},
        conditions=conditions,
        fit=fits,
        measurement=[measurement(found, s) for s in samples],
    )


def nearest_board(facts: Facts) -> type[Machine]:
    """The board that the device's name holds; else the newest of its capability or below; else the oldest."""
    boards: dict[str, Any] = {n: b for n, b in bases().items() if issubclass(b.design_type, GpuDesign)}
    spoken = facts.name.lower().replace(" ", "").replace("-", "")
    for name, board in boards.items():
        if name.replace("-", "") in spoken:
            return board  # type: ignore[no-any-return]
    ages = {name: board.design_type().compute_capability for name, board in boards.items()}
    fitting = {name: age for name, age in ages.items() if age <= facts.capability}
    pool = fitting or ages
    chosen = max(pool, key=lambda n: pool[n]) if fitting else min(pool, key=lambda n: pool[n])
    return boards[chosen]  # type: ignore[no-any-return]


def _as_told(
    base: type[Machine], facts: Facts, bandwidth: float, conditions: dict[str, str | int | float]
) -> GpuDesign:
    """The board's design with what the device says of itself; a capability beyond the model's is left out."""
    design = base.design_type()
    assert isinstance(design, GpuDesign)
    peak = max(design.bandwidth_bytes_per_s, bandwidth)
    settings: dict[str, object] = {
        "sms": facts.sms,
        "memory_bytes": float(facts.memory_bytes),
        "bandwidth_bytes_per_s": peak,
        "stream_efficiency": bandwidth / peak,
    }
    if facts.l2_bytes:
        settings["l2_bytes"] = float(facts.l2_bytes)
    clock = conditions.get("clocks.max.sm (MHz)")
    if isinstance(clock, int | float) and clock > 0:
        settings["clock_hz"] = clock * 1e6
    return design.with_settings(base.name, settings)


_QUERIES = {
    "driver_version": "driver", "clocks.sm": "clocks.sm (MHz)", "clocks.max.sm": "clocks.max.sm (MHz)",
    "clocks.mem": "clocks.mem (MHz)", "power.limit": "power.limit (W)", "temperature.gpu": "temperature (C)",
}  # fmt: skip


def clocks(uuid: str = "") -> dict[str, str | int | float]:
    """Driver, clocks, power limit and temperature as nvidia-smi tells them, or nothing.

    Of the GPU of that UUID: nvidia-smi's first need not be CUDA's first.
    """
    program = shutil.which("nvidia-smi")
    if program is None:
        return {}
    which = f"GPU-{uuid}" if _UUID.fullmatch(uuid) else "0"
    query = [program, "-i", which, f"--query-gpu={','.join(_QUERIES)}", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return {}
    return read_clocks(said)


def read_clocks(said: str) -> dict[str, str | int | float]:
    """The one line that nvidia-smi printed, as numbers where they are numbers; what it does not support is left out."""
    values = [part.strip() for part in said.splitlines()[0].split(",")] if said.strip() else []
    out: dict[str, str | int | float] = {}
    if len(values) != len(_QUERIES):
        return out
    for name, value in zip(_QUERIES.values(), values, strict=True):
        if name == "driver":
            out[name] = value
            continue
        try:
            out[name] = float(value)
        except ValueError:
            continue  # "[Not Supported]"
    return out


def _gemm(m: int, n: int, k: int, form: str) -> tuple[str, Operation]:
    return f"gemm:m={m},n={n},k={k},format={form}", MatMul(m=m, n=n, k=k, format=form)
