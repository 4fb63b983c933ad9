"""Matrix Market files: read as they say, or refused in one line. The oracle is a few lines of plain Python."""

from __future__ import annotations

import gzip
import math
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from siloom.sim.errors import InputError
from siloom.workloads import bounds, entry_lines
from siloom.workloads.matrix_market import read_matrix_market

REAL = b"%%MatrixMarket matrix coordinate real general\n"
PATTERN = b"%%MatrixMarket matrix coordinate pattern general\n"
INTEGER = b"%%MatrixMarket matrix coordinate integer general\n"
SYMMETRIC = b"%%MatrixMarket matrix coordinate real symmetric\n"
SKEW = b"%%MatrixMarket matrix coordinate real skew-symmetric\n"


def _read(folder: Path, text: bytes, name: str = "a.mtx"):
    path = folder / name
    path.write_bytes(text)
    return read_matrix_market(path)


def _refusal(folder: Path, text: bytes, name: str = "a.mtx") -> str:
    with pytest.raises(InputError) as caught:
        _read(folder, text, name)
    message = str(caught.value)
    assert message.startswith(str(folder / name))
    assert message.isprintable(), "a message is one line"
    return message.removeprefix(f"{folder / name}: ")


def _dense(matrix) -> list[list[float]]:
    return matrix.to_scipy().toarray().tolist()


def test_reads_every_field(tmp_path: Path) -> None:
    for text, value in (
        (REAL + b"2 3 1\n2 3 -1.5e0\n", -1.5),
        (INTEGER + b"2 3 1\n2 3 -7\n", -7),
        (PATTERN + b"2 3 1\n2 3", 1),
    ):
        matrix, about = _read(tmp_path, text)
        assert _dense(matrix) == [[0, 0, 0], [0, 0, value]]
        assert about["entries_in_file"] == 1
    double = REAL.replace(b"real", b"double")
    assert _dense(_read(tmp_path, double + b"1 1 1\n1 1 .25\n")[0]) == [[0.25]]


def test_mirrors_symmetric_and_skew_symmetric_files(tmp_path: Path) -> None:
    assert _dense(_read(tmp_path, SYMMETRIC + b"2 2 2\n1 1 3\n2 1 5\n")[0]) == [[3, 5], [5, 0]]
    assert _dense(_read(tmp_path, SKEW + b"2 2 1\n2 1 5\n")[0]) == [[0, -5], [5, 0]]


def test_doubled_entries_are_summed_and_counted(tmp_path: Path) -> None:
    matrix, about = _read(tmp_path, REAL + b"2 2 4\n2 2 1\n1 2 1\n2 2 2.5\n2 2 -1\n")
    assert _dense(matrix) == [[0, 1], [0, 2.5]]
    assert about["duplicates_summed"] == 2


def test_summed_integers_do_not_wrap(tmp_path: Path) -> None:
    most = 2**63 - 1
    matrix, _ = _read(tmp_path, INTEGER + f"1 1 2\n1 1 {most}\n1 1 {most}\n".encode())
    assert matrix.data[0] == pytest.approx(2.0**64)


@pytest.mark.parametrize("form", ["1 1 1\r\n", "\t1\t 1  1  \n", "\n  \n1 1 1\n\n \n", "1 1 1", "1 1 1 ", "1 1 1\r"])
def test_blanks_and_line_ends_do_not_matter(tmp_path: Path, form: str) -> None:
    header = "% a comment\n\n  % one more, caf\xe9\n2 2 1\n"
    matrix, _ = _read(tmp_path, REAL + header.encode("latin-1") + form.encode())
    assert _dense(matrix) == [[1, 0], [0, 0]]


@pytest.mark.parametrize("size", ["0 0 0", "3 2 0", "0 4 0", "3 3 0\n\n"])
def test_an_empty_matrix_is_answered(tmp_path: Path, size: str) -> None:
    matrix, _ = _read(tmp_path, REAL + size.encode())
    assert matrix.nnz == 0
    assert matrix.shape == tuple(map(int, size.split()[:2]))
    assert len(matrix.indptr) == matrix.shape[0] + 1


