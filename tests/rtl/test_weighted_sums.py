"""Sums laid out over lanes and steps: is every term done once, does any schedule add up, in the adders there are?"""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("amaranth", reason="the optional part 'rtl' is not installed")

from siloom.rtl.registry import find_block
from siloom.rtl.term_schedule import Term, last_uses, shape_of, shared_registers, spans_of
from siloom.rtl.verilog import verilog


def some_terms(rng):
    lengths = rng.integers(1, 9, rng.integers(1, 12)).tolist()
    return [
        Term(100 + target, int(rng.integers(20)), 1) for target, length in enumerate(lengths) for _ in range(length)
    ]


@pytest.mark.parametrize("seed", range(20))
def test_spans_hold_every_term_once_and_are_cut_only_where_a_step_ends(seed):
    rng = np.random.default_rng(seed)
    terms, lanes = some_terms(rng), int(rng.integers(1, 12))
    spans = spans_of(terms, lanes)
    held = [(span.target, span.step * lanes + lane) for span in spans for lane in range(span.first, span.end)]
    assert held == [(term.target, k) for k, term in enumerate(terms)]
    for span in spans:
        assert 0 <= span.first < span.end <= lanes
        assert span.ends or span.end == lanes
        assert span.begins or span.first == 0
    for target in {term.target for term in terms}:
        parts = [span for span in spans if span.target == target]
        assert [span.begins for span in parts] == [True] + [False] * (len(parts) - 1)
        assert [span.ends for span in parts] == [False] * (len(parts) - 1) + [True]


@pytest.mark.parametrize("seed", range(20))
def test_a_register_has_one_number_at_a_time_and_there_are_no_more_than_numbers_at_a_time(seed):
    rng = np.random.default_rng(seed)
    done = {number: int(rng.integers(8)) for number in range(30)}
    needed = {number: step + int(rng.integers(1, 5)) for number, step in done.items()}
    registers = shared_registers(done, needed)
    assert sorted(number for numbers in registers for number in numbers) == list(range(30))
    for numbers in registers:
        for before, after in pairwise(numbers):
            assert needed[before] <= done[after]
    at_a_time = max(sum(done[n] < step <= needed[n] for n in done) for step in range(14))
    assert len(registers) == at_a_time


def test_the_last_use_of_a_number_is_that_of_its_last_term():
    terms = [Term(9, 0, 1), Term(9, 1, 1), Term(10, 0, 1), Term(10, 9, 1), Term(11, 2, 1)]
    assert last_uses(terms, 2) == {0: 1, 1: 0, 9: 1, 2: 2}


@pytest.mark.parametrize(
    ("numbers", "bits"), [((0, 0), 1), ((-1, 0), 1), ((0, 1), 2), ((-2, 1), 2), ((3, 7), 4), ((-9, -3), 5)]
)
def test_shapes_are_signed_and_just_wide_enough(numbers, bits):
    assert (shape_of(numbers).width, shape_of(numbers).signed) == (bits, True)


@pytest.mark.parametrize(
    "name",
    [
        "ternary_projection:dim=9,rank=4,x_bits=5,adders=1",
        "ternary_projection:dim=40,rank=7,x_bits=5,adders=16",
        "ternary_projection:dim=3,rank=9,x_bits=32,adders=3,seed=5",
        "srp_hash:side_a=1,side_b=1,side_c=1",
        "srp_hash:side_a=3,side_b=2,side_c=2,multipliers=1",
        "srp_hash:side_a=3,side_b=2,side_c=2,multipliers=7",
        "srp_hash:side_a=3,side_b=2,side_c=2,multipliers=30,factor_bits=2",
    ],
)
def test_sums_in_schedules_that_fit_nowhere(name):
    """Terms of one sum over many steps, zero weights, and modes that begin in the step that ends the one before."""
    verdict = find_block(name).check(120, 3, "amaranth")
    assert verdict.passed, verdict


@pytest.mark.parametrize("adders", [1, 5, 16, 64])
def test_there_are_no_more_adders_than_promised(adders):
    block = find_block(f"ternary_projection:dim=24,rank=6,x_bits=8,adders={adders}")
    text = verilog(block.make(), block.name)
    assert len(re.findall(r" [-+] \$signed| = - ", text)) <= adders


@pytest.mark.parametrize("multipliers", [1, 7, 16])
def test_there_are_no_more_multipliers_than_promised(multipliers):
    block = find_block(f"srp_hash:side_a=3,side_b=2,side_c=2,multipliers={multipliers}")
    text = verilog(block.make(), block.name)
    assert 0 < len(re.findall(r" \* ", text)) <= multipliers
