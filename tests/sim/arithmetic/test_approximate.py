"""Are approximate multipliers the published ones, and are products through their tables what plain steps give?"""

from __future__ import annotations

import math

import numpy as np
import pytest

from siloom.sim.arithmetic import arithmetic
from siloom.sim.errors import InputError, UsageError
from siloom.sim.units import approximate_products as known

EXACT = np.multiply.outer(np.arange(128), np.arange(128))


def test_mitchell_adds_logarithms():
    table = known.mitchell()
    for a, b in [(1, 1), (3, 3), (5, 7), (64, 127), (127, 127), (100, 3), (2, 96), (0, 5), (5, 0)]:
        if a * b == 0:
            assert table[a, b] == 0
            continue
        logarithm = sum(int(math.log2(v)) + v / 2 ** int(math.log2(v)) - 1 for v in (a, b))
        assert table[a, b] == 2 ** int(logarithm) * (1 + logarithm % 1)
    powers = 2 ** np.arange(7)
    assert np.array_equal(table[powers], EXACT[powers])
    below = (EXACT - table)[1:, 1:] / EXACT[1:, 1:]
    assert below.min() == 0
    assert below.max() == pytest.approx(1 / 9)  # of 1.5 times 1.5, as Mitchell has it


@pytest.mark.parametrize("kept", range(2, 8))
def test_drum_keeps_bits_from_the_highest_on(kept):
    table = known.drum(kept)
    for a in range(128):
        text = f"{a:b}"
        short = int(text[: kept - 1] + "1" + "0" * (len(text) - kept), 2) if len(text) > kept else a
        assert table[a, 1] == short
    assert np.array_equal(table[: 2**kept, : 2**kept], EXACT[: 2**kept, : 2**kept])
    assert np.array_equal(table, table.T)
    error = (table - EXACT)[1:, 1:] / EXACT[1:, 1:]
    # 2^(1 - kept) of one operand at most: of 10..0 by the bit that is set; so of both.
    assert np.abs(error).max() <= (1 + 2.0 ** (1 - kept)) ** 2 - 1
    for highest in range(kept, 7):
        cut = np.arange(1 << highest, 2 << highest)
        assert (table[cut, 1] - cut).mean() == 0.5


def test_truncated_leaves_out_the_lowest_columns():
    assert np.array_equal(known.truncated(0), EXACT)
    for dropped in (1, 4, 6, 12):
        table = known.truncated(dropped)
        for a, b in [(127, 127), (85, 51), (1, 1), (96, 3)]:
            kept = [(a >> i & 1) * (b >> j & 1) << (i + j) for i in range(7) for j in range(7) if i + j >= dropped]
            assert table[a, b] == sum(kept)
    assert known.truncated(12)[63, 127] == 0


def plain(a, b, table, acc, overflow):
    """Sums step by step in int64, of codes."""
    half = 1 << (acc - 1)
    total, beyond = np.zeros((len(a), b.shape[1]), np.int64), np.zeros((len(a), b.shape[1]), bool)
    for k in range(a.shape[1]):
        size = table[np.abs(a[:, k])][:, np.abs(b[k])]
        free = total + np.sign(a[:, k])[:, None] * np.sign(b[k]) * size
        total = np.clip(free, -half, half - 1) if overflow == "saturate" else (free + half) % (2 * half) - half
        beyond |= total != free
    return total, int(beyond.sum())


@pytest.mark.parametrize("overflow", ["saturate", "wrap"])
@pytest.mark.parametrize("acc", [15, 17, 24])
@pytest.mark.parametrize(
    ("name", "table"),
    [("mitchell", known.mitchell()), ("drum,kept=3", known.drum(3)), ("truncated", known.truncated(6))],
)
def test_products_are_sums_of_the_table_s(name, table, acc, overflow):
    rng = np.random.default_rng(acc)
    way = arithmetic(f"approximate:multiplier={name},acc={acc},overflow={overflow}")
    for stack, m, k, n in ((1, 1, 1, 1), (2, 5, 300, 7), (1, 9, 33, 17)):
        a, b = rng.integers(-127, 128, (stack, m, k)), rng.integers(-127, 128, (1, k, n))
        a[0, 0, 0] = b[0, 0, 0] = 127  # so the factors are 1
        got = way.product(a.astype(np.float32), b.astype(np.float32), "forward")
        expected, beyond = zip(*(plain(part, b[0], table, acc, overflow) for part in a), strict=True)
        assert np.array_equal(got.values, np.array(expected).astype(np.float32))
        assert got.counts == (stack * m * n, sum(beyond), stack * m * k + k * n, 0)
    assert sum(beyond) > 0 or acc == 24


def test_nothing_dropped_is_int8():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 8, 100)).astype("f"), rng.standard_normal((2, 100, 6)).astype("f")
    for more in ("acc=16", "acc=16,overflow=wrap", "acc=20,scaling=block", "scaling=channel,rounding=stochastic"):
        exact = arithmetic(f"int8:{more}").product(a, b, "grad_input", 5)
        got = arithmetic(f"approximate:multiplier=truncated,dropped=0,{more}").product(a, b, "grad_input", 5)
        assert np.array_equal(got.values, exact.values)
        assert got.counts == exact.counts


def test_a_table_of_yours_by_sizes_or_by_bytes(tmp_path):
    sizes, code = tmp_path / "sizes.csv", np.arange(256).astype(np.uint8).astype(np.int8).astype(int)
    np.savetxt(sizes, known.drum(4), fmt="%d", delimiter=",")
    by_bytes = tmp_path / "bytes.npy"
    np.save(by_bytes, np.multiply.outer(np.sign(code), np.sign(code)) * 0 + np.multiply.outer(code, code) + 1)
    rng = np.random.default_rng(1)
    a, b = rng.integers(-127, 128, (1, 4, 50)).astype("f"), rng.integers(-127, 128, (1, 50, 4)).astype("f")
    a[0, 0, 0] = b[0, 0, 0] = 127
    drum = arithmetic("approximate:multiplier=drum").product(a, b, "forward").values
    assert np.array_equal(
        arithmetic(f"approximate:multiplier=file,table={sizes}").product(a, b, "forward").values, drum
    )
    found = arithmetic(f"approximate:multiplier=file,table={by_bytes}").product(a, b, "forward").values
    assert np.array_equal(found, a @ b + 50)  # one too much for each product


def test_a_product_that_no_accumulator_of_so_few_bits_holds_is_named():
    assert "one product" in arithmetic("approximate:acc=14").caution
    assert arithmetic("approximate:acc=15").caution == ""


@pytest.mark.parametrize(
    ("text", "content", "error", "message"),
    [
        ("multiplier=file", None, InputError, "goes with table"),
        ("table=x.csv", None, InputError, "goes with table"),
        ("multiplier=file,table=absent.csv", None, InputError, "No such file"),
        ("multiplier=file,table=t.csv", "1,2\n3,4\n", InputError, "128 x 128"),
        ("multiplier=file,table=t.csv", "1,2\n3\n", InputError, "t.csv"),
        ("multiplier=file,table=t.csv", "a,b\n", InputError, "t.csv"),
        ("multiplier=file,table=t.npy", "no array", InputError, "t.npy"),
        ("kept=1", None, InputError, "kept"),
        ("multiplier=boothe", None, InputError, "mitchell"),
        ("kep=4", None, UsageError, "kept"),
    ],
)
def test_bad_input(text, content, error, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / text.rpartition("=")[2]).write_text(content)
    with pytest.raises(error, match=message):
        arithmetic(f"approximate:{text}")
