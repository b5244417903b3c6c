"""Texts without a visible character."""

from __future__ import annotations

import pytest

from kit.data.blank import is_blank, strip_invisible

INVISIBLE = (
    "",
    " \t\n",
    "\xa0",
    "\u200b\u200d",
    "\ufeff",
    "\xad",
    "\u2060\u180e",
    "\u3164",
    "\u2800",
    "\ufe0f",
    "\x00",
)


@pytest.mark.parametrize("text", INVISIBLE, ids=ascii)
def test_invisible_characters_alone_are_blank(text: str) -> None:
    assert is_blank(text)
    assert strip_invisible(f"{text}a {text}b{text}") == f"a {text}b"


@pytest.mark.parametrize("text", [".", "あ", "👨\u200d👩", "\u0301e", "\ufffd"])
def test_visible_characters_are_not_blank(text: str) -> None:
    assert not is_blank(text)
