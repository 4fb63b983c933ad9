"""Matrix Market coordinate files, plain or gzip, read by scipy once they are known to be sound.

Taken: ``general``, ``symmetric`` and ``skew-symmetric``; ``real`` (also spelled ``double``),
``integer`` and ``pattern``. Dense (``array``), ``complex`` and ``hermitian`` files are refused.
Before anything is allocated the header is held against the file's size and the memory budget.
"""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from siloom.sim.errors import InputError, did_you_mean
from siloom.sim.sparse import Csr
from siloom.workloads.bounds import check_bytes, check_shape, place
from siloom.workloads.entry_lines import check_entry_lines, line_of_entry, text_line
from siloom.workloads.regular_file import regular_file_size

_BANNER = b"%%MatrixMarket"
_MAX_HEADER = 1 << 20
_FIELDS = {"real": "real", "double": "real", "integer": "integer", "pattern": "pattern"}
_SYMMETRIES = ("general", "skew-symmetric", "symmetric")

_DEFLATE_BEST = 1032
"""deflate never makes text smaller than this ratio, so a gzip cannot hold more."""
_SUSPECT_RATIO = 200
_SUSPECT_BYTES = 64 << 20
"""Text of more than this size and that many times its gzip is no matrix."""
_ENTRY_TEXT = 512
"""Longest text of one entry: two indices and a double written without an exponent fit."""
_ENTRY_BYTES = 80
"""Peak of text, scipy's triplets, its CSR and ours, per entry after mirroring."""


@dataclass(frozen=True)
class Header:
    """The first lines of a file. Entries begin at offset ``body``, on line number ``line``."""

    rows: int
    cols: int
    entries: int
    field: str
    symmetry: str
    body: int
    line: int

    @property
    def columns(self) -> int:
        """Numbers on an entry's line."""
        return 2 if self.field == "pattern" else 3

    @property
    def text(self) -> bytes:
        """The same header in its plainest form, with as many lines.

        scipy is given this one, so that no header is ever read in two ways.
        """
        banner = f"{_BANNER.decode()} matrix coordinate {self.field} {self.symmetry}\n"
        return (banner + "\n" * (self.line - 3) + f"{self.rows} {self.cols} {self.entries}\n").encode()

    @property
    def least_bytes(self) -> int:
        """The least text that the promised entries take; the last newline may be absent."""
        return max(0, self.entries * 2 * self.columns - 1)


def read_matrix_market(path: Path) -> tuple[Csr, dict[str, Any]]:
    """The matrix of a ``.mtx`` or ``.mtx.gz`` file, and what is worth saying of it.

    Doubled entries are summed; ``duplicates_summed`` counts them, after mirroring.

    Raises:
        InputError: absent, not a regular file, empty, or in any way not what it says it is.
    """
    where = place(path)
    header, text = _read_text(path, where)
    check_entry_lines(
        where,
        text,
        len(header.text),
        header.line,
        columns=header.columns,
        real=header.field == "real",
        entries=header.entries,
    )
    about: dict[str, Any] = {
        "file": path.name,
        "field": header.field,
        "symmetry": header.symmetry,
        "entries_in_file": header.entries,
    }
    if header.entries == 0:
        empty = np.zeros(0, np.int64)
        return Csr((header.rows, header.cols), np.zeros(header.rows + 1, np.int64), empty, np.zeros(0)), about
    triplets = _parse(where, header, text)
    _check_values(where, header, text, triplets)
    csr = triplets.tocsr()
    about["duplicates_summed"] = int(triplets.nnz - csr.nnz)
    if about["duplicates_summed"] and not np.isfinite(csr.data).all():
        raise InputError(f"{where}: doubled entries must have a finite sum")
    return Csr.from_scipy(csr), about


def _read_text(path: Path, where: str) -> tuple[Header, bytes]:
    """The checked header, and the text with the header in its plainest form.

    No more is read than the header can account for.
    """
    size = regular_file_size(path)
    packed = path.name.lower().endswith(".gz")
    try:
        with gzip.open(path, "rb") if packed else path.open("rb") as stream:
            head = stream.read(_MAX_HEADER)
            if not packed and head.startswith(b"\x1f\x8b"):
                raise InputError(f"{where}: is a gzip file; its name must end in .mtx.gz")
            header = parse_header(where, head)
            room = size * _DEFLATE_BEST if packed else size
            _check_promise(where, header, room - header.body)
            parts = [header.text, head[header.body :]]
            if packed:
                parts += _unpacked(where, header, stream, size)
            else:
                parts.append(stream.read(max(0, size - len(head))))
    except (gzip.BadGzipFile, zlib.error):
        raise InputError(f"{where}: is not a sound gzip file") from None
    except EOFError:
        raise InputError(f"{where}: is a truncated gzip file") from None
    except OSError as error:
        raise InputError(f"{where}: cannot be read: {error.strerror}") from None
    text = b"".join(parts)
    if not text.endswith(b"\n"):
        # scipy's parser runs past the end of a text that ends in blanks.
        text = text.rstrip(b" \t\r") + b"\n"
    return header, text


def _unpacked(where: str, header: Header, stream: Any, size: int) -> Iterator[bytes]:
    """The rest of a gzip, refused as soon as it is more than the header can account for."""
    most = max(_MAX_HEADER, _ENTRY_TEXT * (header.entries + 1))
    total = 0
    while part := stream.read(1 << 20):
        total += len(part)
        if total > most:
            raise InputError(f"{where}: holds more text than the {header.entries} entries it promises can take")
        if total > max(_SUSPECT_BYTES, _SUSPECT_RATIO * size):
            raise InputError(f"{where}: unpacks to more than {_SUSPECT_RATIO} times its {size} bytes")
        yield part


