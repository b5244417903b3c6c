from __future__ import annotations

import time

import pytest

from kit.errors import BudgetError
from kit.recipe.schema import Recipe
from kit.studies import grid
from kit.studies.grid import Cell, cell_keys, cell_recipe, plan_cells


def recipe(study: dict[str, object] | None = None, **sections: object) -> Recipe:
    return Recipe.model_validate(
        {
            "task": "sentiment",
            "data": {"source": "reviews.csv"},
            "model": {"checkpoint": "org/small"},
            **sections,
            "study": {"methods": ["finetune"], "budgets": [100], "seeds": 1, **(study or {})},
        }
    )


def test_every_combination_is_one_cell_seed_by_seed() -> None:
    cells = plan_cells(recipe({"methods": ["probe", "finetune"], "budgets": [50, 100], "seeds": 2}), 1000, 2)
    assert len(cells) == len(set(cells)) == 8
    assert [cell.seed for cell in cells] == [0] * 4 + [1] * 4  # an interrupted study has all series at the same seed
    assert [cell.budget for cell in cells[:4]] == [50, 50, 100, 100]


def test_budgets_and_seeds_may_be_unsorted_and_repeated() -> None:
    messy = recipe({"budgets": [200, 50, "all", 50, 1000], "seeds": [3, 1, 3], "methods": ["probe", "probe"]})
    cells = plan_cells(messy, 1000, 2)
    assert sorted({cell.budget for cell in cells}) == [50, 200, 1000]  # `all` of 1,000 is 1,000
    assert len(cells) == 6
    assert {cell.seed for cell in cells} == {3, 1}


def test_methods_without_a_checkpoint_have_one_series() -> None:
    cells = plan_cells(recipe({"checkpoints": ["a/x", "b/x", "a/x"], "methods": ["tfidf", "finetune"]}), 1000, 2)
    assert [(cell.method, cell.checkpoint) for cell in cells] == [
        ("tfidf", None), ("finetune", "a/x"), ("finetune", "b/x"),
    ]  # fmt: skip
    assert len({cell.name for cell in cells}) == 3  # the same last part of the path, still two names


def test_seeds_by_default_are_more_on_small_budgets() -> None:
    cells = plan_cells(recipe({"budgets": [64, 65], "seeds": None}), 1000, 2)
    assert [sum(cell.budget == budget for cell in cells) for budget in (64, 65)] == [10, 5]


def test_default_budgets_double_and_cover_every_class() -> None:
    cells = plan_cells(recipe({"budgets": None}, data={"source": "x.csv", "budget": 800}), 1000, 2)
    assert [cell.budget for cell in cells] == [50, 100, 200, 400, 800]
    many = plan_cells(recipe({"budgets": None}, data={"source": "x.csv"}), 1000, 77)
    assert [cell.budget for cell in many] == [125, 250, 500, 1000]


@pytest.mark.parametrize(
    ("budget", "message"),
    [(1001, "study.budgets: 1001 is more than the 1000 training examples"), (76, "76 labels cannot cover 77 classes")],
)
def test_budgets_that_no_cell_could_draw_are_refused(budget, message) -> None:
    with pytest.raises(BudgetError, match=message):
        plan_cells(recipe({"budgets": [500, budget]}), 1000, 77)


def test_tuned_settings_apply_to_their_method_only() -> None:
    tuned = recipe(
        {"methods": ["finetune", "scratch"]}, train={"learning_rate": 3e-5, "epochs": 2, "weight_decay": 0.1}
    )
    own = cell_recipe(tuned, Cell("finetune", "org/small", 100, 4)).train
    other = cell_recipe(tuned, Cell("scratch", "org/small", 100, 4)).train
    assert (own.learning_rate, own.epochs, own.weight_decay, own.seed) == (3e-5, 2, 0.1, 4)
    assert (other.learning_rate, other.epochs, other.weight_decay, other.seed) == (None, None, 0.1, 4)


def test_a_revision_applies_to_its_checkpoint_only() -> None:
    pinned = recipe(model={"checkpoint": "org/small", "revision": "v1"})
    assert cell_recipe(pinned, Cell("finetune", "org/small", 100, 0)).model.revision == "v1"
    assert cell_recipe(pinned, Cell("finetune", "org/large", 100, 0)).model.revision is None


def test_keys_change_only_with_inputs_of_a_result() -> None:
    cell = Cell("finetune", "org/small", 100, 0)
    prints = {None: "data", "org/small": "weights"}

    def key(of: Recipe, content: dict[str | None, str] = prints, which: Cell = cell) -> str:
        return cell_keys(of, [which], content)[which]

    base = key(recipe())
    assert key(recipe(runs="elsewhere")) == base
    assert key(recipe({"budgets": [100, 200], "keep_models": False})) == base
    assert key(recipe(train={"weight_decay": 0.2})) != base
    assert key(recipe(), {None: "other data", "org/small": "weights"}) != base
    assert key(recipe(), {None: "data", "org/small": "other weights"}) != base
    assert key(recipe(), prints, Cell("finetune", "org/small", 100, 1)) != base
    assert key(recipe(), prints, Cell("finetune", "org/small", 101, 0)) != base


def test_keys_change_with_the_defaults_of_kit(monkeypatch) -> None:
    cell = Cell("lora", "org/small", 100, 0)
    before = cell_keys(recipe(), [cell], {None: "data"})[cell]
    monkeypatch.setitem(grid.DEFAULTS["epochs"], "lora", (3, 99))
    assert cell_keys(recipe(), [cell], {None: "data"})[cell] != before


def test_five_thousand_cells_are_planned_in_five_seconds() -> None:
    axes = {
        "methods": ["finetune", "lora", "probe", "scratch", "tfidf"],
        "checkpoints": [f"org/model-{k}" for k in range(12)],
        "budgets": [100 * k for k in range(1, 11)],
        "seeds": 11,
    }
    began = time.perf_counter()
    large = recipe(axes)
    cells = plan_cells(large, 10_000, 2)
    keys = cell_keys(large, cells, {None: "d", **{f"org/model-{k}": str(k) for k in range(12)}})
    seconds = time.perf_counter() - began
    assert len(cells) == len(set(keys.values())) == (4 * 12 + 1) * 10 * 11 > 5_000
    assert len({cell.name for cell in cells}) == len(cells)
    assert seconds < 5
