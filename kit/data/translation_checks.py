"""What is wrong with pairs of texts that should be translations of each other.

Three signs tell a pair that was misaligned, never translated or made of nothing: both sides are the same, one is many
times as long as the other for this corpus, or letters are of another script than the rest of that side.

Knows texts. Knows nothing of files or models.
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
_RATIO = 3.0  # times as long, or as short, as the corpus has it
_LONG = 20  # characters of the longer side from which a ratio means something
_WORDS = 3  # a name or a number may well be its own translation
_READ = 10_000  # lines of a side that tell its language
_LOOP = re.compile(r"(.{3,80}?)\1{3,}", re.DOTALL)  # the same four times in a row
_EAST_ASIAN = {"CJK": "CJK", "HIRAGANA": "CJK", "KATAKANA": "CJK", "HALFWIDTH": "CJK", "FULLWIDTH": "CJK"}
_SEVERAL = ("sr", "bs", "kk", "mn", "uz", "az", "tk", "ku", "pa", "ks")  # languages that are written in several ways
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
    """Of each pair the first of REASONS that holds, or None. The corpus itself says what is usual."""
    lengths = np.asarray([[len(source), len(target)] for source, target in zip(sources, targets, strict=True)], float)
    if not len(lengths):
        return []
    ratios = np.log((lengths[:, 1] + 1) / (lengths[:, 0] + 1))
    odd = (np.abs(ratios - np.median(ratios)) > np.log(_RATIO)) & (lengths.max(axis=1) >= _LONG)
    scripts = [[main_script(text) for text in side] for side in (sources, targets)]
    usual = [_most_common(side) for side in scripts]
    found: list[str | None] = []
    for row, (source, target) in enumerate(zip(sources, targets, strict=True)):
        same = source.split() == target.split() and len(source.split()) >= _WORDS
        other = any(side[row] not in (None, most) for side, most in zip(scripts, usual, strict=True))
        found.append("identical" if same else "length_ratio" if odd[row] else "wrong_script" if other else None)
    return found


def look_swapped(sources: Sequence[str], targets: Sequence[str], languages: tuple[str, str]) -> bool:
    """Whether each side is written in the script of the other's language, or in its words if they share a script."""
    return looks_like(sources, languages[1], languages[0]) and looks_like(targets, *languages)


def looks_like(texts: Sequence[str], language: str, expected: str) -> bool:
    """Whether texts that should be in one language are in another's script, or in its words if they share a script."""
    found, wanted = map(primary, (language, expected))
    if found in _SEVERAL or wanted in _SEVERAL:
        return False
    scripts = [_SCRIPTS.get(code, "LATIN") for code in (found, wanted)]
    if scripts[0] == scripts[1]:
        return bool(reads_like(texts[:_READ], found, wanted))
    return _most_common([main_script(text) for text in texts]) == scripts[0]


def main_script(text: str) -> str | None:
    """The script of most letters of a text, None if it has none."""
    if text.isascii():
        return "LATIN" if any(letter.isalpha() for letter in text) else None
    counts = Counter(script for letter in text if (script := _script(letter)))
    return counts.most_common(1)[0][0] if counts else None


def copied_share(sources: Sequence[str], outputs: Sequence[str]) -> float:
    """Share of the words in outputs that stand in their source: near 1 where nothing was translated."""
    copied = total = 0
    for source, output in zip(sources, outputs, strict=True):
        there = set(source.lower().split())
        words = output.lower().split()
        copied += sum(word in there for word in words)
        total += len(words)
    return copied / total if total else 0.0


def loops(text: str) -> bool:
    """Whether a text says the same over and over, as a model does that finds no end."""
    return any(any(letter.isalpha() for letter in found[1]) for found in _LOOP.finditer(text))


@lru_cache(maxsize=100_000)
def _script(letter: str) -> str | None:
    if not letter.isalpha():
        return None
    name = unicodedata.name(letter, "").split(" ")[0]
    return _EAST_ASIAN.get(name, name) or None


def _most_common(scripts: Sequence[str | None]) -> str | None:
    counts = Counter(script for script in scripts if script)
    return counts.most_common(1)[0][0] if counts else None
