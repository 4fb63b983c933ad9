"""The loop of training: steps, validation, checkpoints; the same plan gives the same bytes.

A step's examples follow from the seed and the step's number, torch's generator is kept in checkpoints, and torch is
held to deterministic kernels on a stated number of threads.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from siloom.sim.errors import CheckFailedError
from siloom.workloads.torch.convert import attended, attention_loss
from siloom.workloads.torch.data import IGNORED, batch_index
from siloom.workloads.torch.guards import at_step, check_loss
from siloom.workloads.torch.history import History, Point
from siloom.workloads.torch.loss_scale import LossScale
from siloom.workloads.torch.masks import Masks
from siloom.workloads.torch.meter import metered
from siloom.workloads.torch.plan import Plan
from siloom.workloads.torch.technique import Objective
from siloom.workloads.torch.unscaled import Unscaled

_JUDGED_AT_ONCE = 256
"""Examples of one forward pass in validation."""


@contextmanager
def reproducible(threads: int) -> Iterator[None]:
    """Deterministic kernels on so many threads, as before behind it."""
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])


class Training:
    """A run, somewhere between its first and its last step."""

    def __init__(self, plan: Plan) -> None:
        """Draw the network.

        Raises:
            MissingPartError: a package that the plan needs is not installed.
            InputError: a batch larger than the data.
            CheckFailedError: an arithmetic in which the network's first call is not finite.
        """
        self.plan = plan
        self.data = plan.recipe.data()
        self.steps = plan.steps(self.data)
        torch.manual_seed(plan.seed)
        network = plan.recipe.network(self.data)
        for technique in plan.techniques:
            technique.fit(network, plan.recipe)
        if plan.emulated:
            with at_step(0):
                network = attended(plan.convert(network), self.data.train.take(slice(0, 1))[0])
        self.model = network
        objective: Objective = self._plain_loss
        for technique in plan.techniques:
            technique.begin(self.model)
            objective = technique.objective(objective, plan.recipe)
        self._objective = objective
        self.optimizer = plan.optimizer.make([weight for weight in self.model.parameters() if weight.requires_grad])
        self.masks = Masks(self.model, self.optimizer, masked=plan.sparsity.masked)
        self.scale = LossScale(plan.loss_scale) if plan.loss_scale else Unscaled(self.model)
        self.step = 0
        self.history = History()
        self.seconds_per_step = 0.0

    def run(self, keep: Callable[[Training], None] | None = None, watch: Callable[[str], None] | None = None) -> None:
        """All steps that are left.

        ``keep`` is called at each point of the curve, and where no step was left: to write a checkpoint.

        Raises:
            InputError: data that are not finite.
            CheckFailedError: a loss or gradient that is not finite, with step and layer.
        """
        spent, first = 0.0, self.step
        if first == self.steps and keep is not None:
            keep(self)
        with reproducible(self.plan.threads):
            while self.step < self.steps:
                start = time.perf_counter()
                self._advance()
                spent += time.perf_counter() - start
                if self._is_point():
                    with at_step(self.step):
                        self._judge()
                    if keep is not None:
                        keep(self)
                    if watch is not None:
                        watch(self._progress())
        self.seconds_per_step = spent / (self.step - first) if self.step > first else 0.0

    def _is_point(self) -> bool:
        wanted = self.plan.recipe.validations
        return self.step * wanted // self.steps > (self.step - 1) * wanted // self.steps

    def _progress(self) -> str:
        point = self.history.curve[-1]
        right = "" if point.accuracy is None else f", accuracy {point.accuracy:.1%}"
        return f"step {point.step} of {self.steps}: loss {point.loss:.3f}, held out {point.validation_loss:.3f}{right}"

    def _advance(self) -> None:
        plan = self.plan
        self.model.train()
        place, length = plan.sparsity.lap(self.step, self.steps)
        factor = plan.schedule.factor(place, length, plan.recipe.batch * plan.recipe.accumulate)
        for group in self.optimizer.param_groups:
            group["lr"] = plan.optimizer.lr * factor
        with metered() as meter, at_step(self.step):
            for technique in plan.techniques:
                technique.update(self.model, self.optimizer, self.step, self.steps)
            plan.sparsity.update(self.masks, self.step, self.steps, self._dense_gradients)
            loss = self._gradients()
            if plan.optimizer.gradients > 1:
                self.optimizer.step(self._gradients)
            else:
                self.scale.step(self.optimizer)
        for (layer, direction), counts in meter.counts.items():
            self.history.count(layer, direction, counts)
        for layer, kept in meter.kept.items():
            self.history.keep(layer, kept)
        for what, done in meter.done.items():
            self.history.do(what, done)
        self.step += 1
        self.history.learned(loss)

    def _gradients(self) -> float:
        """Gradients of this step's examples, in ``grad`` of the weights; gives the mean loss."""
        recipe, total = self.plan.recipe, 0.0
        self.optimizer.zero_grad()
        for inputs, targets in self.batches():
            loss = self.loss(inputs, targets) / recipe.accumulate
            check_loss(loss, self.model, inputs)
            self.scale.backward(loss)
            total += loss.item()
        return total

    def batches(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """The examples of this step; a technique may choose among them."""
        plan = self.plan
        for part in range(plan.recipe.accumulate):
            number = self.step * plan.recipe.accumulate + part
            yield self.data.train.take(batch_index(len(self.data.train), plan.examples, plan.seed, number))

    def loss(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """What is learned: the recipe's loss, and that of a method of attention that learns beside the network."""
        loss = self._objective(self.model, inputs, targets)
        return loss + attention_loss(self.model) if self.plan.emulated else loss

    def _plain_loss(self, model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return self.plan.recipe.loss(model(inputs), targets)

    def _dense_gradients(self) -> None:
        with self.masks.lifted():
            self._gradients()

    def _judge(self) -> None:
        loss, accuracy = self.judge()
        since = self.history.since
        self.history.curve.append(
            Point(
                step=self.step,
                loss=sum(since) / len(since),
                validation_loss=loss,
                accuracy=accuracy,
                rate=float(self.optimizer.param_groups[0]["lr"]),
                density=self.masks.density(),
            )
        )
        since.clear()

    @torch.no_grad()
    def judge(self) -> tuple[float, float | None]:
        """Mean loss in nats on what is held out, and the share of right answers where the recipe states one.

        Raises:
            CheckFailedError: a loss that is not finite.
        """
        self.model.eval()
        loss, right, asked = 0.0, 0, 0
        for inputs, targets in self.data.held_out.batches(_JUDGED_AT_ONCE):
            outputs = self.model(inputs)
            places = targets != IGNORED
            here = int(places.sum())
            loss += self.plan.recipe.loss(outputs, targets).item() * here
            right += int(((outputs.argmax(-1) == targets) & places).sum())
            asked += here
        if not math.isfinite(loss):
            raise CheckFailedError(f"the loss on what is held out is {loss}")
        return loss / asked, right / asked if self.plan.recipe.judged else None


def train(
    plan: Plan,
    *,
    resume: Path | None = None,
    checkpoint: Path | None = None,
    watch: Callable[[str], None] | None = None,
) -> Training:
    """Train from the start, or from the checkpoint ``resume``, to the last step.

    Raises:
        SiloomError: see :class:`Training`, :meth:`Training.run` and :mod:`siloom.workloads.torch.checkpoint`.
    """
    from siloom.workloads.torch.checkpoint import load, save

    training = Training(plan)
    if resume is not None:
        load(training, resume)
    training.run(None if checkpoint is None else lambda state: save(state, checkpoint), watch)
    return training
