"""Is every unit there that the design promises, each with what the conformance tests look for?"""

from __future__ import annotations

from importlib import import_module

import pytest

from siloom.sim.contract import Unit

PROMISED = (
    "mac", "fp_mac", "stochastic_rounding", "quantizer", "exp_sanger", "exp_split", "online_softmax", "int4_predictor",
    "pack_split", "srp_hash", "hamming", "norm", "candidate_select", "greedy_search", "ternary_projection", "row_topk",
    "token_scheduler", "multi_precision_mul", "outer_multiplier", "chunk_merger", "sparse24_select", "systolic_cell",
)  # fmt: skip
MORE = (
    "bank_sum", "dot_product", "exp_float", "head_mix", "low_rank_detector", "mask_threshold", "post_score",
    "reciprocal", "scaled_code", "score_scale", "share_sum", "sparse24_cell", "systolic_float_cell", "weighted_mean",
    "weighted_sum",
)  # fmt: skip


@pytest.mark.parametrize("name", PROMISED + MORE)
def test_the_unit_is_there_under_its_own_name(name):
    unit = import_module(f"siloom.sim.units.{name}").UNIT
    assert isinstance(unit, Unit)
    assert unit.name == name
    assert len(unit.sizes) >= 3
    assert all(isinstance(size, unit.design_type) for size in unit.sizes)
