"""Is the exponential that of the authors' module, bit for bit?"""

from __future__ import annotations

import numpy as np
import pytest

from siloom.sim.units.exp_sanger import ExpSanger, exp_sanger_reference, exp_sanger_stream, largest_input, step_table

VECTORS = {
    (32, 16): (65536, 84074, 107856, 177505, 292129, 480774, 1302182, 3526976, 15721656),
    (20, 8): (256, 328, 421, 693, 1141, 1878, 5087, 13778, 61416),
}
INPUTS = (0, 0.25, 0.5, 1, 1.5, 2, 3, 4, 5.5)


def exp_codes(codes, design):
    table = step_table(design.fraction, design.table_bits, design.append)
    x = np.array(codes, np.int64)
    return exp_sanger_stream(x, design.width, design.fraction, table, design.table_bits, design.append)


@pytest.mark.parametrize("size", VECTORS)
def test_the_exponential_of_the_authors_module(size):
    design = ExpSanger(width=size[0], fraction=size[1])
    codes = [int(x * 2 ** size[1]) for x in INPUTS]
    assert exp_codes(codes, design).tolist() == list(VECTORS[size])


@pytest.mark.parametrize(("width", "fraction"), [(8, 4), (8, 0), (8, 7), (6, 2), (2, 1)])
def test_every_input_of_small_exponentials(width, fraction):
    design = ExpSanger(width=width, fraction=fraction, table_bits=min(6, fraction + 4))
    codes = range(2**width)
    assert exp_codes(codes, design).tolist() == [exp_sanger_reference(x, design) for x in codes]


@pytest.mark.parametrize(("size", "low", "high"), [((32, 16), -0.02268, 0.00427), ((20, 8), -0.02238, 0.00364)])
def test_its_error_on_0_to_6_is_the_references(size, low, high):
    design = ExpSanger(width=size[0], fraction=size[1])
    codes = np.arange(0, 6 * 2 ** size[1] + 1)
    exact = np.exp(codes / 2 ** size[1])
    relative = exp_codes(codes, design) / 2 ** size[1] / exact - 1
    # The reference sampled; here are all codes, which reach a little further.
    assert relative.min() == pytest.approx(low, abs=5e-4 if size[0] == 32 else 2e-3)
    assert relative.max() == pytest.approx(high, abs=5e-4 if size[0] == 32 else 2e-3)


def test_up_to_its_largest_input_it_does_not_wrap():
    design = ExpSanger()
    codes = np.arange(largest_input(design) - 100_000, largest_input(design) + 1)
    exact = np.exp(codes / 2**design.fraction) * 2**design.fraction
    assert (np.abs(exp_codes(codes, design) / exact - 1) < 0.07).all()  # 1.4375 for log2(e) tells at large x
    assert exp_codes([largest_input(design) + 40_000], design)[0] < exp_codes([largest_input(design)], design)[0]
