"""Measuring a GPU without one: fits on synthetic timings, what a device is asked, and every way to have none."""

from __future__ import annotations

import contextlib
import sys
import time
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from siloom.models import _measure_cuda, _measure_fit, _measured_file
from siloom.models._measure_device import REPEATS, WARM_UP, CupyDevice, Facts, TorchDevice
from siloom.models._measured_machine import bases
from siloom.models.registry import machine
from siloom.sim.errors import MissingPartError
from siloom.sim.machine import Machine
from siloom.sim.ops import Attention, MatMul, Operation, SpGEMM
from siloom.sim.testing import random_csr


def timings(true: Machine, operations: list[tuple[str, Operation]], noise: float) -> list[_measure_fit.Sample]:
    """What a device that is exactly the model would give, each run off by a seeded factor."""
    rng = np.random.default_rng(0)
    out = []
    for text, op in operations:
        seconds = true.run(op).seconds
        out.append(_measure_fit.sample(text, op, [seconds * (1 + noise * rng.standard_normal()) for _ in range(11)]))
    return out


def test_constants_of_a_gpu_are_found_again_from_its_own_timings() -> None:
    board = "h100"
    truth = {"call_s": 1.1e-5, "math_efficiency": 0.8, "operand_bytes_per_clock": 250.0}
    base = bases()[board]
    true = base(base.design_type().with_settings("true", truth), board)
    products = [(t, op) for t, op in _measure_cuda.operations(False) if isinstance(op, MatMul)]
    facts = Facts(f"NVIDIA {board.upper()}", true.design.compute_capability, true.design.sms, 80 * 10**9, 0)  # type: ignore[attr-defined]
    bandwidth = true.design.bytes_per_s  # type: ignore[attr-defined]
    made = _measure_cuda.fitted(timings(true, products, 0.005), facts, bandwidth, "2026-11-21", {})
    assert made.base == board
    assert made.fit["matmul"].fields == list(_measure_cuda.PRODUCT_FIELDS)
    assert made.fit["matmul"].error_mean < 0.01
    assert made.fit["matmul in other formats"].error_mean < 0.02
    assert made.settings["call_s"] == pytest.approx(1.1e-5, rel=0.02)
    assert made.settings["math_efficiency"] == pytest.approx(0.8, rel=0.02)
    assert made.settings["operand_bytes_per_clock"] == pytest.approx(250, rel=0.05)


class Clock:
    """A device's time: each call takes a known number of milliseconds, launches are counted."""

    def __init__(self, milliseconds: float) -> None:
        self.now, self.each, self.calls = 0.0, milliseconds, 0
        self.recorded: list[int] = []

    def call(self, *_: Any, **__: Any) -> Any:
        self.calls += 1
        # The first runs are slow, as real ones are: a harness that counted them would be found out.
        self.now += self.each * (100 if self.calls <= WARM_UP else 1)

    def event(self, **about: Any) -> Any:
        clock = self

        class Event:
            at = -1.0

            def record(self) -> None:
                self.at = clock.now
                clock.recorded.append(clock.calls)

            def synchronize(self) -> None:
                assert self.at >= 0

            def elapsed_time(self, end: Any) -> float:
                return float(end.at - self.at)

        assert about in ({"enable_timing": True}, {})
        return Event()


def fake_torch(clock: Clock, **changes: Any) -> Any:
    """As much of torch's documented interface as a measurement asks for."""

    class Array:
        def __init__(self, shape: tuple[int, ...], dtype: str) -> None:
            self.shape, self.dtype = shape, dtype

        def to(self, dtype: str) -> Any:
            return Array(self.shape, dtype)

        def copy_(self, _: Any) -> Any:
            return clock.call()

    def attend(q: Any, k: Any, v: Any, *, is_causal: bool) -> Any:
        assert q.shape == k.shape == v.shape
        torch.seen.append(("attention", q.shape, q.dtype, is_causal))
        clock.call()

    def matmul(a: Any, b: Any) -> Any:
        assert a.shape[-1] == b.shape[-2]
        torch.seen.append(("matmul", a.shape, b.shape, a.dtype, torch.backends.cuda.matmul.allow_tf32))
        if torch.fails:
            raise RuntimeError("out of memory")
        clock.call()

    def sparse_mm(a: Any, b: Any) -> Any:
        torch.seen.append(("spgemm", a.shape, b.shape))
        clock.call()

    properties = SimpleNamespace(
        name="NVIDIA A100-SXM4-80GB", major=8, minor=0, multi_processor_count=108, total_memory=85 * 10**9
    )
    torch = SimpleNamespace(
        __version__="2.6.0+cu124", seen=[], fails=False,
        version=SimpleNamespace(cuda="12.4"),
        float16="half", bfloat16="bf16", float32="single", float64="double", uint8="byte",
        device=lambda *a: a,
        randn=lambda *shape, device, dtype: Array(shape, dtype),
        zeros=lambda n, dtype, device: Array((n,), dtype),
        empty_like=lambda a: a,
        matmul=matmul,
        from_numpy=lambda a: a,
        sparse_csr_tensor=lambda p, i, v, size, device, check_invariants: SimpleNamespace(shape=size),
        sparse=SimpleNamespace(mm=sparse_mm),
        nn=SimpleNamespace(functional=SimpleNamespace(scaled_dot_product_attention=attend)),
        inference_mode=lambda: contextlib.nullcontext(),
        backends=SimpleNamespace(
            cuda=SimpleNamespace(matmul=SimpleNamespace(allow_tf32=True)), cudnn=SimpleNamespace(version=lambda: 90100)
        ),
        cuda=SimpleNamespace(
            is_available=lambda: True, device_count=lambda: 1, Event=clock.event, synchronize=lambda *_: None,
            empty_cache=lambda: None, get_device_properties=lambda _: properties,
        ),
    )  # fmt: skip
    vars(torch).update(changes)
    return torch


