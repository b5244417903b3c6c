import pytest

from kit.errors import RecipeError
from kit.recipe.resolved import ResolvedTrain
from kit.training.plan import make_plan


def section(**train) -> ResolvedTrain:
    usual = {"learning_rate": 1e-4, "contrastive": 0.0, "average": 1, "refit": False, "freeze_embeddings": False}
    return ResolvedTrain(**usual | train)


def test_steps_follow_from_examples_and_epochs() -> None:
    plan = make_plan(section(batch_size=32, evaluations=8, epochs=2), 1000)
    assert (plan.batch_size, plan.device_batch, plan.steps, plan.evaluate_every) == (32, 32, 64, 10)


@pytest.mark.parametrize(("steps", "evaluations", "every"), [
    (228, 8, 29), (90, 8, 12), (40, 8, 10), (15, 8, 5), (3, 8, 1), (1, 8, 1), (40, 1, 40), (40, 2, 20), (99, 99, 10),
])  # fmt: skip
def test_short_trainings_evaluate_less_often(steps, evaluations, every) -> None:
    plan = make_plan(section(batch_size=1, evaluations=evaluations, epochs=1), steps)
    assert (plan.steps, plan.evaluate_every) == (steps, every)


@pytest.mark.parametrize(("processes", "accumulation"), [(1, 1), (2, 1), (1, 4), (2, 4)])
def test_batches_do_not_depend_on_processes_and_accumulation(processes, accumulation) -> None:
    plan = make_plan(section(batch_size=32, accumulation=accumulation, epochs=2), 1000, processes)
    assert plan.device_batch * processes * accumulation == 32
    assert plan.steps == 64
    odd = make_plan(section(batch_size=31, accumulation=accumulation, epochs=2), 1000, processes)
    assert (odd.batch_size, odd.steps) == (31, 66)
    assert odd.device_batch == -(-31 // (processes * accumulation))


def test_a_small_budget_is_one_batch() -> None:
    assert make_plan(section(epochs=3, batch_size=32), 10).steps == 3


def test_a_batch_smaller_than_the_accumulation_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"train\.batch_size: 4 is below train\.accumulation: 8"):
        make_plan(section(batch_size=4, accumulation=8, epochs=1), 100)
    assert make_plan(section(batch_size=4, epochs=1), 100, processes=8).device_batch == 1


def test_halving_keeps_the_batch_and_the_steps() -> None:
    plan = make_plan(section(epochs=2, batch_size=32), 1000)
    half = plan.halved()
    assert (half.device_batch, half.accumulation, half.steps, half.batch_size) == (16, 2, plan.steps, 32)
