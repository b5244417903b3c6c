"""The languages that a model card states: those of the training texts, not those of the checkpoint."""

from __future__ import annotations

from collections.abc import Sequence

from kit.data.common_words import LANGUAGES, reads_like
from kit.data.language_codes import is_language, primary
from kit.data.scripts import is_written_in, language_of, main_script


def card_languages(texts: Sequence[str], of_data: Sequence[str], of_checkpoint: Sequence[str]) -> tuple[str, ...]:
    """Return the languages of a classifier; empty where a language would be a guess.

    A declared language counts if the training texts are in its script. Those of the data set come first, then the one
    language that uses the script, then the checkpoint's if it declares just one that fits.

    Args:
        texts: Training texts.
        of_data: Declared by the data set.
        of_checkpoint: Declared by the checkpoint.
    """
    script = main_script(texts)
    if script is None:
        return ()
    if languages := _in_script(of_data, script):
        return languages
    if own := language_of(script):
        return (own,)
    languages = _in_script(of_checkpoint, script)
    return languages if len(languages) == 1 and _reads_like(texts, primary(languages[0])) else ()


def _in_script(declared: Sequence[str], script: str) -> tuple[str, ...]:
    return tuple(code for code in declared if is_language(code) and is_written_in(primary(code), script))


def _reads_like(texts: Sequence[str], language: str) -> bool:
    """Return False if the common words of another language are far more frequent in the texts."""
    return all(reads_like(texts, language, other) is not False for other in LANGUAGES if other != language)
