"""A text names a workload: which one, where it comes from, and what a wrong one is answered."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import scipy.sparse as sp

from siloom.sim.errors import InputError, SiloomError, UsageError
from siloom.workloads.catalogue import find_generator, generator_names
from siloom.workloads.registry import list_workloads, load


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A square matrix a.mtx, a 3 x 5 matrix b.mtx and a 5 x 3 matrix c.npz."""
    rng = np.random.default_rng(1)
    square, wide, tall = (sp.random_array(s, density=0.5, rng=rng, format="coo") for s in ((5, 5), (3, 5), (5, 3)))
    scipy.io.mmwrite(tmp_path / "a.mtx", square, symmetry="general")
    scipy.io.mmwrite(tmp_path / "b.mtx", wide, symmetry="general")
    sp.save_npz(tmp_path / "c.npz", tall.tocsr())
    return tmp_path


def _product(workload) -> np.ndarray:
    op = workload.items[0].op
    return (op.a.to_scipy() @ op.b.to_scipy()).toarray()


def test_one_matrix_stands_for_its_product(files: Path) -> None:
    square, wide = load(str(files / "a.mtx")), load(files / "b.mtx")
    a, b = (scipy.io.mmread(files / name).toarray() for name in ("a.mtx", "b.mtx"))
    assert np.allclose(_product(square), a @ a)
    assert np.allclose(_product(wide), b @ b.T)
    assert square.items[0].op.a is square.items[0].op.b
    assert (square.provenance["product"], wide.provenance["product"]) == ("A*A", "A*A^T")
    assert (wide.name, wide.provenance["file"], wide.provenance["rows"], wide.provenance["cols"]) == (
        "b.mtx",
        "b.mtx",
        3,
        5,
    )


def test_two_matrices_are_joined_by_an_at_sign(files: Path) -> None:
    workload = load(f"{files / 'b.mtx'}@{files / 'c.npz'}")
    b, c = scipy.io.mmread(files / "b.mtx").toarray(), sp.load_npz(files / "c.npz").toarray()
    assert np.allclose(_product(workload), b @ c)
    assert workload.name == "b.mtx@c.npz"
    assert workload.provenance["b"]["file"] == "c.npz"
    drawn = load(f"uniform:n=3,density=1@{files / 'b.mtx'}")
    assert drawn.items[0].op.b.shape == (3, 5)
    assert load(f"{files / 'c.npz'}@uniform:n=3,density=1").name == "c.npz@uniform:n=3,density=1"


def test_paths_may_hold_an_at_sign(files: Path) -> None:
    folder = files / "me@home"
    folder.mkdir()
    (files / "a.mtx").rename(folder / "a.mtx")
    assert load(str(folder / "a.mtx")).items[0].op.a.shape == (5, 5)
    assert load(f"{folder / 'a.mtx'}@{folder / 'a.mtx'}").items[0].op.a.shape == (5, 5)
    assert load(f"spmm:file={folder / 'a.mtx'}").items[0].op.a.shape == (5, 5)


def test_a_non_conforming_product_is_bad_input(files: Path) -> None:
    with pytest.raises(
        InputError, match=r"b\.mtx@b\.mtx: product: columns of A must equal rows of B, got 3 x 5 times 3 x 5"
    ):
        load(f"{files / 'b.mtx'}@{files / 'b.mtx'}")


def test_sparse_times_dense_on_any_file(files: Path) -> None:
    spmm = load(f"spmm:n=7,file={files / 'b.mtx'}")
    sddmm = load(f"sddmm:k=9,file={files / 'c.npz'}")
    assert (spmm.items[0].op.n, spmm.items[0].op.a.shape) == (7, (3, 5))
    assert (sddmm.items[0].op.k, sddmm.items[0].op.mask.shape) == (9, (5, 3))
    assert spmm.name == "spmm:n=7,file=b.mtx"
    np.savez(files / "masks.npz", kept=np.ones((3, 2, 2)))
    assert len(load(f"spmm:file={files / 'masks.npz'}").items) == 3
    with pytest.raises(UsageError, match="spmm: file=PATH must be given"):
        load("spmm")


