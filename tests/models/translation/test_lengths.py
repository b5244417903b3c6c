"""Maximum lengths of translations, which do not depend on the other texts of a batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from kit.compression.steps.ctranslate2 import converted
from kit.models.translation.generation_settings import set_search
from kit.models.translation.lengths import limits_of
from kit.models.translation.seq2seq import TokenizerPair
from kit.models.translation.stopping import Limits
from kit.models.translation.translator import Translator
from tests.support.translators import BUILDERS

LINES = [f"a {size} {thing}" for size in ("big", "small") for thing in ("dog", "man", "red car", "house")]
TEXTS = [("a dog",), ("a small red car",), ("a big house and a small dog and a man " * 4,)]


def endless(folder: Path, family: str, beams: int) -> Translator:
    """Return a random translator that never predicts the end token."""
    torch.manual_seed(0)
    BUILDERS[family](folder, LINES)
    model = AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
    end = model.config.eos_token_id
    model.get_output_embeddings().register_forward_hook(
        lambda _, __, logits: logits.index_fill_(-1, torch.tensor(end), -1e4)
    )
    tokenizer = AutoTokenizer.from_pretrained(folder)
    set_search(model, beams, 1.0, 100, None, 2.0)
    return Translator(model, TokenizerPair(tokenizer, tokenizer), 100)


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("family", ["marian", "nllb"])
def test_endless_translations_have_the_same_length_in_any_batch(family, beams, tmp_path) -> None:
    translator = endless(tmp_path, family, beams)
    together = translator.outputs(TEXTS).tolist()
    alone = [translator.outputs([text])[0] for text in TEXTS]
    assert together == alone
    assert len(together[0]) < len(together[2]) / 2


@pytest.mark.parametrize("beams", [1, 3])
def test_endless_translations_of_ctranslate2_have_the_same_length(beams, tmp_path) -> None:
    translator = endless(tmp_path / "whole", "nllb", beams)
    with torch.no_grad():  # make the end token unlikely by the weights alone
        translator.model.lm_head.weight[2] = -10.0
        translator.model.model.decoder.layer_norm.bias.fill_(1.0)
    engine = converted(translator, "float32", tmp_path / "ct2")
    together = engine.outputs(TEXTS).tolist()
    assert together == [engine.outputs([text])[0] for text in TEXTS] == translator.outputs(TEXTS).tolist()
    assert len(together[0]) < len(together[2]) / 2


def test_limits_follow_from_source_lengths_and_saved_settings() -> None:
    lengths = np.array([1, 5, 40])
    assert limits_of(lengths, {}).tolist() == [18, 26, 96]
    assert limits_of(lengths, {"length_ratio": 1.5, "max_new_tokens": 30}).tolist() == [17, 23, 30]


def test_every_hypothesis_of_a_text_has_its_limit() -> None:
    limits = Limits(torch.tensor([2, 5]))
    assert limits(torch.zeros(4, 3, dtype=torch.long), None).tolist() == [True, True, False, False]
    assert limits(torch.zeros(6, 6, dtype=torch.long), None).all()
