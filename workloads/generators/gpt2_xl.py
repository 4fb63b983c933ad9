"""GPT-2-xl."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from siloom.workloads.families import gpt2
from siloom.workloads.generator import size
from siloom.workloads.model_settings import TextNetwork, switch
from siloom.workloads.transformer import TextModel


@dataclass(frozen=True)
class Gpt2Xl(TextNetwork):
    """GPT-2-xl: 48 layers, 1600 wide, 25 heads, causal, tied head, 1557.6 M parameters."""

    name: ClassVar[str] = "gpt2-xl"
    summary: ClassVar[str] = "GPT-2-xl: 48 layers, 1600 wide, 25 heads, causal, tied head, 1557.6 M parameters"
    source: ClassVar[str] = "Radford et al. 2019, table 2; heads of the released models"
    model: ClassVar[TextModel] = gpt2(layers=48, hidden=1600, heads=25)

    seq: int = size(1024, "tokens")
    head: bool = switch(True, "1: the vocabulary head on all tokens, and in training its loss")
