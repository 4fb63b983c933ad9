"""Are stores that are put together, and what is exported of them, functions of their rows alone?"""

import shutil

import pytest

from siloom.explore.merge import merge
from siloom.explore.store import Store
from siloom.reports.exploration_table import columns, csv_bytes, frame, parquet_bytes
from siloom.sim.errors import InputError


def test_merging_is_the_same_in_any_order_and_number_of_times(tmp_path, row):
    parts = []
    for number in range(3):
        path = tmp_path / f"part{number}.db"
        with Store.open(path) as store:
            store.add([row(n) for n in range(number * 5, number * 5 + 8)])
            store.note_space(f"s{number}", {"n": number})
        parts.append(path)
    exports = set()
    for order in ([0, 1, 2], [2, 0, 1], [1, 1, 2, 0]):
        into = tmp_path / f"all{len(exports)}{order}.db"
        assert merge(into, [parts[n] for n in order]) == 18
        assert merge(into, [parts[0]]) == 0
        with Store.open(into, read_only=True) as store:
            exports.add((csv_bytes(store.rows()), parquet_bytes(store.rows())))
            assert len(store.spaces()) == 3
    assert len(exports) == 1


def test_merging_refuses_two_truths(tmp_path, row):
    for name, reason in (("a.db", ""), ("b.db", "other")):
        with Store.open(tmp_path / name) as store:
            store.add([row(1, reason=reason), row(2 if name == "a.db" else 3)])
    shutil.copy(tmp_path / "a.db", tmp_path / "into.db")
    with pytest.raises(InputError, match="differs"):
        merge(tmp_path / "into.db", [tmp_path / "b.db"])
    with pytest.raises(InputError, match="differs"):
        merge(tmp_path / "new.db", [tmp_path / "a.db", tmp_path / "b.db"])
    assert not (tmp_path / "new.db").exists()
    with Store.open(tmp_path / "into.db") as store:
        assert [one.key[-1] for one in store.rows()] == [1, 2]


def test_an_export_is_one_table(tmp_path, row):
    rows = [
        row(2, settings={"tiles": 10, "name": "=1+2"}),
        row(1, settings={"tiles": 9, "cycles": 4}, status="infeasible", metrics={}),
        row(3, machine="elsa", settings={"p": 1.5}),
    ]
    table = columns(rows)
    assert table["machine"] == ["elsa", "outerspace", "outerspace"]
    assert table["tiles"] == [None, 9, 10]
    assert table["field.cycles"] == [None, 4, None]
    assert list(table)[:2] == ["key", "machine"]
    assert frame(rows).shape == (3, len(table))
    text = csv_bytes(rows).decode()
    assert ",'=1+2," in text
    assert csv_bytes(reversed(rows)).decode() == text
    import pyarrow as pa
    import pyarrow.parquet as pq

    read = pq.read_table(pa.BufferReader(parquet_bytes(rows)))
    assert read.to_pydict() == table
