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
def test_a_student_in_short(student: Any, section: dict[str, Any]) -> None:
    assert DistillSection(student=student).student == StudentSection.model_validate(section)


@pytest.mark.parametrize(
    ("distill", "reason"),
    [
        ({"student": "cnn:64"}, "cnn has no short form with a number; write {architecture: cnn, hidden_size: 64}"),
        ({"student": "layers:0-2"}, "give numbers as in 0,1 .* or how many as in 3; got '0-2'"),
        ({"student": "layers:-1"}, "give numbers as in 0,1 .* or how many as in 3; got '-1'"),
        ({"student": "cnn", "losses": {"hidden": 1}}, "distill.losses.hidden: a cnn has no layers"),
        ({"teacher": ["a", "b"], "losses": {"cosine": 1}}, "distill.losses.cosine: several teachers have no token"),
        ({"student": {"checkpoint": "a/b", "layers": 2}}, "distill.student.checkpoint has a shape of its own"),
        ({"student": {"architecture": "cnn", "heads": 2}}, "distill.student.heads: a cnn has none"),
        ({"student": {"architecture": "bilstm", "layers": [0, 1]}}, "distill.student.layers: of a bilstm give how"),
        ({"student": {"layers": [1, 1]}}, "distill.student.layers names a layer twice"),
        ({"student": {"checkpoint": "a/b", "init": "random"}}, "distill.student.init: a checkpoint has its own"),
        ({"losses": {"logits": 0, "labels": 1}}, "the student must match something of the teacher's"),
        ({"layer_map": [1]}, "distill.layer_map is for distill.losses.hidden"),
        ({"relation_heads": 4}, "distill.relation_heads is for distill.losses.relations"),
        ({"augment": {"checkpoint": "a/b"}}, "distill.augment.checkpoint needs distill.augment.copies"),
    ],
)
def test_distillations_that_cannot_work(distill: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        DistillSection.model_validate(distill)
