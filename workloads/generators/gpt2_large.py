"""GPT-2-large."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from siloom.workloads.families import gpt2
from siloom.workloads.generator import size
from siloom.workloads.model_settings import TextNetwork, switch
from siloom.workloads.transformer import TextModel


@dataclass(frozen=True)
class Gpt2Large(TextNetwork):
    """GPT-2-large: 36 layers, 1280 wide, 20 heads, causal, tied head, 774.0 M parameters."""

    name: ClassVar[str] = "gpt2-large"
    summary: ClassVar[str] = "GPT-2-large: 36 layers, 1280 wide, 20 heads, causal, tied head, 774.0 M parameters"
    source: ClassVar[str] = "Radford et al. 2019, table 2; heads of the released models"
    model: ClassVar[TextModel] = gpt2(layers=36, hidden=1280, heads=20)

    seq: int = size(1024, "tokens")
    head: bool = switch(True, "1: the vocabulary head on all tokens, and in training its loss")
