"""The schema: every key does something, defaults are sensible, nothing can be changed afterwards."""

from __future__ import annotations

import copy
from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic import ValidationError

from kit.recipe import Recipe
from kit.recipe.identity import keys_in_id
from kit.recipe.keys import Keys, section_of
from kit.recipe.section import Section, members
from kit.recipe.sections.study import StudySection

BASE: dict[str, Any] = {
    "task": "classification",
    "data": {"source": "tickets.csv"},
    "model": {"checkpoint": "org/model"},
}
# The same for a translation, which alone has data.languages and the translation section.
PAIRS: dict[str, Any] = {"task": "translation", "data": {"source": "corpus", "languages": ["en", "de"]}}
# A value other than the default, for keys whose type does not give one.
OTHER: dict[str, Any] = {
    "study.variants": [{"name": "tfidf", "method": "tfidf"}],
    "task": "sentiment",
    "metric": "macro_f1",
    "runs": "elsewhere",
    "data.source": ["a.csv", "b.csv"],
    "data.test": "test.csv",
    "data.header": ["text", "label"],
    "data.separator": ";",
    "data.where": {"source": "imdb"},
    "data.languages": ["de", "en"],
    "data.labels": ["b", "a"],
    "train.report_to": ["wandb"],
    "train.freeze_embeddings": False,
    "train.average": 3,
    "train.refit": True,
    "train.calibrate": "none",
    "lora.targets": ["query"],
    "tfidf.analyzer": "mixed",
    "translation.codes": ["en_XX", "de_DE"],
    "data.label_map": {"a": "b"},
    "translation.vocabulary": 500,
    "translation.decoder_dropout": 0.1,
    "translation.encoder_rate": 0.5,
    "distill.layer_map": [1],
    "distill.relation_heads": 3,
    "distill.augment.checkpoint": "org/masked",
    "compress.steps": ["onnx"],
    "study.checkpoints": ["org/other"],
    "study.methods": ["probe"],
    "study.budgets": [50],
}
# Other keys that a key needs.
BESIDE: dict[str, dict[str, Any]] = {
    "distill.sentences": {"texts": "more.csv"},
    "distill.layer_map": {"losses": {"hidden": 1.0}},
    "distill.relation_heads": {"losses": {"relations": 1.0}},
    "distill.augment.checkpoint": {"augment": {"copies": 1}},
}
# Keys that change no result: the folder of Records, progress, and what may be read.
NO_EFFECT = {
    "runs", "train.report_to", "train.checkpoint_seconds", "data.max_bytes", "model.allow_pickle",
    "model.trust_remote_code",
}  # fmt: skip
# Keys of a grid of runs, which tests/studies/test_grid.py tests.
GRID = {f"study.{name}" for name in StudySection.model_fields}
# Steps after a run are not part of its id; tests/workflows/test_compress.py tests them.
CHAIN = {
    "compress.source",
    "compress.steps",
    "compress.gate.retained",
    "compress.gate.agreement",
    "compress.gate.worst_class",
}


def leaf_keys(section: type[Section] = Recipe, prefix: str = "") -> list[str]:
    keys = []
    for name, field in section.model_fields.items():
        inner = section_of(field)
        keys += leaf_keys(inner, f"{prefix}{name}.") if inner else [f"{prefix}{name}"]
    return keys


def other_value(key: str) -> Any:
    """A valid value for a key that is not its default."""
    keys = Keys(Recipe)
    field = keys.field(keys.split(key))
    assert field is not None
    if key in OTHER:
        return OTHER[key]
    if get_origin(field.annotation) is Literal:
        return next(choice for choice in get_args(field.annotation) if choice not in (field.default, BASE["task"]))
    if isinstance(field.default, bool):
        return not field.default
    if isinstance(field.default, int) and field.default:
        return field.default * 2 if field.default < 4 else field.default // 2
    if isinstance(field.default, float) and field.default:
        return field.default / 2
    kinds = members(field.annotation)
    for kind, value in ((str, "other"), (float, 0.5), (int, 64)):
        if kind in kinds:
            return value
    pytest.fail(f"{key}: add a value to OTHER")


