from __future__ import annotations

import re
import time

import pytest

from kit.errors import BudgetError
from kit.recipe.schema import Recipe
from kit.studies import grid
from kit.studies.grid import Cell, Grid, cell_keys, plan_cells


def recipe(study: dict[str, object] | None = None, **sections: object) -> Recipe:
    methods = {} if "variants" in (study or {}) else {"methods": ["finetune"]}
    return Recipe.model_validate(
        {
            "task": "sentiment",
            "data": {"source": "reviews.csv"},
            "model": {"checkpoint": "org/small"},
            **sections,
            "study": {**methods, "budgets": [100], "seeds": 1, **(study or {})},
        }
    )


def grid_of(study: dict[str, object] | None = None, **sections: object) -> Grid:
    return Grid(recipe(study, **sections))


def test_every_combination_is_one_cell_seed_by_seed() -> None:
    cells = plan_cells(grid_of({"methods": ["probe", "finetune"], "budgets": [50, 100], "seeds": 2}), 1000, 2)
    assert len(cells) == len(set(cells)) == 8
    assert [cell.seed for cell in cells] == [0] * 4 + [1] * 4  # an interrupted study has all series at the same seed
    assert [cell.budget for cell in cells[:4]] == [50, 50, 100, 100]


def test_budgets_and_seeds_may_be_unsorted_and_repeated() -> None:
    messy = recipe({"budgets": [200, 50, "all", 50, 1000], "seeds": [3, 1, 3], "methods": ["probe", "probe"]})
    cells = plan_cells(Grid(messy), 1000, 2)
    assert sorted({cell.budget for cell in cells}) == [50, 200, 1000]  # `all` of 1,000 is 1,000
    assert len(cells) == 6
    assert {cell.seed for cell in cells} == {3, 1}


def test_methods_without_a_checkpoint_have_one_series() -> None:
    cells = plan_cells(grid_of({"checkpoints": ["a/x", "b/x", "a/x"], "methods": ["tfidf", "finetune"]}), 1000, 2)
    assert [(cell.variant, cell.checkpoint) for cell in cells] == [
        ("tfidf", None), ("finetune", "a/x"), ("finetune", "b/x"),
    ]  # fmt: skip
    assert len({cell.name for cell in cells}) == 3  # the same last part of the path, still two names


def test_a_checkpoint_that_teaches_is_no_student() -> None:
    student = {"name": "student", "method": "distill", "teacher_checkpoint": "org/large"}
    half = {"name": "half", "of": "student", "steps": ["float16"]}
    grid = grid_of({"checkpoints": ["org/small", "org/large"], "variants": ["finetune", half, student]})
    cells = plan_cells(grid, 1000, 2)
    assert {cell.series: source and source.series for cell in cells for source in [grid.source(cell)]} == {
        ("finetune", "org/small"): None,
        ("finetune", "org/large"): None,
        ("student", "org/small"): ("finetune", "org/large"),
        ("half", "org/small"): ("student", "org/small"),
    }
    start = grid.recipe_of(next(cell for cell in cells if cell.variant == "student")).distill.student.checkpoint
    assert start == "org/small"


def test_students_of_a_finished_run_need_no_checkpoint() -> None:
    study = {"task": "sentiment", "model": {}, "distill": {"teacher": "runs/x"}, "method": "distill"}
    cells = plan_cells(grid_of({"methods": ["distill", "tfidf"]}, **study), 1000, 2)
    assert {cell.series for cell in cells} == {("distill", None), ("tfidf", None)}


def test_seeds_by_default_are_more_on_small_budgets() -> None:
    cells = plan_cells(grid_of({"budgets": [64, 65], "seeds": None}), 1000, 2)
    assert [sum(cell.budget == budget for cell in cells) for budget in (64, 65)] == [10, 5]


def test_default_budgets_double_and_cover_every_class() -> None:
    cells = plan_cells(grid_of({"budgets": None}, data={"source": "x.csv", "budget": 800}), 1000, 2)
    assert [cell.budget for cell in cells] == [50, 100, 200, 400, 800]
    many = plan_cells(grid_of({"budgets": None}, data={"source": "x.csv"}), 1000, 77)
    assert [cell.budget for cell in many] == [125, 250, 500, 1000]


@pytest.mark.parametrize(
    ("budget", "message"),
    [(1001, "study.budgets: 1001 is more than the 1000 training examples"), (76, "76 labels cannot cover 77 classes")],
)
def test_budgets_that_no_cell_could_draw_are_refused(budget, message) -> None:
    with pytest.raises(BudgetError, match=message):
        plan_cells(grid_of({"budgets": [500, budget]}), 1000, 77)


def test_tuned_settings_apply_to_their_method_only() -> None:
    tuned = recipe(
        {"methods": ["finetune", "scratch"]}, train={"learning_rate": 3e-5, "epochs": 2, "weight_decay": 0.1}
    )
    own = Grid(tuned).recipe_of(Cell("finetune", "org/small", 100, 4)).train
    other = Grid(tuned).recipe_of(Cell("scratch", "org/small", 100, 4)).train
    assert (own.learning_rate, own.epochs, own.weight_decay, own.seed) == (3e-5, 2, 0.1, 4)
    assert (other.learning_rate, other.epochs, other.weight_decay, other.seed) == (None, None, 0.1, 4)


def test_a_revision_applies_to_its_checkpoint_only() -> None:
    pinned = recipe(model={"checkpoint": "org/small", "revision": "v1"})
    assert Grid(pinned).recipe_of(Cell("finetune", "org/small", 100, 0)).model.revision == "v1"
    assert Grid(pinned).recipe_of(Cell("finetune", "org/large", 100, 0)).model.revision is None


