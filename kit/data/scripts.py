"""Scripts (writing systems) of texts, and separation of words by spaces."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

# Scripts that are written without spaces between words, as ranges of code points.
_UNSEPARATED_RANGES = (
    "\u0e00-\u0eff"  # Thai, Lao
    "\u0f00-\u0fff"  # Tibetan
    "\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f"  # Myanmar
    "\u1780-\u17ff\u19e0-\u19ff"  # Khmer
    "\u1950-\u19df\u1a20-\u1aaf\uaa80-\uaadf"  # Tai Le, New Tai Lue, Tai Tham, Tai Viet
    "\u1b00-\u1b7f\ua980-\ua9df\uaa00-\uaa5f"  # Balinese, Javanese, Cham
    "\u3005-\u3007\u3031-\u3035\u3041-\u30ff\u31f0-\u31ff\uff66-\uff9f"  # Hiragana, Katakana
    "\u3100-\u312f\u31a0-\u31bf"  # Bopomofo
    "\u2e80-\u2fdf\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
    "\ua000-\ua4cf"  # Yi
)
_EMOJI_RANGES = (
    "\u203c\u2049\u2139\u2190-\u21ff\u2300-\u27bf\u2900-\u297f\u2b00-\u2bff\u3030\u303d\U0001f000-\U0001faff"
)
UNSEPARATED = re.compile(f"[{_UNSEPARATED_RANGES}]+")
"""Sequence of letters of scripts without spaces between words."""
RUNS = re.compile(f"[{_UNSEPARATED_RANGES}]+|[{_EMOJI_RANGES}\u200d]+")
"""Sequence of letters without spaces between words, or of emoji; a regular expression cannot divide it into words."""
_EMOJI = re.compile(f"[{_EMOJI_RANGES}]")
_WORD = re.compile(r"\w")
MIN_SHARE = 0.05  # of unseparated letters, or of texts without words, from which words count as not separated
MAX_TEXTS = 20_000  # used for a decision

# Languages by the name of their script, if no other language with many speakers uses it.
_LANGUAGE_OF_SCRIPT = {
    "THAI": "th", "LAO": "lo", "KHMER": "km", "MYANMAR": "my", "HANGUL": "ko", "KANA": "ja", "CJK": "zh", "GREEK": "el",
    "HEBREW": "he", "GEORGIAN": "ka", "ARMENIAN": "hy", "TAMIL": "ta", "TELUGU": "te", "KANNADA": "kn",
    "MALAYALAM": "ml", "GUJARATI": "gu", "GURMUKHI": "pa", "SINHALA": "si", "ETHIOPIC": "am", "TIBETAN": "bo",
}  # fmt: skip
# Scripts of languages that are not written in Latin letters.
_SCRIPTS_OF_LANGUAGE = {language: (script,) for script, language in _LANGUAGE_OF_SCRIPT.items()} | {
    "ja": ("KANA", "CJK"),
    "zh": ("CJK",),
    "yue": ("CJK",),
    "ti": ("ETHIOPIC",),
    "or": ("ORIYA",),
    "sr": ("CYRILLIC", "LATIN"),
    "uz": ("CYRILLIC", "LATIN"),
    **dict.fromkeys(("ru", "uk", "be", "bg", "mk", "kk", "ky", "mn", "tg", "tt", "ba", "cv"), ("CYRILLIC",)),
    **dict.fromkeys(("ar", "fa", "ur", "ps", "sd", "ug", "ckb", "arz"), ("ARABIC",)),
    **dict.fromkeys(("hi", "mr", "ne", "sa", "bho", "mai"), ("DEVANAGARI",)),
    **dict.fromkeys(("bn", "as"), ("BENGALI",)),
    "yi": ("HEBREW",),
}


def words_are_separated(texts: Iterable[str]) -> bool:
    """Return whether spaces separate the words of texts, so that a regular expression can count words.

    They do not if at least 5 % of the letters belong to a script without spaces (Chinese, Japanese, Thai, ...), or at
    least 5 % of the texts consist mostly of such letters or only of emoji.
    """
    letters = unseparated = count = wordless = 0
    for text in _first(texts):
        joined = sum(map(len, UNSEPARATED.findall(text)))
        spaced = sum(character.isalpha() for character in UNSEPARATED.sub("", text))
        count, unseparated, letters = count + 1, unseparated + joined, letters + joined + spaced
        wordless += joined > spaced if joined else not _WORD.search(text) and bool(_EMOJI.search(text))
    return unseparated < MIN_SHARE * max(letters, 1) and wordless < MIN_SHARE * max(count, 1)


def main_script(texts: Iterable[str]) -> str | None:
    """Return the Unicode name of the script of most letters (`LATIN`, `CJK`, `CYRILLIC`), None without letters.

    Hiragana and Katakana are `KANA`. Japanese also uses Chinese characters, so texts with one KANA letter per ten CJK
    letters are `KANA`.
    """
    counts: Counter[str] = Counter()
    for text in _first(texts):
        counts.update(character for character in text if character.isalpha())
    scripts: Counter[str] = Counter()
    for character, number in counts.items():
        name = unicodedata.name(character, "").removeprefix("FULLWIDTH ").removeprefix("HALFWIDTH ").split(" ")[0]
        scripts["KANA" if name in ("HIRAGANA", "KATAKANA") else name] += number
    if not scripts:
        return None
    script, _ = scripts.most_common(1)[0]
    return "KANA" if script == "CJK" and 10 * scripts["KANA"] >= scripts["CJK"] else script


def language_of(script: str | None) -> str | None:
    """Return the only language with many speakers that uses a script, None if there are several."""
    return _LANGUAGE_OF_SCRIPT.get(script or "")


def is_written_in(language: str, script: str) -> bool:
    """Return whether a language (ISO 639-1 code) is written in a script.

    Languages not listed are written in Latin.
    """
    return script in _SCRIPTS_OF_LANGUAGE.get(language, ("LATIN",))


def _first(texts: Iterable[str]) -> Iterable[str]:
    from itertools import islice

    return islice(texts, MAX_TEXTS)