def recipe_with(key: str = "", value: Any = None, **top: Any) -> Recipe:
    content = copy.deepcopy(BASE) | top
    *sections, name = key.split(".")
    target = content
    for section in sections:
        target = target.setdefault(section, {})
    if name:
        target[name] = value
    return Recipe.model_validate(content)


def in_id(recipe: Recipe) -> dict[str, Any]:
    """The keys in the id of a run whose data and checkpoint are named, not hashed."""
    return keys_in_id(recipe, ())


@pytest.mark.parametrize("key", leaf_keys())
def test_every_key_changes_the_id(key: str) -> None:
    owner = key.partition(".")[0]
    method = owner if owner in ("lora", "probe", "tfidf", "distill") else "finetune"
    value = other_value(key)
    top = {"distill": copy.deepcopy(BESIDE[key])} if key in BESIDE else {}
    if owner == "translation" or key in ("data.languages", "distill.losses.sequence"):
        top |= copy.deepcopy(PAIRS)
    before = recipe_with(method=method, **copy.deepcopy(top))
    after = recipe_with(key, value, **({"method": method} if key != "method" else {}), **top)
    assert after != before, "the value is the default"
    assert (in_id(after) == in_id(before)) == (key in NO_EFFECT | GRID | CHAIN)


def test_lists_of_keys_are_up_to_date() -> None:
    assert set(OTHER) | NO_EFFECT | GRID | CHAIN <= set(leaf_keys())


@pytest.mark.parametrize(
    ("method", "key"),
    [
        ("finetune", "lora.r"),
        ("finetune", "tfidf.ngrams"),
        ("tfidf", "train.epochs"),
        ("tfidf", "model.checkpoint"),
        ("finetune", "distill.temperature"),
        ("student", "distill.temperature"),
        ("finetune", "translation.beams"),
    ],
)
def test_keys_of_other_methods_do_not_change_the_id(method: str, key: str) -> None:
    assert in_id(recipe_with(key, other_value(key), method=method)) == in_id(recipe_with(method=method))


def test_the_seed_counts_for_every_method() -> None:
    for method in ("finetune", "lora", "probe", "scratch", "tfidf", "distill", "student"):
        assert in_id(recipe_with("train.seed", 1, method=method)) != in_id(recipe_with(method=method))


def test_a_recipe_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        recipe_with().train.epochs = 3  # type: ignore[misc]


