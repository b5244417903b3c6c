"""A fitted translator: what is saved of it, odd sources, and the layers of its decoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from kit import Recipe, Record, finetune, predict
from kit.distillation.students.decoder import with_decoder_layers
from kit.models.predictor import load_predictor
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


def test_what_is_saved_is_plain_transformers_with_its_search(teacher, base) -> None:
    folder = teacher.model_folder
    model = AutoModelForSeq2SeqLM.from_pretrained(folder)
    source, target = AutoTokenizer.from_pretrained(folder), AutoTokenizer.from_pretrained(folder / "target")
    assert (model.generation_config.num_beams, model.generation_config.max_new_tokens) == (2, 24)
    text = content_of(base, "test", "en")[0]
    batch = source(text, return_tensors="pt", truncation=True, max_length=24)
    batch.pop("token_type_ids", None)
    with torch.inference_mode():
        ids = model.generate(**batch)
    mine = next(predict(teacher.folder, text))["translation"]
    assert target.decode(ids[0], skip_special_tokens=True).strip().startswith(mine)


def test_odd_sources(teacher) -> None:
    found = list(predict(teacher.folder, ["", "   ", "A dog. " * 5_000, "\u72d7 \U0001f415"]))
    assert [answer["translation"] for answer in found[:2]] == ["", ""]
    assert all(len(answer["translation"]) < 2_000 for answer in found)


def test_decoder_layers_are_those_of_the_teacher(teacher) -> None:
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


def test_a_text_alone_is_translated_as_among_others(teacher, base) -> None:
    predictor, texts = load_predictor(teacher.model_folder), [(line,) for line in content_of(base, "test", "en")]
    together = predictor.outputs(texts)
    alone = np.concatenate([predictor.outputs([text]) for text in texts])
    same = [one == other or min(len(one), len(other)) > 60 for one, other in zip(alone, together, strict=True)]
    assert all(same)  # a translation that finds no end may be cut elsewhere