def test_a_device_is_warmed_up_and_each_run_is_enclosed_in_events() -> None:
    clock = Clock(2.0)
    device = TorchDevice(fake_torch(clock))
    times = device.times(MatMul(m=4, n=5, k=6, batch=3))
    assert times == pytest.approx([2e-3] * REPEATS)
    assert clock.recorded == [n for i in range(REPEATS) for n in (WARM_UP + i, WARM_UP + i + 1)]
    assert clock.calls == WARM_UP + REPEATS
    assert device.copy_bytes_per_s(10**6) == pytest.approx(2e6 / 2e-3)


def test_operations_reach_torch_with_their_shapes_formats_and_mask() -> None:
    torch = fake_torch(Clock(1.0))
    device = TorchDevice(torch)
    device.times(MatMul(m=4, n=5, k=6, batch=3, format="bf16"))
    assert torch.seen[0] == ("matmul", (3, 4, 6), (3, 6, 5), "bf16", False)
    device.times(MatMul(m=4, n=5, k=6, batch=3, shared=True, format="fp32"))
    assert torch.seen[-1] == ("matmul", (3, 4, 6), (6, 5), "single", False)
    device.times(Attention(seq=8, heads=2, dim=4, batch=3, causal=True))
    assert torch.seen[-1] == ("attention", (3, 2, 8, 4), "half", True)
    device.times(SpGEMM(a=random_csr(5, 6, 0.5, 0), b=random_csr(6, 7, 0.5, 1)))
    assert torch.seen[-1] == ("spgemm", (5, 6), (6, 7))
    assert not device.supports(Attention(seq=8, heads=2, dim=4, direction="bwd"))
    assert not device.supports(MatMul(m=4, n=4, k=4, format="int8"))
    assert device.facts() == Facts("NVIDIA A100-SXM4-80GB", 8.0, 108, 85 * 10**9, 0)


def test_torchs_tf32_setting_is_put_back_even_after_a_failure() -> None:
    torch = fake_torch(Clock(1.0), fails=True)
    with pytest.raises(RuntimeError, match="out of memory"):
        TorchDevice(torch).times(MatMul(m=4, n=4, k=4, format="fp32"))
    assert torch.backends.cuda.matmul.allow_tf32 is True


def test_a_measurement_from_a_device_becomes_a_file_and_a_machine(tmp_path: Path) -> None:
    base = bases()["a100"]
    true = base(base.design_type().with_settings("true", {"call_s": 9e-6, "math_efficiency": 0.7}), "true")

    class Same:
        """A GPU that is exactly the A100 model with those constants."""

        def facts(self) -> Facts:
            return Facts("NVIDIA A100-SXM4-80GB", 8.0, 108, 80 * 10**9, 40 * 2**20)

        def conditions(self) -> dict[str, str | int | float]:
            return {"torch": "2.6.0"}

        def supports(self, op: Operation) -> bool:
            return True

        def times(self, op: Operation) -> list[float]:
            return [true.run(op).seconds] * 3

        def copy_bytes_per_s(self, size_bytes: int) -> float:
            return 2039e9 * 0.88

    made = _measure_cuda.measure(lambda _: None, "2026-11-21", quick=True, device=Same())
    assert made.settings["call_s"] == pytest.approx(9e-6, rel=0.02)
    (tmp_path / "gpu.toml").write_text(_measured_file.to_toml(made), encoding="utf-8")
    again = machine(str(tmp_path / "gpu.toml"))
    op = MatMul(m=700, n=900, k=1100)
    assert again.run(op).seconds == pytest.approx(true.run(op).seconds, rel=0.05)
    assert again.kind == "gpu"


