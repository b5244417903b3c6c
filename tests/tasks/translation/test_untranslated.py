"""Warnings about texts that were not translated, and the mark of copies."""

import numpy as np

from kit.tasks.translation.task import Translation

TASK = Translation("translation", ("en", "de"), "bleu")
NAMES = [(f"Anna Berg {number} Oslo Bergen",) for number in range(6)]
COPIES = np.asarray([row[0] for row in NAMES], object)


def test_unchanged_translations_are_reported() -> None:
    warning = TASK.warning(NAMES, COPIES, "model")
    assert warning is not None and "100 % of the words are unchanged" in warning
    assert TASK.warning(NAMES[:2], COPIES[:2], "model") is None, "too few words"
    assert TASK.warning(NAMES, np.asarray(["ein Hund"] * len(NAMES), object), "model") is None


def test_copies_of_several_words_are_marked() -> None:
    sources = [("Anna Berg",), NAMES[0]]
    name, copy = TASK.predictions(sources, np.asarray([row[0] for row in sources], object))
    assert "copied" not in name and copy["copied"] is True
