"""Lone surrogates become U+FFFD; everything else stays."""

from __future__ import annotations

import pytest

from kit.runtime.characters import has_surrogates, without_surrogates
from tests.conftest import Kit


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


@pytest.mark.parametrize(
    "arguments",
    [("check", "caf\udce9.yaml"), ("check", "r.yaml", "--set", "data.text=\udce9"), ("evaluate", "caf\udce9"),
     ("compress", "run", "--steps", "\udce9"), ("predict", "caf\udce9", "a text"),
     ("predict", "run", "a text", "--out", "o.csv", "--keep", "\udce9"), ("--debug", "list", "\udce9")],
)  # fmt: skip
def test_names_with_broken_bytes_are_refused(kit: Kit, arguments: tuple[str, ...]) -> None:
    done = kit(*arguments)
    assert done.code == 2 and "has bytes that are not UTF-8" in done.err
