"""Topology files of SCALE-Sim (Samajdar et al., ISPASS 2020): a CSV with a layer a line.

Two kinds, told apart by the names in the first line, which also give the order of the columns::

    Layer, M, N, K,                  (M, K, N in some)
    Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,

Version 3 adds ``Sparsity`` (N:M), others ``Batch Size`` or a stride for each direction. Commas at the
end of a line may be there or not, a comment (``#...``) after the last one too. What SCALE-Sim does
and its file does not say is kept, and noted where it matters:

- there is no padding, and outputs are ceil((h - r + stride) / stride): where the stride does not
  divide, the input is taken as large as that needs;
- a layer with ``DP`` in its name is depthwise: as many layers of one channel as it has channels
  (its loader does so from version 2 on), or one grouped convolution if asked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from siloom.sim.errors import InputError
from siloom.sim.ops import Conv, Item, MatMul
from siloom.workloads.bounds import place
from siloom.workloads.regular_file import regular_file_size

_MAX_BYTES = 1 << 20
_MAX_LAYERS = 10_000
_MAX_VALUE = 2**31 - 1
_LONGEST_NAME = 200

_NAMES = ("layer", "layer name")
_GEMM = ("m", "n", "k")
_CONV: Mapping[str, str] = {
    "ifmap height": "h",
    "ifmap width": "w",
    "filter height": "r",
    "filter width": "s",
    "channels": "c",
    "num filter": "k",
    "num filters": "k",
    "strides": "stride",
    "stride": "stride",
    "stride height": "stride",
    "stride width": "stride_w",
}
_BOTH = {"sparsity": "sparsity", "batch": "batch", "batch size": "batch"}
_CONV_NEEDED = ("h", "w", "r", "s", "c", "k", "stride")

DEPTHWISE = ("scalesim", "grouped")
"""What a depthwise layer becomes: layers of one channel, or one grouped convolution."""


@dataclass
class _Reader:
    """What lines are read with, and the notes that come of them."""

    where: str
    format: str
    depthwise: str
    notes: list[str] = field(default_factory=list)


def read_topology(path: Path, number_format: str, depthwise: str) -> tuple[tuple[Item, ...], list[str]]:
    """The layers of a topology file in ``number_format``, and notes on what was taken how.

    Raises:
        InputError: absent, not a topology, a value missing, surplus or out of range (with its line).
    """
    where = place(path)
    lines = [(number, line) for number, line in enumerate(_text(path, where).splitlines(), 1) if line.strip()]
    if not lines:
        raise InputError(f"{where}: is empty")
    fields, titles, make = _header(where, *lines[0])
    reader = _Reader(where, number_format, depthwise)
    items = []
    for number, line in lines[1:]:
        at = f"{where}: line {number}"
        name, values = _row(at, line, fields, titles)
        try:
            items.append(make(reader, name or f"layer {number}", values))
        except InputError as error:
            message = str(error)
            raise InputError(message if message.startswith(at) else f"{at}: {message}") from None
    if not 1 <= len(items) <= _MAX_LAYERS:
        raise InputError(f"{where}: must hold 1 to {_MAX_LAYERS} layers, got {len(items)}")
    return tuple(items), reader.notes


def _text(path: Path, where: str) -> str:
    size = regular_file_size(path)
    if size > _MAX_BYTES:
        raise InputError(f"{where}: must be at most {_MAX_BYTES} bytes, got {size}")
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: must be UTF-8 text, got byte {error.start} of another kind") from None
    except OSError as error:
        raise InputError(f"{where}: cannot be read: {error.strerror}") from None


def _cells(line: str) -> list[str]:
    """A line's values, without a comment that stands after a comma and what is empty at the end."""
    cells = [cell.strip() for cell in line.split(",")]
    comment = next((i for i, cell in enumerate(cells) if i and cell.startswith("#")), len(cells))
    cells = cells[:comment]
    while cells and not cells[-1]:
        cells.pop()
    return cells


_Make = Callable[[_Reader, str, dict[str, str]], Item]


def _header(where: str, number: int, line: str) -> tuple[list[str], list[str], _Make]:
    """Which field each column holds, what the file calls it, and what makes an operation of a line."""
    titles = _cells(line)
    plain = [" ".join(title.lower().replace("_", " ").split()) for title in titles]
    at = f"{where}: line {number}"
    if not plain or plain[0] not in _NAMES:
        shown = place(titles[0] if titles else "")
        raise InputError(f"{at}: the first column must be called Layer or Layer name, got '{shown}'")
    gemm = set(_GEMM) <= set(plain)
    known = {**(dict(zip(_GEMM, _GEMM, strict=True)) if gemm else _CONV), **_BOTH}
    fields = ["name"]
    for title, shown in zip(plain[1:], titles[1:], strict=True):
        if title not in known or known[title] in fields:
            rule = "is not one of SCALE-Sim's" if title not in known else "is there twice"
            raise InputError(f"{at}: column '{place(shown)}' {rule}: Layer, M, N, K or Layer name, IFMAP Height, ...")
        fields.append(known[title])
    missing = [name for name in (_GEMM if gemm else _CONV_NEEDED) if name not in fields]
    if missing:
        wanted = next(title for title, name in _CONV.items() if name == missing[0])
        raise InputError(f"{at}: no column '{wanted}'")
    return fields, titles, _gemm if gemm else _conv


