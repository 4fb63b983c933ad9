"""Named workloads: sizes by closed form, structure by definition, equal bytes from equal seeds."""

from __future__ import annotations

import numpy as np
import pytest

from siloom.sim.errors import InputError
from siloom.sim.sparse import Csr
from siloom.workloads.catalogue import find_generator, generator_names
from siloom.workloads.generator import MatrixGenerator
from siloom.workloads.registry import load

MATRICES = [name for name in generator_names() if issubclass(find_generator(name), MatrixGenerator)]


def _matrix(text: str) -> Csr:
    return load(text).items[0].op.a


def _dense(text: str) -> np.ndarray:
    return _matrix(text).to_scipy().toarray()


def test_the_issues_generators_are_all_there() -> None:
    assert MATRICES == ["banded", "hub", "poisson3d", "rmat", "road", "uniform"]


@pytest.mark.parametrize("name", MATRICES)
def test_default_matrices_are_canonical_64_bit_and_not_zero(name: str) -> None:
    matrix = _matrix(name)
    assert matrix.indptr.dtype == matrix.indices.dtype == np.int64
    assert matrix.data.dtype == np.float64
    assert matrix.indptr[0] == 0 and matrix.indptr[-1] == matrix.nnz == len(matrix.data)
    assert len(matrix.indptr) == matrix.shape[0] + 1
    rows = np.repeat(np.arange(matrix.shape[0]), matrix.row_lengths)
    places = rows * matrix.shape[1] + matrix.indices
    assert (np.diff(places) > 0).all(), "rows in order, columns ascending, none doubled"
    assert (matrix.indices >= 0).all() and (matrix.indices < matrix.shape[1]).all()
    assert (matrix.data != 0).all()


@pytest.mark.parametrize("name", [n for n in MATRICES if n != "poisson3d"])
def test_equal_seeds_give_equal_bytes_and_others_do_not(name: str) -> None:
    assert load(name).content_hash == load(f"{name}:seed=0").content_hash != load(f"{name}:seed=1").content_hash


@pytest.mark.parametrize(("n", "density"), [(4986, 0.008), (10, 0.5), (10, 1.0), (7, 0.0), (1, 1.0), (333, 0.02)])
def test_uniform_has_exactly_the_rounded_number_of_entries(n: int, density: float) -> None:
    assert _matrix(f"uniform:n={n},density={density}").nnz == round(density * n * n)


def test_uniform_positions_are_the_documented_draw() -> None:
    drawn = np.sort(np.random.default_rng(5).choice(200 * 200, 400, replace=False))
    matrix = _matrix("uniform:n=200,density=0.01,seed=5")
    rows = np.repeat(np.arange(200), matrix.row_lengths)
    assert np.array_equal(rows * 200 + matrix.indices, drawn)


