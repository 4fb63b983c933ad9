"""What one run of training is to be: everything that its bytes depend on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from torch import nn

from siloom.sim.arithmetic import Direction
from siloom.sim.errors import InputError, UsageError
from siloom.workloads.torch.convert import converted_copy
from siloom.workloads.torch.data import Data
from siloom.workloads.torch.methods import Method, method
from siloom.workloads.torch.optimizer import Optimizer, optimizer
from siloom.workloads.torch.recipe import Recipe, recipe
from siloom.workloads.torch.schedule import Schedule, schedule
from siloom.workloads.torch.sparse import Sparsity, sparsity
from siloom.workloads.torch.technique import Technique, techniques
from siloom.workloads.torch.ways import Ways

_MOST = 2**63 - 1
"""Whole numbers that torch's generator takes."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Choices of a run; the same plan gives the same bytes on the same computer."""

    recipe: Recipe
    ways: Ways
    optimizer: Optimizer
    schedule: Schedule
    sparsity: Sparsity
    attention: Method
    techniques: tuple[Technique, ...] = ()
    seed: int = 0
    limit: int | None = None
    """Steps, where they are not the recipe's own number."""
    threads: int = 1
    loss_scale: float = 0.0
    """First factor on the loss; without any, 0, a step that overflows ends the run."""

    @property
    def emulated(self) -> bool:
        """Whether anything is not torch's own: all in fp32 there is nothing to convert, and nothing to count."""
        return self.attention.name != "exact" or any(self.ways.text(d) != "fp32" for d in get_args(Direction))

    @property
    def examples(self) -> int:
        """Examples that a batch is made from: more than it has where some are chosen among them."""
        return self.recipe.batch * math.prod(technique.pool for technique in self.techniques)

    def convert(self, network: nn.Module) -> nn.Module:
        """The network in the plan's arithmetic and attention."""
        return converted_copy(network, self.ways, self.attention)

    @classmethod
    def of(
        cls,
        recipe_text: str,
        *,
        arithmetic: str = "fp32",
        backward: str | None = None,
        optimizer_text: str | None = None,
        schedule_text: str | None = None,
        sparsity_text: str = "dense",
        attention: str = "exact",
        technique_texts: Sequence[str] = (),
        seed: int = 0,
        steps: int | None = None,
        threads: int = 1,
        loss_scale: float = 0.0,
    ) -> Plan:
        """From texts; what is not given is the recipe's own.

        Raises:
            UsageError: an unknown name or field.
            InputError: a value out of its range.
        """
        for name, value, least in (("seed", seed, 0), ("steps", steps, 1), ("threads", threads, 1)):
            if value is not None and value < least:
                raise InputError(f"train: {name} must be at least {least}, got {value}")
            if value is not None and value > _MOST:
                raise InputError(f"train: {name} must be at most {_MOST}, got {value}")
        made = recipe(recipe_text)
        rule = optimizer(optimizer_text or made.optimizer)
        if loss_scale and rule.gradients > 1:
            raise UsageError(f"train: {rule.name} takes more than one gradient a step, which --loss-scale cannot drop")
        sparse, ways = sparsity(sparsity_text), techniques(technique_texts)
        for one in ways:
            if sparse.masked and not one.with_masks:
                raise UsageError(f"train: technique {one.name} is for dense weights, not for --sparsity {sparse.name}")
        return cls(
            recipe=made,
            ways=Ways.of(arithmetic, backward),
            optimizer=rule,
            schedule=schedule(schedule_text or made.schedule),
            sparsity=sparse,
            attention=method(attention),
            techniques=ways,
            seed=seed,
            limit=steps,
            threads=threads,
            loss_scale=loss_scale,
        )

    def steps(self, data: Data) -> int:
        """How many steps the run has.

        Raises:
            InputError: a batch larger than the data.
        """
        each = self.examples // self.recipe.batch
        most, over = len(data.train) // each, f" over {each}" if each > 1 else ""
        if self.recipe.batch > most:
            raise InputError(
                f"{self.recipe.name}: batch must be at most {most}, the examples there are{over}, "
                f"got {self.recipe.batch}"
            )
        return self.limit or self.recipe.step_count(data)

    def label(self) -> str:
        """A short name of what is trained and how."""
        words = [self.recipe.name, self.ways.text("forward")]
        words += [str(self.attention)] if self.attention.name != "exact" else []
        words += [self.sparsity.name] if self.sparsity.masked else []
        words += [technique.name for technique in self.techniques]
        return f"a step of {', '.join(words)}"

    def identity(self, steps: int) -> dict[str, str | float]:
        """What a checkpoint must have in common with the run that goes on from it.

        The number of steps is part of it only where a step depends on how many are to come.
        """
        found: dict[str, str | float] = {
            "recipe": str(self.recipe),
            "arithmetic": self.ways.text("forward"),
            "grad_input arithmetic": self.ways.text("grad_input"),
            "grad_weight arithmetic": self.ways.text("grad_weight"),
            "optimizer": str(self.optimizer),
            "schedule": str(self.schedule),
            "sparsity": str(self.sparsity),
            "attention": str(self.attention),
            "techniques": " ".join(map(str, self.techniques)) or "none",
            "seed": self.seed,
            "threads": self.threads,
            "loss scale": self.loss_scale,
        }
        if not (self.schedule.endless and self.sparsity.endless and all(one.endless for one in self.techniques)):
            found["steps"] = steps
        return found