def _row(at: str, line: str, fields: list[str], titles: list[str]) -> tuple[str, dict[str, str]]:
    """A layer's name and its values by field; what may be left out is one."""
    cells = _cells(line)
    needed = max(position for position, name in enumerate(fields) if name not in _BOTH.values()) + 1
    if not needed <= len(cells) <= len(fields):
        rule = str(needed) if needed == len(fields) else f"{needed} to {len(fields)}"
        raise InputError(f"{at}: must hold {rule} values, got {len(cells)}")
    values = dict(zip(fields[1:], cells[1:], strict=False))
    for name, title in zip(fields[1:], titles[1:], strict=True):
        text = values.get(name, "1")
        if name == "sparsity":
            continue
        if not text.isascii() or not text.isdecimal() or len(text) > 10 or not 1 <= int(text) <= _MAX_VALUE:
            raise InputError(f"{at}: {title} must be a whole number from 1 to {_MAX_VALUE}, got '{place(text)}'")
    if len(cells[0]) > _LONGEST_NAME:
        raise InputError(f"{at}: a layer's name must be at most {_LONGEST_NAME} characters, got {len(cells[0])}")
    return cells[0] if cells[0].isprintable() else ascii(cells[0]), values


def _sparse24(reader: _Reader, name: str, values: dict[str, str], *, possible: bool) -> bool:
    """Whether a layer's weights are 2:4 sparse; other ratios are noted and taken as dense."""
    text = values.get("sparsity", "1:1") or "1:1"
    ratio = re.fullmatch(r"(\d{1,4}):(\d{1,4})", text, re.ASCII)
    kept, block = map(int, ratio.groups()) if ratio else (0, 0)
    if not 1 <= kept <= block:
        raise InputError(f"Sparsity must be N:M with 1 <= N <= M, got '{place(text)}'")
    if kept == block:
        return False
    if possible and (kept, block) == (2, 4):
        return True
    reader.notes.append(f"{name}: sparsity {text} is taken as dense")
    return False


def _gemm(reader: _Reader, name: str, values: dict[str, str]) -> Item:
    m, n, k = (int(values[letter]) for letter in _GEMM)
    sparse24 = _sparse24(reader, name, values, possible=k % 4 == 0)
    batch = int(values.get("batch", "1"))
    return Item(MatMul(name=name, m=m, n=n, k=k, batch=batch, format=reader.format, sparse24=sparse24))


def _conv(reader: _Reader, name: str, values: dict[str, str]) -> Item:
    h, w, r, s, c, k, stride = (int(values[letter]) for letter in _CONV_NEEDED)
    stride_w, batch = int(values.get("stride_w", values["stride"])), int(values.get("batch", "1"))
    _sparse24(reader, name, values, possible=False)
    if r > h or s > w:
        raise InputError(f"the filter must be no larger than its input, got {r} x {s} on {h} x {w}")
    rows, cols = -(-(h - r + stride) // stride), -(-(w - s + stride_w) // stride_w)
    depthwise = "DP" in name
    if stride != stride_w:
        reader.notes.append(f"{name}: strides {stride} x {stride_w} are taken as the product that they are lowered to")
        channels = 1 if depthwise else c
        product = MatMul(name=name, m=batch * rows * cols, n=k, k=r * s * channels, format=reader.format, shared=True)
        return Item(product, c if depthwise else 1)
    taken_h, taken_w = (rows - 1) * stride + r, (cols - 1) * stride + s
    if (taken_h, taken_w) != (h, w):
        reader.notes.append(f"{name}: the input is taken as {taken_h} x {taken_w}, which stride {stride} divides")
    grouped = depthwise and reader.depthwise == "grouped"
    if depthwise:
        reader.notes.append(
            f"{name}: depthwise (DP), taken as "
            + (f"one convolution of {c} groups" if grouped else f"{c} layers of one channel, as SCALE-Sim does")
        )
    op = Conv(
        name=name,
        h=taken_h,
        w=taken_w,
        c=1 if depthwise and not grouped else c,
        r=r,
        s=s,
        k=c * k if grouped else k,
        stride=stride,
        groups=c if grouped else 1,
        batch=batch,
        format=reader.format,
    )
    return Item(op, c if depthwise and not grouped else 1)
