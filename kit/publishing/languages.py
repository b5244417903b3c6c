"""Languages on a model card: those of the training texts, which may differ from those of the checkpoint."""

from __future__ import annotations

from collections.abc import Sequence

from kit.data.common_words import LANGUAGES, reads_like
from kit.data.language_codes import is_language, primary
from kit.data.scripts import is_written_in, language_of, main_script


def card_languages(texts: Sequence[str], of_data: Sequence[str], of_checkpoint: Sequence[str]) -> tuple[str, ...]:
    """Return the languages of a classifier; empty if a language would be a guess.

    A declared language counts if the training texts are written in its script. The languages of the data set have
    priority, then the only language that uses the script, then the language of the checkpoint if exactly one fits.

    Args:
        texts: Training texts.
        of_data: Languages that the data set declares.
        of_checkpoint: Languages that the checkpoint declares.
    """
    script = main_script(texts)
    if script is None:
        return ()
    if languages := _in_script(of_data, script):
        return languages
    if only_language := language_of(script):
        return (only_language,)
    languages = _in_script(of_checkpoint, script)
    return languages if len(languages) == 1 and _reads_like(texts, primary(languages[0])) else ()


def _in_script(declared: Sequence[str], script: str) -> tuple[str, ...]:
    return tuple(code for code in declared if is_language(code) and is_written_in(primary(code), script))


def _reads_like(texts: Sequence[str], language: str) -> bool:
    """Return False if the common words of another language are far more frequent in the texts."""
    return all(reads_like(texts, language, other) is not False for other in LANGUAGES if other != language)