def test_every_key_is_described() -> None:
    def undescribed(section: type[Section], prefix: str) -> list[str]:
        keys = []
        for name, field in section.model_fields.items():
            inner = section_of(field)
            if inner:
                keys += undescribed(inner, f"{prefix}{name}.")
            elif not field.description:
                keys.append(prefix + name)
        return keys

    assert undescribed(Recipe, "") == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"model": {}}, "model.checkpoint is required for method finetune"),
        ({"metric": "exact_match"}, "metric exact_match needs data.multi_label"),
        (
            {"metric": "mcc", "data": {"source": "a", "multi_label": True}},
            "metric mcc needs one label per example",
        ),
        (
            {"task": "sentiment", "data": {"source": "a", "multi_label": True}},
            "task: sentiment needs one label per example",
        ),
        (
            {"method": "probe", "model": {"checkpoint": "x", "pooling": "native"}},
            "model.pooling: native has no text vectors for method probe",
        ),
        ({"train": {"batch_size": 32, "accumulation": 33}}, "train.accumulation cannot exceed train.batch_size"),
        (
            {"train": {"head": "probe"}, "model": {"checkpoint": "x", "pooling": "native"}},
            "train.head: probe needs",
        ),
    ],
)
def test_contradictory_keys_are_refused(content: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        Recipe.model_validate(BASE | content)


METHODS = "finetune, lora, scratch, distill, student"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (
            {"data": {"source": "a"}},
            "task: translation needs data.languages, source and target language ([en, de])",
        ),
        (BASE | {"data": PAIRS["data"]}, "data.languages: only for task translation; leave it out"),
        ({"method": "probe"}, f"method probe cannot translate; {METHODS} can"),
        ({"method": "tfidf"}, f"method tfidf cannot translate; {METHODS} can"),
        ({"metric": "accuracy"}, "metric accuracy is for task classification or sentiment"),
        (BASE | {"metric": "bleu"}, "metric bleu is for task translation"),
        ({"data": PAIRS["data"] | {"multi_label": True}}, "data.multi_label: translation has no labels; leave it out"),
        (
            {"model": {"checkpoint": "x", "pooling": "mean"}},
            "model.pooling: not available for translation; leave it out",
        ),
        ({"train": {"refit": True}}, "train.refit: not available for translation; leave it out"),
        ({"method": "lora", "lora": {"load": "nf4"}}, "lora.load: translation supports only float32; leave it out"),
        ({"data": PAIRS["data"] | {"labels": ["a", "b"]}}, "data.labels: translation has no labels; leave it out"),
        (
            {"data": PAIRS["data"] | {"sampling": "balanced"}},
            "data.sampling: translation has no classes to balance",
        ),
        (
            {"method": "distill", "distill": {"losses": {"hidden": 1, "mse": 2}}},
            "distill.losses: translation supports sequence, logits and labels, not mse, hidden",
        ),
        (
            {"method": "distill", "distill": {"temperature": 3}},
            "distill.temperature has no effect: distill.losses.logits has no weight",
        ),
        (
            {"method": "distill", "distill": {"losses": {"sequence": 0}}},
            "distill.losses: the student must learn from its teacher; give sequence or logits a weight",
        ),
        (
            BASE | {"distill": {"losses": {"sequence": 1}}},
            "distill.losses.sequence: only for task translation; use logits",
        ),
        ({"train": {"head": "probe"}}, "train.head: probe is only for encoders; leave it out"),
    ],
)
def test_keys_that_contradict_translation_are_refused(content: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Recipe.model_validate(BASE | PAIRS | content)
    assert caught.value.errors()[0]["msg"] == f"Value error, {reason}"


@pytest.mark.parametrize(
    ("train", "reason"),
    [
        (
            {"average": 2, "select": "best"},
            "averaged weights need train.select: last",
        ),
        ({"average": 9}, "training has only 8 evaluations; raise train.evaluations"),
    ],
)
def test_impossible_averages_are_refused(train: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Recipe.model_validate(BASE | {"train": train})
    assert caught.value.errors()[0]["msg"] == f"Value error, train.average: {reason}"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (PAIRS, "only for encoders; leave it out"),
        (
            {"method": "distill", "distill": {"losses": {"hidden": 1.0}}},
            "token-level distill.losses need padded batches; leave it out",
        ),
    ],
)
def test_padding_free_is_refused(content: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Recipe.model_validate(BASE | content | {"train": {"padding_free": True}})
    assert caught.value.errors()[0]["msg"] == f"Value error, train.padding_free: {reason}"


def test_scratch_needs_no_checkpoint_to_translate() -> None:
    assert recipe_with(**PAIRS, method="scratch", model={}).model.checkpoint is None
    with pytest.raises(ValidationError, match=r"model.checkpoint is required for method finetune"):
        recipe_with(**PAIRS, model={})


def test_a_teacher_replaces_the_checkpoint() -> None:
    taught = recipe_with(method="distill", distill={"teacher": "runs/a"}, model={})
    assert taught.model.checkpoint is None
    with pytest.raises(ValidationError, match=r"model.checkpoint is required for method distill"):
        recipe_with(method="distill", model={})
    with pytest.raises(ValidationError, match=r"model.checkpoint is required for method student"):
        recipe_with(method="student", model={})


def test_the_main_metric_has_a_default() -> None:
    assert recipe_with().main_metric == "accuracy"
    assert recipe_with("data.multi_label", True).main_metric == "macro_f1"
    assert recipe_with(metric="mcc").main_metric == "mcc"
    assert recipe_with(**PAIRS).main_metric == "bleu"
    assert recipe_with(**PAIRS, metric="chrf").main_metric == "chrf"
