"""Products with masked weights as sparse ones, with the real pattern and the numbers that they had.

Of a layer Y = X W' three products are told apart: Y and dX, in which W is an operand, are sparse times dense; dW is
sampled at the mask, and is known by its shape and by X, which the forward product had as its operand. Convolutions of
one group are the products they are lowered to; their unfolded inputs are nowhere in memory, and are not recorded.

Where two of every four weights are kept, only the forward product is one for 2:4 hardware, whose zeros must be
neighbours along the axis that is summed over; the other two are dense, as they are run on it.
"""

from __future__ import annotations

import math

import torch

from siloom.sim.ops import SDDMM, Item, MatMul, Operation, SpMM
from siloom.workloads.torch.calls import Call, format_of, memory_of, values_of
from siloom.workloads.torch.lower_products import LOWERINGS, arithmetic_format, operands_of
from siloom.workloads.torch.masked_weights import Masked, MaskedWeights


class SparseProducts:
    """Lowers the products of a step that masked weights take part in."""

    def __init__(self, weights: MaskedWeights) -> None:
        self._weights = weights
        # By the memory of X: X, held so that it stays its own, and the weights that it met.
        self._inputs: dict[int, tuple[torch.Tensor, Masked]] = {}

    def lower(self, call: Call) -> tuple[list[Item], list[str]] | None:
        """The operations and what to say of them; None where no masked weights take part."""
        if not self._weights.any or not call.data:
            return None
        if call.name in ("convolution", "convolution_backward"):
            return self._convolution(call)
        operands = operands_of(call)
        if operands is None:
            return None
        a, b = (t[0] if t.dim() == 3 and t.shape[0] == 1 else t for t in operands)
        made = self._product(call, a, b) if a.dim() == b.dim() == 2 else None
        return None if made is None else ([Item(made)], [])

    def _product(self, call: Call, a: torch.Tensor, b: torch.Tensor) -> Operation | None:
        # C = A B with sparse B is C' = B' A'.
        for weight, dense in ((a, b), (b.t(), a.t())):
            known = self._weights.find(weight)
            turned = None if known is None else known.turned(weight)
            if known is None or turned is None:
                continue
            if known.sparse24:
                return None if turned else self._product24(call, a, b)
            self._inputs[memory_of(dense)] = (dense, known)
            return SpMM(name=call.label, a=known.csr(transposed=turned), n=dense.shape[1], b=values_of(dense))
        return self._weight_gradient(call, a, b) if call.backward else None

    @staticmethod
    def _product24(call: Call, a: torch.Tensor, b: torch.Tensor) -> MatMul:
        form = arithmetic_format(call.named) or format_of(a)
        (m, k), n = a.shape, b.shape[1]
        return MatMul(name=call.label, m=m, n=n, k=k, format=form, sparse24=True)

    def _weight_gradient(self, call: Call, a: torch.Tensor, b: torch.Tensor) -> Operation | None:
        for operand in (a, b):
            _, known = self._inputs.get(memory_of(operand), (None, None))
            if known is None:
                continue
            # Of square weights the input tells: it is the right operand of dY' X, the left one of X' dY.
            pattern = known.pattern(transposed=operand is a)
            if pattern.shape == (a.shape[0], b.shape[1]):
                return SDDMM(name=call.label, mask=pattern, k=a.shape[1], x=values_of(a), y=values_of(b))
        return None

    def _convolution(self, call: Call) -> tuple[list[Item], list[str]] | None:
        named = call.named
        known = self._weights.find(named["weight"])
        if known is None:
            return None
        dense = LOWERINGS[call.name](call)
        if named["groups"] > 1 or named["transposed"]:
            return dense, [f"{call.label}: masked filters in groups, or transposed: their products are dense"]
        backward = call.name.endswith("backward")
        y = named["grad_output"] if backward else call.results[0]
        places = y.shape[0] * math.prod(y.shape[2:])
        filters, window = known.mask.shape
        if known.sparse24:
            whole = MatMul(
                name=call.label, m=places, n=filters, k=window, format=format_of(named["input"]), sparse24=True
            )
            return (dense, []) if backward else ([Item(whole)], [])
        if not backward:
            return [Item(SpMM(name=call.label, a=known.csr(), n=places))], []
        to_x, to_weight, _ = named["output_mask"]
        made: list[Item] = []
        if to_x:
            made.append(Item(SpMM(name=call.label, a=known.csr(transposed=True), n=places)))
        if to_weight:
            made.append(Item(SDDMM(name=call.label, mask=known.pattern(), k=places)))
        # The gradient of the bias comes last and is as it was.
        return made + dense[len(made) :], []