def test_gzip_reads_the_same(tmp_path: Path) -> None:
    text = REAL + b"2 2 2\n1 2 4\n2 1 5\n"
    plain, _ = _read(tmp_path, text)
    packed, about = _read(tmp_path, gzip.compress(text), "a.mtx.gz")
    assert plain.content_hash == packed.content_hash
    assert about["file"] == "a.mtx.gz"


HOSTILE = {
    "NaN": (REAL + b"2 2 1\n1 1 NaN\n", "line 3: value must be finite, got 'NaN'"),
    "minus infinity": (REAL + b"2 2 2\n1 1 1\n1 1 -inf\n", "line 4: value must be finite, got '-inf'"),
    "infinity in full": (REAL + b"2 2 1\n1 1 Infinity\n", "line 3: value must be finite, got 'Infinity'"),
    "1e999": (REAL + b"2 2 2\n1 1 1\n\n2 2 1e999\n", "line 5: value must be finite, got '2 2 1e999'"),
    "a sum beyond doubles": (REAL + b"1 1 2\n1 1 1e308\n1 1 1e308\n", "doubled entries must have a finite sum"),
    "index 0": (REAL + b"2 2 1\n0 1 1\n", "line 3: row index must be between 1 and 2, got '0 1 1'"),
    "negative index": (REAL + b"2 3 1\n1 -1 1\n", "line 3: column index must be between 1 and 3, got '1 -1 1'"),
    "row beyond": (PATTERN + b"2 2 1\n3 1\n", "line 3: row index must be between 1 and 2, got '3 1'"),
    "column beyond": (PATTERN + b"2 2 1\n1 3\n", "line 3: column index must be between 1 and 2, got '1 3'"),
    "index of 2^32 + 1": (
        PATTERN + b"2 2 1\n1 4294967297\n",
        "line 3: index must be between 1 and 2 (row), 2 (column)",
    ),
    "index of 2^64 + 1": (PATTERN + b"2 2 1\n18446744073709551617 1\n", "line 3: index must be between 1 and 2"),
    "integer of 2^64": (INTEGER + b"2 2 1\n1 1 18446744073709551616\n", "line 3: "),
    "dims of 2^62": (
        REAL + b"4611686018427387904 4611686018427387904 1\n1 1 1\n",
        "line 2: rows must be between 0 and 2147483647, got 4611686018427387904",
    ),
    "dims of 2^31 - 1 over one entry": (
        REAL + b"2147483647 2147483647 1\n1 1 1\n",
        "line 2: rows must be at most 16777216",
    ),
    "dims of a hundred digits": (
        REAL + b"9" * 100 + b" 1 1\n1 1 1\n",
        "line 2: rows must be a whole number below 1e24",
    ),
    "negative dims": (REAL + b"-2 2 1\n1 1 1\n", "line 2: rows must be a whole number"),
    "4e11 entries over one line": (
        REAL + b"1000000 1000000 400000000000\n1 1 1\n",
        "line 2: promises 400000000000 entries, which take at least 2399999999999 bytes; the file has 6 for them",
    ),
    "one entry too few": (REAL + b"2 2 2\n1 1 1.000000\n", "is cut short: the header promises 2 entries, got 1"),
    "cut within an entry": (REAL + b"2 2 2\n1 1 1.0000\n2 2", "line 4: must hold 3 numbers, got 2"),
    "one entry too many": (REAL + b"2 2 1\n1 1 1\n2 2 2\n", "line 4: surplus entry: the header promises 1 entries"),
    "entries of an empty matrix": (REAL + b"2 2 0\n1 1 1\n", "line 3: surplus entry: the header promises 0 entries"),
    "a column too many": (PATTERN + b"2 2 1\n1 1 1\n", "line 3: must hold 2 numbers, got 3"),
    "a column too few": (REAL + b"2 2 1\n1 1  \n", "line 3: must hold 3 numbers, got 2"),
    "two entries on a line": (PATTERN + b"2 2 2\n1 1 2 2\n", "line 3: must hold 2 numbers, got 4"),
    "a fraction among integers": (INTEGER + b"2 2 1\n1 1 5.5\n", "line 3: must hold plain numbers only, got '5.5'"),
    "a fractional index": (REAL + b"2 2 1\n1 1.5 2\n", "line 3: must hold plain numbers only, got '1.5'"),
    "an index with exponent": (REAL + b"2 2 1\n1 1e0 2\n", "line 3: must hold plain numbers only, got '1e0'"),
    "two points": (REAL + b"2 2 1\n1 1 1.2.3\n", "line 3: must hold plain numbers only, got '1.2.3'"),
    "two exponents": (REAL + b"2 2 1\n1 1 1e2e3\n", "line 3: must hold plain numbers only, got '1e2e3'"),
    "a Fortran exponent": (REAL + b"2 2 1\n1 1 1d5\n", "line 3: must hold plain numbers only, got '1d5'"),
    "a hexadecimal value": (REAL + b"2 2 1\n1 1 0x10\n", "line 3: must hold plain numbers only, got '0x10'"),
    "a decimal comma": (REAL + b"2 2 1\n1 1 5,3\n", "line 3: must hold plain numbers only, got '5,3'"),
    "a late comment": (REAL + b"2 2 1\n1 1 1\n% end\n", "line 4: must hold plain numbers only, got '%'"),
    "a NUL": (REAL + b"2 2 1\n1 1 1\x00\n", "line 3: must hold plain numbers only, got '1\\x00'"),
    "a point alone": (REAL + b"2 2 1\n1 1 .\n", "line 3: must hold numbers in range"),
    "a plus sign": (REAL + b"2 2 1\n1 1 +5\n", "line 3: must hold numbers in range, without a plus sign, got '1 1 +5'"),
    "an endless line": (REAL + b"2 2 1\n1 1 1" + b" " * 9_000_000 + b"7\n", "line 3: must be at most 4096 characters"),
    "no banner": (b"1 1 1\n1 1 1\n", "line 1: must begin with %%MatrixMarket, got '1 1 1'"),
    "a short banner": (
        b"%%MatrixMarket matrix\n1 1 1\n1 1 1\n",
        "line 1: must be '%%MatrixMarket matrix coordinate FIELD SYMMETRY'",
    ),
    "a dense file": (
        REAL.replace(b"coordinate", b"array") + b"1 1\n1\n",
        "line 1: format must be coordinate, got 'array'",
    ),
    "complex values": (REAL.replace(b"real", b"complex") + b"1 1 1\n1 1 1 0\n", "line 1: field must be real or double"),
    "hermitian": (
        SYMMETRIC.replace(b"symm", b"hermitian-symm") + b"1 1 1\n1 1 1\n",
        "line 1: symmetry must be general or",
    ),
    "a misspelt field": (REAL.replace(b"real", b"reel") + b"1 1 1\n1 1 1\n", "got 'reel' - did you mean 'real'?"),
    "no size line": (REAL + b"% only comments\n", "line 3: the size line 'rows columns entries' is absent"),
    "two sizes": (REAL + b"2 2\n1 1 1\n", "line 2: must be 'rows columns entries', got '2 2'"),
    "endless comments": (REAL + b"%\n" * 600_000 + b"1 1 1\n1 1 1\n", "no size line within the first 1048576 bytes"),
    "a NUL in the header": (REAL + b"1 1\x00 1\n1 1 1\n", "line 2: must be text, got a NUL byte"),
    "a symmetric rectangle": (SYMMETRIC + b"2 3 1\n2 1 1\n", "line 2: a symmetric matrix must be square, got 2 x 3"),
    "a diagonal in skew symmetry": (
        SKEW + b"2 2 2\n2 1 5\n2 2 5\n",
        "line 4: a skew-symmetric matrix must have no value on its diagonal, got '2 2 5'",
    ),
    "a gzip by another name": (gzip.compress(REAL + b"1 1 1\n1 1 1\n"), "is a gzip file; its name must end in .mtx.gz"),
    "an empty file": (b"", "is empty"),
}


