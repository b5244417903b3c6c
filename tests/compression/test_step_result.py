"""Sentences about a compression step."""

from __future__ import annotations

import pytest

from kit.compression.step_result import batch_effect_words, removed_tokens_line
from kit.records.content import RecordedSettings


@pytest.mark.parametrize(
    ("effect", "words"),
    [
        ({"other_labels": 0.0, "texts": 36}, "0.0 % [0.0, 9.6] of 36 training texts"),
        ({"other_labels": 0.035, "texts": 2_000}, "3.5 % [2.8, 4.4] of 2,000 training texts"),
        ({"other_labels": 0.0}, "0.0 % of training texts"),
    ],
)
def test_batch_effect_is_shown_with_an_interval(effect: dict[str, float], words: str) -> None:
    assert batch_effect_words(effect) == f"alone or in a batch: another prediction for {words}"
    assert batch_effect_words({}) == ""


@pytest.mark.parametrize(
    ("share", "remedy"), [(0.41, ""), (0.9, " If the metric fell too far, leave out `vocabulary`.")]
)
def test_a_remedy_is_named_if_many_texts_lose_tokens(share: float, remedy: str) -> None:
    line = removed_tokens_line(RecordedSettings(new_texts_read_differently=share))
    assert line.endswith(f"are split into smaller tokens.{remedy}")
