"""Analyzers of TF-IDF: functions from a text to its features, as in scikit-learn.

- `word`: words and word n-grams, without case and accents. Words of one letter are kept: `I` and `a` matter in short
  texts.
- `char`: n-grams of the characters of each word and of the spaces around it.
- `mixed`: words where spaces separate them, and n-grams of characters in scripts without spaces and of emoji.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import partial

from kit.data.scripts import RUNS

ANALYZERS = ("word", "mixed", "char")
CHARACTERS = 4  # longest n-gram of characters, with analyzer `char`
_UNSEPARATED_CHARACTERS = 3  # the same in text without spaces, with `mixed`: most words there have one or two
_WORD = re.compile(r"(?u)\b\w+\b|[!?]")


def analyzer_of(name: str, ngrams: int) -> Callable[[str], list[str]]:
    """Return a function from a text to its features.

    Args:
        name: One of ANALYZERS.
        ngrams: Longest n-gram of words.

    Raises:
        ValueError: If there is no analyzer of this name.
    """
    if name not in ANALYZERS:
        raise ValueError(f"the analyzer is {name}, not {', '.join(ANALYZERS)}")
    if name == "char":
        return _characters
    return partial(_mixed if name == "mixed" else _words, ngrams)


def _words(ngrams: int, text: str) -> list[str]:
    """Return the words of a text, then its n-grams of two words, and so on."""
    words = _WORD.findall(_without_accents(text.lower()))
    return [
        " ".join(words[start : start + length])
        for length in range(1, ngrams + 1)
        for start in range(len(words) - length + 1)
    ]


def _without_accents(text: str) -> str:
    if text.isascii():
        return text
    return "".join(
        character for character in unicodedata.normalize("NFKD", text) if not unicodedata.combining(character)
    )


def _characters(text: str) -> list[str]:
    text = unicodedata.normalize("NFKC", text).casefold()
    features = []
    for word in text.split():
        padded = f" {word} "
        for length in range(1, min(CHARACTERS, len(padded)) + 1):
            features += [padded[start : start + length] for start in range(len(padded) - length + 1)]
    return features


def _mixed(ngrams: int, text: str) -> list[str]:
    text = unicodedata.normalize("NFKC", text).replace("\ufe0f", "")  # the same emoji with and without its selector
    features = _words(ngrams, RUNS.sub(" ", text))
    for run in RUNS.findall(text):
        padded = f" {run} "  # its start and end are features too
        features += run
        features += [
            padded[start : start + length]
            for length in range(2, _UNSEPARATED_CHARACTERS + 1)
            for start in range(len(padded) - length + 1)
        ]
    return features
