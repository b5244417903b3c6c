from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kit.data.encode import cache_folder, encode
from kit.models import vectors
from kit.models.checkpoints.checkpoint import resolve_checkpoint
from kit.models.checkpoints.head import Head
from kit.models.checkpoints.loading import build_classifier
from kit.models.checkpoints.tokenizers import load_tokenizer
from kit.models.inference import embed
from kit.models.vectors import text_vectors
from kit.recipe import ModelSection

TEXTS = [("a gripping, funny film",), ("dull",), ("it goes on and on and on",)]


@pytest.fixture
def encoder(tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("KIT_CACHE", str(tmp_path / "cache"))
    checkpoint = resolve_checkpoint(ModelSection(checkpoint=str(tiny_checkpoint)))
    model = build_classifier(checkpoint, Head(("no", "yes"), False), "pretrained")
    tokenizer = load_tokenizer(tiny_checkpoint)
    return model, encode(TEXTS, tokenizer, 32), tokenizer


def files() -> list[Path]:
    return sorted(cache_folder().with_name("vectors").glob("*.npy"))


def test_vectors_of_the_encoder_are_computed_once(encoder, monkeypatch) -> None:
    first = text_vectors(*encoder, "weights")
    assert np.array_equal(first, embed(*encoder))
    monkeypatch.setattr(vectors, "embed", lambda *_, **__: pytest.fail("computed again"))
    assert np.array_equal(text_vectors(*encoder, "weights"), first)
    assert len(files()) == 1


def test_other_weights_texts_or_pooling_have_separate_vectors(encoder) -> None:
    model, encoded, tokenizer = encoder
    mean = text_vectors(model, encoded, tokenizer, "weights")
    text_vectors(model, encoded, tokenizer, "other weights")
    text_vectors(model, encoded.take(np.array([0, 1])), tokenizer, "weights")
    model.config.pooling = "cls"
    assert not np.allclose(text_vectors(model, encoded, tokenizer, "weights"), mean)
    assert len(files()) == 4


def test_a_damaged_cache_is_computed_again(encoder) -> None:
    first = text_vectors(*encoder, "weights")
    for damage in (b"", b"\x93NUMPY junk"):
        files()[0].write_bytes(damage)
        assert np.array_equal(text_vectors(*encoder, "weights"), first)
    np.save(files()[0], first[:1])
    assert np.array_equal(text_vectors(*encoder, "weights"), first)


def test_vectors_are_computed_if_the_cache_cannot_be_written(encoder, tmp_path, monkeypatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KIT_CACHE", str(tmp_path / "file"))
    assert np.array_equal(text_vectors(*encoder, "weights"), embed(*encoder))
