"""Contract of all methods on every kind of task, with a tiny checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kit import Recipe, Record, evaluate, finetune, predict
from kit.data import prepare
from kit.errors import ModelError
from kit.methods.encoders.encoder import label_texts
from kit.methods.encoders.family import METHODS
from kit.models.kinds import form_of
from kit.models.kinds.form import Form
from kit.recipe.keys import section_of
from kit.recipe.section import Section
from kit.recipe.sections.compression import CompressSection
from kit.recipe.task_registry import TASKS
from kit.workflows.compress import compress
from kit.workflows.study import study

GOOD = ("wonderful", "gripping", "funny", "a delight", "moving")
BAD = ("dull", "boring", "a mess", "tedious", "lifeless")


def rows(kind: str) -> list[dict[str, object]]:
    """Return 120 examples of a kind of task, whose labels follow from their words."""
    examples: list[dict[str, object]] = []
    random = np.random.default_rng(0)
    for i in range(120):
        good, bad = random.choice(GOOD), random.choice(BAD)
        if kind == "single":
            text = f"the film {i} is {good if i % 2 else bad}"
            examples.append({"text": text, "label": "praise" if i % 2 else "blame"})
        elif kind == "ordered":
            words = (bad, f"{good} and {bad}", good)[i % 3]
            examples.append({"text": f"the film {i} is {words}", "label": i % 3})
        elif kind == "number":
            examples.append({"text": f"the film {i} is {good if i % 2 else bad}", "label": 70 + 10 * (i % 2) + i / 40})
        elif kind == "pair":
            same = good if i % 2 else bad
            examples.append({"premise": f"film {i} is {good}", "hypothesis": f"it is {same}", "label": int(i % 2)})
        else:
            labels = [name for name, on in (("praise", i % 2), ("blame", i % 3 == 0)) if on]
            text = " ".join(([good] if i % 2 else []) + ([bad] if i % 3 == 0 else []))
            examples.append({"text": f"film {i} {text}", "labels": labels})
    return examples


KINDS = {
    "single": ("classification", {"text": "text", "label": "label"}),
    "ordered": ("sentiment", {"text": "text", "label": "label"}),
    "pair": ("classification", {"text": ["premise", "hypothesis"], "label": "label"}),
    "multi": ("classification", {"text": "text", "label": "labels", "multi_label": True}),
    "number": ("regression", {"text": "text", "label": "label"}),
}


def numbers_of(prediction: dict[str, Any]) -> list[float]:
    """Return the scores of the labels, or the predicted number."""
    return list(prediction["scores"].values()) if "scores" in prediction else [prediction["prediction"]]


def recipe_for(kind: str, method: str, folder: Path, checkpoint: Path, **train: object) -> Recipe:
    source = folder / f"{kind}.jsonl"
    source.write_text("\n".join(json.dumps(row) for row in rows(kind)), "utf-8")
    task, columns = KINDS[kind]
    return Recipe(
        task=task,
        method=method,
        runs=str(folder / "runs"),
        data={"source": str(source), "max_length": 24, "budget": 80, **columns},
        model={"checkpoint": str(checkpoint)},
        train={"epochs": 2, "evaluations": 2, **train},
    )


def translation_for(method: str, pairs: Path, folder: Path, checkpoint: Path) -> Recipe:
    return Recipe(
        task="translation",
        method=method,
        runs=str(folder / "runs"),
        data={"source": str(pairs), "languages": ["en", "de"], "max_length": 16, "budget": 20},
        model={"checkpoint": str(checkpoint)},
        train={"epochs": 1, "evaluations": 1},
        translation={"beams": 1, "vocabulary": 300} | ({} if method == "scratch" else {"decoder_layers": 1}),
    )


def test_every_task_of_the_registry_is_covered() -> None:
    # Translation has its own methods, with the same checks in translators/test_training.py.
    assert {task for task, _ in KINDS.values()} | {"translation"} == set(TASKS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", METHODS)
def test_method_gives_a_complete_record(method, kind, tmp_path, tiny_checkpoint) -> None:
    recipe = recipe_for(kind, method, tmp_path, tiny_checkpoint)
    record = finetune(recipe, quiet=True)
    data = prepare(recipe.data, 0)
    stored = Record.load(record.folder).predictions()
    assert stored.outputs.shape == (len(data.test), len(data.labels))
    assert stored.ids.tolist() == data.test.ids.tolist()
    evaluated = evaluate(record.folder)
    assert evaluated.largest_difference < 1e-4
    assert evaluated.metrics == record.metrics
    main = record.metrics[record.main_metric]
    assert main.low <= main.value <= main.high
    assert ("mae" in record.metrics) == (kind in ("ordered", "number"))
    # Predictions are the same one by one and in a batch.
    texts = data.test.texts[:3]
    together = list(predict(record.folder, texts))
    alone = [next(predict(record.folder, [text])) for text in texts]
    scores = [[numbers_of(row) for row in predictions] for predictions in (together, alone)]
    assert np.array(scores[0]) == pytest.approx(np.array(scores[1]), abs=1e-5, rel=1e-5)
    if kind == "number":
        assert all(60 < prediction["prediction"] < 95 for prediction in together)
        return
    assert set(together[0]["scores"]) == set(data.labels)
    assert ("labels" in together[0]) == (kind == "multi")


@pytest.mark.parametrize("method", ["tfidf", "probe", "finetune", "lora"])
def test_method_learns_separable_texts(method, tmp_path, tiny_checkpoint) -> None:
    record = finetune(
        recipe_for("single", method, tmp_path, tiny_checkpoint, epochs=15, learning_rate=3e-3), quiet=True
    )
    # The probe uses vectors of random weights; the other methods train them.
    assert record.metrics["accuracy"].value >= (0.75 if method == "probe" else 0.9)


def test_id_depends_only_on_keys_of_the_method(tmp_path, tiny_checkpoint) -> None:
    ids = {m: finetune(recipe_for("single", m, tmp_path, tiny_checkpoint), quiet=True).id for m in ("tfidf", "probe")}
    assert ids["tfidf"].startswith("tfidf-80-s0-")
    assert ids["probe"].startswith("probe-tiny-bert-80-s0-")
    same = finetune(recipe_for("single", "tfidf", tmp_path, tiny_checkpoint, learning_rate=0.5), quiet=True)
    assert same.id == ids["tfidf"], "a key of another method does not change the run"


def test_adapter_predicts_as_the_merged_model(tmp_path, tiny_checkpoint) -> None:
    from peft import PeftModel

    from kit.data.encode import encode
    from kit.models.checkpoints.checkpoint import resolve_checkpoint
    from kit.models.checkpoints.head import Head
    from kit.models.checkpoints.loading import build_classifier
    from kit.models.checkpoints.tokenizers import load_tokenizer
    from kit.models.inference import predict_logits

    recipe = recipe_for("single", "lora", tmp_path, tiny_checkpoint, epochs=6)
    record = finetune(recipe, quiet=True)
    data = prepare(recipe.data, 0)
    base = build_classifier(resolve_checkpoint(recipe.model), Head(record.labels, False), "pretrained", dropout=0.0)
    adapted = PeftModel.from_pretrained(base, record.model_folder / "adapter")
    tokenizer = load_tokenizer(tiny_checkpoint)
    logits = predict_logits(adapted, encode(data.test.texts, tokenizer, 24), tokenizer)
    assert np.abs(logits - record.predictions().outputs).max() < 1e-4
    assert record.to_dict()["settings"]["trained_parameters"] < record.to_dict()["parameters"] / 10


@pytest.mark.parametrize(("method", "frozen", "setting"), [
    ("finetune", True, None), ("finetune", False, False), ("scratch", False, None), ("lora", True, None),
])  # fmt: skip
def test_pretrained_embeddings_are_frozen(method, frozen, setting, tmp_path, tiny_checkpoint) -> None:
    from safetensors.numpy import load_file

    recipe = recipe_for("single", method, tmp_path, tiny_checkpoint, freeze_embeddings=setting)
    record = finetune(recipe, quiet=True)
    before = load_file(tiny_checkpoint / "model.safetensors")
    after = load_file(record.model_folder / "model.safetensors")
    tables = [name for name in before if name.startswith("embeddings.")]
    assert len(tables) == 5
    for name in tables:
        assert np.array_equal(before[name], after[f"encoder.{name}"]) == frozen, name
    layer = "encoder.layer.0.attention.self.query.weight"
    assert not np.array_equal(before[layer], after[f"encoder.{layer}"])


def test_adapters_of_quantized_weights_are_merged_into_float32(tmp_path, tiny_checkpoint) -> None:
    recipe = recipe_for("single", "lora", tmp_path, tiny_checkpoint, epochs=6)
    quantized = recipe.model_copy(update={"lora": recipe.lora.model_copy(update={"load": "nf4"})})
    plain, record = finetune(recipe, quiet=True), finetune(quantized, quiet=True)
    assert record.to_dict()["settings"]["change_without_rounding"] > 1e-4
    assert "change_without_rounding" not in plain.to_dict()["settings"]
    assert not np.array_equal(plain.predictions().outputs, record.predictions().outputs)
    assert evaluate(record.folder).largest_difference < 1e-4
    assert form_of(record.model_folder) is Form.TORCH and record.content.parameters == plain.content.parameters


def test_unknown_lora_targets_are_named(tmp_path, tiny_checkpoint) -> None:
    recipe = recipe_for("single", "lora", tmp_path, tiny_checkpoint)
    recipe = recipe.model_copy(update={"lora": recipe.lora.model_copy(update={"targets": ["q_proj"]})})
    with pytest.raises(ModelError, match=r"lora\.targets: \['q_proj'\] are not modules") as caught:
        finetune(recipe, quiet=True)
    assert "query" in caught.value.hint


def test_test_labels_do_not_change_the_model(tmp_path, tiny_checkpoint) -> None:
    """Selection does not use the test split: with every test label flipped, the model is the same."""
    examples = rows("single")
    flip = {"praise": "blame", "blame": "praise"}
    logits = []
    flipped = [{**row, "label": flip[str(row["label"])]} for row in examples[:40]]
    for name, test in (("original", examples[:40]), ("flipped", flipped)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "train.jsonl").write_text("\n".join(json.dumps(row) for row in examples[40:]))
        (folder / "test.jsonl").write_text("\n".join(json.dumps(row) for row in test))
        recipe = recipe_for("single", "finetune", tmp_path, tiny_checkpoint, select="best")
        recipe = recipe.model_copy(
            update={"data": recipe.data.model_copy(update={"source": str(folder), "budget": 60})}
        )
        logits.append(finetune(recipe, quiet=True).predictions().outputs)
    assert np.array_equal(logits[0], logits[1])


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (("card_arrival", "lostOrStolen"), ["card arrival", "lost or stolen"]),
        (("Refund_not_showing_up", "why-pending?"), ["refund not showing up", "why pending"]),
        (("0", "1"), []),
        (("positive", "2"), []),
    ],
)
def test_label_names_become_texts_if_they_are_words(labels, expected) -> None:
    assert label_texts(labels) == expected


def test_refit_trains_on_the_whole_budget(tmp_path, tiny_checkpoint) -> None:
    records = {}
    for refit in (None, False):
        recipe = recipe_for("single", "finetune", tmp_path, tiny_checkpoint, refit=refit)
        records[refit] = finetune(recipe, quiet=True).to_dict()
    assert records[None]["settings"]["refit_steps"] >= records[None]["training"]["plan"]["steps"]
    assert "refit_steps" not in records[False]["settings"]
    # The Record reports the first training; the final model is trained on more examples.
    assert records[None]["training"]["evaluations"] == records[False]["training"]["evaluations"]
    assert records[None]["metrics"]["log_loss"] != records[False]["metrics"]["log_loss"]


def test_every_recipe_key_is_read_by_some_run(tmp_path, captions, tiny_checkpoint, monkeypatch) -> None:
    """A key that no run reads has no effect. Reads by validation are not counted, because it runs before."""
    named = tmp_path / "named"
    named.mkdir()
    for split, part in (("train", rows("single")[:90]), ("test", rows("single")[90:])):
        (named / f"{split}.jsonl").write_text("\n".join(json.dumps(row) for row in part))
    recipes = [recipe_for("single", method, tmp_path, tiny_checkpoint, epochs=1) for method in METHODS]
    recipes.append(recipe_for("multi", "tfidf", tmp_path, tiny_checkpoint))
    recipes += [translation_for(method, captions, tmp_path, tiny_checkpoint) for method in ("finetune", "scratch")]
    splits = recipe_for("single", "tfidf", tmp_path, tiny_checkpoint)
    grid = splits.study.model_copy(update={"methods": ["tfidf", "probe"], "budgets": [40], "seeds": 1})
    splits = splits.model_copy(update={"study": grid})
    recipes.append(splits.model_copy(update={"data": splits.data.model_copy(update={"source": str(named)})}))
    read: set[tuple[type, str]] = set()
    original = Section.__getattribute__

    def watched(self: Section, name: str) -> object:
        read.update((kind, name) for kind in type(self).__mro__)  # resolved sections are subclasses
        return original(self, name)

    monkeypatch.setattr(Section, "__getattribute__", watched)
    for recipe in recipes:
        finetune(recipe, quiet=True)
    study(splits, engine="inline", quiet=True)
    chain = CompressSection(steps=["float16"], gate={"retained": None})
    compress(recipes[0].model_copy(update={"compress": chain}), quiet=True)
    monkeypatch.undo()
    sections = [Recipe, *filter(None, map(section_of, Recipe.model_fields.values()))]
    unread = {(s.__name__, name) for s in sections for name in s.model_fields if (s, name) not in read}
    assert unread == set()
