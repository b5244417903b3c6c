"""Draft folders of killed and failed runs."""

from __future__ import annotations

import numpy as np
import pytest

import kit.models.classifier
from kit import finetune
from kit.errors import TrainingError
from tests.methods.test_contract import recipe_for


class _Killed(BaseException):
    """Stand-in for SIGKILL, which no code catches."""


def test_a_repeated_run_that_was_killed_is_continued(tmp_path, tiny_checkpoint, monkeypatch) -> None:
    from kit.training.trainer import KitTrainer

    recipe = recipe_for("single", "finetune", tmp_path, tiny_checkpoint, checkpoint_seconds=0, refit=False)
    whole = finetune(recipe, quiet=True)
    save = KitTrainer._save_checkpoint

    def save_then_die(self, *args, **kwargs):
        save(self, *args, **kwargs)
        raise _Killed

    monkeypatch.setattr(KitTrainer, "_save_checkpoint", save_then_die)
    with pytest.raises(_Killed):
        finetune(recipe, force=True, quiet=True)
    monkeypatch.undo()
    again = finetune(recipe, force=True, quiet=True)
    assert again.to_dict()["training"]["notes"] == ["continued from step 5 of an interrupted run"]
    assert again.metrics == whole.metrics
    assert again.to_dict()["seconds"]["total"] > again.to_dict()["training"]["seconds"] > 0
    fresh = finetune(recipe, force=True, quiet=True)
    assert fresh.to_dict()["training"]["notes"] == []


def test_non_finite_predictions_leave_no_folder(tmp_path, tiny_checkpoint, monkeypatch) -> None:
    recipe = recipe_for("single", "finetune", tmp_path, tiny_checkpoint)
    monkeypatch.setattr(
        kit.models.classifier.TransformerPredictor,
        "outputs",
        lambda self, texts: np.full((len(texts), 2), np.nan, np.float32),
    )
    with pytest.raises(TrainingError, match="not finite numbers"):
        finetune(recipe, quiet=True)
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [".locks"]
