"""The `distill` section: short forms of students, and keys that contradict each other."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from kit.recipe.sections.distillation import DistillSection, StudentSection


@pytest.mark.parametrize(
    ("student", "section"),
    [
        ("layers:0,2,5", {"layers": [0, 2, 5]}),
        ("layers:3", {"layers": 3}),
        ("width:192", {"hidden_size": 192}),
        ("cnn", {"architecture": "cnn"}),
        ("org/small", {"checkpoint": "org/small"}),
        ({"layers": "0, 5"}, {"layers": [0, 5]}),
        ({"layers": "4,"}, {"layers": [4]}),
    ],
)
def test_short_forms_of_students(student: Any, section: dict[str, Any]) -> None:
    assert DistillSection(student=student).student == StudentSection.model_validate(section)


@pytest.mark.parametrize(
    ("distill", "reason"),
    [
        ({"student": "cnn:64"}, "cnn has no short form with a number; write {architecture: cnn, hidden_size: 64}"),
        ({"student": "layers:0-2"}, "must be layer numbers .* or a number of layers .*, got '0-2'"),
        ({"student": "layers:-1"}, "must be layer numbers .* or a number of layers .*, got '-1'"),
        ({"student": "cnn", "losses": {"hidden": 1}}, "distill.losses.hidden: a cnn has no layers"),
        ({"teacher": ["a", "b"], "losses": {"cosine": 1}}, "distill.losses.cosine: several teachers have no token"),
        ({"student": {"checkpoint": "a/b", "layers": 2}}, "distill.student.checkpoint has its own shape"),
        ({"student": {"architecture": "cnn", "heads": 2}}, "distill.student.heads: not available for a cnn"),
        (
            {"student": {"architecture": "bilstm", "layers": [0, 1]}},
            "distill.student.layers: a bilstm needs a number of layers",
        ),
        ({"student": {"layers": [1, 1]}}, "distill.student.layers contains a layer twice"),
        ({"student": {"checkpoint": "a/b", "init": "random"}}, "distill.student.init: a checkpoint has its own"),
        ({"losses": {"logits": 0, "labels": 1}}, "the student must learn from its teacher"),
        ({"layer_map": [1]}, "distill.layer_map has no effect: distill.losses.hidden"),
        ({"relation_heads": 4}, "distill.relation_heads has no effect: distill.losses.relations"),
        ({"augment": {"checkpoint": "a/b"}}, "distill.augment.checkpoint needs distill.augment.copies"),
    ],
)
def test_contradictory_keys_are_refused(distill: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        DistillSection.model_validate(distill)


@pytest.mark.parametrize("loss", ["hidden", "embeddings", "cosine", "relations"])
def test_recipes_of_finished_runs_may_map_layers_for_each_token_loss(loss: str) -> None:
    assert DistillSection(layer_map=[0, 1], losses={loss: 1.0}).layer_map == [0, 1]
