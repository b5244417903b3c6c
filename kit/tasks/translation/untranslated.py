"""Detection of copies, and of texts that are not in the source language."""

from __future__ import annotations

from collections.abc import Sequence

from kit.data.translation_checks import copied_share, looks_like
from kit.runtime.quantities import percent

_COPY_WORDS = 3  # a shorter text may be a name, whose translation is the same
_COPIED = 0.5  # share of copied words above which the model does not translate; names and numbers are far fewer
_MIN_WORDS = 20  # fewest words for which the share of copied words is meaningful


def is_copy(text: str, translation: str) -> bool:
    """Return whether a translation of several words equals its source."""
    words = text.split()
    return len(words) >= _COPY_WORDS and translation.split() == words


def untranslated_warning(
    texts: Sequence[str], translations: Sequence[str], languages: tuple[str, str], model: str
) -> str | None:
    """Return a warning if texts are not in the language that a translator reads.

    The result is None if they seem to be.

    Args:
        texts: The texts.
        translations: Their translations.
        languages: Source and target language of the translator.
        model: Name of the translator.
    """
    source, target = languages
    if looks_like(texts, target, source):
        return f"these texts appear to be in {target}; {model} translates from {source} to {target}"
    copied = copied_share(texts, translations)
    if copied >= _COPIED and sum(len(line.split()) for line in translations) >= _MIN_WORDS:
        return (
            f"{percent(copied)} of the words are unchanged in the translations: are these texts in {source}, "
            f"which {model} translates to {target}?"
        )
    return None
