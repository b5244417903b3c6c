"""Budget, pool, validation and test of prepared data."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kit.data import Prepared, prepare
from kit.data.labels import encode_labels
from kit.errors import BudgetError
from kit.recipe import DataSection
from tests.support.language_names import COPIES


def prepared(seed: int = 0, **section: Any) -> Prepared:
    return prepare(DataSection(**section), seed)


def ids(data: Prepared, *parts: str) -> set[int]:
    return {int(i) for part in parts for i in getattr(data, part).ids}


def test_budget_pool_and_test_are_disjoint_and_complete(language_names: Path) -> None:
    data = prepared(source=str(language_names), budget=770)
    assert (len(data.train) + len(data.validation), len(data.pool), len(data.test)) == (770, 3080 - 770 - COPIES, 777)
    assert not ids(data, "train") & ids(data, "validation")
    assert not ids(data, "train", "validation") & ids(data, "pool")
    assert ids(data, "train", "validation", "pool") == {int(i) for i in data.splits.train.ids}
    assert set(data.train.labels) == {(name,) for name in data.labels}
    assert len(data.validation) == 77
    normalised = {texts[0].casefold() for texts in data.test.texts}
    assert not normalised & {texts[0].casefold() for texts in data.train.texts + data.pool.texts}
    assert data.audit.leaked_normalised == COPIES


def test_budgets_nest_and_test_stays_the_same(language_names: Path) -> None:
    small, large = (prepared(source=str(language_names), budget=budget) for budget in (154, 770))
    other = prepared(1, source=str(language_names), budget=154)
    for part in ("train", "validation"):
        assert ids(small, part) < ids(large, part)
    assert ids(other, "train") != ids(small, "train")
    assert other.fingerprints["test"] == small.fingerprints["test"] == large.fingerprints["test"]
    assert len({data.fingerprints["train"] for data in (small, large, other)}) == 3


def test_budget_below_the_number_of_classes_is_an_error(language_names: Path) -> None:
    with pytest.raises(BudgetError) as caught:
        prepared(source=str(language_names), budget=50)
    assert caught.value.message == "data.budget: budget 50 cannot cover 77 classes"


def test_targets_are_class_indices(reviews: Path) -> None:
    data = prepared(source=str(reviews), budget=50, validation=0)
    targets = encode_labels(data.train.labels, data.labels, data.multi_label)
    assert data.labels == ("negative", "positive")
    assert targets.dtype == np.int64
    assert [data.labels[target] for target in targets] == [names[0] for names in data.train.labels]
    assert np.bincount(targets).tolist() == [25, 25]
    assert len(data.validation) == 0
    assert encode_labels(data.validation.labels, data.labels, data.multi_label).shape == (0,)


def test_same_section_gives_the_same_data(reviews: Path) -> None:
    first, again = (prepared(source=str(reviews / "train.csv"), budget=40) for _ in range(2))
    assert first.fingerprints == again.fingerprints
    assert first.fingerprints["validation"] == first.validation.fingerprint()


@pytest.fixture
def tagged(tmp_path: Path) -> str:
    """Write 40 texts with the labels a, b, rare (always with the rarer `rarest`) or no label."""
    kinds: list[list[str]] = [["a"], ["a", "b"], ["b"], []]
    rows = [{"text": f"text {i}", "tags": kinds[i % 4]} for i in range(36)]
    rows += [{"text": f"rare {i}", "tags": ["rare", "rarest"]} for i in range(3)] + [{"text": "x", "tags": ["rarest"]}]
    path = tmp_path / "x.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows), "utf-8")
    return str(path)


@pytest.mark.parametrize("seed", range(4))
def test_multi_label_train_has_every_label(tagged: str, seed: int) -> None:
    data = prepared(seed, source=tagged, multi_label=True, test_size=8, split_seed=seed, validation=0.3)
    targets = encode_labels(data.train.labels, data.labels, data.multi_label)
    assert data.labels == ("a", "b", "rare", "rarest")
    assert (targets.dtype, targets.shape) == (np.float32, (len(data.train), 4))
    assert (targets.sum(0) > 0).all()
    assert (targets.sum(1) == 0).any()


@pytest.mark.parametrize("seed", range(6))
def test_smallest_multi_label_budget_has_every_label(tmp_path: Path, seed: int) -> None:
    rare = [["often", "one"], ["often", "one"], ["one"], ["often", "two"], ["often", "two"], ["two"]]
    rows = [{"text": f"text {i}", "tags": tags} for i, tags in enumerate([["a"]] * 30 + [["b"]] * 30 + rare * 2)]
    path = tmp_path / "x.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows), "utf-8")
    section = {"source": str(path), "multi_label": True, "test_size": 4}
    small, large = (prepared(seed, budget=budget, **section) for budget in (5, 20))
    for data in (small, large):
        assert (encode_labels(data.train.labels, data.labels, data.multi_label).sum(0) > 0).all()
    assert ids(small, "train", "validation") < ids(large, "train", "validation")
    with pytest.raises(BudgetError) as caught:
        prepared(seed, budget=2, **section)
    assert caught.value.message == "data.budget: budget 2 cannot cover 5 classes"


def test_balanced_sampling_without_a_budget_is_reported(reviews: Path) -> None:
    note = "data.sampling: balanced has no effect without data.budget"
    idle, used = (prepared(source=str(reviews), sampling="balanced", budget=budget) for budget in (None, 50))
    assert any(warning.startswith(note) for warning in idle.audit.warnings())
    assert not any(warning.startswith(note) for warning in used.audit.warnings())
