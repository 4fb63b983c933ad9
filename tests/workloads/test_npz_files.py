"""``.npz`` files: scipy matrices and masks read as numpy and scipy would, anything else refused."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from siloom.sim.errors import InputError
from siloom.workloads.registry import load

ROWS, COLS = 6, 9


@pytest.fixture(scope="module")
def matrix() -> sp.csr_array:
    return sp.random_array((ROWS, COLS), density=0.3, rng=np.random.default_rng(3), format="csr")


def _members(matrix: sp.sparray) -> dict[str, np.ndarray]:
    stream = io.BytesIO()
    sp.save_npz(stream, matrix)
    stream.seek(0)
    return dict(np.load(stream))


def _refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(str(path)) and message.isprintable()
    return message.removeprefix(f"{path}: ")


def _refused_arrays(folder: Path, **arrays) -> str:
    path = folder / "a.npz"
    np.savez(path, **arrays)
    return _refusal(path)


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "bsr", "dia"])
@pytest.mark.parametrize("compressed", [False, True])
def test_reads_every_scipy_format(tmp_path: Path, matrix: sp.csr_array, form: str, compressed: bool) -> None:
    path = tmp_path / "a.npz"
    sp.save_npz(path, matrix.asformat(form), compressed=compressed)
    op = load(path).items[0].op
    assert np.array_equal(op.a.to_scipy().toarray(), matrix.toarray())
    assert op.b.shape == (COLS, ROWS), "not square: the product is A A^T"


@pytest.mark.parametrize("dtype", [np.bool_, np.int8, np.uint64, np.float32, ">f8"])
def test_reads_every_kind_of_number(tmp_path: Path, matrix: sp.csr_array, dtype) -> None:
    arrays = _members(matrix)
    arrays["data"] = np.ones(len(arrays["data"]), dtype=dtype)
    np.savez(tmp_path / "a.npz", **arrays)
    assert (load(tmp_path / "a.npz").items[0].op.a.data == 1).all()


def test_unsorted_and_doubled_entries_become_canonical(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", format=b"csr", shape=(2, 3), data=[1.0, 2.0, 4.0], indices=[2, 0, 2], indptr=[0, 3, 3])
    workload = load(tmp_path / "a.npz")
    assert workload.items[0].op.a.indices.tolist() == [0, 2]
    assert workload.items[0].op.a.data.tolist() == [2, 5]
    assert workload.provenance["duplicates_summed"] == 1


def test_an_empty_matrix_is_said_to_be_empty(tmp_path: Path) -> None:
    for shape in ((4, 4), (0, 0), (3, 0)):
        sp.save_npz(tmp_path / "a.npz", sp.csr_array(shape))
        workload = load(tmp_path / "a.npz")
        assert workload.items[0].op.multiplies == 0
        assert workload.provenance["notes"] == [f"A is empty: {shape[0]} x {shape[1]} without entries"]


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"indices": [0, 9, 1]}, "indices must be between 0 and 8, got 9"),
        ({"indices": [0, -1, 1]}, "indices must be between 0 and 8, got -1"),
        (
            {"indices": np.array([0, 2**64 - 1, 1], np.uint64)},
            "indices must be between 0 and 8, got 18446744073709551615",
        ),
        ({"indices": [0, 1]}, "indices must have 3 entries, got 2"),
        ({"indices": [0.0, 1, 2]}, "indices must hold whole numbers, got <f8"),
        ({"indptr": [0, 2, 1, 3]}, "indptr must rise from 0 to the 3 entries"),
        ({"indptr": [1, 1, 2, 3]}, "indptr must rise from 0 to the 3 entries"),
        ({"indptr": [0, 1, 2, 2]}, "indptr must rise from 0 to the 3 entries"),
        ({"indptr": [0, 1, 2, 4]}, "indptr must be between 0 and 3, got 4"),
        ({"indptr": [0, 1, 3]}, "indptr must have 4 entries, got 3"),
        ({"data": [1.0, np.nan, 1]}, "data must be finite"),
        ({"data": [1.0, np.inf, 1]}, "data must be finite"),
        ({"data": [1j, 1, 1]}, "data.npy: must hold real numbers, integers or booleans, got <c16"),
        ({"data": [[1.0, 1, 1]]}, "data must have 1 axes, got 2"),
        ({"data": np.array([1, "x", None], object)}, "data.npy: must hold real numbers, integers or booleans, got |O"),
        ({"shape": [3]}, "shape must be two whole numbers"),
        ({"shape": [3.0, 9.0]}, "shape must be two whole numbers"),
        ({"shape": [-3, 9]}, "rows must be between 0 and 2147483647, got -3"),
        ({"shape": [3, 2**62]}, "columns must be between 0 and 2147483647, got 4611686018427387904"),
        ({"shape": [2**30, 9]}, "rows must be at most 16777216, or 64 for each entry, got 1073741824 for 3 entries"),
        ({"format": b"csx"}, "format must be bsr or coo or csc or csr or dia, got 'csx' - did you mean"),
        ({"format": 3}, "format must be one text"),
    ],
)
def test_hostile_arrays_get_one_clear_line(tmp_path: Path, change: dict, rule: str) -> None:
    sound = {"format": b"csr", "shape": [3, 9], "data": [1.0, 2, 3], "indices": [0, 1, 2], "indptr": [0, 1, 2, 3]}
    assert rule in _refused_arrays(tmp_path, **(sound | change))


def test_other_formats_are_checked_too(tmp_path: Path) -> None:
    coo = {"format": b"coo", "shape": [3, 3], "data": [1.0], "row": [0], "col": [1]}
    assert "row must be between 0 and 2, got 3" in _refused_arrays(tmp_path, **(coo | {"row": [3]}))
    assert "col must have 1 entries, got 2" in _refused_arrays(tmp_path, **(coo | {"col": [0, 1]}))
    dia = {"format": b"dia", "shape": [3, 3], "data": [[1.0, 2, 3]], "offsets": [0]}
    assert "offsets must be between -2 and 2" in _refused_arrays(tmp_path, **(dia | {"offsets": [3]}))
    assert "offsets must be 1 distinct numbers" in _refused_arrays(tmp_path, **(dia | {"offsets": [0, 0]}))
    bsr = {"format": b"bsr", "shape": [4, 4], "data": np.ones((1, 2, 2)), "indices": [0], "indptr": [0, 1, 1]}
    assert "blocks must divide the 4 x 4 matrix, got 3 x 2" in _refused_arrays(
        tmp_path, **(bsr | {"data": np.ones((1, 3, 2))})
    )
    assert "has no array 'indices'" in _refused_arrays(tmp_path, format=b"csr", shape=[1, 1], data=[1.0], indptr=[0, 1])


def test_files_are_told_apart_by_their_arrays(tmp_path: Path) -> None:
    readable = (
        "must hold a scipy sparse matrix (scipy.sparse.save_npz), an array 'kept' [..., rows, cols] of 0/1 masks, "
        "arrays 'q', 'k' and 'v' [..., seq, dim], or a recorded trace 'siloom_trace'"
    )
    assert _refused_arrays(tmp_path, q=[[1]], k=[[1]], kept=[[1]]) == f"{readable}, got q and k alone"
    both = _refused_arrays(tmp_path, format=b"csr", shape=[1, 1], q=[[1]], k=[[1]], v=[[1]])
    assert both == f"{readable}, got more than one: a sparse matrix (format, shape) and q, k, v"
    assert _refused_arrays(tmp_path, weights=[1]) == f"{readable}, got arrays weights"
    with zipfile.ZipFile(tmp_path / "a.npz", "w"):
        pass
    assert _refusal(tmp_path / "a.npz") == f"{readable}, got no arrays"


def _member(header: bytes, payload: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    header = header.ljust(117) + b"\n"
    return b"\x93NUMPY" + version + len(header).to_bytes(2, "little") + header + payload


@pytest.mark.parametrize(
    ("member", "rule"),
    [
        (
            _member(b"{'descr': '<f8', 'fortran_order': False, 'shape': (4000000000, 100), }"),
            "declares shape (4000000000, 100)",
        ),
        (
            _member(b"{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }"),
            "lengths must be whole numbers from 0",
        ),
        (
            _member(b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", b"cos\nsystem\n"),
            "must hold real numbers",
        ),
        (_member(b"{'descr': '|V0', 'fortran_order': False, 'shape': (9,), }"), "must hold real numbers"),
        (_member(b"__import__('os').getcwd()"), "is not a sound .npz archive"),
        (_member(b"(" * 117), "is not a sound .npz archive"),
        (
            _member(b"{'descr': '<f8', 'fortran_order': False, 'shape': (0,), }", version=b"\x03\x00"),
            "version must be 1.0 or 2.0",
        ),
        (b"not npy", "is not a sound .npz archive"),
        (b"", "is not a sound .npz archive"),
    ],
)
def test_hostile_headers_are_refused_before_anything_is_unpacked(tmp_path: Path, member: bytes, rule: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("kept.npy", member)
    assert rule in _refusal(tmp_path / "a.npz")


def test_hostile_archives_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(b"PK\x03\x04 not an archive")
    assert "is not a sound .npz archive" in _refusal(path)
    np.savez(path, kept=np.ones((4, 4), bool))
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    assert "is not a sound .npz archive" in _refusal(path)
    path.write_bytes(whole.replace(b"\x01" * 16, b"\x01" * 15 + b"\x00"))
    assert "Bad CRC-32" in _refusal(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("kept.npy", b"x")
    assert "must be stored or deflated" in _refusal(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../kept.txt", b"x")
    assert "must hold .npy members of distinct names, got ../kept.txt" in _refusal(path)
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(65):
            archive.writestr(f"{number}.npy", b"x")
    assert "must hold at most 64 arrays, got 65" in _refusal(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("kept.npy", bytes(80 << 20))
    assert "more than 200 times its" in _refusal(path)


def test_arrays_beyond_the_memory_budget_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "a.npz", kept=np.ones((1000, 1000), bool))
    monkeypatch.setenv("SILOOM_MEMORY_BYTES", "1000000")
    assert "its arrays would take 1.91 MiB, more than the memory budget of 0.954 MiB" in _refusal(tmp_path / "a.npz")


def test_masks_become_two_operations_each(tmp_path: Path) -> None:
    kept = np.random.default_rng(0).random((2, 3, 5, 7)) < 0.4
    kept[1, 2] = False
    np.savez(tmp_path / "a.npz", kept=np.asfortranarray(kept))
    workload = load(tmp_path / "a.npz")
    assert [item.op.name for item in workload.items][:3] == [
        "layer0.head0.sddmm",
        "layer0.head0.spmm",
        "layer0.head1.sddmm",
    ]
    assert len(workload.items) == 12
    for number, item in enumerate(workload.items):
        layer, head = divmod(number // 2, 3)
        mask = item.op.a if item.op.kind == "spmm" else item.op.mask
        assert np.array_equal(mask.to_scipy().toarray(), kept[layer, head])
        assert item.op.multiplies == 64 * kept[layer, head].sum()
    assert load(f"kept:file={tmp_path / 'a.npz'},dim=16").items[0].op.k == 16
    assert "layer1.head2.spmm: the mask is empty" in workload.provenance["notes"]


@pytest.mark.parametrize(
    ("kept", "rule"),
    [
        (np.array([[0, 2]]), "kept must hold 0 and 1 only"),
        (np.array([[0, np.nan]]), "kept must hold 0 and 1 only"),
        (np.array([0, 2], np.uint8).view(bool).reshape(1, 2), "kept must hold 0 and 1 only"),
        (np.array([0, 1]), "kept must have at least 2 axes and no empty one, got (2,)"),
        (np.zeros((3, 0, 4)), "kept must have at least 2 axes and no empty one, got (3, 0, 4)"),
        (np.zeros((4097, 1, 1)), "kept must hold at most 4096 masks, got 4097"),
        (np.array([["a"]]), "kept must hold real numbers, got <U1"),
    ],
)
def test_hostile_masks_get_one_clear_line(tmp_path: Path, kept: np.ndarray, rule: str) -> None:
    assert rule in _refused_arrays(tmp_path, kept=kept)


def test_masks_are_no_matrix(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", kept=np.ones((2, 2), bool))
    with pytest.raises(InputError, match="must hold one matrix, got masks"):
        load(f"{tmp_path / 'a.npz'}@{tmp_path / 'a.npz'}")


def test_the_published_masks_load(shared_data: Path) -> None:
    workload = load(shared_data / "vitcod_deit_tiny_mask_95.npz")
    assert len(workload.items) == 12 * 3 * 2
    assert sum(item.op.multiplies for item in workload.items) == 2 * 64 * 74_399
