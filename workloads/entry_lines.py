"""The lines of a Matrix Market body, checked byte by byte before a parser reads them.

scipy's reader is fast and trusting: it reads ``1d5`` as 1 and ``5.5`` in an integer file as 5,
drops surplus columns, takes ``1 1.5 2`` for a value of .5, and crashes on a NUL. After this check
every line is blank or holds exactly the promised columns, each a plain number, and the lines are as
many as the header says; what is left to the parser is the numbers' range.

The check runs on numpy arrays of a quarter megabyte of text at a time, at about 10 ns a byte.
"""

from __future__ import annotations

from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from siloom.sim.errors import InputError

_CHUNK = 1 << 18
_LONGEST_LINE = 4096
_BLANK, _DIGIT, _SIGN, _POINT, _EXPONENT, _OTHER = range(6)

# Which class may follow which; a blank is also what stands before and after the text.
_FOLLOWERS = {
    _BLANK: (_BLANK, _DIGIT, _SIGN, _POINT),
    _DIGIT: (_BLANK, _DIGIT, _POINT, _EXPONENT),
    _SIGN: (_DIGIT, _POINT),
    _POINT: (_BLANK, _DIGIT, _EXPONENT),
    _EXPONENT: (_DIGIT, _SIGN),
    _OTHER: (),
}
_PAIR_IS_BAD = np.ones(64, dtype=np.bool_)
for _first, _nexts in _FOLLOWERS.items():
    _PAIR_IS_BAD[[_first * 8 + n for n in _nexts]] = False


def _classes(*, fractions: bool) -> NDArray[np.uint8]:
    table = np.full(256, _OTHER, dtype=np.uint8)
    table[list(b" \t\r\n")] = _BLANK
    table[list(b"0123456789")] = _DIGIT
    table[list(b"+-")] = _SIGN
    if fractions:
        table[list(b".")] = _POINT
        table[list(b"eE")] = _EXPONENT
    return table


_REAL = _classes(fractions=True)
_WHOLE = _classes(fractions=False)


def check_entry_lines(
    where: str, text: bytes, start: int, line: int, *, columns: int, real: bool, entries: int
) -> None:
    """Check ``text[start:]``, whose first line is number ``line`` of the file.

    Each line that is not blank must hold ``columns`` numbers: the last may have a fraction and an
    exponent where ``real``. There must be ``entries`` such lines.

    Raises:
        InputError: naming the line, the rule and what stands there.
    """
    found = 0
    while start < len(text):
        end = _chunk_end(where, text, start, line)
        classes = (_REAL if real else _WHOLE)[np.frombuffer(text, np.uint8, end - start, start)]
        padded = np.zeros(len(classes) + 2, dtype=np.uint8)
        padded[1:-1] = classes
        bad = _PAIR_IS_BAD[padded[:-1] * np.uint8(8) + padded[1:]]
        if bad.any():
            _refuse_word(where, text, start, min(start + int(bad.argmax()), end - 1), line)
        starts = np.flatnonzero((classes != _BLANK) & (padded[:-2] == _BLANK))
        ends = np.flatnonzero(np.frombuffer(text, np.uint8, end - start, start) == ord("\n"))
        if text[end - 1] != ord("\n"):
            ends = np.append(ends, end - start)
        words = np.diff(np.searchsorted(starts, ends), prepend=0)
        wrong = (words != columns) & (words != 0)
        if wrong.any():
            at = int(wrong.argmax())
            raise InputError(f"{where}: line {line + at}: must hold {columns} numbers, got {int(words[at])}")
        _check_points(where, text, start, line, starts, classes, columns)
        used = np.flatnonzero(words)
        if found + len(used) > entries:
            at = line + int(used[entries - found])
            raise InputError(f"{where}: line {at}: surplus entry: the header promises {entries} entries")
        found += len(used)
        line += len(ends)
        start = end
    if found < entries:
        raise InputError(f"{where}: is cut short: the header promises {entries} entries, got {found}")


def _chunk_end(where: str, text: bytes, start: int, line: int) -> int:
    """Where a chunk of whole lines ends."""
    least = min(start + _CHUNK, len(text))
    if least == len(text):
        return least
    newline = text.find(b"\n", least - 1, least + _LONGEST_LINE)
    if newline >= 0:
        return newline + 1
    if least + _LONGEST_LINE >= len(text):
        return len(text)
    line += text.count(b"\n", start, least)
    raise InputError(f"{where}: line {line}: must be at most {_LONGEST_LINE} characters")


def _check_points(
    where: str,
    text: bytes,
    start: int,
    line: int,
    starts: NDArray[np.intp],
    classes: NDArray[np.uint8],
    columns: int,
) -> None:
    """Points and exponents: in the last column only, at most one of each, the point first."""
    places = np.flatnonzero((classes == _POINT) | (classes == _EXPONENT))
    if not len(places):
        return
    word = np.searchsorted(starts, places, side="right") - 1
    bad = word % columns != columns - 1
    here, before = classes[places[1:]], classes[places[:-1]]
    bad[1:] |= (word[1:] == word[:-1]) & ~((before == _POINT) & (here == _EXPONENT))
    if bad.any():
        _refuse_word(where, text, start, start + int(places[bad.argmax()]), line)


def _refuse_word(where: str, text: bytes, start: int, at: int, line: int) -> NoReturn:
    """Name the word around ``at``; ``start`` is where line number ``line`` begins."""
    line += text.count(b"\n", start, at)
    if text[at : at + 1].isspace() and at > start:
        at -= 1
    left = max(text.rfind(blank, start, at) for blank in (b" ", b"\t", b"\n", b"\r")) + 1
    word = text[max(left, start, at - 40) : at + 40].split()
    shown = word[0].decode("latin-1") if word else ""
    if shown.lower().lstrip("+-") in ("nan", "inf", "infinity"):
        raise InputError(f"{where}: line {line}: value must be finite, got {shown!r}")
    raise InputError(f"{where}: line {line}: must hold plain numbers only, got {shown!r}")


def text_line(text: bytes, number: int) -> str:
    """Line ``number`` of ``text`` (from 1), as messages show it; empty if there is none."""
    start = 0
    for _ in range(number - 1):
        start = text.find(b"\n", start) + 1
        if start == 0:
            return ""
    return " ".join(text[start : start + 60].split(b"\n", 1)[0].decode("latin-1").split())


def line_of_entry(text: bytes, start: int, line: int, entry: int) -> int:
    """The line number of entry ``entry`` (from 0) of a checked body at ``start``."""
    while True:
        end = text.find(b"\n", start)
        end = len(text) if end < 0 else end
        if text[start:end].strip():
            if entry == 0:
                return line
            entry -= 1
        if end == len(text):
            return line
        start = end + 1
        line += 1
