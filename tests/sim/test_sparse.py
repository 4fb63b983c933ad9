"""Is a Csr canonical whatever it was made from, and the same matrix as scipy's?"""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from siloom.sim.errors import InputError
from siloom.sim.sparse import Csr


def assert_canonical(csr: Csr) -> None:
    assert (csr.indptr.dtype, csr.indices.dtype, csr.data.dtype) == (np.int64, np.int64, np.float64)
    assert csr.indptr[0] == 0
    assert csr.indptr[-1] == csr.nnz == len(csr.data)
    for row in range(csr.shape[0]):
        assert (np.diff(csr.indices[csr.indptr[row] : csr.indptr[row + 1]]) > 0).all()


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "lil", "dia", "bsr"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int32, np.bool_])
def test_every_scipy_form_gives_the_same_canonical_matrix(form: str, dtype: type) -> None:
    values = (np.random.default_rng(3).random((7, 5)) < 0.4) * np.arange(1, 36).reshape(7, 5)
    made = Csr.from_scipy(sp.coo_array(values.astype(dtype)).asformat(form))
    assert_canonical(made)
    assert (made.to_scipy().toarray() == values.astype(dtype)).all()
    assert (made.transposed.to_scipy().toarray() == values.astype(dtype).T).all()
    assert (made.row_lengths == (made.to_scipy().toarray() != 0).sum(axis=1)).all()
    assert_canonical(made.transposed)


def test_doubled_and_unordered_entries_are_summed_and_sorted_in_a_copy() -> None:
    given = sp.csr_array((np.array([1.0, 2, 3]), np.array([1, 0, 1]), np.array([0, 3])), shape=(1, 2))
    made = Csr.from_scipy(given)
    assert (made.indices.tolist(), made.data.tolist()) == ([0, 1], [2.0, 4.0])
    assert given.indices.tolist() == [1, 0, 1]


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (4, 0), (4, 3)])
def test_empty_matrices_are_matrices(shape: tuple[int, int]) -> None:
    made = Csr.from_scipy(sp.csr_array(shape))
    assert_canonical(made)
    assert (made.shape, made.nnz, made.transposed.shape) == (shape, 0, shape[::-1])


def test_complex_entries_are_refused_rather_than_halved() -> None:
    with pytest.raises(InputError, match=r"^matrix: entries must be real, got complex128$"):
        Csr.from_scipy(sp.csr_array(np.array([[1j]])))


def test_the_hash_follows_shape_structure_and_values() -> None:
    identity = Csr.from_scipy(sp.eye_array(4, format="csr"))
    others = [
        Csr.from_scipy(sp.eye_array(4, 5, format="csr")),
        Csr.from_scipy(2 * sp.eye_array(4, format="csr")),
        Csr.from_scipy(sp.csr_array(np.eye(4)[::-1])),
    ]
    assert len({m.content_hash for m in (identity, *others)}) == 4
    assert identity.content_hash == Csr.from_scipy(sp.csc_array(np.eye(4))).content_hash
