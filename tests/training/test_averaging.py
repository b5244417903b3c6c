"""Averaged weights: their steps, their mean, resuming and frozen weights."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from kit.models.inference import predict_logits
from kit.training.averaging import Averaging, averaged_steps
from kit.training.plan import make_plan
from tests.support.training import (
    SECTION,
    TASK,
    KilledError,
    build,
    changed,
    die_at_save,
    train,
)

pytestmark = pytest.mark.usefixtures("quick_collections")


def test_the_last_weights_can_be_averaged(data, tmp_path, monkeypatch) -> None:
    """Evaluations are at steps 0, 6, 12 and 18; the last one uses the mean."""
    plain, without = train(data, tmp_path / "plain")
    saved = {}
    original = Averaging.on_step_end

    def save_then_average(self, args, state, control, **kwargs) -> None:
        saved[state.global_step] = {name: w.detach().clone() for name, w in self.model.named_parameters()}
        original(self, args, state, control, **kwargs)

    monkeypatch.setattr(Averaging, "on_step_end", save_then_average)
    model, training = train(data, tmp_path / "mean", section=changed(average=2))
    for name, weights in model.named_parameters():
        assert torch.equal(saved[18][name], plain.state_dict()[name]), "training itself is the same"
        assert torch.allclose(weights, (saved[12][name] + saved[18][name]) / 2, atol=1e-7), name
    assert [e.step for e in training.evaluations] == [0, 6, 12, 18]
    assert training.evaluations[:-1] == without.evaluations[:-1] and training.evaluations[-1] != without.evaluations[-1]
    logits = predict_logits(model, data[3].encoded, data[1])
    assert TASK.scores(logits, data[3].targets)["log_loss"] == pytest.approx(training.evaluations[-1].validation_loss)


@pytest.mark.parametrize("saves", [1, 2, 3])
def test_a_killed_run_ends_with_the_same_average(saves, data, tmp_path, monkeypatch) -> None:
    section = changed(average=3)
    whole, _ = train(data, tmp_path / "whole", section=section)
    die_at_save(monkeypatch, saves)
    with pytest.raises(KilledError):
        train(data, tmp_path / "killed", section=section)
    monkeypatch.undo()
    model, _ = train(data, tmp_path / "killed", section=section)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name]), name


def test_frozen_weights_are_neither_saved_nor_averaged(data, tmp_path) -> None:
    frozen = build(data)
    frozen.get_input_embeddings().requires_grad_(False)
    before = frozen.get_input_embeddings().weight.clone()
    model, _ = train(data, tmp_path, frozen, changed(average=2))
    assert torch.equal(model.get_input_embeddings().weight, before)
    kept = load_file(next((tmp_path / "work").glob("weights-18.safetensors")))
    assert (
        set(kept) == {name for name, part in model.named_parameters() if part.requires_grad} < set(model.state_dict())
    )


def test_averaged_steps_are_the_last_evaluation_steps() -> None:
    plan = replace(make_plan(SECTION, 90), steps=20, evaluate_every=6)
    assert [averaged_steps(plan, count) for count in (1, 2, 4, 9)] == [[20], [18, 20], [6, 12, 18, 20], [6, 12, 18, 20]]
