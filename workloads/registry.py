"""Workloads by text: files, named workloads with settings, and products of two matrices.

What :func:`load` takes:

- ``A.mtx``, ``A.mtx.gz``, ``A.npz`` (scipy): the product A A, or A A^T where A is not square;
- ``A.mtx@B.mtx``: A B; either side may be a drawn matrix, ``uniform:n=100@B.mtx``;
- ``masks.npz`` with an array ``kept``: SDDMM and SpMM for each mask, heads of 64 elements;
  ``kept:file=masks.npz,dim=32`` for others;
- ``operands.npz`` with arrays ``q``, ``k`` and ``v``: attention with these values
  (:mod:`siloom.workloads.npz_attention`); ``qkv:file=operands.npz,format=bf16`` for another format;
- ``bert:checkpoint=DIR,text=FILE`` and ``minilm:text=FILE``: attention with the values that a BERT has on a text
  (:mod:`siloom.workloads.text_attention`);
- ``spmm:n=64,file=PATH`` and ``sddmm:k=64,file=PATH``: on any matrix file or every mask of one;
- ``layer.toml``: a list of operations (:mod:`siloom.workloads.operation_list`);
- ``config.json``: a model of Hugging Face (:mod:`siloom.workloads.hf_config`); ``hf:config=PATH,seq=128`` for others
  than its default sizes;
- ``topology.csv``: layers of SCALE-Sim (:mod:`siloom.workloads.scalesim`); ``scalesim:topology=PATH,format=fp16``;
- ``model.onnx``: an ONNX model (:mod:`siloom.workloads.onnx_file`); ``onnx:file=PATH,batch=8,seq=128`` for others
  than its default sizes;
- ``NAME`` or ``NAME:key=value,...`` for each file of ``generators/``. A path in a setting has no comma.

Nothing but the standard library and numpy is imported until a text needs it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from siloom.sim.errors import InputError, UsageError
from siloom.sim.ops import MAX_COUNT, Workload
from siloom.sim.settings import Named, parse_named
from siloom.sim.sparse import Csr
from siloom.workloads.bounds import place
from siloom.workloads.catalogue import (
    FILE_SUFFIXES,
    FieldInfo,
    WorkloadInfo,
    find_generator,
    generator_names,
    list_workloads,
)
from siloom.workloads.generator import FILE_UNIT, MatrixGenerator, OperationGenerator
from siloom.workloads.matrix_files import MATRIX_SUFFIXES, has_suffix, read_matrix
from siloom.workloads.product import product

__all__ = ["FieldInfo", "WorkloadInfo", "list_workloads", "load"]

_LONGEST_TEXT = 4096

_NETWORK_FILES = ((".json", "hf", "config"), (".csv", "scalesim", "topology"), (".onnx", "onnx", "file"))
"""Kinds of file that a named workload reads: suffix, its name, its setting."""


def load(text: str | Path) -> Workload:
    """The workload that a text or path names.

    Raises:
        UsageError: an unknown name or field.
        InputError: an absent or malformed file, a value out of range, operands that do not conform,
            or more than memory or 64-bit counters hold.
    """
    try:
        workload = _file_workload(text) if isinstance(text, Path) else _text_workload(text)
    except MemoryError:
        raise InputError(f"{place(text)}: does not fit in memory") from None
    for item in workload.items:
        if item.op.flops * item.repeat >= 2 * MAX_COUNT:
            raise InputError(f"{workload.name}: {item.op.name or item.op.kind}: must count below 2^62 multiplies")
    return workload


def _text_workload(text: str) -> Workload:
    if not text or len(text) > _LONGEST_TEXT or not text.isprintable():
        raise UsageError(f"a workload must be 1 to {_LONGEST_TEXT} printable characters, got '{place(text)}'")
    if _head(text) in generator_names():
        generator = find_generator(_head(text))
        if issubclass(generator, OperationGenerator):
            return _operations(generator, text)
    elif _is_there(text):
        return _file_workload(Path(text))
    if (at := _product_sign(text)) is not None:
        return _pair(text[:at], text[at + 1 :])
    if _head(text) in generator_names():
        name, matrix, about = _matrix(text)
        op, said = product(matrix)
        return Workload.of(name, op, **about, **_sizes(matrix), **said)
    if not has_suffix(text, FILE_SUFFIXES) and not set("/\\.") & set(_head(text)):
        find_generator(_head(text))  # not a name we know, nor the look of a file: raises with the nearest name
    return _file_workload(Path(text))


def _head(text: str) -> str:
    return text.partition(":")[0].partition("@")[0].strip()


def _is_there(text: str) -> bool:
    try:
        return Path(text).exists()
    except OSError:
        return False


def _product_sign(text: str) -> int | None:
    """Where the ``@`` of ``A@B`` stands: after a matrix file's suffix or a drawn matrix's settings."""
    drawn = _head(text) in generator_names()
    for at, letter in enumerate(text):
        if letter == "@" and (drawn or has_suffix(text[:at], MATRIX_SUFFIXES)):
            return at
    return None


def _operations(generator: type[OperationGenerator], text: str) -> Workload:
    named = parse_named(text)
    if named.name != generator.name:
        raise UsageError(f"{generator.name}: is not a matrix and cannot be an operand of '@'")
    made = generator().with_settings(named.name, named.settings)
    name, about = _named_provenance(made, named)
    return _built(name, made, about)


def _built(name: str, made: OperationGenerator, about: dict[str, Any]) -> Workload:
    """The workload of settled settings, with a note on each empty mask."""
    items, said = made.build()
    notes = [
        f"{item.op.name or item.op.kind}: the mask is empty"
        for item in items
        if item.op.kind in ("spmm", "sddmm") and item.op.flops == 0
    ]
    return Workload(name, items, {**about, "notes": notes, **said})


def _named_provenance(made: MatrixGenerator | OperationGenerator, named: Named) -> tuple[str, dict[str, Any]]:
    """Name and provenance of a named workload; files go by their own names, without folders."""
    files = {name for name, about in made.parameters().items() if about.unit == FILE_UNIT}

    def short(field: str, value: Any) -> Any:
        return Path(value).name if field in files else value

    settings = {field.rstrip("_"): short(field, value) for field, value in made.as_dict().items()}
    shown = Named(named.name, {field: short(field, value) for field, value in named.settings.items()})
    about: dict[str, Any] = {"generator": made.name, "settings": settings}
    if "seed" in settings:
        about["seed"] = settings["seed"]
    return str(shown), about


def _pair(left: str, right: str) -> Workload:
    name_a, a, about_a = _matrix(left)
    name_b, b, about_b = _matrix(right)
    try:
        op, said = product(a, b)
    except InputError as error:
        raise InputError(f"{name_a}@{name_b}: {error}") from None
    about = {"a": {**about_a, **_sizes(a)}, "b": {**about_b, **_sizes(b)}, **said}
    return Workload.of(f"{name_a}@{name_b}", op, **about)


def _matrix(text: str) -> tuple[str, Csr, dict[str, Any]]:
    """Name, matrix and provenance of one operand: a matrix file, or a drawn matrix."""
    if _head(text) in generator_names():
        generator = find_generator(_head(text))
        if not issubclass(generator, MatrixGenerator):
            raise UsageError(f"{generator.name}: is not a matrix and cannot be an operand of '@'")
        named = parse_named(text)
        made = generator().with_settings(named.name, named.settings)
        name, about = _named_provenance(made, named)
        return name, made.matrix(), about
    matrix, about = read_matrix(Path(text))
    return Path(text).name, matrix, about


def _sizes(matrix: Csr) -> dict[str, Any]:
    return {"rows": matrix.shape[0], "cols": matrix.shape[1], "nnz": matrix.nnz}


def _file_workload(path: Path) -> Workload:
    from siloom.workloads.regular_file import regular_file_size

    if has_suffix(path.name, (".toml",)):
        from siloom.workloads.operation_list import read_operation_list

        name, items, about = read_operation_list(path)
        return Workload(name, items, about)
    regular_file_size(path)
    if not has_suffix(path.name, FILE_SUFFIXES):
        raise InputError(f"{place(path)}: must be a file {', '.join(FILE_SUFFIXES)}")
    for suffix, name, field in _NETWORK_FILES:
        if has_suffix(path.name, (suffix,)):
            made = find_generator(name)().with_settings(name, {field: str(path)})
            assert isinstance(made, OperationGenerator)
            return _built(path.name, made, _named_provenance(made, Named(name, {}))[1])
    if has_suffix(path.name, (".npz",)):
        from siloom.workloads.npz_content import npz_content

        content = npz_content(path)
        if content == "kept":
            return _kept_file(path)
        if content == "qkv":
            return _qkv_file(path)
        if content == "trace":
            from siloom.workloads.npz_trace import read_trace

            return read_trace(path)
    matrix, about = read_matrix(path)
    op, said = product(matrix)
    return Workload.of(path.name, op, **about, **_sizes(matrix), **said)


def _kept_file(path: Path) -> Workload:
    from siloom.workloads.generators.kept import Kept

    made = Kept(file=str(path))
    return _built(path.name, made, {"settings": {"dim": made.dim}})


def _qkv_file(path: Path) -> Workload:
    from siloom.workloads.generators.qkv import Qkv

    made = Qkv(file=str(path))
    return _built(path.name, made, {"settings": {"format": made.format}})
