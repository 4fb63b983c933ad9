"""GPT-2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from siloom.workloads.families import gpt2
from siloom.workloads.generator import size
from siloom.workloads.model_settings import TextNetwork, switch
from siloom.workloads.transformer import TextModel


@dataclass(frozen=True)
class Gpt2(TextNetwork):
    """GPT-2: 12 layers, 768 wide, 12 heads, causal, tied head, 124.4 M parameters."""

    name: ClassVar[str] = "gpt2"
    summary: ClassVar[str] = "GPT-2: 12 layers, 768 wide, 12 heads, causal, tied head, 124.4 M parameters"
    source: ClassVar[str] = "Radford et al. 2019, table 2; heads of the released models"
    model: ClassVar[TextModel] = gpt2(layers=12, hidden=768, heads=12)

    seq: int = size(1024, "tokens")
    head: bool = switch(True, "1: the vocabulary head on all tokens, and in training its loss")