@pytest.mark.parametrize("case", sorted(HOSTILE))
def test_hostile_text_gets_one_clear_line(tmp_path: Path, case: str) -> None:
    text, expected = HOSTILE[case]
    assert expected in _refusal(tmp_path, text)


@pytest.mark.parametrize("case", sorted(HOSTILE.keys() - {"a gzip by another name", "an empty file"}))
def test_hostile_text_is_refused_alike_within_gzip(tmp_path: Path, case: str) -> None:
    text, expected = HOSTILE[case]
    message = _refusal(tmp_path, gzip.compress(text), "a.mtx.gz")
    # A gzip's promise is held against what deflate could hold at best; the figures differ.
    assert expected.split(";")[0] in message or "more text than" in message


def test_damaged_gzips_are_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    entries = "".join(f"{i} {j}\n" for i, j in rng.integers(1, 1000, (5000, 2)))
    packed = gzip.compress(PATTERN + b"1000 1000 5000\n" + entries.encode())
    assert _refusal(tmp_path, packed[:-9000], "a.mtx.gz") == "is a truncated gzip file"
    assert _refusal(tmp_path, packed[:-3], "a.mtx.gz") == "is a truncated gzip file"
    assert _refusal(tmp_path, packed[:5], "a.mtx.gz") == "is a truncated gzip file"
    assert _refusal(tmp_path, b"plain text", "a.mtx.gz") == "is not a sound gzip file"
    assert _refusal(tmp_path, packed[:-8] + b"\0" * 8, "a.mtx.gz") == "is not a sound gzip file"
    assert _refusal(tmp_path, packed + b"rubbish", "a.mtx.gz") == "is not a sound gzip file"
    assert _refusal(tmp_path, gzip.compress(b""), "a.mtx.gz") == "is empty"
    assert _refusal(tmp_path, b"", "a.mtx.gz") == "is empty"


