"""The schema: every key does something, defaults are sensible, nothing can be changed afterwards."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from pydantic import ValidationError

from kit.recipe import Recipe
from kit.recipe.explain import section_of
from kit.recipe.schema import Section

BASE: dict[str, Any] = {
    "task": "classification",
    "data": {"source": "tickets.csv"},
    "model": {"checkpoint": "org/model"},
}
# A value other than the default for every key there is.
OTHER: dict[str, Any] = {
    "task": "sentiment",
    "method": "scratch",
    "metric": "macro_f1",
    "runs": "elsewhere",
    "data.source": ["a.csv", "b.csv"],
    "data.test": "test.csv",
    "data.train_split": "training",
    "data.test_split": "validation",
    "data.test_size": 100,
    "data.split_seed": 1,
    "data.config": "en",
    "data.revision": "main",
    "data.where": {"source": "imdb"},
    "data.text": "body",
    "data.label": "intent",
    "data.labels": ["b", "a"],
    "data.multi_label": True,
    "data.label_separator": ";",
    "data.budget": 64,
    "data.validation": 0.2,
    "data.max_length": 64,
    "model.checkpoint": "org/other",
    "model.revision": "v1",
    "model.pooling": "cls",
    "model.allow_pickle": True,
    "train.epochs": 2,
    "train.learning_rate": 1e-5,
    "train.seed": 1,
    "train.batch_size": 16,
    "train.accumulation": 2,
    "train.weight_decay": 0.1,
    "train.warmup": 0.0,
    "train.max_grad_norm": 0.5,
    "train.label_smoothing": 0.1,
    "train.dropout": 0.1,
    "train.head": "random",
    "train.select": "best",
    "train.evaluations": 2,
    "train.precision": "fp32",
    "train.report_to": ["wandb"],
    "lora.r": 8,
    "lora.alpha": 16,
    "lora.dropout": 0.1,
    "lora.targets": ["query"],
    "probe.C": 1.0,
    "probe.label_names": False,
    "tfidf.C": 1.0,
    "tfidf.ngrams": 1,
    "tfidf.max_features": 1000,
}
# By design no part of the request: where Records go, and who is told about progress.
NO_EFFECT = {"runs", "train.report_to"}


def leaf_keys(section: type[Section] = Recipe, prefix: str = "") -> list[str]:
    keys = []
    for name, field in section.model_fields.items():
        inner = section_of(field)
        keys += leaf_keys(inner, f"{prefix}{name}.") if inner else [f"{prefix}{name}"]
    return keys


def recipe_with(key: str = "", value: Any = None, **top: Any) -> Recipe:
    content = copy.deepcopy(BASE) | top
    *sections, name = key.split(".")
    target = content
    for section in sections:
        target = target.setdefault(section, {})
    if name:
        target[name] = value
    return Recipe.model_validate(content)


@pytest.mark.parametrize("key", leaf_keys())
def test_every_key_changes_the_request(key: str) -> None:
    owner = key.partition(".")[0]
    method = owner if owner in ("lora", "probe", "tfidf") else "finetune"
    before, after = (
        recipe_with(method=method),
        recipe_with(key, OTHER[key], **({"method": method} if key != "method" else {})),
    )
    assert after != before, "the value is the default"
    assert (after.request() == before.request()) == (key in NO_EFFECT)


def test_no_key_is_listed_that_is_gone() -> None:
    assert set(OTHER) == set(leaf_keys())


@pytest.mark.parametrize(
    ("method", "key"),
    [
        ("finetune", "lora.r"),
        ("finetune", "tfidf.ngrams"),
        ("tfidf", "train.epochs"),
        ("tfidf", "model.checkpoint"),
    ],
)
def test_keys_of_other_methods_do_not_change_the_request(method: str, key: str) -> None:
    assert recipe_with(key, OTHER[key], method=method).request() == recipe_with(method=method).request()


def test_the_seed_counts_for_every_method() -> None:
    for method in ("finetune", "lora", "probe", "scratch", "tfidf"):
        assert recipe_with("train.seed", 1, method=method).request() != recipe_with(method=method).request()


def test_a_recipe_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        recipe_with().train.epochs = 3  # type: ignore[misc]


def test_every_key_is_described() -> None:
    def undescribed(section: type[Section], prefix: str) -> list[str]:
        found = []
        for name, field in section.model_fields.items():
            inner = section_of(field)
            if inner:
                found += undescribed(inner, f"{prefix}{name}.")
            elif not field.description:
                found.append(prefix + name)
        return found

    assert undescribed(Recipe, "") == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"model": {}}, "model.checkpoint is required for method finetune"),
        ({"metric": "exact_match"}, "metric exact_match is for data.multi_label"),
        (
            {"metric": "mcc", "data": {"source": "a", "multi_label": True}},
            "metric mcc is for one label an example",
        ),
        (
            {"task": "sentiment", "data": {"source": "a", "multi_label": True}},
            "task: sentiment has one label",
        ),
        ({"train": {"accumulation": 33}}, "train.accumulation cannot exceed train.batch_size"),
        (
            {"train": {"head": "probe"}, "model": {"checkpoint": "x", "pooling": "native"}},
            "train.head: probe needs",
        ),
    ],
)
def test_keys_that_contradict_each_other(content: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        Recipe.model_validate(BASE | content)


def test_epochs_follow_from_steps_within_bounds() -> None:
    recipe = recipe_with()
    assert recipe.epochs(10) == 12  # no more than the method's maximum
    assert recipe.epochs(1_000_000) == 3  # no fewer than its minimum
    assert recipe.epochs(32 * 100) == 6  # 600 steps of 100 an epoch
    assert recipe_with("train.epochs", 2.5).epochs(10) == 2.5


def test_main_metric_and_rate_have_defaults() -> None:
    assert recipe_with().main_metric == "accuracy"
    assert recipe_with("data.multi_label", True).main_metric == "macro_f1"
    assert recipe_with(metric="mcc").main_metric == "mcc"
    assert recipe_with().learning_rate() == 1e-4
    assert recipe_with("train.learning_rate", 0.5).learning_rate() == 0.5
