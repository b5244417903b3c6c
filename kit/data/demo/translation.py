"""Parallel text from CLDR (package babel) and num2words: dates, times, numbers, amounts, measures and names.

Both sides are what software shows to people in the two languages. A date, number or list of names in a test example is
in no training example, in any format.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING
from zlib import crc32

from kit.data.language_codes import primary
from kit.data.table import Table
from kit.errors import DataError
from kit.recipe.sections.data import DataSection

if TYPE_CHECKING:
    from babel import Locale

_SIZES = {"train": 9000, "test": 500}
_TEST_SHARE = 0.1  # of all values


def translation(data: DataSection) -> dict[str, Table]:
    """Return parallel text in `data.languages`, any two languages of CLDR, by split.

    Raises:
        DataError: The recipe names no languages, or a language that CLDR does not have.
    """
    if data.languages is None:
        raise DataError(
            "demo:translation is parallel text", "set data.languages, for example to [en, de]", key="data.languages"
        )
    return {split: _table(data.language_pair, split) for split in _SIZES}


@lru_cache(maxsize=8)
def _table(languages: tuple[str, str], split: str) -> Table:
    """Return the first distinct pairs of a split, with the kind of phrase in the column `kind`."""
    rows: dict[tuple[str, str], str] = {}
    for source, target, kind in _pairs(_locale(languages[0]), _locale(languages[1]), split):
        rows[source, target] = kind
        if len(rows) == _SIZES[split]:
            break
    sources, targets = map(list, zip(*rows, strict=True))
    return Table.of({languages[0]: sources, languages[1]: targets, "kind": list(rows.values())})


def _pairs(source: Locale, target: Locale, split: str) -> Iterator[tuple[str, str, str]]:
    """Yield phrases of a split in both languages, and their kinds, without end."""
    from kit.data.demo.phrases import phrases

    for phrase in phrases((source, target)):
        if all(_is_test(value) == (split == "test") for value in phrase.values):
            yield _line(phrase.write(source)), _line(phrase.write(target)), phrase.kind


def _is_test(value: object) -> bool:
    return crc32(repr(value).encode()) < _TEST_SHARE * 2**32


def _line(text: str) -> str:
    """Return a text with plain spaces in place of the various non-breaking spaces of CLDR."""
    return " ".join(text.split())


def _locale(language: str) -> Locale:
    from babel import Locale, UnknownLocaleError

    for code in (language.replace("-", "_"), primary(language)):
        try:
            return Locale.parse(code)
        except (UnknownLocaleError, ValueError):
            continue
    raise DataError(
        f"CLDR has no language '{language}'", "name languages by their codes: en, de, pt-BR", key="data.languages"
    )
