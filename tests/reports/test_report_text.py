"""Numbers and names read as people write them."""

from __future__ import annotations

import pytest

from siloom.reports.text import count, digits, labels, natural, ordered, prefix_for, printable, shorten, si


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (0.00123, "s", "1.23 ms"),
        (999.96, "B", "1.00 kB"),
        (1.28e11, "B/s", "128 GB/s"),
        (1e-6, "s", "1.00 µs"),
        (1e-3, "s", "1.00 ms"),
        (0, "J", "0 J"),
        (5.4e-14, "J", "54.0 fJ"),
        (3e21, "B", "3000 EB"),
        (12.0, "", "12.0"),
    ],
)
def test_si_keeps_three_digits_with_the_nearest_prefix(value, unit, expected):
    assert si(value, unit) == expected


def test_digits_turn_to_powers_of_ten_only_far_from_one():
    assert [digits(v) for v in (0, 0.55, 1.0, 87.04, 450, 99999, 1e5, 1e-4)] == [
        "0", "0.550", "1.00", "87.0", "450", "99999", "1.00e+05", "1.00e-04",
    ]  # fmt: skip


def test_prefix_of_a_value_at_the_edge():
    assert prefix_for(1000.0) == (1e3, "k")
    assert prefix_for(999.0) == (1.0, "")
    assert prefix_for(0.0) == (1.0, "")


def test_counts_are_grouped():
    assert count(4542805) == "4,542,805"
    assert count(0.41) == "0.41"


def test_control_characters_and_lone_surrogates_are_replaced():
    assert printable("a\x00b\ud800c\n") == "a\ufffdb\ufffdc\ufffd"


def test_shortening_keeps_both_ends():
    assert shorten("x" * 40) == "x" * 40
    short = shorten("begin" + "x" * 100 + "end", 20)
    assert len(short) == 20
    assert short.startswith("begin") and short.endswith("end")


def test_lanes_sort_by_number_even_with_absurdly_many_digits():
    assert ordered(["tile 10", "tile 2", "tile 1"]) == ["tile 1", "tile 2", "tile 10"]
    assert natural("9" * 10_000) > natural("8")
    assert ordered(["b", "a", "compute"], ("compute",)) == ["compute", "a", "b"]


def test_labels_are_distinct_and_stay_plain_where_they_can(variant):
    results = [variant("a"), variant("b", "w1"), variant("b", "w2"), variant("c", "w"), variant("c", "w")]
    assert labels(results) == ["a", "b on w1", "b on w2", "c on w", "c on w (2)"]
    tricky = [variant("c on w (2)"), variant("c", "w"), variant("c", "w"), variant("c", "w")]
    assert len(set(labels(tricky))) == 4