class TorchOnThisProcessor:
    """The real torch with this processor in the place of a GPU: every call but those of ``torch.cuda`` is its own."""

    def __init__(self, limit_bytes: float = float("inf")) -> None:
        import torch

        self._torch, self._limit = torch, limit_bytes
        properties = SimpleNamespace(
            name="NVIDIA A100-SXM4-80GB", major=8, minor=0, multi_processor_count=108, total_memory=85 * 10**9,
            L2_cache_size=40 * 2**20, uuid="0e2c4a1b-0000-4000-8000-00000000beef",
        )  # fmt: skip

        class Event:
            def __init__(self, *, enable_timing: bool) -> None:
                assert enable_timing

            def record(self) -> None:
                self.at = time.perf_counter()

            def synchronize(self) -> None:
                assert self.at

            def elapsed_time(self, end: Any) -> float:
                return float(max(1e-6, (end.at - self.at) * 1e3))

        self.cuda = SimpleNamespace(
            Event=Event, synchronize=lambda device: None, empty_cache=lambda: None,
            get_device_properties=lambda device: properties,
        )  # fmt: skip

    def device(self, kind: str, index: int) -> Any:
        assert (kind, index) == ("cuda", 0)
        return self._torch.device("cpu")

    def randn(self, *shape: int, **about: Any) -> Any:
        if 4 * np.prod(shape) > self._limit:
            raise self._torch.OutOfMemoryError("CUDA out of memory. Tried to allocate more\nthan there is")
        return self._torch.randn(*shape, **about)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._torch, name)


def test_every_call_is_one_that_a_real_torch_takes() -> None:
    torch = pytest.importorskip("torch", reason="the optional part 'train' is not installed")
    device = TorchDevice(TorchOnThisProcessor())
    products = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32, "fp64": torch.float64}
    for form, dtype in products.items():
        made = device._ready(MatMul(m=4, n=5, k=6, batch=3, format=form))()
        assert (made.shape, made.dtype) == ((3, 4, 5), dtype)
    attended = device._ready(Attention(seq=8, heads=2, dim=4, batch=3, causal=True, format="fp32"))()
    assert attended.shape == (3, 2, 8, 4)
    a, b = random_csr(50, 60, 0.2, 0), random_csr(60, 70, 0.2, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        product = device._ready(SpGEMM(a=a, b=b))()
    assert device._sparse(a).crow_indices().dtype == torch.int32
    np.testing.assert_allclose(product.to_dense().numpy(), (a.to_scipy() @ b.to_scipy()).toarray())
    assert device.copy_bytes_per_s(2**20) > 0
    assert device.conditions()["torch"] == torch.__version__
    times = device.times(MatMul(m=32, n=32, k=32, format="fp32"))
    assert len(times) == REPEATS
    assert min(times) > 0


def test_what_a_device_cannot_compute_is_left_out_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason="the optional part 'train' is not installed")
    asked: list[list[str]] = []

    def smi(query: list[str], **_: Any) -> Any:
        asked.append(query)
        return SimpleNamespace(stdout="550.54, 1410, 1410, 1593, 400.00, 41")

    monkeypatch.setattr("shutil.which", lambda _: "nvidia-smi")
    monkeypatch.setattr("subprocess.run", smi)
    said: list[str] = []
    device = TorchDevice(TorchOnThisProcessor(limit_bytes=2**21))  # products of 1024 and attention do not fit
    made = _measure_cuda.measure(said.append, "2026-11-29", quick=True, device=device)
    left_out = [line for line in said if line.startswith("left out gemm:m=1024")]
    assert len(left_out) == 3
    assert all("CUDA out of memory. Tried to allocate more than there is" in line for line in left_out)
    assert str(made.conditions["left out"]).startswith("7, the first gemm:m=1024")
    assert {m.operation for m in made.measurement} >= {"gemm:m=512,n=512,k=512,format=fp16"}
    assert asked[0][1:3] == ["-i", "GPU-0e2c4a1b-0000-4000-8000-00000000beef"]
    nothing = TorchDevice(TorchOnThisProcessor(limit_bytes=0))
    nothing.supports = lambda op: isinstance(op, MatMul)  # type: ignore[method-assign]
    with pytest.raises(MissingPartError, match="computed nothing of what was asked; gemm:m=64,"):
        _measure_cuda.measure(said.append, "2026-11-29", quick=True, device=nothing)


