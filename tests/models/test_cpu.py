"""CPUs: published peaks, rooflines by hand, brute force for traffic, and numpy's own work checked by loops."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st

from siloom.models import _blas, _cpu_dense, _host_dense
from siloom.models.cpu import CpuDesign, Epyc7763, HaswellE52699v3, Xeon8480, XeonE51650v4
from siloom.models.host import Host, HostDesign
from siloom.sim.errors import InputError
from siloom.sim.machine import Machine
from siloom.sim.ops import Attention, Conv, Elementwise, MatMul, Reduce

PARTS: list[Any] = [XeonE51650v4(), HaswellE52699v3(), Epyc7763(), Xeon8480()]
each = pytest.mark.parametrize("machine", PARTS, ids=lambda m: m.name)


def test_peaks_are_the_published_ones() -> None:
    """TPU v1 paper, table 2: Haswell 1.3 TFLOP/s and 2.6 TOPS; Milan and the Broadwell part from their makers."""
    haswell = HaswellE52699v3().design
    assert haswell.peak("fp32") == pytest.approx(1.3e12, rel=0.03)
    assert haswell.peak("int8") == pytest.approx(2.6e12, rel=0.03)
    assert haswell.bandwidth_bytes_per_s == 51e9
    assert Epyc7763().design.peak("fp64") == pytest.approx(2.5e12, rel=0.01)
    assert XeonE51650v4().design.peak("fp64") == pytest.approx(345.6e9)
    assert Xeon8480().design.peak("bf16") == pytest.approx(8 * Xeon8480().design.peak("fp32") * 2)


@each
def test_a_large_product_runs_at_its_share_of_the_peak(machine: Machine) -> None:
    """m, n multiples of every tile and of the cores, so nothing is padded: 2 m n k / (0.85 peak) and the overhead."""
    design = machine.design
    assert isinstance(design, CpuDesign)
    m, n, k = 6 * 32 * 63, 32 * 64, 512
    result = machine.run(MatMul(m=m, n=n, k=k, format="fp32"))
    ideal = 2 * m * n * k / (0.85 * 2 * design.fp32_per_core * design.cores * design.clock_hz)
    assert result.seconds == pytest.approx(ideal + design.overhead_s, rel=0.02)


@each
def test_a_matrix_vector_product_runs_at_memory_bandwidth(machine: Machine) -> None:
    design = machine.design
    assert isinstance(design, CpuDesign)
    result = machine.run(MatMul(m=1, n=16384, k=16384, format="fp32"))
    moved = 4 * (16384 * 16384 + 2 * 16384)
    assert result.seconds == pytest.approx(moved / design.bytes_per_s + design.overhead_s, rel=1e-6)


def test_formats_without_units_are_held_and_computed_in_the_next_and_told() -> None:
    narrow = HaswellE52699v3().run(MatMul(name="qkv", m=64, n=64, k=64, format="bf16"))
    assert narrow.precision == ("fp32",)
    assert "computed in fp32, the workload asks for bf16" in narrow.notes
    assert narrow.traffic_bytes["a"] == 4 * 64 * 64
    native = Xeon8480().run(MatMul(m=64, n=64, k=64, format="bf16"))
    assert native.precision == ("bf16",)
    assert not any("asks for" in note for note in native.notes)
    assert Xeon8480(Xeon8480().design.with_settings("x", {"precision": "int8"})).run(
        MatMul(m=64, n=64, k=64, format="fp32")
    ).precision == ("int8",)


@given(m=st.integers(1, 70), n=st.integers(1, 70), k=st.integers(1, 70), cache=st.integers(64, 4096))
@settings(deadline=None, max_examples=60)
def test_traffic_is_that_of_the_blocks_laid_out_one_by_one(m: int, n: int, k: int, cache: int) -> None:
    """Brute force: C in square blocks, each reading the rows of A and the columns of B that it needs."""
    each_bytes = 4
    a, b, c = _cpu_dense.product_bytes(m, n, k, each_bytes, cache)
    if 3 * each_bytes * min(m * k, k * n, m * n) <= cache:
        assert (a, b, c) == (4 * m * k, 4 * k * n, 4 * m * n)
        return
    side = max(1, math.isqrt(cache // 12))
    blocks = [(i, j) for i in range(0, m, side) for j in range(0, n, side)]
    assert a == sum(4 * k * min(side, m - i) for i, _ in blocks)
    assert b == sum(4 * k * min(side, n - j) for _, j in blocks)
    assert c == 4 * m * n


def test_a_smaller_cache_never_moves_less() -> None:
    """Nor does any cache beat the lower bound 2 m n k / sqrt(cache) elements, less the cache, of Irony et al."""
    m, n, k = 2000, 1500, 1000
    moved = []
    for log2 in range(12, 28):
        cache = 2**log2
        total = sum(_cpu_dense.product_bytes(m, n, k, 4, cache))
        moved.append(total)
        elements = cache / 4
        assert total / 4 >= m * n * k / (2 * math.sqrt(2 * elements)) - elements
    assert moved == sorted(moved, reverse=True)
    assert moved[-1] == 4 * (m * k + k * n + m * n)


@given(m=st.integers(1, 200), n=st.integers(1, 200), batch=st.integers(1, 20))
@settings(deadline=None, max_examples=100)
def test_padding_never_helps_and_vanishes_for_whole_tiles(m: int, n: int, batch: int) -> None:
    design = HaswellE52699v3().design
    assert _cpu_dense.padded_share(design, m, n, batch, "fp32") >= 1
    whole = _cpu_dense.padded_share(design, 6 * m, 16 * n * design.cores, batch, "fp32")
    assert whole == 1.0


@each
@pytest.mark.parametrize("direction", ["fwd", "bwd"])
@pytest.mark.parametrize("causal", [False, True])
def test_attention_counts_all_scores_and_its_effective_ones(machine: Machine, direction: str, causal: bool) -> None:
    op = Attention(seq=96, heads=6, dim=32, batch=2, causal=causal, direction=direction, format="fp32")
    result = machine.run(op)
    products = 2 if direction == "fwd" else 5
    assert result.operations["multiplies"] == products * 2 * 6 * 96 * 96 * 32
    assert result.operations["effective_multiplies"] == op.multiplies
    assert result.operations["exponentials"] == 2 * 6 * 96 * 96
    assert result.traffic_bytes["scores"] == 0


def test_scores_go_through_memory_when_the_cache_cannot_hold_those_in_flight() -> None:
    machine = HaswellE52699v3()
    seq = 2048  # 18 heads at once x 16 MiB of scores, 45 MiB of cache
    op = Attention(seq=seq, heads=18, dim=64, format="fp32")
    spilled = machine.run(op)
    assert spilled.traffic_bytes["scores"] == 4 * 4 * 18 * seq * seq  # written, read, and both again for the softmax
    roomy = HaswellE52699v3(machine.design.with_settings("haswell", {"l3_bytes": 2**34}))
    assert roomy.run(op).seconds < spilled.seconds


def test_depthwise_runs_direct_and_a_plain_convolution_is_its_product() -> None:
    machine = Epyc7763()
    conv = machine.run(Conv(h=30, w=30, c=32, r=3, s=3, k=64, format="fp32"))
    gemm = machine.run(MatMul(m=28 * 28, n=64, k=9 * 32, format="fp32"))
    assert conv.seconds == pytest.approx(gemm.seconds, rel=1e-9)
    assert conv.traffic_bytes["a"] == 4 * 32 * 30 * 30  # inputs, not windows
    depthwise = machine.run(Conv(h=30, w=30, c=256, r=3, s=3, k=256, groups=256, format="fp32"))
    assert any("direct" in note for note in depthwise.notes)


@each
def test_energy_is_tdp_for_the_time_and_the_bits_of_memory(machine: Machine) -> None:
    design = machine.design
    assert isinstance(design, CpuDesign)
    result = machine.run(Elementwise(elements=10**7, reads=2, writes=1, format="fp32"))
    assert result.energy_j is not None
    assert result.energy_j - result.energy_parts["dram"] == pytest.approx(design.tdp_w * result.seconds)
    pj_per_bit = result.energy_parts["dram"] / (8 * 12e7) * 1e12
    assert 10 < pj_per_bit < 45


@each
def test_more_cores_clock_or_bandwidth_never_slow_it_down(machine: Machine) -> None:
    ops = [
        MatMul(m=500, n=300, k=700, format="fp32"),
        Reduce(rows=1000, length=512, function="softmax", format="fp32"),
        Attention(seq=300, heads=5, dim=64, format="fp32"),
    ]
    for field in ("cores", "clock_hz", "bandwidth_bytes_per_s"):
        value = getattr(machine.design, field)
        faster = type(machine)(machine.design.with_settings("x", {field: 2 * value}))
        for op in ops:
            assert faster.run(op).seconds <= machine.run(op).seconds * (1 + 1e-12)


def test_24_sparsity_saves_nothing_on_a_cpu_and_says_so() -> None:
    dense, sparse = (HaswellE52699v3().run(MatMul(m=64, n=64, k=64, sparse24=s)) for s in (False, True))
    assert sparse.seconds == dense.seconds
    assert sparse.operations["multiplies"] == 2 * sparse.operations["effective_multiplies"]
    assert any("skips no zeros" in note for note in sparse.notes)


# The host's own dense work, each against a plain loop or an independent library -------------------


def test_convolution_equals_scipys_correlation() -> None:
    for op in (
        Conv(h=7, w=6, c=3, r=3, s=2, k=4, pad=1, batch=2, format="fp64"),
        Conv(h=9, w=9, c=4, r=3, s=3, k=6, stride=2, groups=2, format="fp64"),
    ):
        drawn = _operands(op)
        got = _host_dense.prepare(op).call()
        images, filters = drawn[0], drawn[1].reshape(op.k, op.c // op.groups, op.r, op.s)
        padded = np.pad(images, ((0, 0), (0, 0), (op.pad,) * 2, (op.pad,) * 2))
        for b in range(op.batch):
            for k in range(op.k):
                group = k // (op.k // op.groups)
                own = padded[b, group * op.c // op.groups : (group + 1) * op.c // op.groups]
                full = scipy.signal.correlate(own, filters[k], mode="valid")[0]
                assert np.allclose(got[b, k], full[:: op.stride, :: op.stride])


def _operands(op: Any) -> list[np.ndarray[Any, Any]]:
    """What ``prepare`` draws: seed 0, in its order."""
    rng = np.random.default_rng(0)
    shapes = [(op.batch, op.c, op.h, op.w), (op.groups, op.k // op.groups, op.c // op.groups * op.r * op.s)]
    return [rng.random(shape) - 0.5 for shape in shapes]


@pytest.mark.parametrize("causal", [False, True])
def test_attention_equals_a_loop_over_queries_and_its_gradient_finite_differences(causal: bool) -> None:
    b, h, kv, s, d = 2, 4, 2, 5, 3
    rng = np.random.default_rng(0)
    q, k, v = (rng.random((b, n, s, d)) - 0.5 for n in (h, kv, kv))
    upstream = rng.random((b, h, s, d)) - 0.5

    def attend(q: Any, k: Any, v: Any) -> Any:
        out = np.zeros((b, h, s, d))
        for i in range(b):
            for j in range(h):
                for t in range(s):
                    seen = range(t + 1) if causal else range(s)
                    weights = np.array([math.exp(q[i, j, t] @ k[i, j // 2, u] / math.sqrt(d)) for u in seen])
                    weights /= weights.sum()
                    out[i, j, t] = sum(w * v[i, j // 2, u] for w, u in zip(weights, seen, strict=True))
        return out

    shape = {"seq": s, "heads": h, "kv_heads": kv, "dim": d, "batch": b, "causal": causal, "format": "fp64"}
    assert np.allclose(_host_dense.prepare(Attention(**shape)).call(), attend(q, k, v))  # type: ignore[arg-type]
    gradients = _host_dense.prepare(Attention(**shape, direction="bwd")).call()  # type: ignore[arg-type]
    operands = [q, k, v]
    at, step = 0, 1e-6
    for place, operand in enumerate(operands):
        for index in list(np.ndindex(operand.shape))[:: max(1, operand.size // 12)]:
            moved = [x.copy() for x in operands]
            moved[place][index] += step
            slope = ((attend(*moved) - attend(*operands)) * upstream).sum() / step
            assert gradients[at + np.ravel_multi_index(index, operand.shape)] == pytest.approx(slope, abs=1e-5)
        at += operand.size


def test_reductions_and_elementwise_equal_their_definitions() -> None:
    rng = np.random.default_rng(0)
    x, scale, shift = rng.random((6, 9)) - 0.5, rng.random(9) - 0.5, rng.random(9) - 0.5
    expected = {
        "sum": [sum(row) for row in x],
        "max": [max(row) for row in x],
        "softmax": [[math.exp(e) / sum(math.exp(o) for o in row) for e in row] for row in x],
        "layernorm": (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5) * scale + shift,
        "rmsnorm": x / np.sqrt((x**2).mean(1, keepdims=True) + 1e-5) * scale,
    }
    for function, values in expected.items():
        made = _host_dense.prepare(Reduce(rows=6, length=9, function=function, format="fp64"))
        assert np.allclose(made.call(), values), function
        assert np.allclose(made.call(), values), f"{function}: the second call differs"
    rng = np.random.default_rng(0)
    parts = [rng.random(40_000) - 0.5 for _ in range(3)]
    made = _host_dense.prepare(Elementwise(elements=40_000, reads=3, writes=2, flops_each=5, format="fp64"))
    assert np.allclose(made.call(), np.stack([sum(parts) + 3] * 2))
    assert made.operations["adds"] == 5 * 40_000
    assert made.traffic == {"dram_read": 3 * 8 * 40_000, "dram_write": 2 * 8 * 40_000}


@pytest.mark.parametrize("sparse24", [False, True])
def test_matmul_equals_einsum(sparse24: bool) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random((3, 4, 8)) - 0.5, rng.random((3, 8, 5)) - 0.5
    if sparse24:
        b.reshape(3, 2, 4, 5)[:, :, 2:] = 0
    made = _host_dense.prepare(MatMul(m=4, n=5, k=8, batch=3, format="fp64", sparse24=sparse24))
    assert np.allclose(made.call(), np.einsum("bik,bkj->bij", a, b))


def test_the_host_measures_dense_work_on_one_blas_thread_and_says_so() -> None:
    result = Host(HostDesign(repeats=3)).run(MatMul(m=64, n=64, k=64))
    assert result.kind == "measured" and result.cycles is None and result.energy_j is None
    assert result.precision == ("fp32",)
    assert any("computed in fp32, the workload asks for fp16" in note for note in result.notes)
    assert result.provenance["threads"] in (0, 1)
    assert result.counters["repeats"] == 3


def test_blas_threads_are_put_back() -> None:
    with _blas.limited(1) as inside:
        with _blas.limited(2) as deeper:
            assert deeper in (0, 1, 2)
        with _blas.limited(1) as again:
            assert again == inside


def test_a_product_beyond_memory_is_refused_before_it_is_drawn() -> None:
    with pytest.raises(InputError, match=r"needs about .* GiB of memory"):
        Host().run(MatMul(m=2**20, n=2**20, k=16))
    with pytest.raises(InputError, match="library=numba does not compute matmul"):
        Host(HostDesign(library="numba")).run(MatMul(m=1, n=1, k=1))
