"""Attention, its operands drawn by a law where a machine's time depends on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

from siloom.sim.design import parameter
from siloom.sim.drawn_attention import Clustered
from siloom.sim.errors import InputError, UsageError
from siloom.sim.ops import Attention as AttentionOperation
from siloom.sim.ops import Item
from siloom.workloads.generator import OperationGenerator, number_format, size


@dataclass(frozen=True)
class Attention(OperationGenerator, Clustered):
    """softmax(Q K^T / sqrt(dim)) V; the setting ``pass`` is the field ``pass_``. The law's settings are its own."""

    name: ClassVar[str] = "attention"
    summary: ClassVar[str] = "softmax(Q K^T / sqrt(dim)) V over batch x heads, forward or backward"
    source: ClassVar[str] = "defaults: BERT-base on 384 tokens (SQuAD)"
    kinds: ClassVar[tuple[str, ...]] = ("attention",)

    seq: int = size(384, "tokens")
    heads: int = size(12, "heads")
    dim: int = size(64, "elements per head")
    batch: int = size(1, "sequences")
    causal: bool = parameter(False, unit="", source="chosen by the user", status="assumed")
    pass_: str = parameter("fwd", unit="", choices=("fwd", "bwd"), source="chosen by the user", status="assumed")
    format: str = number_format()
    kv_heads: int = size(0, "heads of K and V; 0: as many as of Q", low=0)
    mask: bool = parameter(False, unit="", source="a mask added to the scores, of the user's choice", status="assumed")
    dropout: bool = parameter(False, unit="", source="after the softmax, of the user's choice", status="assumed")

    def with_settings(self, owner: str, settings: Mapping[str, object]) -> Self:
        """As every design; ``pass`` is a word of Python, which no field can be called."""
        if "pass_" in settings:
            raise UsageError(f"{owner}: no field 'pass_' - did you mean 'pass'?")
        try:
            return super().with_settings(owner, {"pass_" if k == "pass" else k: v for k, v in settings.items()})
        except (UsageError, InputError) as error:
            raise type(error)(str(error).replace("pass_", "pass")) from None

    def build(self) -> tuple[tuple[Item, ...], dict[str, Any]]:
        """One operation, with its law."""
        law = Clustered(**{f.name: getattr(self, f.name) for f in fields(Clustered)})
        op = AttentionOperation(
            seq=self.seq,
            heads=self.heads,
            dim=self.dim,
            batch=self.batch,
            causal=self.causal,
            direction=self.pass_,
            format=self.format,
            kv_heads=self.kv_heads,
            mask=self.mask,
            dropout=self.dropout,
            law=law,
        )
        return (Item(op),), {}
