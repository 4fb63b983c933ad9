"""The families of transformers that are known: what all members share, by the papers and the code they came with.

- BERT (Devlin et al., NAACL 2019), RoBERTa (Liu et al. 2019): normalised after each sum, GELU, learned positions.
- GPT-2 (Radford et al. 2019): normalised before, causal, tanh GELU, one product for q, k and v, tied head.
- LLaMA (Touvron et al. 2023): RMSNorm, rotary positions, SwiGLU, grouped queries from LLaMA 2 on, no biases.
- ViT (Dosovitskiy et al., ICLR 2021), DeiT (Touvron et al., ICML 2021): patches and a class token.
"""

from __future__ import annotations

from siloom.workloads.transformer import ImageModel, TextModel, Transformer


def bert(
    *, layers: int, hidden: int, heads: int, inner: int, vocabulary: int = 30522, positions: int = 512, types: int = 2,
    activation: str = "gelu",
) -> TextModel:  # fmt: skip
    """BERT: token, position and type tables, a pooler, and two heads for pre-training."""
    body = Transformer(layers, hidden, heads, inner, activation, pre_norm=False, fused_qkv=False)
    return TextModel(body, vocabulary, positions, positions, types, pooler=True, next_sentence=True, head="masked")


def roberta(
    *, layers: int, hidden: int, heads: int, inner: int, vocabulary: int, entries: int, padding: int, types: int,
    activation: str = "gelu",
) -> TextModel:  # fmt: skip
    """RoBERTa: as BERT, without next sentences; positions count from ``padding`` + 1."""
    body = Transformer(layers, hidden, heads, inner, activation, pre_norm=False, fused_qkv=False)
    return TextModel(body, vocabulary, entries - padding - 1, entries, types, pooler=True, head="masked")


def gpt2(
    *, layers: int, hidden: int, heads: int, inner: int = 0, vocabulary: int = 50257, positions: int = 1024,
    activation: str = "gelu_tanh",
) -> TextModel:  # fmt: skip
    """GPT-2; ``inner`` 0 stands for four times the hidden size."""
    body = Transformer(layers, hidden, heads, inner or 4 * hidden, activation, causal=True)
    return TextModel(body, vocabulary, positions, positions)


def llama(
    *, layers: int, hidden: int, heads: int, kv_heads: int, inner: int, vocabulary: int, positions: int, dim: int = 0,
    activation: str = "silu", attention_bias: bool = False, dense_bias: bool = False, tied: bool = False,
) -> TextModel:  # fmt: skip
    """LLaMA 1 to 3; ``dim`` 0 stands for hidden / heads."""
    body = Transformer(
        layers,
        hidden,
        heads,
        inner,
        activation,
        dim=dim,
        kv_heads=kv_heads,
        norm="rmsnorm",
        causal=True,
        fused_qkv=False,
        gated=True,
        rotary=True,
        attention_bias=attention_bias,
        output_bias=attention_bias,
        dense_bias=dense_bias,
    )
    return TextModel(body, vocabulary, positions, head="tied" if tied else "untied")


def vit(
    *, layers: int, hidden: int, heads: int, inner: int = 0, patch: int = 16, channels: int = 3, classes: int = 1000,
    image: int = 224, activation: str = "gelu", qkv_bias: bool = True, fused_qkv: bool = True,
) -> ImageModel:  # fmt: skip
    """ViT and DeiT without distillation; ``inner`` 0 stands for four times the hidden size."""
    body = Transformer(
        layers, hidden, heads, inner or 4 * hidden, activation, attention_bias=qkv_bias, fused_qkv=fused_qkv
    )
    return ImageModel(body, patch, channels, classes, image)