def test_a_gzip_bomb_is_refused_before_it_unpacks(tmp_path: Path) -> None:
    blanks = gzip.compress(REAL + b"2 2 1\n1 1 1\n" + b"\n" * 50_000_000)
    assert "holds more text than the 1 entries it promises" in _refusal(tmp_path, blanks, "a.mtx.gz")
    same = gzip.compress(PATTERN + b"2 2 20000000\n" + b"1 1\n" * 20_000_000, 9)
    assert "unpacks to more than 200 times" in _refusal(tmp_path, same, "a.mtx.gz")


def test_a_matrix_beyond_the_memory_budget_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SILOOM_MEMORY_BYTES", "1000000")
    message = _refusal(tmp_path, REAL + b"100000 100000 1\n1 1 1\n")
    assert "a matrix of 1 entries would take 3.05 MiB, more than the memory budget of 0.954 MiB" in message
    monkeypatch.setenv("SILOOM_MEMORY_BYTES", "lots")
    with pytest.raises(InputError, match="SILOOM_MEMORY_BYTES must be a whole number above 0, got 'lots'"):
        bounds.memory_budget()


def test_what_is_not_a_regular_file_is_refused(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.mtx"
    os.mkfifo(pipe)
    for path, rule in (
        (tmp_path / "absent.mtx", "no such file"),
        (tmp_path, "is a directory, not a file"),
        (pipe, "is not a regular file"),
        (Path("/dev/zero"), "is not a regular file"),
        (tmp_path / ("x" * 5000), "cannot be read"),
        (tmp_path / "nul\0.mtx", "cannot be read"),
    ):
        with pytest.raises(InputError, match=rule) as caught:
            read_matrix_market(path)
        assert str(caught.value).isprintable() and len(str(caught.value)) < 400


def _oracle(text: bytes) -> tuple[tuple[int, int], dict[tuple[int, int], float]]:
    """Read a text the slow and strict way; anything odd is an error."""
    lines = [line.strip(b" \t\r") for line in text.split(b"\n")]
    _, kind, form, field, symmetry = lines[0].decode("latin-1").lower().split()
    assert (kind, form) == ("matrix", "coordinate")
    first = next(i for i, line in enumerate(lines) if i and line and not line.startswith(b"%"))
    rows, cols, count = (int(word) for word in lines[first].split())
    entries = [line.split() for line in lines[first + 1 :] if line]
    assert len(entries) == count
    out: dict[tuple[int, int], float] = {}
    for entry in entries:
        assert len(entry) == (2 if field == "pattern" else 3)
        value = 1.0 if field == "pattern" else float(int(entry[2]) if field == "integer" else entry[2].decode())
        i, j = int(entry[0]) - 1, int(entry[1]) - 1
        assert 0 <= i < rows and 0 <= j < cols and math.isfinite(value)
        out[i, j] = out.get((i, j), 0.0) + value
        if symmetry != "general" and i != j:
            out[j, i] = out.get((j, i), 0.0) + (-value if symmetry == "skew-symmetric" else value)
    return (rows, cols), out


SOUND = (
    REAL + b"% c\n3 4 4\n1 1 1.5\n2 3 -2e-3\n3 4 .5\n1 1 7.\n",
    INTEGER.replace(b"general", b"symmetric") + b"4 4 3\n1 1 15\n3 2 -2\n4 4 0\n",
    PATTERN.replace(b"\n", b"\r\n") + b"3 3 3\r\n1 1\r\n2 3\r\n\r\n3 3",
    SKEW + b"3 3 2\n2 1 5\n3 1 1e30\n",
)
PIECES = (b"", b"\0", b"\n", b" ", b"\t", b"\r", b"-", b"+", b".", b"e", b"E", b"0", b"1", b"9", b"99999999999", b"nan")
PIECES += (b"inf", b"%", b"\xff", b"x", b"1e999", b"\x0b", b",", b"_", b"d5", b"4294967297", b"18446744073709551617")


@settings(
    max_examples=400, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.sampled_from(SOUND),
    st.lists(st.tuples(st.integers(0, 120), st.integers(0, 2), st.sampled_from(PIECES)), min_size=1, max_size=3),
    st.sampled_from([8, 1 << 22]),
)
def test_damaged_text_is_read_right_or_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    text: bytes,
    damages: list[tuple[int, int, bytes]],
    chunk: int,
) -> None:
    monkeypatch.setattr(entry_lines, "_CHUNK", chunk)
    for at, dropped, piece in damages:
        text = text[:at] + piece + text[at + dropped :]
    try:
        matrix, _ = _read(tmp_path, text)
    except InputError as error:
        assert str(error).isprintable()
        return
    shape, expected = _oracle(text)
    triplets = matrix.to_scipy().tocoo()
    got = dict(zip(zip(*map(np.ndarray.tolist, triplets.coords), strict=True), triplets.data.tolist(), strict=True))
    assert matrix.shape == shape
    assert got == pytest.approx(expected, rel=1e-12)


def test_every_real_matrix_has_the_sizes_of_its_header(shared_data: Path) -> None:
    paths = sorted((shared_data / "matrices").iterdir())
    assert len(paths) >= 16
    for path in paths:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as stream:
            symmetry = stream.readline().split()[-1]
            line = next(line for line in stream if line.strip() and not line.startswith(b"%"))
            rows, cols, entries = map(int, line.split())
            diagonal = 0
            if symmetry != b"general":
                diagonal = sum(words[0] == words[1] for words in map(bytes.split, stream))
        matrix, about = read_matrix_market(path)
        assert matrix.shape == (rows, cols), path.name
        stored = entries if symmetry == b"general" else 2 * entries - diagonal
        assert matrix.nnz + about["duplicates_summed"] == stored, path.name