def _check_promise(where: str, header: Header, room: int) -> None:
    """Hold the header against the room that the file leaves for entries, and against memory."""
    if header.least_bytes > room:
        raise InputError(
            f"{where}: line {header.line - 1}: promises {header.entries} entries, "
            f"which take at least {header.least_bytes} bytes; the file has {max(0, room)} for them"
        )
    check_shape(f"{where}: line {header.line - 1}", header.rows, header.cols, header.entries)
    stored = header.entries * (1 if header.symmetry == "general" else 2)
    pointers = 16 * (header.rows + header.cols)
    check_bytes(where, stored * _ENTRY_BYTES + pointers, f"a matrix of {header.entries} entries")


def parse_header(where: str, head: bytes) -> Header:
    """Read banner, comments and size line from the first bytes of a file.

    Raises:
        InputError: naming the line, the rule and what stands there.
    """
    if not head:
        raise InputError(f"{where}: is empty")
    banner, _, _ = head[:1024].partition(b"\n")
    if not head.startswith(_BANNER):
        raise InputError(f"{where}: line 1: must begin with {_BANNER.decode()}, got {_shown(banner)}")
    field, symmetry = _banner_words(where, banner)
    start, line = len(banner) + 1, 2
    while True:
        end = head.find(b"\n", start)
        if end < 0 and len(head) >= _MAX_HEADER:
            raise InputError(f"{where}: line {line}: no size line within the first {_MAX_HEADER} bytes")
        end = len(head) if end < 0 else end
        text = head[start:end].strip(b" \t\r")
        if b"\0" in text:
            raise InputError(f"{where}: line {line}: must be text, got a NUL byte")
        if text and not text.startswith(b"%"):
            break
        if end >= len(head):
            raise InputError(f"{where}: line {line}: the size line 'rows columns entries' is absent")
        start, line = end + 1, line + 1
    rows, cols, entries = _sizes(where, line, text)
    if symmetry != "general" and rows != cols:
        raise InputError(f"{where}: line {line}: a {symmetry} matrix must be square, got {rows} x {cols}")
    return Header(rows, cols, entries, field, symmetry, min(end + 1, len(head)), line + 1)


def _banner_words(where: str, banner: bytes) -> tuple[str, str]:
    """Field and symmetry of a banner."""
    words = banner.decode("latin-1").lower().split()
    if len(words) != 5:
        raise InputError(
            f"{where}: line 1: must be '{_BANNER.decode()} matrix coordinate FIELD SYMMETRY', got {_shown(banner)}"
        )
    rules = {
        "object": ("matrix",),
        "format": ("coordinate",),
        "field": tuple(_FIELDS),
        "symmetry": _SYMMETRIES,
    }
    for (name, known), word in zip(rules.items(), words[1:], strict=True):
        if word not in known:
            hint = did_you_mean(word, known) if len(known) > 1 else ""
            raise InputError(f"{where}: line 1: {name} must be {' or '.join(known)}, got {word[:40]!r}{hint}")
    return _FIELDS[words[3]], words[4]


def _sizes(where: str, line: int, text: bytes) -> tuple[int, int, int]:
    """The three numbers of the size line."""
    words = text.split()
    if len(words) != 3:
        raise InputError(f"{where}: line {line}: must be 'rows columns entries', got {_shown(text)}")
    for name, word in zip(("rows", "columns", "entries"), words, strict=True):
        if not word.isdigit() or len(word) > 24:
            raise InputError(f"{where}: line {line}: {name} must be a whole number below 1e24, got {_shown(word)}")
    rows, cols, entries = (int(word) for word in words)
    return rows, cols, entries


def _shown(text: bytes) -> str:
    return repr(text[:40].decode("latin-1").strip())


def _parse(where: str, header: Header, text: bytes) -> Any:
    """Triplets that scipy reads of a checked text, values as float64."""
    from scipy.io import mmread

    try:
        triplets: Any = mmread(io.BytesIO(text))
    except (ValueError, OverflowError) as error:
        raise InputError(f"{where}: {_reader_error(header, text, str(error))}") from None
    # 64-bit integers would wrap silently where doubled entries are summed.
    triplets.data = triplets.data.astype(np.float64, copy=False)
    return triplets


def _reader_error(header: Header, text: bytes, message: str) -> str:
    """The reader's complaint in our words; its own words change between releases."""
    number = re.search(r"[Ll]ine (\d+)", message)
    at = f"line {number[1]}: " if number else ""
    got = f", got '{text_line(text, int(number[1]))}'" if number else ""
    for name, size in (("row", header.rows), ("column", header.cols)):
        if f"{name} index out of bounds" in message.lower():
            return f"{at}{name} index must be between 1 and {size}{got}"
    if "out of range" in message.lower():
        return f"{at}index must be between 1 and {header.rows} (row), {header.cols} (column){got}"
    return f"{at}must hold numbers in range, without a plus sign{got}"


def _check_values(where: str, header: Header, text: bytes, triplets: Any) -> None:
    """Values must be finite, and a skew-symmetric matrix has nothing on its diagonal."""
    bad = ~np.isfinite(triplets.data)
    rule = "value must be finite"
    if not bad.any() and header.symmetry == "skew-symmetric":
        bad = (triplets.row == triplets.col) & (triplets.data != 0)
        rule = "a skew-symmetric matrix must have no value on its diagonal"
    if bad.any():
        # Mirrored entries follow the file's own, so the first offender is one of the file's.
        line = line_of_entry(text, len(header.text), header.line, int(bad.argmax()))
        raise InputError(f"{where}: line {line}: {rule}, got '{text_line(text, line)}'")