def test_keys_change_only_with_inputs_of_a_result() -> None:
    cell = Cell("finetune", "org/small", 100, 0)
    prints = {None: "data", "org/small": "weights"}

    def key(of: Recipe, content: dict[str | None, str] = prints, which: Cell = cell) -> str:
        return cell_keys(Grid(of), [which], content)[which]

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
    before = cell_keys(grid_of({"methods": ["lora"]}), [cell], {None: "data"})[cell]
    monkeypatch.setitem(grid.DEFAULTS["epochs"], "lora", (3, 99))
    assert cell_keys(grid_of({"methods": ["lora"]}), [cell], {None: "data"})[cell] != before


def test_five_thousand_cells_are_planned_in_five_seconds() -> None:
    axes = {
        "methods": ["finetune", "lora", "probe", "scratch", "tfidf"],
        "checkpoints": [f"org/model-{k}" for k in range(12)],
        "budgets": [100 * k for k in range(1, 11)],
        "seeds": 11,
    }
    began = time.perf_counter()
    large = recipe(axes)
    cells = plan_cells(Grid(large), 10_000, 2)
    keys = cell_keys(Grid(large), cells, {None: "d", **{f"org/model-{k}": str(k) for k in range(12)}})
    seconds = time.perf_counter() - began
    assert len(cells) == len(set(keys.values())) == (4 * 12 + 1) * 10 * 11 > 5_000
    assert len({cell.name for cell in cells}) == len(cells)
    assert seconds < 5


VARIANTS = [
    {"name": "tiny", "of": "student", "steps": ["vocabulary", "int8-onnx"]},
    {"name": "student", "method": "distill", "of": "slow"},
    {"name": "slow", "method": "finetune", "set": {"train.epochs": 9, "distill.pool": 5}},
    {"name": "int8", "of": "slow", "steps": ["int8-onnx"]},
    "tfidf",
]


def test_variants_follow_the_variants_they_are_made_from() -> None:
    of = grid_of({"variants": VARIANTS})
    assert list(of.variants) == ["slow", "student", "tiny", "int8", "tfidf"]
    cells = plan_cells(of, 1000, 2)
    assert [cell.variant for cell in cells] == list(of.variants)
    by_name = {cell.variant: cell for cell in cells}
    sources = {name: source and source.variant for name, source in ((n, of.source(c)) for n, c in by_name.items())}
    assert sources == {"slow": None, "student": "slow", "tiny": "student", "int8": "slow", "tfidf": None}
    trained, steps = of.chain("tiny")
    assert (trained.name, [step.technique for step in steps]) == ("student", ["vocabulary", "int8-onnx"])


def test_a_variant_has_its_own_keys_and_those_of_its_method() -> None:
    of = grid_of({"variants": VARIANTS}, train={"epochs": 3, "weight_decay": 0.2})
    slow, student = (of.recipe_of(Cell(name, "org/small", 70, 2)) for name in ("slow", "student"))
    assert (slow.train.epochs, slow.train.weight_decay, slow.train.seed, slow.data.budget) == (9, 0.2, 2, 70)
    assert (student.method, student.train.epochs, student.train.weight_decay) == ("distill", None, 0.2)


def test_students_without_a_named_teacher_get_one() -> None:
    of = grid_of({"methods": ["distill"]})
    assert list(of.variants) == ["finetune", "distill"]
    assert of.source(Cell("distill", "org/small", 100, 0)) == Cell("finetune", "org/small", 100, 0)
    named = grid_of({"methods": ["distill"]}, distill={"teacher": "runs/teacher"})
    assert list(named.variants) == ["distill"]
    assert named.source(Cell("distill", "org/small", 100, 0)) is None


def test_keys_change_with_steps_gate_and_source() -> None:
    def keys(variants: list[object] = VARIANTS, **sections: object) -> dict[str, str]:
        of = grid_of({"variants": variants}, **sections)
        return {cell.variant: key for cell, key in cell_keys(of, plan_cells(of, 1000, 2), {None: "data"}).items()}

    def changed(after: dict[str, str]) -> set[str]:
        return {name for name, key in keys().items() if after[name] != key}

    assert len(set(keys().values())) == 5
    assert changed(keys(compress={"gate": {"retained": 0.9}})) == {"tiny", "int8"}
    steps = [{**VARIANTS[0], "steps": ["int8-onnx"]}, *VARIANTS[1:]]
    assert changed(keys(steps)) == {"tiny"}
    slower = [*VARIANTS[:2], {**VARIANTS[2], "set": {"train.epochs": 10}}, *VARIANTS[3:]]
    assert changed(keys(slower)) == {"tiny", "student", "slow", "int8"}


def test_names_of_cells_are_safe_and_unique() -> None:
    names = [Cell(name, None, 100, 0).name for name in ("finetune", "Finetune", "wide student", "wide-student", "a+b")]
    assert names[0] == "finetune-100-s0"
    assert len({name.lower() for name in names}) == len(names)
    assert all(re.fullmatch(r"[a-z0-9-]+", name) for name in names)


def test_twenty_thousand_cells_of_a_hundred_variants_are_planned_in_five_seconds() -> None:
    variants = [{"name": f"v{k}", "method": "finetune", "set": {"train.epochs": 1 + k}} for k in range(50)]
    variants += [{"name": f"c{k}", "of": f"v{k}", "steps": ["int8-onnx"]} for k in range(50)]
    began = time.perf_counter()
    of = grid_of({"variants": variants, "budgets": [100 * k for k in range(1, 21)], "seeds": 10})
    keys = cell_keys(of, plan_cells(of, 10_000, 2), {None: "d", "org/small": "w"})
    assert len(keys) == len(set(keys.values())) == 20_000
    assert time.perf_counter() - began < 5
