"""A fitted translator: its files, unusual sources, and the layers of its decoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from kit import Recipe, Record, finetune, predict
from kit.distillation.students.decoder import with_decoder_layers
from kit.models.load import load_predictor
from kit.models.translation.seq2seq import load_translator


@pytest.fixture(scope="module")
def base(captions, tiny_checkpoint, tmp_path_factory) -> Recipe:
    return Recipe(
        task="translation",
        runs=str(tmp_path_factory.mktemp("translation") / "runs"),
        data={"source": str(captions), "languages": ["en", "de"], "budget": 50, "max_length": 24},
        model={"checkpoint": str(tiny_checkpoint)},
        train={"epochs": 2, "evaluations": 2, "report_to": []},
        translation={"vocabulary": 400, "beams": 2, "decoder_layers": 2},
        distill={"pool": 6},
    )


def changed(base: Recipe, **sections) -> Recipe:
    content = base.model_dump()
    for name, value in sections.items():
        content[name] = {**content[name], **value} if isinstance(value, dict) else value
    return Recipe.model_validate(content)


@pytest.fixture(scope="module")
def teacher(base) -> Record:
    return finetune(base, quiet=True)


def content_of(base: Recipe, split: str, language: str) -> list[str]:
    return (Path(str(base.data.source)) / f"{split}.{language}").read_text("utf-8").splitlines()


def test_transformers_alone_translates_with_the_saved_search(teacher, base) -> None:
    folder = teacher.model_folder
    model = AutoModelForSeq2SeqLM.from_pretrained(folder)
    source, target = AutoTokenizer.from_pretrained(folder), AutoTokenizer.from_pretrained(folder / "target")
    assert (model.generation_config.num_beams, model.generation_config.max_new_tokens) == (2, 24)
    text = content_of(base, "test", "en")[0]
    batch = source(text, return_tensors="pt", truncation=True, max_length=24)
    batch.pop("token_type_ids", None)
    with torch.inference_mode():
        ids = model.generate(**batch)
    translation = next(predict(teacher.folder, text))["translation"]
    assert target.decode(ids[0], skip_special_tokens=True).strip().startswith(translation)


def test_blank_long_and_foreign_sources_are_translated(teacher) -> None:
    predictions = list(predict(teacher.folder, ["", "   ", "A dog. " * 5_000, "\u72d7 \U0001f415"]))
    assert [prediction["translation"] for prediction in predictions[:2]] == ["", ""]
    assert all(len(prediction["translation"]) < 2_000 for prediction in predictions)


def test_selected_decoder_layers_keep_the_weights_of_the_teacher(teacher) -> None:
    model, _ = load_translator(teacher.model_folder)
    whole = [part.attention.self.query.weight.clone() for part in model.decoder.bert.encoder.layer]
    smaller = with_decoder_layers(model, [1])
    assert len(smaller.decoder.bert.encoder.layer) == 1 == smaller.config.decoder.num_hidden_layers
    assert torch.equal(smaller.decoder.bert.encoder.layer[0].attention.self.query.weight, whole[1])
    ids = torch.tensor([[2, 5, 6]])
    with torch.inference_mode():
        cached = smaller.generate(input_ids=ids, num_beams=1, max_new_tokens=6, use_cache=True)
        plain = smaller.generate(input_ids=ids, num_beams=1, max_new_tokens=6, use_cache=False)
    assert torch.equal(cached, plain)


def test_translations_do_not_depend_on_the_other_texts(teacher, base) -> None:
    predictor, texts = load_predictor(teacher.model_folder), [(line,) for line in content_of(base, "test", "en")]
    together = predictor.outputs(texts)
    alone = np.concatenate([predictor.outputs([text]) for text in texts])
    same = [one == other or min(len(one), len(other)) > 60 for one, other in zip(alone, together, strict=True)]
    assert all(same)  # translations without an end may be cut at another token
