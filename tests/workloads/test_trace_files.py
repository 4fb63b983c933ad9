"""Trace files: the same workload comes back, without torch, and hostile ones get one clear line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from siloom import load, run
from siloom.sim.drawn_attention import Clustered, draw
from siloom.sim.errors import InputError
from siloom.sim.ops import (
    SDDMM,
    Attention,
    Collective,
    Conv,
    Elementwise,
    Item,
    KeyFilter,
    MatMul,
    Reduce,
    SpGEMM,
    SpMM,
    Workload,
)
from siloom.sim.sparse import Csr
from siloom.workloads.npz_trace import save_trace

RNG = np.random.default_rng(0)
Q, K, V = (RNG.standard_normal((2, heads, 6, 4)).astype(np.float32) for heads in (4, 2, 2))
MATRIX = Csr.from_scipy(sp.random_array((5, 7), density=0.4, rng=RNG, format="csr"))
DENSE = RNG.standard_normal((7, 3)).astype(np.float32)
EVERYTHING = Workload(
    "everything",
    (
        Item(MatMul(name="layers.0 forward", m=2, n=3, k=4, batch=5, shared=True, format="int8"), 7),
        Item(SpGEMM(a=MATRIX, b=MATRIX.transposed)),
        Item(SpMM(a=MATRIX, n=3, b=DENSE)),
        Item(SpMM(a=MATRIX, n=3)),
        Item(SDDMM(mask=MATRIX, k=3, x=DENSE[:5], y=DENSE.T.copy())),
        Item(Attention(seq=6, heads=4, dim=4, batch=2, kv_heads=2, q=Q, k=K, v=V, kept=RNG.random((2, 4, 6, 6)) < 0.5)),
        Item(Attention(seq=6, heads=4, dim=4, batch=2, kv_heads=2, q=Q, k=K, v=V, direction="bwd", causal=True)),
        Item(Attention(seq=6, heads=4, dim=4, law=Clustered(seed=3))),
        Item(KeyFilter(queries=3, keys=4, dim=5)),
        Item(Conv(h=4, w=4, c=2, r=3, s=3, k=5, pad=1)),
        Item(Elementwise(elements=8, reads=4, writes=3, flops_each=15, function="adamw", format="fp32"), 2),
        Item(Reduce(rows=4, length=8, function="softmax")),
        Item(Collective(function="all_reduce", bytes_each=8, peers=2)),
    ),
    {"notes": ["a note"]},
)


def test_every_operation_comes_back_as_it_was(tmp_path: Path) -> None:
    save_trace(EVERYTHING, tmp_path / "a.npz")
    read = load(tmp_path / "a.npz")
    assert read.name == "everything"
    assert [type(item.op) for item in read.items] == [type(item.op) for item in EVERYTHING.items]
    assert read.content_hash == EVERYTHING.content_hash
    assert read.provenance["notes"] == ["a note"]
    save_trace(read, tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_operands_of_several_operations_are_kept_once(tmp_path: Path) -> None:
    save_trace(EVERYTHING, tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as archive:
        assert set(archive.files) == {"siloom_trace", "float32", "float64", "int64", "bool"}
        assert len(archive["float32"]) == Q.size + K.size + V.size + DENSE.size + DENSE[:5].size + DENSE.size
        assert len(archive["float64"]) == 2 * MATRIX.nnz, "the matrix and its transpose"


def test_a_trace_is_read_without_torch(tmp_path: Path) -> None:
    save_trace(EVERYTHING, tmp_path / "a.npz")
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "from siloom import load, run\n"
        f"print(run('h100', load({str(tmp_path / 'a.npz')!r})).coverage['operations'])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    # All but the filter and the collective.
    assert float(done.stdout) == pytest.approx(11 / 13)


def test_a_path_may_be_a_text(tmp_path: Path) -> None:
    save_trace(EVERYTHING, str(tmp_path / "a.npz"))
    save_trace(EVERYTHING, tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    save_trace(EVERYTHING, path)
    before = path.read_bytes()
    long = Workload("x", (Item(MatMul(name="x" * 501, m=1, n=1, k=1)),))
    with pytest.raises(InputError, match="name: String should have at most 500 characters"):
        save_trace(long, path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["a.npz"]
    with pytest.raises(InputError, match=r"the name of a trace must end in \.npz"):
        save_trace(EVERYTHING, tmp_path / "a.txt")


def document(*items: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"version": 1, "name": "x", "items": list(items)} | changes


GEMM = {"kind": "matmul", "fields": {"m": 2, "n": 3, "k": 4}}
SPARSE = {
    "kind": "spmm",
    "fields": {"n": 2},
    "matrices": {"a": {"rows": 2, "cols": 3, "indptr": 0, "indices": 1, "data": 2}},
}
SPARSE_ARRAYS = [
    {"group": "int64", "shape": [3]},
    {"group": "int64", "shape": [3]},
    {"group": "float64", "shape": [3]},
]


def refusal(tmp_path: Path, content: Any, **members: Any) -> str:
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    path = tmp_path / "a.npz"
    np.savez(path, siloom_trace=np.frombuffer(text, np.uint8), **members)
    with pytest.raises(InputError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(str(path)) and message.isprintable() and len(message) < 600
    return message.removeprefix(f"{path}: ")


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"\xff", "siloom_trace: must be UTF-8 text, got byte 0"),
        (b"{", "siloom_trace: is not JSON"),
        (b"[" * 100_000, "siloom_trace: is not JSON that can be read: nested too deeply"),
        ([], "siloom_trace"),
        (document(version=2), "siloom_trace: version: Input should be 1, got 2"),
        (document(more=1), "siloom_trace: no key 'more'"),
        (document({"kind": "matmul"}), "siloom_trace: items.0.fields: Field required"),
        (document(GEMM | {"repeat": 0}), "items.0.repeat: Input should be greater than or equal to 1, got 0"),
        (document(GEMM | {"kind": "matml"}), "operation 1: no kind 'matml' - did you mean 'matmul'?"),
        (document({"kind": "matmul", "fields": {"m": 2, "n": 3}}), "operation 1 (matmul): k: Field required"),
        (
            document({"kind": "matmul", "fields": {"m": "2", "n": 3, "k": 4}}),
            "operation 1 (matmul): m: Input should be a valid integer, got '2'",
        ),
        (
            document(GEMM, {"kind": "matmul", "fields": {"m": 0, "n": 3, "k": 4}}),
            "operation 2 (matmul): gemm: m must be at least 1, got 0",
        ),
        (
            document({"kind": "matmul", "fields": {"m": 2, "n": 3, "k": 4, "q": 1}}),
            "operation 1 (matmul): no key 'q'",
        ),
        (
            document({"kind": "matmul", "fields": {"m": 2**62, "n": 3, "k": 4}}),
            "gemm: m*n*k*batch must be below 2^62",
        ),
        (document(GEMM | {"arrays": {"q": 0}}), "operation 1 (matmul): has no array 'q'"),
        (document(GEMM | {"law": {}}), "operation 1 (matmul): has no law"),
        (
            document({"kind": "spmm", "fields": {"n": 2}}),
            "operation 1 (spmm): matrices must be a, got none",
        ),
        (document(SPARSE), "operation 1 (spmm): a: must be one of the 0 arrays, got 0"),
        (
            document(arrays=[{"group": "float32", "shape": [2**61, 4]}]),
            "float32 must hold the 9223372036854775808 numbers of its arrays, got 0",
        ),
        (
            document({"kind": "attention", "fields": {"seq": 1, "heads": 1, "dim": 1}, "law": {"seed": -1}}),
            "operation 1 (attention): law: seed must be at least 0, got -1",
        ),
        (
            document({"kind": "attention", "fields": {"seq": 1, "heads": 1, "dim": 1}, "law": {"sed": 1}}),
            "operation 1 (attention): law: no field 'sed' - did you mean 'seed'?",
        ),
    ],
)
def test_hostile_documents_get_one_clear_line(tmp_path: Path, content: Any, rule: str) -> None:
    assert rule in refusal(tmp_path, content)


@pytest.mark.parametrize(
    ("indptr", "indices", "data", "rule"),
    [
        ([0, 2, 3], [0, 2, 3], [1.0, 1.0, 1.0], "a: indices must be between 0 and 2"),
        ([0, 2, 3], [-1, 2, 1], [1.0, 1.0, 1.0], "a: indices must be between 0 and 2"),
        ([0, 2, 3], [2, 0, 1], [1.0, 1.0, 1.0], "a: indices must rise within a row"),
        ([0, 2, 3], [1, 1, 1], [1.0, 1.0, 1.0], "a: indices must rise within a row"),
        ([0, 4, 3], [0, 2, 1], [1.0, 1.0, 1.0], "a: indptr must rise from 0 to the 3 entries"),
        ([1, 2, 3], [0, 2, 1], [1.0, 1.0, 1.0], "a: indptr must rise from 0 to the 3 entries"),
        ([0, 2, 3], [0, 2, 1], [1.0, np.nan, 1.0], "arrays.2 must be finite"),
    ],
)
def test_hostile_matrices_get_one_clear_line(tmp_path: Path, indptr, indices, data, rule: str) -> None:
    content = document(SPARSE, arrays=SPARSE_ARRAYS)
    members = {"int64": np.array([*indptr, *indices]), "float64": np.array(data)}
    assert refusal(tmp_path, content, **members).removeprefix("operation 1 (spmm): ") == rule


def test_operands_used_again_and_again_are_held_against_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of a few kilobytes whose operations share operands may not ask for days of checking."""
    item = {"kind": "spmm", "fields": {"n": 100}, "matrices": SPARSE["matrices"], "arrays": {"b": 3}}
    content = document(*[item] * 1000, arrays=[*SPARSE_ARRAYS, {"group": "float32", "shape": [3, 100]}])
    members = {"int64": np.array([0, 2, 3, 0, 2, 1]), "float64": np.ones(3), "float32": np.zeros(300, "f4")}
    monkeypatch.setenv("SILOOM_MEMORY_BYTES", "1000000")
    assert "operands of all operations would take 1.21 MiB" in refusal(tmp_path, content, **members)


