"""The measured host: every library computes the same product, and says what it is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import scipy.sparse as sp

from siloom.models import _host_kernels, _mkl, host
from siloom.models.host import Host, HostDesign
from siloom.sim.errors import InputError, MissingPartError
from siloom.sim.ops import SDDMM, MatMul, SpGEMM, SpMM
from siloom.sim.sparse import Csr

needs_mkl = pytest.mark.skipif(not _mkl.installed(), reason="optional part absent: pip install 'siloom[mkl]'")
LIBRARIES = ["scipy", "numba", pytest.param("mkl", marks=needs_mkl)]


def drawn(rows: int, cols: int, seed: int = 0) -> Csr:
    return Csr.from_scipy(sp.random_array((rows, cols), density=0.05, rng=np.random.default_rng(seed), format="csr"))


def quick(library: str = "auto", **settings: int) -> Host:
    return Host(HostDesign(library=library, repeats=3, **settings))


@pytest.mark.parametrize("library", LIBRARIES)
def test_products_equal_scipy(library: str) -> None:
    op = SpGEMM(a=drawn(120, 90), b=drawn(90, 200, 1))
    result = quick(library).run(op, values=True)
    expected = op.a.to_scipy() @ op.b.to_scipy()
    assert result.values is not None
    assert result.values.to_scipy().has_canonical_format
    assert np.allclose(result.values.to_scipy().toarray(), expected.toarray(), rtol=1e-12)
    assert result.operations["results"] == expected.nnz
    assert result.kind == "measured" and result.cycles is None and result.clock_hz is None
    assert result.energy_j is None
    assert result.seconds > 0
    assert result.counters["repeats"] == 3
    assert result.counters["fastest_ns"] <= result.seconds * 1e9 + 1 <= result.counters["slowest_ns"] + 2
    assert str(result.provenance["library"]).startswith(library)


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_real_product_has_scipys_checksum(shared_data: Path, library: str) -> None:
    a = Csr.from_scipy(scipy.io.mmread(shared_data / "matrices" / "p2p-Gnutella08.mtx"))
    result = quick(library).run(SpGEMM(a=a, b=a), values=True)
    expected = a.to_scipy() @ a.to_scipy()
    assert result.values is not None
    assert result.values.nnz == expected.nnz
    assert np.isclose(result.values.data.sum(), expected.data.sum(), rtol=1e-12)


@pytest.mark.parametrize("library", LIBRARIES)
def test_dense_sides_are_computed(library: str) -> None:
    b = np.random.default_rng(1).random((90, 7))
    op = SpMM(a=drawn(120, 90), n=7, b=b)
    with _host_kernels.prepare(library, op, 1) as ready:
        assert np.allclose(ready.call(), op.a.to_scipy() @ b)
    assert quick(library).run(op).operations["multiplies"] == op.multiplies


@pytest.mark.parametrize("library", ["numpy", "numba"])
def test_sampled_products_are_computed(library: str) -> None:
    rng = np.random.default_rng(1)
    mask, x, y = drawn(50, 60), rng.random((50, 9)), rng.random((9, 60))
    op = SDDMM(mask=mask, k=9, x=x, y=y)
    with _host_kernels.prepare(library, op, 1) as ready:
        rows = np.repeat(np.arange(50), mask.row_lengths)
        assert np.allclose(ready.call(), (x @ y)[rows, mask.indices])
    result = quick(library).run(op)
    assert result.operations == {
        "multiplies": mask.nnz * 9,
        "adds": mask.nnz * 8,
        "effective_multiplies": mask.nnz * 9,
        "results": mask.nnz,
    }


def test_operands_not_given_are_drawn() -> None:
    assert quick("numba").run(SDDMM(mask=drawn(50, 60), k=4)).seconds > 0
    assert quick("scipy").run(SpMM(a=drawn(50, 60), n=4)).seconds > 0


@pytest.mark.parametrize("op", [SpGEMM(a=drawn(60, 60), b=drawn(60, 60)), SDDMM(mask=drawn(50, 60), k=4)])
def test_auto_says_what_it_chose(op: SpGEMM | SDDMM) -> None:
    result = quick().run(op)
    chosen = str(result.provenance["library"]).split()[0]
    assert result.notes[0].startswith(f"library=auto chose {chosen} (")
    assert {"kind", "library", "threads", "cores", "cpu"} <= set(result.provenance)


@pytest.mark.parametrize("library", ["auto", "scipy", "numba", pytest.param("mkl", marks=needs_mkl)])
def test_empty_matrices_are_answered(library: str) -> None:
    nothing = Csr.from_scipy(sp.csr_array((30, 30)))
    result = quick(library).run(SpGEMM(a=nothing, b=nothing), values=True)
    assert result.operations["results"] == 0
    assert result.values is not None and result.values.nnz == 0


def test_libraries_support_what_they_compute() -> None:
    sampled, dense = SDDMM(mask=drawn(5, 6), k=2), SpMM(a=drawn(5, 6), n=2)
    assert not Host(HostDesign(library="mkl")).supports(sampled)
    assert not Host(HostDesign(library="scipy")).supports(sampled)
    assert not Host(HostDesign(library="numpy")).supports(dense)
    assert not Host(HostDesign(library="scipy")).supports(MatMul(m=1, n=1, k=1))
    with pytest.raises(InputError, match="library=scipy does not compute sddmm"):
        quick("scipy").run(sampled)


def test_missing_mkl_is_named_with_the_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    _mkl.load.cache_clear()
    monkeypatch.setitem(sys.modules, "sparse_dot_mkl", None)
    try:
        with pytest.raises(MissingPartError, match=r"pip install 'siloom\[mkl\]'"):
            quick("mkl").run(SpGEMM(a=drawn(5, 5), b=drawn(5, 5)))
        assert "mkl" not in _host_kernels.libraries(SpGEMM(a=drawn(5, 5), b=drawn(5, 5)))
    finally:
        _mkl.load.cache_clear()


@needs_mkl
def test_mkl_is_found_without_any_variable(tmp_path: Path) -> None:
    hidden = ("MKL", "LD_LIBRARY", "OMP", "KMP")
    bare = {k: v for k, v in os.environ.items() if not k.startswith(hidden)}
    script = "from siloom.models import _mkl; print(_mkl.load().mkl_get_version_string())"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=bare, cwd=tmp_path, timeout=120, check=True
    )
    assert "Math Kernel Library" in done.stdout


@needs_mkl
def test_thread_count_is_used_and_put_back() -> None:
    import torch

    mkl = _mkl.load()
    torch.set_num_threads(torch.get_num_threads())  # it sets MKL's threads too
    before = mkl.mkl_get_max_threads()
    op = SpGEMM(a=drawn(50, 50), b=drawn(50, 50))
    with _host_kernels.prepare("mkl", op, before + 1) as ready:
        assert ready.threads == before + 1 == mkl.mkl_get_max_threads()
    assert mkl.mkl_get_max_threads() == before
    assert quick("mkl", threads=1).run(op).provenance["threads"] == 1


def test_a_product_too_large_for_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "_reclaimable", lambda: 0)
    monkeypatch.setattr(os, "sysconf", lambda name: 1)
    with pytest.raises(InputError, match=r"host: the product needs about 0\.0 GiB of memory, 0\.0 GiB are free"):
        quick().run(SpGEMM(a=drawn(50, 50), b=drawn(50, 50)))


def test_long_products_are_not_repeated() -> None:
    op = SpGEMM(a=drawn(50, 50), b=drawn(50, 50))
    result = Host(HostDesign(library="scipy", repeats=1000, budget_s=0.0)).run(op)
    assert result.counters["repeats"] == 1
