"""The `compress` section: steps by name or with keys, and the gate."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from kit.recipe.sections.compression import CompressSection


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([["vocabulary"]], "a step is a name, or {name: {key: value}}, got ['vocabulary']"),
        ([{"vocabulary": {}, "onnx": {}}], "each step is an item of the list: [{vocabulary: ...}, {onnx: ...}]"),
        ([{"prune": {"heads": 0, "neurons": 0}}], "prune removes nothing: set heads or neurons to a share above 0"),
        (["vocabulary", "vocabulary"], "vocabulary is given twice: the second one would have nothing to remove"),
    ],
)
def test_malformed_steps_are_refused(steps: list[Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        CompressSection(steps=steps)
    assert caught.value.errors()[0]["msg"] == f"Value error, {message}"


def test_null_sets_no_gate() -> None:
    gate = CompressSection(gate=None).gate
    assert (gate.retained, gate.agreement) == (None, None)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"early-exit": {"threshold": 3}}, "threshold of early-exit must be at most 1.0, got 3"),
        ({"prune": {"heads": "x"}}, "heads of prune must be a number, got x"),
        ({"int8-onnx": {"weights": "x"}}, "weights of int8-onnx must be "),
    ],
)
def test_values_are_refused_in_plain_words(step: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        CompressSection(steps=[step])
