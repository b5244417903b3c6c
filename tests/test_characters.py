"""Lone surrogates become U+FFFD; everything else stays."""

from __future__ import annotations

import pytest

from kit.characters import has_surrogates, without_surrogates


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lamp \ud83d", "lamp \ufffd"),
        ("\ude00\ud83d lamp", "\ufffd\ufffd lamp"),
        ("\ud83d\ude00 lamp", "\U0001f600 lamp"),
        ("caf\udce9 lovely", "caf\ufffd lovely"),
        ("caf\u00e9 \U0001f600\ufffd", "caf\u00e9 \U0001f600\ufffd"),
    ],
)
def test_lone_surrogates_are_replaced(text: str, expected: str) -> None:
    assert without_surrogates(text) == expected
    assert not has_surrogates(without_surrogates(text))
