"""Attention's operands in an ``.npz`` file: arrays ``q``, ``k`` and ``v``, and what may stand beside them.

``q`` is [seq, dim], [heads, seq, dim] or [batch, heads, seq, dim]. ``k`` and ``v`` are like it, but may have fewer
heads, which then share them (grouped queries). Numbers are real, of 8 bytes at most, and become float32. Optional are
``causal``, one number 0 or 1, and ``kept``, a mask [seq, seq] or [heads, seq, seq] or [batch, heads, seq, seq].
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from siloom.sim.approximation import Mask
from siloom.sim.drawn_attention import Reals32
from siloom.sim.errors import InputError
from siloom.sim.ops import Attention
from siloom.workloads.bounds import check_bytes
from siloom.workloads.npz_archive import Archive, open_npz
from siloom.workloads.npz_content import numbers, zeros_and_ones

_USED = ("q", "k", "v", "causal", "kept")


def read_attention(path: Path, number_format: str) -> tuple[Attention, dict[str, Any]]:
    """One operation with the operands of a file, to be computed in ``number_format``.

    Raises:
        InputError: arrays that are absent, do not conform, are not finite, or do not fit float32 or memory.
    """
    with open_npz(path) as archive:
        shapes = {name: _shape(archive, name) for name in ("q", "k", "v")}
        batch, heads, seq, dim = shapes["q"]
        kv_heads = shapes["k"][1]
        _check_shapes(archive, shapes)
        kept = _kept_shape(archive, shapes["q"])
        elements = sum(math.prod(shape) for shape in shapes.values())
        check_bytes(archive.where, 12 * elements + 2 * math.prod(kept), "its operands")
        q, k, v = (_operand(archive, name, shapes[name]) for name in ("q", "k", "v"))
        try:
            op = Attention(
                seq=seq,
                heads=heads,
                dim=dim,
                batch=batch,
                causal=_causal(archive),
                format=number_format,
                kv_heads=0 if kv_heads == heads else kv_heads,
                q=q,
                k=k,
                v=v,
                kept=_kept(archive, kept),
            )
        except InputError as error:
            message = str(error)
            raise InputError(message if message.startswith(archive.where) else f"{archive.where}: {message}") from None
        about: dict[str, Any] = {"file": path.name, "format": "qkv"}
        about["arrays"] = {
            name: {"shape": list(d.shape), "type": d.dtype.name}
            for name in _USED
            if (d := archive.declared.get(name)) is not None
        }
        if passed := sorted(set(archive.declared) - set(_USED)):
            about["notes"] = [f"{len(passed)} other arrays are passed over"]
    return op, about


def _shape(archive: Archive, name: str) -> tuple[int, int, int, int]:
    """Batch, heads, seq and dim of one operand."""
    shape = numbers(archive, name).shape
    if archive.declared[name].dtype.kind == "b":
        raise InputError(f"{archive.where}: {name} must hold numbers, got booleans")
    if not 2 <= len(shape) <= 4 or min(shape) < 1:
        raise InputError(
            f"{archive.where}: {name} must be [seq, dim], [heads, seq, dim] or [batch, heads, seq, dim], "
            f"without an empty axis, got {_by(shape)}"
        )
    batch, heads, seq, dim = (1,) * (4 - len(shape)) + shape
    return batch, heads, seq, dim


def _check_shapes(archive: Archive, shapes: Mapping[str, tuple[int, int, int, int]]) -> None:
    """K and V are alike, and q differs from them in its heads alone."""
    given = {name: archive.declared[name].shape for name in shapes}
    if given["v"] != given["k"]:
        raise InputError(f"{archive.where}: v must be {_by(given['k'])}, as k is, got {_by(given['v'])}")
    q, k = shapes["q"], shapes["k"]
    if len(given["k"]) != len(given["q"]) or (q[0], q[2:]) != (k[0], k[2:]):
        raise InputError(
            f"{archive.where}: k must be {_by(given['q'])}, as q is, or have fewer heads, got {_by(given['k'])}"
        )
    if q[1] % k[1]:
        raise InputError(f"{archive.where}: heads of k must divide those of q, got {k[1]} for {q[1]}")


def _operand(archive: Archive, name: str, shape: tuple[int, ...]) -> Reals32:
    given = archive.read(name).reshape(shape)
    with np.errstate(over="ignore"):
        values: Reals32 = given.astype(np.float32, order="C")
    bad = ~np.isfinite(values)
    if bad.any():
        at = np.unravel_index(int(bad.argmax()), shape)
        place = [int(i) for i in at][4 - len(archive.declared[name].shape) :]
        rule = "be finite in float32" if np.isfinite(given[at]) else "be finite"
        raise InputError(f"{archive.where}: {name}{place} must {rule}, got {given[at]}")
    return values


def _causal(archive: Archive) -> bool:
    if "causal" not in archive.declared:
        return False
    about = numbers(archive, "causal")
    if math.prod(about.shape) != 1:
        raise InputError(f"{archive.where}: causal must be one number, got {_by(about.shape)}")
    return bool(zeros_and_ones(archive, "causal").reshape(()))


def _kept_shape(archive: Archive, q: tuple[int, int, int, int]) -> tuple[int, ...]:
    """The full shape of the mask, () where there is none."""
    if "kept" not in archive.declared:
        return ()
    batch, heads, seq, _ = q
    full = (batch, heads, seq, seq)[4 - len(archive.declared["q"].shape) :]
    got = numbers(archive, "kept").shape
    if got not in (full, full[-2:]):
        either = _by(full) if len(full) == 2 else f"{_by(full)} or {_by(full[-2:])}"
        raise InputError(f"{archive.where}: kept must be {either}, got {_by(got)}")
    return (batch, heads, seq, seq)


def _kept(archive: Archive, shape: tuple[int, ...]) -> Mask | None:
    if not shape:
        return None
    mask = zeros_and_ones(archive, "kept") != 0
    return np.array(np.broadcast_to(mask, shape)) if mask.ndim == 2 else mask.reshape(shape)


def _by(shape: tuple[int, ...]) -> str:
    return (" x ".join(map(str, shape)) or "one number")[:60]
