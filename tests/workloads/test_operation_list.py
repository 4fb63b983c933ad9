"""Lists of operations in TOML: the named workloads' own fields, checked strictly."""

from __future__ import annotations

from pathlib import Path

import pytest

from siloom.sim.errors import InputError
from siloom.workloads.registry import load


def _load(folder: Path, text: str | bytes):
    path = folder / "layer.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return load(path)


def test_a_list_is_read_in_order_with_repeats(tmp_path: Path) -> None:
    (tmp_path / "a.mtx").write_text("%%MatrixMarket matrix coordinate pattern general\n2 2 1\n1 1\n")
    workload = _load(
        tmp_path,
        """
        name = "a layer"
        [[operation]]
        kind = "gemm"
        name = "qkv"
        repeat = 12
        m = 384
        n = 2304
        [[operation]]
        kind = "attention"
        causal = true
        mask = true
        dropout = true
        [[operation]]
        kind = "spgemm"
        a = "a.mtx"
        [[operation]]
        kind = "poisson3d"
        n = 3
        points = 27
        [[operation]]
        kind = "uniform"
        n = 10
        density = 1
        """,
    )
    assert workload.name == "a layer"
    assert [(i.op.kind, i.op.name, i.repeat) for i in workload.items] == [
        ("matmul", "qkv", 12),
        ("attention", "", 1),
        ("spgemm", "", 1),
        ("spgemm", "", 1),
        ("spgemm", "", 1),
    ]
    assert workload.items[0].op.multiplies == 384 * 2304 * 768
    attention = workload.items[1].op
    assert attention.causal and attention.mask and attention.dropout
    assert workload.items[3].op.a.nnz == 7**3
    assert workload.items[4].op.a.nnz == 100
    assert workload.provenance["operands"][0]["a"]["file"] == "a.mtx"


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "is empty"),
        ("name = 'x'\n", "operation: Field required"),
        ("operation = []\n", "operation: List should have at least 1 item"),
        ("operation = 3\n", "operation: Input should be a valid list, got 3"),
        ("nmae = 'x'\n[[operation]]\nkind='gemm'\n", "no key 'nmae' - did you mean 'name'"),
        ("[[operation]]\nm = 3\n", "operation 1: kind: Field required"),
        ("[[operation]]\nkind = 3\n", "operation 1: kind: Input should be a valid string, got 3"),
        ("[[operation]]\nkind = 'gem'\n", "operation 1 (gem): unknown workload 'gem' - did you mean 'gemm'"),
        ("[[operation]]\nkind='gemm'\nmm=3\n", "operation 1 (gemm): no field 'mm'"),
        (
            "[[operation]]\nkind='gemm'\nrepeat=0\n",
            "operation 1: repeat: Input should be greater than or equal to 1, got 0",
        ),
        ("[[operation]]\nkind='gemm'\nrepeat='2'\n", "operation 1: repeat: Input should be a valid integer, got '2'"),
        ("[[operation]]\nkind='gemm'\nrepeat=2.5\n", "operation 1: repeat: Input should be a valid integer, got 2.5"),
        ("[[operation]]\nkind='gemm'\nm='128'\n", "operation 1 (gemm): m must be a number, got '128'"),
        ("[[operation]]\nkind='gemm'\nm=1.5\n", "operation 1 (gemm): m must be a whole number, got 1.5"),
        ("[[operation]]\nkind='gemm'\nm=nan\n", "operation 1 (gemm): m must be finite, got nan"),
        ("[[operation]]\nkind='gemm'\nm=true\n", "operation 1 (gemm): m must be a whole number, got True"),
        ("[[operation]]\nkind='gemm'\nm=[1]\n", "operation 1 (gemm): m must be one plain value, got list"),
        ("[[operation]]\nkind='gemm'\nm=2024-01-01\n", "operation 1 (gemm): m must be one plain value, got date"),
        ("[[operation]]\nkind='gemm'\nm=0\n", "operation 1 (gemm): m must be at least 1 rows, got 0"),
        ("[[operation]]\nkind='gemm'\nformat=16\n", "operation 1 (gemm): format must be one of"),
        (
            "[[operation]]\nkind='gemm'\n[[operation]]\nkind='spmm'\n",
            "operation 2 (spmm): spmm: file=PATH must be given",
        ),
        ("[[operation]]\nkind='spmm'\nfile='absent.mtx'\n", "absent.mtx: no such file"),
        ("[[operation]]\nkind='spmm'\nfile='layer.toml'\n", "a matrix must be a file .mtx, .mtx.gz, .npz"),
        ("[[operation]]\nkind='gemm'\nm=2000000000\nn=2000000000\nk=1\nrepeat=2000000000\n", "below 2^62 multiplies"),
        ("[[operation\n", "is not TOML: "),
        ("a = " + "[" * 3000, "is not TOML"),
        ("a = " + "9" * 4500, "line 1: must be at most 4096 characters, got 4504"),
        (b"name = '\xff'\n", "must be UTF-8 text, got byte 8 of another kind"),
        ("#" * 4000 + "\n" + "# filler\n" * 600_000, "must be at most 1048576 bytes"),
        ("[[operation]]\nkind='gemm'\n'a\\nb'=1\n", "operation 1 (gemm): no field "),
        ("[[operation]]\nkind='x\\ny'\n", "operation 1 ("),
        ("'x\\ny' = 1\n[[operation]]\nkind='gemm'\n", "no key "),
    ],
)
def test_hostile_lists_get_one_clear_line(tmp_path: Path, text: str | bytes, rule: str) -> None:
    with pytest.raises(InputError) as caught:
        _load(tmp_path, text)
    message = str(caught.value)
    assert rule in message
    assert (message.isprintable() and str(tmp_path) in message) or "layer.toml" in message
    assert len(message) < 1000


def test_more_operations_than_allowed_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="operation: List should have at most 10000 items"):
        _load(tmp_path, "operation = [\n" + "{kind='gemm'},\n" * 10_001 + "]\n")


def test_the_operations_of_networks_count_too(tmp_path: Path) -> None:
    (tmp_path / "many.csv").write_text("Layer,M,N,K\n" + "a,1,1,1\n" * 6000)
    entry = "[[operation]]\nkind='scalesim'\ntopology='many.csv'\n"
    assert len(_load(tmp_path, entry).items) == 6000
    with pytest.raises(InputError, match=r"operation 2 \(scalesim\): a list must hold at most 10000 .* got 12000"):
        _load(tmp_path, entry * 1000)


def test_names_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    workload = _load(tmp_path, "name = 'x\\u001b[2J'\n[[operation]]\nkind='gemm'\nname='a\\nb'\n".replace("'", '"'))
    assert (workload.name, workload.items[0].op.name) == (r"'x\x1b[2J'", r"'a\nb'")
