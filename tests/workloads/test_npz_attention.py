"""Are q, k and v of a file the operands of one attention, and does anything else get one line?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from siloom.sim.errors import InputError, UsageError
from siloom.sim.ops import Attention
from siloom.workloads.registry import list_workloads, load

BATCH, HEADS, SEQ, DIM = 2, 6, 5, 4


def _random(*shape: int) -> np.ndarray:
    return np.random.default_rng(list(shape)).standard_normal(shape)


def _write(folder: Path, **arrays: Any) -> Path:
    path = folder / "operands.npz"
    np.savez(path, **arrays)
    return path


def _op(folder: Path, **arrays: Any) -> Attention:
    (item,) = load(_write(folder, **arrays)).items
    assert isinstance(item.op, Attention)
    return item.op


def _three(*shape: int) -> dict[str, np.ndarray]:
    q, k, v = _random(3, *shape)
    return {"q": q, "k": k, "v": v}


def _refusal(folder: Path, **arrays: Any) -> str:
    path = _write(folder, **arrays)
    with pytest.raises(InputError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and message.isprintable() and len(message) < 500
    assert caught.value.exit_code == 4
    return message.removeprefix(f"{path}: ")


@pytest.mark.parametrize("axes", [2, 3, 4])
def test_leading_axes_may_be_left_out(tmp_path: Path, axes: int) -> None:
    shape = (BATCH, HEADS, SEQ, DIM)[4 - axes :]
    given = _three(*shape)
    op = _op(tmp_path, **given)
    full = (*(1,) * (4 - axes), *shape)
    assert (op.batch, op.heads, op.seq, op.dim) == full
    assert (op.causal, op.kept, op.format, op.kv_heads) == (False, None, "fp16", 0)
    operands = op.operands()
    for name, array in given.items():
        assert getattr(operands, name).dtype == np.float32
        assert np.array_equal(getattr(operands, name), array.astype(np.float32).reshape(full))


def test_fewer_heads_of_k_and_v_are_shared(tmp_path: Path) -> None:
    q, k, v = _random(BATCH, HEADS, SEQ, DIM), _random(BATCH, 2, SEQ, DIM), _random(BATCH, 2, SEQ, DIM)
    op = _op(tmp_path, q=q, k=k, v=v)
    assert op.kv_heads == 2
    operands = op.operands()
    for head in range(HEADS):
        assert np.array_equal(operands.k[:, head], k[:, head // 3].astype(np.float32))
        assert np.array_equal(operands.v[:, head], v[:, head // 3].astype(np.float32))


@pytest.mark.parametrize("dtype", ["i1", "u1", "i4", "i8", "u8", "f2", "f4", "f8", ">f4", ">i2"])
def test_every_kind_of_number_becomes_float32(tmp_path: Path, dtype: str) -> None:
    given = {name: np.abs(100 * array).astype(dtype) for name, array in _three(HEADS, SEQ, DIM).items()}
    given["k"] = np.asfortranarray(given["k"])
    op = _op(tmp_path, **given)
    for name, array in given.items():
        assert np.array_equal(getattr(op, name)[0], array.astype(np.float32))


@pytest.mark.parametrize("causal", [True, np.int64(1), np.array([1.0]), np.array(1, np.uint8)])
def test_causal_is_one_number(tmp_path: Path, causal: Any) -> None:
    assert _op(tmp_path, **_three(SEQ, DIM), causal=causal).causal is True
    assert _op(tmp_path, **_three(SEQ, DIM), causal=np.zeros_like(causal)).causal is False


def test_a_mask_is_for_all_heads_or_for_each(tmp_path: Path) -> None:
    given = _three(BATCH, HEADS, SEQ, DIM)
    each = np.random.default_rng(0).random((BATCH, HEADS, SEQ, SEQ)) < 0.5
    for kept in (each, each.astype(np.int32), each.astype(float)):
        op = _op(tmp_path, **given, kept=kept)
        assert op.kept is not None and op.kept.dtype == bool and np.array_equal(op.kept, each)
    op = _op(tmp_path, **given, kept=each[1, 2])
    assert op.kept is not None and np.array_equal(op.kept, np.broadcast_to(each[1, 2], each.shape))
    # Such a file is attention; asked for by name, its masks are masks.
    assert len(load(f"kept:file={tmp_path / 'operands.npz'}").items) == 2


def test_the_format_is_chosen_by_name(tmp_path: Path) -> None:
    path = _write(tmp_path, **_three(SEQ, DIM))
    assert load(f"qkv:file={path},format=bf16").items[0].op.format == "bf16"
    (tmp_path / "list.toml").write_text('[[operation]]\nkind = "qkv"\nfile = "operands.npz"\nrepeat = 3\n')
    listed = load(tmp_path / "list.toml")
    assert listed.flops == 3 * load(path).flops
    with pytest.raises(UsageError, match="qkv: file=PATH must be given"):
        load("qkv")


def test_provenance_says_what_was_read(tmp_path: Path) -> None:
    path = _write(tmp_path, **_three(SEQ, DIM), names=np.array(["a"]), causal=True)
    workload = load(path)
    assert (workload.name, workload.provenance["file"]) == ("operands.npz", "operands.npz")
    assert workload.provenance["arrays"]["q"] == {"shape": [SEQ, DIM], "type": "float64"}
    assert workload.provenance["notes"] == ["1 other arrays are passed over"]
    assert str(tmp_path) not in json.dumps(workload.provenance)
    changed = _three(SEQ, DIM)
    changed["v"][0, 0] += 1
    assert load(_write(tmp_path, **changed, causal=True)).content_hash != workload.content_hash
    assert "attention" in [op for w in list_workloads() if w.name == "PATH.npz" for op in w.operations]


HUGE = np.full((SEQ, DIM), 1e39)
ONE_NAN = np.where(np.arange(SEQ * DIM).reshape(SEQ, DIM) == 6, np.nan, 1.0)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"q": ONE_NAN}, "q[1, 2] must be finite, got nan"),
        ({"v": np.full((SEQ, DIM), -np.inf)}, "v[0, 0] must be finite, got -inf"),
        ({"k": HUGE}, "k[0, 0] must be finite in float32, got 1e+39"),
        ({"q": np.ones((SEQ, DIM), np.complex64)}, "q.npy: must hold real numbers, integers or booleans, got <c8"),
        ({"q": np.ones((SEQ, DIM), np.longdouble)}, "q must hold real numbers, got <f16"),
        ({"q": np.array([[None]])}, "q.npy: must hold real numbers, integers or booleans, got |O"),
        ({"q": np.array([["a"]])}, "q must hold real numbers, got <U1"),
        ({"q": np.ones((SEQ, DIM), bool)}, "q must hold numbers, got booleans"),
        ({"q": np.ones(3)}, "q must be [seq, dim], [heads, seq, dim] or [batch, heads, seq, dim]"),
        ({"q": np.ones((1, 1, 1, SEQ, DIM))}, "without an empty axis, got 1 x 1 x 1 x 5 x 4"),
        ({"q": np.ones((0, DIM))}, "without an empty axis, got 0 x 4"),
        ({"k": np.ones((SEQ + 1, DIM))}, "v must be 6 x 4, as k is, got 5 x 4"),
        ({"v": np.ones((SEQ, DIM + 1))}, "v must be 5 x 4, as k is, got 5 x 5"),
        ({"q": np.ones((SEQ, DIM + 1))}, "k must be 5 x 5, as q is, or have fewer heads, got 5 x 4"),
        ({"q": np.ones((SEQ + 1, DIM))}, "k must be 6 x 4, as q is, or have fewer heads, got 5 x 4"),
        ({"q": np.ones((1, SEQ, DIM))}, "k must be 1 x 5 x 4, as q is, or have fewer heads, got 5 x 4"),
        ({"causal": 2}, "causal must hold 0 and 1 only"),
        ({"causal": [0, 1]}, "causal must be one number, got 2"),
        ({"causal": np.nan}, "causal must hold 0 and 1 only"),
        ({"causal": "yes"}, "causal must hold real numbers, got <U3"),
        ({"kept": np.ones((SEQ, DIM))}, "kept must be 5 x 5, got 5 x 4"),
        ({"kept": np.full((SEQ, SEQ), 2)}, "kept must hold 0 and 1 only"),
        ({"kept": np.array([2] * 25, np.uint8).view(bool).reshape(5, 5)}, "kept must hold 0 and 1 only"),
    ],
)
def test_hostile_arrays_get_one_clear_line(tmp_path: Path, change: dict[str, Any], rule: str) -> None:
    assert rule in _refusal(tmp_path, **(_three(SEQ, DIM) | change))


def test_heads_must_be_shared_out_evenly(tmp_path: Path) -> None:
    q, k = np.ones((HEADS, SEQ, DIM)), np.ones((4, SEQ, DIM))
    assert _refusal(tmp_path, q=q, k=k, v=k) == "heads of k must divide those of q, got 4 for 6"
    assert "heads of k must divide those of q, got 12 for 6" in _refusal(
        tmp_path, q=q, k=k.repeat(3, 0), v=k.repeat(3, 0)
    )
    kept = np.ones((4, SEQ, SEQ))
    assert "kept must be 6 x 5 x 5 or 5 x 5, got 4 x 5 x 5" in _refusal(tmp_path, q=q, k=q, v=q, kept=kept)


def test_operands_are_no_matrix(tmp_path: Path) -> None:
    path = _write(tmp_path, **_three(SEQ, DIM))
    for text in (f"{path}@{path}", f"spmm:file={path}", f"sddmm:file={path}"):
        with pytest.raises(InputError, match=r"must hold one matrix, got attention's operands|has no array 'kept'"):
            load(text)


def test_sizes_are_bounded_before_anything_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _write(tmp_path, **{name: np.ones((256, 256), np.int8) for name in "qkv"}, kept=np.ones((256, 256), bool))
    monkeypatch.setenv("SILOOM_MEMORY_BYTES", "2000000")
    monkeypatch.setattr("siloom.workloads.npz_archive.Archive.read", None)  # reading would fail otherwise
    with pytest.raises(
        InputError, match=r"its operands would take 2\.38 MiB, more than the memory budget of 1\.91 MiB"
    ):
        load(path)


def test_whole_numbers_are_rounded_to_single_precision_and_huge_ones_are_refused(tmp_path: Path) -> None:
    given = {name: np.full((SEQ, DIM), 2**40 - 1) for name in "qkv"}
    assert float(_op(tmp_path, **given).q.max()) == 2.0**40  # type: ignore[union-attr]
    with pytest.raises(InputError, match="q must lie within"):
        _op(tmp_path, **{name: np.full((SEQ, DIM), 2**63 - 1) for name in "qkv"})