def test_hostile_members_get_one_clear_line(tmp_path: Path) -> None:
    one = document(arrays=[{"group": "float32", "shape": [2]}])
    assert "float32 must hold the 2 numbers of its arrays, got 3" in refusal(tmp_path, one, float32=np.zeros(3, "f4"))
    assert "float32 must hold float32, got <f8" in refusal(tmp_path, one, float32=np.zeros(2))
    assert "float32 must have 1 axes, got 2" in refusal(tmp_path, one, float32=np.zeros((2, 1), "f4"))
    assert "a trace has no array 'more'" in refusal(tmp_path, document(), more=np.zeros(1))
    flags = document(arrays=[{"group": "bool", "shape": [1]}])
    assert "bool must hold 0 and 1 only" in refusal(tmp_path, flags, bool=np.array([7], np.uint8).view(bool))
    np.savez(tmp_path / "a.npz", siloom_trace=np.zeros(3))
    with pytest.raises(InputError, match="siloom_trace must be at most 67108864 bytes, uint8, got 3 float64"):
        load(tmp_path / "a.npz")


def test_an_operation_that_is_too_large_together_with_its_repeats_is_refused(tmp_path: Path) -> None:
    content = document({"kind": "matmul", "repeat": 2**61, "fields": {"m": 2, "n": 3, "k": 4}})
    path = tmp_path / "a.npz"
    np.savez(path, siloom_trace=np.frombuffer(json.dumps(content).encode(), np.uint8))
    with pytest.raises(InputError, match=r"must count below 2\^62 multiplies"):
        load(path)


def test_recorded_operands_decide_what_is_kept(tmp_path: Path) -> None:
    """Two attentions of one shape: of sharper scores fewer are candidates."""
    kept = []
    for concentration in (0.5, 12.0):
        law = Clustered(concentration=concentration)
        q, k, v = draw(law, 1, 2, 2, 64, 64)
        op = Attention(seq=64, heads=2, dim=64, format="fp32", q=q, k=k, v=v)
        save_trace(Workload.of("recorded", op), tmp_path / "a.npz")
        kept.append(run("elsa", load(tmp_path / "a.npz")).quality["candidate_ratio"])
        # As where the same law is drawn by the machine itself.
        assert (
            kept[-1]
            == run("elsa", Attention(seq=64, heads=2, dim=64, format="fp32", law=law)).quality["candidate_ratio"]
        )
    assert kept[1] < kept[0]
