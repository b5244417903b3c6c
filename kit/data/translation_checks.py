"""Checks of pairs of texts that should be translations of each other.

Pairs that are misaligned or not translated have one of three flaws: both sides are identical, the ratio of lengths is
far from that of the corpus, or one side has another script than the rest of that side.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from kit.data.common_words import reads_like
from kit.data.language_codes import primary

REASONS = ("identical", "length_ratio", "wrong_script")
_MAX_RATIO = 3.0  # of the lengths of a pair to the median of the corpus, or its inverse
_MIN_CHARS = 20  # of the longer side; in shorter pairs, ratios vary too much
_MIN_WORDS = 3  # a shorter text, such as a name or a number, may be its own translation
_MAX_LINES = 10_000  # of a side, to detect its language
_LOOP = re.compile(r"(.{3,80}?)\1{3,}", re.DOTALL)  # the same text four times in a row
_EAST_ASIAN = {"CJK": "CJK", "HIRAGANA": "CJK", "KATAKANA": "CJK", "HALFWIDTH": "CJK", "FULLWIDTH": "CJK"}
_SEVERAL_SCRIPTS = ("sr", "bs", "kk", "mn", "uz", "az", "tk", "ku", "pa", "ks")  # languages with several scripts
# Languages that are not written in Latin letters.
_SCRIPTS = {
    **dict.fromkeys(("ru", "uk", "be", "bg", "mk", "ky", "tg"), "CYRILLIC"),
    **dict.fromkeys(("zh", "ja", "yue"), "CJK"), **dict.fromkeys(("ar", "fa", "ur", "ps", "sd", "ug"), "ARABIC"),
    **dict.fromkeys(("hi", "mr", "ne", "sa"), "DEVANAGARI"), **dict.fromkeys(("he", "yi"), "HEBREW"),
    "ko": "HANGUL", "el": "GREEK", "th": "THAI", "ka": "GEORGIAN", "hy": "ARMENIAN", "ta": "TAMIL", "te": "TELUGU",
    "bn": "BENGALI", "as": "BENGALI", "gu": "GUJARATI", "kn": "KANNADA", "ml": "MALAYALAM",
    "si": "SINHALA", "km": "KHMER", "lo": "LAO", "my": "MYANMAR", "am": "ETHIOPIC", "bo": "TIBETAN",
}  # fmt: skip


def flaws(sources: Sequence[str], targets: Sequence[str]) -> list[str | None]:
    """Return the first of REASONS that applies to each pair, or None, given the lengths and scripts of all pairs."""
    lengths = np.asarray([[len(source), len(target)] for source, target in zip(sources, targets, strict=True)], float)
    if not len(lengths):
        return []
    ratios = np.log((lengths[:, 1] + 1) / (lengths[:, 0] + 1))
    odd = (np.abs(ratios - np.median(ratios)) > np.log(_MAX_RATIO)) & (lengths.max(axis=1) >= _MIN_CHARS)
    scripts = [[_main_script(text) for text in side] for side in (sources, targets)]
    usual = [_most_common(side) for side in scripts]
    reasons: list[str | None] = []
    for row, (source, target) in enumerate(zip(sources, targets, strict=True)):
        same = source.split() == target.split() and len(source.split()) >= _MIN_WORDS
        other = any(side[row] not in (None, most) for side, most in zip(scripts, usual, strict=True))
        reasons.append("identical" if same else "length_ratio" if odd[row] else "wrong_script" if other else None)
    return reasons


def look_swapped(sources: Sequence[str], targets: Sequence[str], languages: tuple[str, str]) -> bool:
    """Return whether each side looks like the language of the other side, see `looks_like`."""
    return looks_like(sources, languages[1], languages[0]) and looks_like(targets, *languages)


def looks_like(texts: Sequence[str], language: str, expected: str) -> bool:
    """Return whether texts look like `language` rather than `expected`.

    They do if they are in its script or, if both languages use the same script, have its common words.
    """
    actual, wanted = map(primary, (language, expected))
    if actual in _SEVERAL_SCRIPTS or wanted in _SEVERAL_SCRIPTS:
        return False
    scripts = [_SCRIPTS.get(code, "LATIN") for code in (actual, wanted)]
    if scripts[0] == scripts[1]:
        return bool(reads_like(texts[:_MAX_LINES], actual, wanted))
    return _most_common([_main_script(text) for text in texts]) == scripts[0]


def _main_script(text: str) -> str | None:
    """Return the script of most letters of a text, None without letters."""
    if text.isascii():
        return "LATIN" if any(letter.isalpha() for letter in text) else None
    counts = Counter(script for letter in text if (script := _script(letter)))
    return counts.most_common(1)[0][0] if counts else None


def copied_share(sources: Sequence[str], outputs: Sequence[str]) -> float:
    """Return the share of the words in outputs that are also in their source: near 1 if nothing was translated."""
    copied = total = 0
    for source, output in zip(sources, outputs, strict=True):
        source_words = set(source.lower().split())
        words = output.lower().split()
        copied += sum(word in source_words for word in words)
        total += len(words)
    return copied / total if total else 0.0


def loops(text: str) -> bool:
    """Return whether a text repeats a part with letters four times in a row, as models that do not stop do."""
    return any(any(letter.isalpha() for letter in match[1]) for match in _LOOP.finditer(text))


@lru_cache(maxsize=100_000)
def _script(letter: str) -> str | None:
    if not letter.isalpha():
        return None
    name = unicodedata.name(letter, "").split(" ")[0]
    return _EAST_ASIAN.get(name, name) or None


def _most_common(scripts: Sequence[str | None]) -> str | None:
    counts = Counter(script for script in scripts if script)
    return counts.most_common(1)[0][0] if counts else None
