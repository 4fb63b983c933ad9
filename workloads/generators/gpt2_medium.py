"""GPT-2-medium."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from siloom.workloads.families import gpt2
from siloom.workloads.generator import size
from siloom.workloads.model_settings import TextNetwork, switch
from siloom.workloads.transformer import TextModel


@dataclass(frozen=True)
class Gpt2Medium(TextNetwork):
    """GPT-2-medium: 24 layers, 1024 wide, 16 heads, causal, tied head, 354.8 M parameters."""

    name: ClassVar[str] = "gpt2-medium"
    summary: ClassVar[str] = "GPT-2-medium: 24 layers, 1024 wide, 16 heads, causal, tied head, 354.8 M parameters"
    source: ClassVar[str] = "Radford et al. 2019, table 2; heads of the released models"
    model: ClassVar[TextModel] = gpt2(layers=24, hidden=1024, heads=16)

    seq: int = size(1024, "tokens")
    head: bool = switch(True, "1: the vocabulary head on all tokens, and in training its loss")
