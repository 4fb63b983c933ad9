"""Recipes' data are what they say, and the networks learn them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs siloom[train]")

from siloom.sim.errors import InputError, UsageError  # noqa: E402
from siloom.workloads.torch.data import IGNORED, batch_index  # noqa: E402
from siloom.workloads.torch.plan import Plan  # noqa: E402
from siloom.workloads.torch.recipe import recipe, recipes  # noqa: E402
from siloom.workloads.torch.recipes import listops  # noqa: E402
from siloom.workloads.torch.recipes.mqar import _different  # noqa: E402
from siloom.workloads.torch.recipes.stdlib_lm import CHARACTERS, OTHER, StdlibLm, _examples, _text, library_files  # noqa: E402
from siloom.workloads.torch.training import Training, train  # noqa: E402

SMALL = {
    "digits": "digits",
    "digits-vit": "digits:model=vit",
    "mnist5k": "mnist5k:channels=2,hidden=16",
    "listops": "listops:examples=640,judged_on=50,layers=1,width=32",
    "mqar": "mqar:examples=640,judged_on=50",
    "stdlib-lm": "stdlib-lm:width=16,layers=1,heads=2,length=32,judged_on=16",
}


def test_every_recipe_is_in_these_tests() -> None:
    assert {text.partition(":")[0] for text in SMALL.values()} == set(recipes())


@pytest.mark.parametrize("text", SMALL.values(), ids=SMALL)
def test_every_recipe_learns_within_a_few_steps(text: str) -> None:
    run = train(Plan.of(text, steps=30))
    assert run.history.curve[-1].validation_loss < run.history.curve[0].validation_loss
    assert (run.history.curve[-1].accuracy is None) == text.startswith("stdlib-lm")


@pytest.mark.parametrize("text", SMALL.values(), ids=SMALL)
def test_recomputed_activations_give_the_same_gradients(text: str) -> None:
    again = f"{text}{',' if ':' in text else ':'}remat=1"
    plain, remat = Training(Plan.of(text, steps=1)), Training(Plan.of(again, steps=1))
    for run in (plain, remat):
        run._advance()
    for one, two in zip(plain.model.parameters(), remat.model.parameters(), strict=True):
        assert torch.equal(one, two)


def test_every_example_comes_once_an_epoch_in_another_order_each() -> None:
    epochs = [[batch_index(103, 10, 0, epoch * 10 + part) for part in range(10)] for epoch in range(2)]
    orders = [np.concatenate(epoch) for epoch in epochs]
    assert all(len(set(order.tolist())) == 100 for order in orders)
    assert not np.array_equal(*orders)


def test_mqar_asks_for_each_key_once_and_answers_with_its_value() -> None:
    data = recipe("mqar:examples=200,judged_on=10,length=32,pairs=5,vocabulary=64").data()
    for tokens, answers in zip(data.train.inputs.tolist(), data.train.targets.tolist(), strict=True):
        keys, values = tokens[0:10:2], tokens[1:10:2]
        assert len(set(keys)) == len(set(values)) == 5
        assert all(1 <= key < 32 for key in keys)
        assert all(32 <= value < 64 for value in values)
        asked = [place for place, answer in enumerate(answers) if answer != IGNORED]
        assert {tokens[place]: answers[place] for place in asked} == dict(zip(keys, values, strict=True))
        assert all(place >= 10 and place % 2 == 0 for place in asked)


def test_mqar_s_distances_follow_the_power_law() -> None:
    """The first of a draw without repetition is a draw by the weights themselves."""
    weights = np.arange(1.0, 9) ** -0.99
    drawn = _different(np.random.default_rng(0), 40_000, 3, weights)
    assert all(len(set(row)) == 3 for row in drawn[:100].tolist())
    shares = np.bincount(drawn[:, 0], minlength=8) / len(drawn)
    assert shares == pytest.approx(weights / weights.sum(), abs=0.01)


def test_mqar_is_the_same_for_every_seed_of_the_run_and_another_for_another_draw() -> None:
    hashes = [recipe(f"mqar:examples=10,judged_on=10,draw={draw}").data().content_hash() for draw in (0, 0, 1)]
    assert hashes[0] == hashes[1] != hashes[2]


def evaluated(tokens: list[int]) -> int:
    """By a stack, not by a tree: a bracket takes all digits back to the last operation."""
    stack: list[list[int]] = [[]]
    for token in tokens:
        if token >= 10 and token != listops.CLOSE:
            stack.append([token - 10])
        elif token != listops.CLOSE:
            stack[-1].append(token)
        else:
            operation, *digits = stack.pop()
            low = sorted(digits)
            middle = (low[(len(low) - 1) // 2] + low[len(low) // 2]) // 2
            stack[-1].append([low[0], low[-1], middle, sum(digits) % 10][operation])
    ((answer,),) = stack
    return answer


def test_listops_answers_are_the_values_of_its_trees() -> None:
    data = recipe("listops:examples=900,judged_on=100,longest=60").data()
    seen = set()
    for split in (data.train, data.held_out):
        for row, answer in zip(split.inputs.tolist(), split.targets.tolist(), strict=True):
            asks, *tokens = row
            while tokens[-1] == listops.NOTHING:
                tokens.pop()
            assert asks == listops.ASK
            assert 6 <= len(tokens) <= 60
            assert evaluated(tokens) == answer
            seen.add(tuple(tokens))
    assert len(seen) == 1000, "no tree comes twice, and none that is judged was learned"


def test_listops_operations_are_the_published_ones() -> None:
    digits = [7, 1, 8, 4]
    assert [rule(digits) for rule in listops.OPERATIONS.values()] == [1, 8, 5, 0]
    assert list(listops.OPERATIONS) == ["MIN", "MAX", "MED", "SM"]


def test_listops_nodes_follow_the_rule() -> None:
    """Digits 3 of 4 nodes below the root, operations and numbers of arguments even: of trees not cut by length."""
    made = recipe("listops:longest=4096,depth=3,examples=1,arguments=4")
    numbers, arguments, operations, leaves = listops._numbers(1), Counter(), Counter(), Counter()
    for _ in range(4000):
        tokens: list[int] = []
        made._tree(1, numbers, tokens)
        open_: list[int] = []
        for token in tokens:
            if token == listops.CLOSE:
                arguments[open_.pop()] += 1
            else:
                if open_:
                    open_[-1] += 1
                if len(open_) == 1:  # at depth 2, which may still be either
                    leaves[token < 10] += 1
                if token >= 10:
                    operations[token] += 1
                    open_.append(0)
    assert set(arguments) == {2, 3, 4}
    for counts in (arguments, operations):
        expected = counts.total() / len(counts)
        assert all(abs(count - expected) < 5 * expected**0.5 for count in counts.values())
    assert abs(leaves[True] - 0.75 * leaves.total()) < 5 * (0.75 * 0.25 * leaves.total()) ** 0.5


def test_listops_is_the_same_for_every_seed_of_the_run_and_another_for_another_draw() -> None:
    hashes = [recipe(f"listops:examples=50,judged_on=10,draw={draw}").data().content_hash() for draw in (0, 0, 1)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_listops_says_when_there_are_too_few_trees() -> None:
    # Of 4 tokens there are four operations of two digits.
    with pytest.raises(InputError, match=r"listops: examples and judged_on must be at most .* 400 were found, got 401"):
        recipe("listops:shortest=4,longest=4,examples=400,judged_on=1").data()


def test_library_files_are_sources_without_tests(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"m{number:02}.py").write_text("x")
    for folder in ("test", "site-packages", "pkg/tests", "pkg/sub"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "a.py").write_text("x")
    found = [path.relative_to(tmp_path).as_posix() for path in library_files(tmp_path)]
    assert found == [*(f"m{number:02}.py" for number in range(20)), "pkg/sub/a.py"]
    with pytest.raises(InputError, match="must hold at least 20 Python files, got 1"):
        library_files(tmp_path / "pkg")


def test_characters_become_codes_and_others_one_symbol(tmp_path: Path) -> None:
    import hashlib

    file = tmp_path / "a.py"
    file.write_bytes("a\tb\r\n\x01é€".encode())
    codes = _text([file], hashlib.blake2b()).tolist()
    assert codes == [*(CHARACTERS.index(c) for c in "a   b\n"), OTHER, OTHER, OTHER]


def test_targets_are_the_next_characters() -> None:
    split = _examples(np.arange(10, dtype=np.uint8), 4)
    inputs, targets = split.take(slice(0, 2))
    assert inputs.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert torch.equal(targets, inputs + 1)


def test_held_out_files_are_not_learned_from() -> None:
    facts = StdlibLm().data().facts
    assert facts["held_out_files"] == (int(facts["files"]) + int(facts["held_out_files"])) // 20
    assert float(facts["other_share"]) < 0.01


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mqar:length=7", "mqar: length must be even"),
        ("mqar:length=8,pairs=4", "at least 4 * pairs = 16, got 8"),
        ("mqar:vocabulary=60", "mqar: vocabulary must be above length, 64, got 60"),
        ("mqar:heads=3", "mqar: width must be a multiple of heads, 3, got 64"),
        ("listops:shortest=9,longest=8", "listops: longest must be at least shortest, 9, got 8"),
        ("listops:heads=3", "listops: width must be a multiple of heads, 3, got 64"),
        ("stdlib-lm:heads=3", "stdlib-lm: width must be a multiple of heads, 3, got 128"),
        ("digits:model=cnn", "must be one of mlp, vit, got 'cnn'"),
        ("digits:epochs=0", "epochs must be at least 1, got 0"),
    ],
)
def test_settings_out_of_range_are_refused(text: str, said: str) -> None:
    import re

    with pytest.raises(InputError, match=re.escape(said)):
        recipe(text)


def test_an_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"no recipe 'digit' - did you mean 'digits'\?"):
        recipe("digit")
