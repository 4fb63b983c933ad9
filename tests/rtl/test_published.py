"""Does the table that is published have every size of all hardware, and what it promises?"""

from __future__ import annotations

import csv
from collections import defaultdict

import pytest

from siloom.rtl.api import CSV_COLUMNS
from siloom.rtl.registry import find_blocks, find_hardware, machine_names, unit_names

VECTORS = 100_000


@pytest.fixture(scope="module")
def rows(repository):
    with (repository / "reports" / "published" / "rtl.csv").open(newline="") as file:
        reader = csv.DictReader(file)
        assert tuple(reader.fieldnames) == CSV_COLUMNS
        return list(reader)


def test_every_size_of_all_hardware_is_there_once(rows):
    wanted = [(b.name, b.kind, b.size) for name in (*unit_names(), *machine_names()) for b in find_blocks(name)]
    assert sorted((r["name"], r["kind"], r["size"]) for r in rows) == sorted(wanted)


def test_no_bit_differs_and_cycles_are_those_of_the_model_or_within_its_bound(rows):
    for row in rows:
        model, rtl = int(row["model_cycles"]), int(row["rtl_cycles"])
        bound = find_hardware(row["name"]).bound if row["kind"] == "machine" else 0.0
        assert int(row["mismatched_bits"]) == 0, row
        assert model > 0, row
        assert abs(rtl - model) <= bound * rtl, row


def test_every_unit_was_tried_with_a_hundred_thousand_vectors(rows):
    tried = defaultdict(int)
    for row in rows:
        tried[row["name"]] += int(row["vectors"])
    assert {name: tried[name] for name in unit_names() if tried[name] < VECTORS} == {}
