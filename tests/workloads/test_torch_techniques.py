"""Every technique of training learns, repeats itself, goes on from a checkpoint, and is refused in clear words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs siloom[train]")

from siloom.sim.errors import InputError, UsageError  # noqa: E402
from siloom.workloads.torch.checkpoint import save  # noqa: E402
from siloom.workloads.torch.plan import Plan  # noqa: E402
from siloom.workloads.torch.technique import known_techniques  # noqa: E402
from siloom.workloads.torch.training import Training, train  # noqa: E402

VIT = "digits:model=vit,batch=16"
RECALL = "mqar:layers=2,examples=640,judged_on=50,length=16,pairs=2,vocabulary=32,width=16,batch=16"
RUNS: dict[str, dict[str, object]] = {
    "lora": {"technique_texts": ["lora:rank=2"]},
    "lora, by chance": {"technique_texts": ["lora:rank=2"], "arithmetic": "int8:rounding=stochastic"},
    "token-drop": {"technique_texts": ["token-drop:edges=0"]},
    "token-drop, elsa": {"technique_texts": ["token-drop"], "attention": "elsa"},
    "layer-drop": {"technique_texts": ["layer-drop:rate=0.3"]},
    "stochastic-depth": {"technique_texts": ["stochastic-depth"], "optimizer_text": "momentum:lr=0.02"},
    "layer-drop, with others": {"technique_texts": ["token-drop", "lora:rank=2", "layer-drop:rate=0.1"]},
    "stacking": {"technique_texts": ["stacking:until=0.5"], "recipe_text": RECALL},
    "stacking, fresh": {
        "technique_texts": ["stacking:until=0.3,state=fresh"],
        "recipe_text": RECALL,
        "optimizer_text": "lion",
        "arithmetic": "int8:acc=24",
    },
    "importance": {"technique_texts": ["importance"]},
    "importance, with others": {
        "technique_texts": ["layer-drop:rate=0.1", "importance:score=loss"],
        "recipe_text": RECALL,
        "attention": "dota",
        "loss_scale": 16.0,
        "arithmetic": "int8:acc=16",
    },
    "activations": {"technique_texts": ["activations"]},
    "activations, with others": {
        "technique_texts": ["stacking", "lora", "activations:bits=4", "importance"],
        "recipe_text": RECALL,
        "arithmetic": "int8:acc=24",
    },
    "activations, sparse": {
        "technique_texts": ["activations"],
        "recipe_text": "digits",
        "sparsity_text": "rigl:every=3,density=0.3",
    },
    "stacking, with others": {
        "technique_texts": ["layer-drop:rate=0.1", "lora", "stacking"],
        "recipe_text": RECALL,
        "attention": "elsa",
        "optimizer_text": "sam",
    },
}
"""Runs by name; the first word is the technique's."""


def plan(steps: int = 8, recipe_text: str = VIT, **choices: object) -> Plan:
    return Plan.of(recipe_text, steps=steps, **choices)  # type: ignore[arg-type]


class Killed(Exception):
    """Stands for the end of the process."""


def test_every_technique_is_in_these_tests() -> None:
    assert {name.partition(",")[0] for name in RUNS} == set(known_techniques())
    assert all(kind.summary for kind in known_techniques().values())


@pytest.mark.parametrize("name", RUNS)
def test_a_killed_run_goes_on_to_the_same_bytes(name: str, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole.safetensors", tmp_path / "killed.safetensors"
    wanted = plan(**RUNS[name])
    train(wanted, checkpoint=whole)

    def keep(training: Training) -> None:
        save(training, killed)
        if training.step == 5:
            raise Killed

    with pytest.raises(Killed):
        Training(wanted).run(keep)
    assert killed.read_bytes() != whole.read_bytes()
    train(wanted, resume=killed, checkpoint=killed)
    assert killed.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("name", RUNS)
def test_the_same_seed_gives_the_same_run_and_another_another(name: str) -> None:
    losses = [train(plan(**{"steps": 3, "seed": seed, **RUNS[name]})).history.final_loss for seed in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.parametrize("name", RUNS)
def test_every_technique_learns(name: str) -> None:
    curve = train(plan(**{"steps": 40, **RUNS[name]})).history.curve
    assert curve[-1].validation_loss < curve[0].validation_loss


def test_a_checkpoint_of_another_technique_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    train(plan(steps=1), checkpoint=path)
    with pytest.raises(InputError, match="was made with techniques none, not with lora:rank=4"):
        train(plan(steps=1, technique_texts=["lora"]), resume=path)


@pytest.mark.parametrize(
    ("choices", "kind", "said"),
    [
        ({"technique_texts": ["lara"]}, UsageError, "no technique 'lara' - did you mean 'lora'?"),
        ({"technique_texts": ["lora:ranks=2"]}, UsageError, "lora: no field 'ranks' - did you mean 'rank'?"),
        ({"technique_texts": ["lora:rank=0"]}, InputError, "lora: rank must be at least 1, got 0"),
        ({"technique_texts": ["lora", "lora:rank=2"]}, UsageError, "train: technique lora is named 2 times"),
        (
            {"technique_texts": ["lora"], "sparsity_text": "rigl"},
            UsageError,
            "train: technique lora is for dense weights, not for --sparsity rigl",
        ),
        (
            {"technique_texts": ["token-drop:keep=0"]},
            InputError,
            "token-drop: keep must be at least 0.001 of the tokens",
        ),
        (
            {"technique_texts": ["token-drop:edges=2"]},
            InputError,
            "token-drop: edges must leave one of the 3 blocks that attend in digits, got 2",
        ),
        (
            {"technique_texts": ["token-drop"], "recipe_text": "digits"},
            InputError,
            "token-drop: the network of digits has no row of residual blocks",
        ),
        ({"technique_texts": ["layer-drop:rate=2"]}, InputError, "rate must be at most 1, got 2"),
        ({"technique_texts": ["stochastic-depth"], "recipe_text": "mnist5k"}, InputError, "no row of residual blocks"),
        (
            {"technique_texts": ["stacking"]},
            InputError,
            "stacking: the 3 blocks of digits must be a multiple of 2^doublings, 2",
        ),
        (
            {"technique_texts": ["stacking"], "recipe_text": "mqar:layers=1,examples=64,judged_on=1"},
            InputError,
            "stacking: block 1 of mqar must be built as block 0, which is copied to it",
        ),
        ({"technique_texts": ["activations:bits=3"]}, InputError, "activations: bits must be 1, 2, 4 or 8, got 3"),
        ({"technique_texts": ["activations:group=9"]}, InputError, "group must be a multiple of 8, got 9"),
        (
            {"technique_texts": ["activations"], "recipe_text": "digits:remat=1"},
            UsageError,
            "train: technique activations is for activations that are kept, not for remat=1",
        ),
        ({"technique_texts": ["importance:score=norm"]}, InputError, "score must be one of gradient, loss, got 'norm'"),
        ({"technique_texts": ["importance:presample=1"]}, InputError, "presample must be at least 2, got 1"),
        ({"technique_texts": ["stacking:state=new"]}, InputError, "state must be one of copied, fresh, got 'new'"),
        ({"technique_texts": ["lora:base=no.safetensors"]}, InputError, "no.safetensors: no such file"),
    ],
    ids=lambda v: " ".join(map(str, v.values())) if isinstance(v, dict) else "",
)
def test_what_cannot_be_trained_is_refused(choices: dict[str, object], kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=re.escape(said)):
        Training(plan(**choices))
