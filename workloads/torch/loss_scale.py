"""A factor on the loss that keeps small gradients within the range of a narrow format (Micikevicius et al., ICLR 2018).

A backward pass that overflows somewhere is thrown away and the factor halved; after ``patience`` good steps it is
doubled. All factors are powers of two, so that taking them off again rounds nothing but numbers below float32's range.
``torch.amp.GradScaler`` looks at the finished gradients alone: here the product that overflowed has already ended the
backward pass, which counts as well.
"""

from __future__ import annotations

import math

import torch

from siloom.sim.errors import InputError
from siloom.workloads.torch.products import NotFiniteError

LEAST, MOST = 2.0**-24, 2.0**40


class LossScale:
    """The dynamic factor of one training run.

    Args:
        start: the first factor, a power of two.
        patience: good steps until it doubles.

    Raises:
        InputError: a start that is no power of two from 2^-24 to 2^40, or a patience below 1.
    """

    def __init__(self, start: float = 2.0**16, patience: int = 2000) -> None:
        if not LEAST <= start <= MOST or math.frexp(start)[0] != 0.5:
            raise InputError(f"loss scale: start must be a power of two from 2^-24 to 2^40, got {start}")
        if patience < 1:
            raise InputError(f"loss scale: patience must be at least 1, got {patience}")
        self.factor, self.patience = start, patience
        self.good, self.overflows = 0, 0
        self._overflowed = False

    def backward(self, loss: torch.Tensor) -> None:
        """The backward pass of the scaled loss; gradients stay scaled until :meth:`step`, and add up as ever.

        Raises:
            NotFiniteError: the loss itself is not finite.
        """
        if not torch.isfinite(loss):
            raise NotFiniteError("of the model", "forward", "loss", str(loss.item()))
        try:
            (loss * self.factor).backward()  # type: ignore[no-untyped-call]
        except NotFiniteError as error:
            if error.direction == "forward":  # activations that are computed anew
                raise
            self._overflowed = True

    def step(self, optimizer: torch.optim.Optimizer) -> bool:
        """Take the factor off the gradients and step, or, after an overflow, drop them; whether it stepped.

        Raises:
            InputError: gradients overflow even at the least factor.
        """
        grads = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        if self._overflowed or not all(bool(torch.isfinite(grad).all()) for grad in grads):
            self._overflowed = False
            self.good, self.overflows = 0, self.overflows + 1
            self.factor /= 2
            if self.factor < LEAST:
                raise InputError("loss scale: gradients are not finite at any factor down to 2^-24")
            optimizer.zero_grad()
            return False
        for grad in grads:
            grad.mul_(1.0 / self.factor)
        optimizer.step()
        self.good += 1
        if self.good == self.patience:
            self.good, self.factor = 0, min(MOST, 2 * self.factor)
        return True

    def state_dict(self) -> dict[str, float]:
        """What :meth:`load_state_dict` needs to go on as if nothing had been."""
        return {"factor": self.factor, "good": self.good, "overflows": self.overflows}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Go on from there."""
        self.factor, self.good, self.overflows = state["factor"], int(state["good"]), int(state["overflows"])