@pytest.mark.parametrize(
    ("text", "code", "rule"),
    [
        ("unifrom:n=5", 2, "unknown workload 'unifrom' - did you mean 'uniform'"),
        ("frobnicate", 2, "unknown workload 'frobnicate'; known: attention, banded"),
        ("uniform:densty=0.1", 2, "uniform: no field 'densty' - did you mean 'density'"),
        ("attention:pass_=fwd", 2, "attention: no field 'pass_' - did you mean 'pass'"),
        ("uniform:n=5,n=6", 2, "setting 'n' is given twice"),
        ("uniform:n", 2, "must have the form key=value"),
        ("uniform:", 2, "no setting after the ':'"),
        (":n=5", 2, "unknown workload"),
        ("", 2, "must be 1 to 4096 printable characters"),
        ("x\ny", 2, "must be 1 to 4096 printable characters"),
        ("gemm@uniform", 2, "gemm"),
        ("uniform@gemm", 2, "gemm: is not a matrix"),
        ("x" * 5000, 2, "must be 1 to 4096 printable characters"),
        ("x" * 400, 2, "unknown workload"),
        ("absent.mtx", 4, "absent.mtx: no such file"),
        ("absent.mtx.gz", 4, "no such file"),
        ("absent.mtx@absent.mtx", 4, "absent.mtx: no such file"),
        ("uniform:n=10@absent.mtx", 4, "absent.mtx: no such file"),
        ("uniform:n=10@absent", 4, "absent: a matrix must be a file .mtx, .mtx.gz, .npz"),
        ("absent.npz", 4, "no such file"),
        ("absent.toml", 4, "no such file"),
        ("absent/folder", 4, "no such file"),
        ("matrix.mat", 4, "no such file"),
        ("spmm:file=absent.mtx", 4, "no such file"),
        (".", 4, "is a directory"),
        ("uniform:n=zero", 4, "uniform: n must be a whole number, got 'zero'"),
    ],
)
def test_wrong_texts_get_one_line_and_the_right_code(text: str, code: int, rule: str) -> None:
    with pytest.raises(SiloomError) as caught:
        load(text)
    assert caught.value.exit_code == code
    assert rule in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_file_of_another_kind_is_bad_input(tmp_path: Path) -> None:
    for name in ("a.txt", "uniform", "plain"):
        (tmp_path / name).write_text("x")
        with pytest.raises(InputError, match=r"must be a file \.mtx, \.mtx\.gz, \.npz, \.toml"):
            load(str(tmp_path / name))


def test_provenance_is_plain_and_names_no_folder(files: Path) -> None:
    (files / "list.toml").write_text('[[operation]]\nkind = "spgemm"\na = "a.mtx"\n')
    for text in (
        "uniform:seed=7",
        "attention",
        str(files / "a.mtx"),
        f"spmm:file={files / 'b.mtx'}",
        str(files / "list.toml"),
    ):
        workload = load(text)
        written = json.dumps(workload.provenance)
        assert str(files) not in written + workload.name
        assert workload.content_hash == load(text).content_hash
    assert load("uniform:seed=7").provenance["seed"] == 7


def test_stored_zeros_are_noted(tmp_path: Path) -> None:
    (tmp_path / "a.mtx").write_text("%%MatrixMarket matrix coordinate real general\n2 2 2\n1 1 0\n2 2 5\n")
    assert load(tmp_path / "a.mtx").provenance["notes"] == ["A stores 1 entries of value zero; they count as entries"]


def test_each_file_of_the_folder_is_one_named_workload() -> None:
    for name in generator_names():
        generator = find_generator(name)
        assert generator.name == name
        assert generator.summary and generator.source


def test_the_list_describes_every_field() -> None:
    listed = list_workloads()
    assert [w.name for w in listed][: len(generator_names())] == list(generator_names())
    json.dumps([w.to_dict() for w in listed])
    uniform = next(w for w in listed if w.name == "uniform")
    assert (uniform.kind, uniform.operations) == ("matrix", ("spgemm",))
    assert [(f.name, f.default) for f in uniform.fields] == [("n", 4986), ("density", 0.008), ("seed", 0)]
    assert all(f.source and f.status for w in listed for f in w.fields)
    assert "pass" in [f.name for w in listed if w.name == "attention" for f in w.fields]


def test_importing_the_registry_imports_nothing_heavy() -> None:
    heavy = ("scipy", "pandas", "pydantic", "numba", "siloom.models")
    code = f"import siloom.workloads.registry, sys; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_known_products(shared_data: Path) -> None:
    wiki = load(shared_data / "matrices" / "wiki-Vote.mtx").items[0].op
    assert (wiki.a.nnz, wiki.multiplies) == (103_689, 4_542_805)
    assert load(shared_data / "matrices" / "p2p-Gnutella31.mtx.gz").items[0].op.multiplies == 538_318


def test_the_peers_fixed_matrix_counts_the_same_from_a_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    mask = rng.random((500, 500)) < 0.01
    fixed = sp.csr_array(mask * rng.integers(1, 10, (500, 500)))
    scipy.io.mmwrite(tmp_path / "m500.mtx", fixed)
    sp.save_npz(tmp_path / "m500.npz", fixed)
    for name in ("m500.mtx", "m500.npz"):
        op = load(tmp_path / name).items[0].op
        assert (op.a.nnz, op.multiplies, op.chunks) == (2506, 12_773, 2492)
