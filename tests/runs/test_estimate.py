"""Estimates of a run before it starts."""

from __future__ import annotations

from kit import Recipe, finetune
from kit.runs.estimate import make_trial
from kit.runs.request import make_request
from kit.training.hardware import set_up_hardware


def test_plan_counts_label_names_as_examples(reviews, tiny_checkpoint, tmp_path) -> None:
    """32 reviews in batches of 16 are two steps per epoch; the two label names make a third."""
    recipe = Recipe.model_validate(
        {
            "task": "classification",
            "runs": str(tmp_path),
            "data": {
                "source": str(reviews),
                "text": "text",
                "label": "label",
                "budget": 32,
                "validation": 0,
                "max_length": 16,
            },
            "model": {"checkpoint": str(tiny_checkpoint)},
            "train": {"epochs": 1, "batch_size": 16, "select": "last", "refit": False},
        }
    )
    hardware = set_up_hardware("fp32")
    plan = make_trial(make_request(recipe), hardware).plan
    assert plan is not None
    record = finetune(recipe, quiet=True)
    assert plan.steps == record.to_dict()["training"]["plan"]["steps"] == 3