def test_uniform_spreads_evenly() -> None:
    counts = np.bincount(_matrix("uniform:n=1000,density=0.05").indices // 100, minlength=10)
    # 50,000 entries in ten bands of columns: 5,000 each, standard deviation 67 by the binomial law.
    assert abs(counts - 5000).max() < 5 * 67


def test_rmat_meets_the_reference_counts() -> None:
    # The peers' s17 case: 1,000,870 entries and 327 M multiplies in all.
    matrix = load("rmat:scale=17,edges=1050000,seed=0").items[0].op
    assert matrix.a.nnz == 1_000_870
    assert matrix.multiplies == pytest.approx(327e6, rel=2e-3)


def test_rmat_quadrants_have_the_published_chances() -> None:
    matrix = _matrix("rmat:scale=12,edges=20000")
    half = 1 << 11
    rows = np.repeat(np.arange(2 * half), matrix.row_lengths)
    quadrant = np.bincount(2 * (rows >= half) + (matrix.indices >= half), minlength=4) / matrix.nnz
    # Merged duplicates thin out the dense quadrant by some per cent.
    assert quadrant == pytest.approx([0.57, 0.19, 0.19, 0.05], abs=0.03)
    assert matrix.nnz < 20000


def test_rmat_of_one_level_keeps_what_was_drawn() -> None:
    chance = np.random.default_rng(0).random(3)
    expected = np.zeros((2, 2))
    for value in chance:
        place = int(np.searchsorted([0.57, 0.76, 0.95], value, side="right"))
        expected[place // 2, place % 2] = 1
    assert np.array_equal(_dense("rmat:scale=1,edges=3") > 0, expected > 0)


@pytest.mark.parametrize("points", [7, 27])
@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_poisson3d_is_the_stencil_at_every_point(n: int, points: int) -> None:
    at = [(z, y, x) for z in range(n) for y in range(n) for x in range(n)]
    expected = np.zeros((n**3, n**3))
    for i, p in enumerate(at):
        for j, q in enumerate(at):
            steps = [abs(a - b) for a, b in zip(p, q, strict=True)]
            if i == j:
                expected[i, j] = points - 1
            elif (points == 7 and sum(steps) == 1) or (points == 27 and max(steps) == 1):
                expected[i, j] = -1
    assert np.array_equal(_dense(f"poisson3d:n={n},points={points}"), expected)


def test_poisson3d_has_the_closed_form_of_entries() -> None:
    assert _matrix("poisson3d:n=24").nnz == 7 * 24**3 - 6 * 24**2
    assert _matrix("poisson3d:n=24,points=27").nnz == (3 * 24 - 2) ** 3


def test_road_is_a_symmetric_grid_of_low_degree() -> None:
    whole = _dense("road:n=4,keep=1")
    assert whole.sum() == 2 * 2 * 4 * 3
    grid = np.array([[abs(a // 4 - b // 4) + abs(a % 4 - b % 4) == 1 for b in range(16)] for a in range(16)])
    assert np.array_equal(whole, grid)
    assert load("road:n=4,keep=0").items[0].op.multiplies == 0
    assert _matrix("road:n=1").nnz == 0
    big = _matrix("road")
    assert big.transposed.structure_hash == big.structure_hash
    assert big.row_lengths.max() <= 4
    assert big.nnz / big.shape[0] == pytest.approx(5_533_214 / 1_971_281, rel=0.02), "roadNet-CA's entries per row"


@pytest.mark.parametrize(("n", "band"), [(8, 0), (8, 3), (8, 7), (1, 0)])
def test_banded_fills_its_band(n: int, band: int) -> None:
    at = np.arange(n)
    assert np.array_equal(_dense(f"banded:n={n},band={band}") > 0, abs(at[:, None] - at) <= band)


@pytest.mark.parametrize("at", [0, 3, 7])
def test_hub_has_one_dense_row_and_column(at: int) -> None:
    dense = _dense(f"hub:n=8,density=0.2,at={at}") > 0
    assert dense[at].all() and dense[:, at].all()
    others = np.delete(np.delete(dense, at, 0), at, 1)
    assert others.sum() == round(0.2 * 49)
    assert np.array_equal(_dense("hub:n=1,density=0.5") > 0, [[True]])


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("uniform:n=0", "uniform: n must be at least 1 rows, got 0"),
        ("uniform:n=-5", "uniform: n must be at least 1 rows, got -5"),
        ("uniform:n=4611686018427387904", "uniform: n must be at most "),
        ("uniform:n=1e999", "uniform: n must be"),
        ("uniform:n=nan", "uniform: n must be"),
        ("uniform:density=1.5", "uniform: density must be at most 1"),
        ("uniform:density=nan", "uniform: density must be finite, got 'nan'"),
        ("uniform:seed=-1", "uniform: seed must be at least 0"),
        ("uniform:n=16777216,density=1", "uniform: a matrix of 281474976710656 entries would take"),
        ("rmat:scale=31", "rmat: scale must be at most 30"),
        ("rmat:scale=30", "rmat: rows must be at most 16777216, or 64 for each entry, got 1073741824"),
        ("rmat:edges=2147483647", "rmat: a matrix of 2147483647 entries would take"),
        ("banded:n=4,band=4", "banded: band must be below n=4, got 4"),
        ("hub:n=4,at=4", "hub: at must be below n=4, got 4"),
        ("poisson3d:points=9", "poisson3d: points must be one of 7, 27, got '9'"),
        ("poisson3d:n=1000", "poisson3d: rows must be at most|poisson3d: a matrix of 7000000000 entries"),
        ("gemm:m=2147483647,n=2147483647,k=2147483647", "gemm: m\\*n\\*k\\*batch must be below 2\\^62"),
        (
            "conv:h=2000000000,w=2000000000,c=2000000000,r=1,s=1,pad=0,k=2000000000",
            "must count below 2\\^62 multiplies",
        ),
        ("attention:seq=2147483647,heads=2147483647", "must count below 2\\^62 multiplies"),
        ("conv:h=2,w=2,r=5,s=5,pad=0", "conv: kernel must not be larger than its padded input, got 5 x 5 on 2 x 2"),
        ("conv:groups=3", "conv: groups must divide c and k, got 3 for 64 and 64"),
        ("attention:pass=sideways", "attention: pass must be one of fwd, bwd, got 'sideways'"),
        ("gemm:format=fp15", "gemm: format must be one of .* got 'fp15' - did you mean 'fp16'"),
    ],
)
def test_values_out_of_range_are_bad_input(text: str, rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SILOOM_MEMORY_BYTES", str(2 << 30))
    with pytest.raises(InputError, match=rule):
        load(text)


def test_a_dense_uniform_draw_counts_its_positions_against_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SILOOM_MEMORY_BYTES", "100000000")
    with pytest.raises(InputError, match="uniform: shuffling 25000000 positions would take 191 MiB"):
        load("uniform:n=5000,density=0.021")


def test_dense_operations_carry_the_design_documents_fields() -> None:
    gemm = load("gemm:m=128,n=768,k=768").items[0].op
    assert gemm.multiplies == 128 * 768 * 768
    conv = load("conv:h=56,w=56,c=64,r=3,s=3,k=64,stride=1,pad=1,groups=1").items[0].op
    assert conv.multiplies == 56 * 56 * 64 * 64 * 9
    workload = load("attention:seq=384,heads=12,dim=64,batch=1,causal=0,pass=fwd,seed=0")
    assert workload.items[0].op.multiplies == 2 * 12 * 384 * 384 * 64
    assert workload.provenance["settings"]["pass"] == "fwd"
    assert load("attention:causal=1,pass=bwd").items[0].op.direction == "bwd"
