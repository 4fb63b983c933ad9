"""Training learns, is the same every time, and goes on from a checkpoint to the same bytes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs siloom[train]")

from siloom.sim.errors import CheckFailedError, InputError, SiloomError  # noqa: E402
from siloom.workloads.torch.checkpoint import save  # noqa: E402
from siloom.workloads.torch.plan import Plan  # noqa: E402
from siloom.workloads.torch.training import Training, train  # noqa: E402

MANY_STATES = {
    "plain": {},
    "adaptive": {"optimizer_text": "adamw", "schedule_text": "cosine:warmup=3"},
    "accumulated": {"recipe_text": "digits:accumulate=2,batch=16"},
    "int8": {"arithmetic": "int8:acc=16"},
    "by chance": {"arithmetic": "int8:rounding=stochastic"},
    "scaled loss": {"arithmetic": "int8:acc=16", "loss_scale": 1024.0},
    "moving masks": {"sparsity_text": "rigl:every=3", "optimizer_text": "adam"},
}
LEARNT_STATES = {
    name: {"recipe_text": "digits:model=vit,batch=8,validations=5", "attention": name, "steps": 5}
    for name in ("elsa", "dota")
}


def plan(recipe_text: str = "digits", steps: int | None = 12, **choices: object) -> Plan:
    return Plan.of(recipe_text, steps=steps, **choices)  # type: ignore[arg-type]


class Killed(Exception):
    """Stands for the end of the process."""


def kill_behind(calls: int, path: Path) -> Callable[[Training], None]:
    """A keeper of checkpoints whose process ends at once behind so many of them."""
    done = 0

    def keep(training: Training) -> None:
        nonlocal done
        save(training, path)
        done += 1
        if done == calls:
            raise Killed

    return keep


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_digits_is_learned(seed: int) -> None:
    last = train(plan(steps=None, seed=seed)).history.curve[-1]
    assert last.accuracy is not None
    assert last.accuracy >= 0.97


@pytest.mark.parametrize(
    "choices",
    [
        *(pytest.param(choices, id=name) for name, choices in MANY_STATES.items()),
        *(pytest.param(choices, id=name, marks=pytest.mark.slow) for name, choices in LEARNT_STATES.items()),
    ],
)
def test_a_killed_run_goes_on_to_the_same_bytes(choices: dict[str, object], tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole.safetensors", tmp_path / "killed.safetensors"
    train(plan(**choices), checkpoint=whole)
    with pytest.raises(Killed):
        Training(plan(**choices)).run(kill_behind(4, killed))
    assert killed.read_bytes() != whole.read_bytes()
    train(plan(**choices), resume=killed, checkpoint=killed)
    assert killed.read_bytes() == whole.read_bytes()


def test_another_seed_gives_other_bytes(tmp_path: Path) -> None:
    made = []
    for seed in (0, 0, 1):
        train(plan(seed=seed, steps=3), checkpoint=tmp_path / "c.safetensors")
        made.append((tmp_path / "c.safetensors").read_bytes())
    assert made[0] == made[1] != made[2]


def test_a_run_may_be_made_longer_where_no_step_depends_on_the_end(tmp_path: Path) -> None:
    first, long, straight = (tmp_path / f"{n}.safetensors" for n in ("first", "long", "straight"))
    train(plan(steps=5, schedule_text="warmup:warmup=3"), checkpoint=first)
    longer = train(plan(steps=9, schedule_text="warmup:warmup=3"), resume=first, checkpoint=long)
    other = train(plan(steps=9, schedule_text="warmup:warmup=3"), checkpoint=straight)
    for one, two in zip(longer.model.parameters(), other.model.parameters(), strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ({"arithmetic": "int8:acc=24"}, "was made with arithmetic fp32, not with int8:acc=24"),
        ({"seed": 4}, "was made with seed 0, not with 4"),
        ({"steps": 13}, "was made with steps 12, not with 13"),
        ({"optimizer_text": "sgd:lr=0.1"}, "was made with optimizer momentum:lr=0.05"),
        ({"recipe_text": "digits:batch=16"}, "was made with recipe digits:batch=32"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_a_checkpoint_of_another_run_is_refused(choices: dict[str, object], said: str, tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    train(plan(), checkpoint=path)
    with pytest.raises(InputError, match=said):
        train(plan(**choices), resume=path)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("step", "2", "is a damaged checkpoint"),
        ("step", -1, "is a damaged checkpoint"),
        ("step", None, "is a damaged checkpoint"),
        ("step", 7, "is a damaged checkpoint: its content is not what its digest says"),
        ("loss_scale", {"factor": 0.0}, "is a damaged checkpoint"),
        ("history", [], "is a damaged checkpoint"),
        ("groups", {}, "is a damaged checkpoint"),
        ("state", [1], "is a damaged checkpoint"),
        ("identity", "none", "is no checkpoint of siloom train"),
    ],
    ids=str,
)
def test_a_checkpoint_with_something_else_in_a_field_is_refused(
    field: str, value: object, said: str, tmp_path: Path
) -> None:
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    path = tmp_path / "c.safetensors"
    train(plan(), checkpoint=path)
    with safe_open(path, framework="pt") as file:
        ((key, text),) = file.metadata().items()
    about = {**json.loads(text), field: value}
    save_file(load_file(path), path, {key: json.dumps(about)})
    with pytest.raises(InputError, match=said):
        train(plan(), resume=path)


@pytest.mark.parametrize("place", [0.2, 0.5, 0.9])
def test_one_bit_that_changed_among_the_tensors_is_found(place: float, tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    train(plan(), checkpoint=path)
    content = bytearray(path.read_bytes())
    tensors = 8 + int.from_bytes(content[:8], "little")
    content[tensors + int(place * (len(content) - tensors))] ^= 1
    path.write_bytes(content)
    with pytest.raises(
        InputError, match=r"c\.safetensors: is a damaged checkpoint: its content is not what its digest"
    ):
        train(plan(), resume=path)


def test_numbers_beyond_what_a_generator_takes_are_refused() -> None:
    with pytest.raises(InputError, match=f"train: seed must be at most {2**63 - 1}, got {2**63}"):
        plan(seed=2**63)
    assert train(plan(seed=2**63 - 1, steps=1)).step == 1


@pytest.mark.parametrize("content", [b"", b"\x00" * 100, b"\xff" * 8 + b"{}"])
def test_a_file_that_is_no_checkpoint_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"c\.safetensors: is no checkpoint of siloom train"):
        train(plan(), resume=path)
    with pytest.raises(InputError, match=r"no\.safetensors: no such file"):
        train(plan(), resume=tmp_path / "no.safetensors")


def test_accumulated_batches_give_the_gradient_of_all_of_them() -> None:
    whole, parts = Training(plan()), Training(plan("digits:batch=16,accumulate=2"))
    whole._gradients()
    parts._gradients()
    for one, two in zip(whole.model.parameters(), parts.model.parameters(), strict=True):
        assert one.grad is not None
        assert two.grad is not None
        torch.testing.assert_close(one.grad, two.grad, rtol=1e-5, atol=1e-7)


def test_recomputed_activations_change_no_bit() -> None:
    int8 = "int8:acc=20"
    plain, again = Training(plan(arithmetic=int8)), Training(plan("digits:remat=1", arithmetic=int8))
    plain.run()
    again.run()
    for one, two in zip(plain.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(one, two)
    forward = [sum(c.sums for (_, way), c in t.history.counts.items() if way == "forward") for t in (plain, again)]
    assert forward[1] > 1.9 * forward[0]


def test_a_loss_that_is_no_number_names_step_and_layer() -> None:
    training = Training(plan())
    training.step = 7
    with torch.no_grad():
        training.model.get_parameter("1.1.0.weight")[3, 4] = float("nan")
    with pytest.raises(CheckFailedError, match=r"at step 7: the loss is nan; layer '1\.1\.0' is the first"):
        training.run()


def test_a_gradient_that_is_no_number_names_the_weights() -> None:
    training = Training(plan())
    training.model.get_parameter("1.2.bias").register_hook(lambda grad: grad * float("inf"))
    with pytest.raises(CheckFailedError, match=r"at step 0: the gradient of 1\.2\.bias is not finite"):
        training.run()


def test_data_that_are_no_numbers_are_refused_before_the_step() -> None:
    training = Training(plan(steps=None))
    training.data.train.inputs[5, 0, 0] = float("nan")
    with pytest.raises(InputError, match="data: example 5 holds a number that is not finite"):
        training.run()


def test_a_batch_larger_than_the_data_is_refused() -> None:
    with pytest.raises(SiloomError, match="digits: batch must be at most 1437, the examples there are, got 2000"):
        Training(plan("digits:batch=2000"))


def test_a_held_out_loss_that_is_not_finite_ends_the_run() -> None:
    training = Training(plan(steps=1))
    with torch.no_grad():
        for weight in training.model.parameters():
            weight.fill_(1e30)
    with pytest.raises(CheckFailedError, match=r"the loss on what is held out is (nan|inf)"):
        training.judge()