@pytest.mark.parametrize(
    ("name", "capability", "board"),
    [
        ("NVIDIA H200", 9.0, "h200"),
        ("NVIDIA H100 80GB HBM3", 9.0, "h100"),
        ("Tesla V100-SXM2-16GB", 7.0, "v100"),
        ("NVIDIA GeForce RTX 2080 Ti", 7.5, "rtx-2080ti"),
        ("NVIDIA GeForce RTX 4090", 8.9, "rtx-4090"),
        ("NVIDIA A10", 8.6, "a100"),  # 8.6: the newest board not above it
        ("Some Blackwell", 12.0, "h100"),
        ("GeForce GT 430", 2.1, "k40"),
    ],
)
def test_the_nearest_board_is_chosen(name: str, capability: float, board: str) -> None:
    assert _measure_cuda.nearest_board(Facts(name, capability, 1, 1, 0)).name == board


def test_nvidia_smis_line_is_read_and_what_it_lacks_left_out() -> None:
    said = "550.54.15, 1410, 1980, [Not Supported], 700.00, 41\n"
    assert _measure_cuda.read_clocks(said) == {
        "driver": "550.54.15", "clocks.sm (MHz)": 1410.0, "clocks.max.sm (MHz)": 1980.0,
        "power.limit (W)": 700.0, "temperature (C)": 41.0,
    }  # fmt: skip
    assert _measure_cuda.read_clocks("") == {}
    assert _measure_cuda.read_clocks("NVIDIA-SMI has failed\n") == {}


class _NoGpu(Exception):
    pass


def _no_device() -> int:
    raise _NoGpu("cudaErrorNoDevice: no CUDA-capable device is detected")


CUPY_WITHOUT = SimpleNamespace(
    __version__="13.3",
    cuda=SimpleNamespace(runtime=SimpleNamespace(getDeviceCount=_no_device, CUDARuntimeError=_NoGpu)),
)
NO_DEVICE = SimpleNamespace(is_available=lambda: False, device_count=lambda: 0)


@pytest.mark.parametrize(
    ("torch", "cupy", "said"),
    [
        (None, None, "neither torch nor CuPy is installed; pip install"),
        (fake_torch(Clock(1), version=SimpleNamespace(cuda=None)), None, "torch 2.6.0.cu124 is built for CPUs only"),
        (fake_torch(Clock(1), cuda=NO_DEVICE), None, "built for CUDA 12.4 but finds no GPU on this computer"),
        (None, CUPY_WITHOUT, "CuPy 13.3 finds no GPU on this computer: cudaErrorNoDevice"),
        (fake_torch(Clock(1), version=SimpleNamespace(cuda=None)), CUPY_WITHOUT, "CuPy 13.3 finds no GPU"),
    ],
)  # fmt: skip
def test_every_way_of_having_no_gpu_is_told_apart(
    monkeypatch: pytest.MonkeyPatch, torch: Any, cupy: Any, said: str
) -> None:
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    with pytest.raises(MissingPartError, match=said) as caught:
        _measure_cuda.find_device()
    assert "\n" not in str(caught.value)


def test_a_torch_that_cannot_be_loaded_is_no_absent_torch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise OSError('libcudart.so.12: cannot open shared object file')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    with pytest.raises(MissingPartError, match=r"torch is installed but cannot be loaded: libcudart.so.12"):
        _measure_cuda.find_device()


def test_torch_comes_before_cupy_and_cupy_serves_where_torch_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(3.0)
    runtime = SimpleNamespace(
        getDeviceCount=lambda: 1, CUDARuntimeError=_NoGpu, deviceSynchronize=lambda: None,
        runtimeGetVersion=lambda: 12040,
        getDeviceProperties=lambda _: {
            "name": b"NVIDIA A100", "major": 8, "minor": 0, "multiProcessorCount": 108, "totalGlobalMem": 40 * 10**9,
        },
    )  # fmt: skip
    elapsed = lambda start, end: start.elapsed_time(end)  # noqa: E731
    cupy = SimpleNamespace(
        __version__="13.3", float16=np.float16, float32=np.float32, float64=np.float64, random=np.random.default_rng(0),
        matmul=clock.call, cuda=SimpleNamespace(runtime=runtime, Event=clock.event, get_elapsed_time=elapsed),
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setitem(sys.modules, "torch", fake_torch(Clock(1.0)))
    assert isinstance(_measure_cuda.find_device(), TorchDevice)
    monkeypatch.setitem(sys.modules, "torch", fake_torch(Clock(1.0), version=SimpleNamespace(cuda=None)))
    device = _measure_cuda.find_device()
    assert isinstance(device, CupyDevice)
    assert device.facts() == Facts("NVIDIA A100", 8.0, 108, 40 * 10**9, 0)
    assert device.times(MatMul(m=4, n=5, k=6)) == pytest.approx([3e-3] * REPEATS)
    assert not device.supports(Attention(seq=8, heads=2, dim=4))
