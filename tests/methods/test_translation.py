"""Translation end to end: every method that serves it, on real pairs and a tiny real checkpoint."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

import kit.training.teacher_outputs as outputs_module
from kit import Recipe, Record, distill, evaluate, finetune, predict
from kit.errors import ModelError, RecipeError
from kit.methods import TRANSLATING
from kit.methods.translate_distill import with_decoder_layers
from kit.models.predictor import load_predictor
from kit.models.seq2seq import load_translator

MULTI30K = Path(__file__).parents[3] / "shared" / "data" / "multi30k"


@pytest.fixture(scope="module")
def pairs(tmp_path_factory) -> Path:
    """70 training pairs and 12 to test on, as files that are aligned."""
    if not MULTI30K.is_dir():
        pytest.skip("Multi30k is not beside the repository (../shared/data/multi30k)")
    folder = tmp_path_factory.mktemp("pairs")
    for name, source, count in (("train", "train", 70), ("test", "test_2016_flickr", 12)):
        for language in ("en", "de"):
            lines = gzip.decompress((MULTI30K / f"{source}.{language}.gz").read_bytes()).decode().split("\n")
            (folder / f"{name}.{language}").write_text("\n".join(lines[:count]) + "\n", "utf-8")
    return folder


@pytest.fixture(scope="module")
def base(pairs, tiny_checkpoint, tmp_path_factory) -> Recipe:
    return Recipe(
        task="translation",
        runs=str(tmp_path_factory.mktemp("translation") / "runs"),
        data={"source": str(pairs), "languages": ["en", "de"], "budget": 60, "max_length": 24},
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


@pytest.mark.parametrize("method", ["finetune", "scratch", "lora"])
def test_a_method_translates(base, method) -> None:
    record = finetune(changed(base, method=method), quiet=True)
    content = record.content
    assert set(record.metrics) == {"bleu", "chrf", "ter"} and record.main_metric == "bleu"
    assert content["details"]["signatures"]["bleu"].startswith("nrefs:1|case:mixed")
    assert content["data"]["sizes"] == {"budget": 60, "train": 54, "validation": 6, "pool": 10, "test": 12}
    evaluations = content["training"]["evaluations"]
    assert evaluations[-1]["train_loss"] < evaluations[0]["train_loss"]
    assert content["settings"]["loss_on_references"] == evaluations[-1]["validation_loss"]
    stored = Record.load(record.folder).predictions()
    assert stored.outputs.shape == (12,) and all(isinstance(line, str) for line in stored.outputs)
    assert stored.labels[0] == (content_of(base, "test", "de")[0],)
    assert evaluate(record.folder).largest_difference == 0


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


def test_translations_that_loop_or_copy_are_flagged(base) -> None:
    from kit.predict import _is_copy
    from kit.tasks import task_for

    task = task_for(base, ())
    line = "Ein Mann geht " * 6
    assert task.answers(np.array([line, "Ein Mann geht.", "-" * 80], object)) == [
        {"translation": line, "loops": True},
        {"translation": "Ein Mann geht."},
        {"translation": "-" * 80},
    ]
    assert _is_copy(("A man walks",), "A man walks") and not _is_copy(("Berlin",), "Berlin")


def test_the_same_seed_gives_the_same_translations(base, teacher, tmp_path) -> None:
    again = finetune(changed(base, runs=str(tmp_path)), quiet=True)
    assert again.id == teacher.id
    assert again.predictions().outputs.tolist() == teacher.predictions().outputs.tolist()


def test_a_student_learns_what_its_teacher_wrote_once(base, teacher, monkeypatch) -> None:
    recipe = changed(base, distill={"teacher": str(teacher.folder), "student": "layers:1"})
    done = distill(recipe, quiet=True)
    student = done.record
    assert student.content["parameters"] < teacher.content["parameters"]
    assert student.content["settings"]["teacher_answers_computed"] == [{"texts": 60, "of": 60}]
    assert student.content["settings"]["transfer_set"]["references"] == 0
    assert done.controls[0].content["parameters"] == student.content["parameters"]
    assert done.verdict.metric == "bleu" and "of the test examples" in done.verdict.lines[1]
    assert evaluate(student.folder).largest_difference == 0

    def never(*args):
        raise AssertionError("the teacher was asked again")

    monkeypatch.setattr(outputs_module, "load_predictor", never)
    mixed = changed(base, distill={"teacher": str(teacher.folder), "student": "layers:1", "losses": {"labels": 1.0}})
    second = distill(mixed, quiet=True, controls=False).record
    assert second.content["settings"]["teacher_answers_computed"] == [{"texts": 0, "of": 60}]
    assert second.content["settings"]["transfer_set"]["references"] == 54


def test_a_student_of_any_shape_has_a_vocabulary_of_its_own(base, teacher) -> None:
    student = {"init": "random", "hidden_size": 16, "heads": 2, "layers": 1}
    record = distill(
        changed(base, distill={"teacher": str(teacher.folder), "student": student}), quiet=True, controls=False
    ).record
    config = json.loads((record.model_folder / "config.json").read_text())
    assert (config["model_type"], config["d_model"], config["decoder_layers"]) == ("marian", 16, 1)
    assert config["vocab_size"] == 400 and not (record.model_folder / "target").exists()


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


REFUSED = {
    "cnn": ({"distill": {"student": "cnn"}}, RecipeError, "distill.student: a cnn cannot translate"),
    "too deep": ({"distill": {"student": "layers:3"}}, RecipeError, "3 are more than the teacher's decoder has: 2"),
    "narrow": ({"distill": {"student": "width:16"}}, RecipeError, "a narrower translator cannot be cut out"),
    "masks": ({"distill": {"augment": {"copies": 1}}}, RecipeError, "a sentence with masked words has no translation"),
    "codes": ({"translation": {"codes": ["en", "de"]}}, RecipeError, "for a checkpoint that translates"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_work_is_refused_before_anything_is_trained(case, base, teacher) -> None:
    sections, kind, words = REFUSED[case]
    sections = {**sections, "distill": {"teacher": str(teacher.folder), **sections.get("distill", {})}}
    recipe = changed(base, method="distill" if case != "codes" else "finetune", **sections)
    with pytest.raises(kind, match=words):
        finetune(recipe, quiet=True)


def test_a_checkpoint_that_only_writes_is_refused(base, tiny_checkpoint, tmp_path) -> None:
    from shutil import copytree

    writer = copytree(tiny_checkpoint, tmp_path / "writer")
    config = json.loads((writer / "config.json").read_text())
    (writer / "config.json").write_text(json.dumps({**config, "architectures": ["GPT2LMHeadModel"]}))
    with pytest.raises(ModelError, match="only writes: kit translates with a checkpoint that has an encoder"):
        finetune(changed(base, model={"checkpoint": str(writer)}), quiet=True)


CONTRADICTIONS = {
    "no languages": ({"data": {"languages": None}}, "task: translation needs data.languages"),
    "tfidf": ({"method": "tfidf"}, "method tfidf cannot translate; finetune, lora, scratch, distill, student can"),
    "accuracy": ({"metric": "accuracy"}, "metric accuracy is of labels; translations have bleu and chrf"),
    "pooling": ({"model": {"pooling": "mean"}}, "model.pooling: a translator does not pool"),
    "several labels": ({"data": {"multi_label": True}}, "data.multi_label: a translation is no label"),
    "labels": ({"task": "classification"}, "data.languages: only task translation has them"),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_keys_that_contradict_each_other_are_named(case, base) -> None:
    sections, words = CONTRADICTIONS[case]
    with pytest.raises(ValueError, match=words):
        changed(base, **sections)


def test_every_method_of_translation_is_tested_here() -> None:
    assert set(TRANSLATING) == {"finetune", "scratch", "lora", "distill", "student"}
