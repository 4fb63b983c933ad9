"""A sparse matrix, or a list of masks, from any file that holds one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from siloom.sim.errors import InputError
from siloom.sim.sparse import Csr
from siloom.workloads.bounds import place

MATRIX_SUFFIXES = (".mtx", ".mtx.gz", ".npz")


def has_suffix(name: str, suffixes: tuple[str, ...]) -> bool:
    """Whether a file's name ends in one of ``suffixes``, in any case."""
    return name.lower().endswith(suffixes)


def read_matrix(path: Path) -> tuple[Csr, dict[str, Any]]:
    """The one matrix of a ``.mtx``, ``.mtx.gz`` or scipy ``.npz`` file, and what to say of it.

    Raises:
        InputError: another suffix, something else than a matrix, or a file that cannot be read.
    """
    if has_suffix(path.name, (".mtx", ".mtx.gz")):
        from siloom.workloads.matrix_market import read_matrix_market

        return read_matrix_market(path)
    if not has_suffix(path.name, MATRIX_SUFFIXES):
        raise InputError(f"{place(path)}: a matrix must be a file {', '.join(MATRIX_SUFFIXES)}")
    from siloom.workloads.npz_content import npz_content, read_npz_matrix

    content = npz_content(path)
    if content != "sparse":
        got = {"kept": "masks (kept)", "qkv": "attention's operands (q, k, v)"}[content]
        raise InputError(f"{place(path)}: must hold one matrix, got {got}")
    return read_npz_matrix(path)


def read_masks(path: Path) -> tuple[list[tuple[str, Csr]], dict[str, Any]]:
    """All masks of an array ``kept`` with their labels, or the one matrix of any other file, unlabelled.

    Raises:
        InputError: as :func:`read_matrix`.
    """
    if has_suffix(path.name, (".npz",)):
        from siloom.workloads.npz_content import npz_content, read_kept

        if npz_content(path) != "sparse":
            masks, about = read_kept(path)
            return [(mask.label, mask.matrix) for mask in masks], about
    matrix, about = read_matrix(path)
    return [("", matrix)], about
