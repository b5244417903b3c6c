"""Which columns hold the text and the label: as the recipe says, or guessed from names, then from content.

A guess is made only where one column stands out; otherwise the error lists the columns and the key to set.

Knows column names and values. Knows nothing of files or splits.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Sequence
from typing import Any

from kit.data.table import Table, is_missing
from kit.errors import DataError

TEXT_PAIRS = (
    ("premise", "hypothesis"), ("sentence1", "sentence2"), ("sentence_1", "sentence_2"), ("question1", "question2"),
    ("question_1", "question_2"), ("text_a", "text_b"), ("text1", "text2"), ("text_1", "text_2"),
    ("sentence_a", "sentence_b"), ("question", "sentence"), ("question", "passage"), ("query", "passage"),
    ("query", "document"), ("claim", "evidence"),
)  # fmt: skip
TEXT_NAMES = (
    "text", "sentence", "review", "content", "body", "utterance", "message", "comment", "tweet", "document", "post",
    "question", "query", "prompt", "input", "description", "transcript", "abstract", "title", "headline", "subject",
)  # fmt: skip
LABEL_NAMES = (
    "label", "labels", "category", "categories", "intent", "intents", "class", "target", "sentiment", "topic", "topics",
    "emotion", "emotions", "tag", "tags", "gold_label", "polarity",
)  # fmt: skip
WEAK_LABEL_NAMES = ("rating", "stars", "score", "y")
_SAMPLE = 2_000  # rows looked at to judge a column by its content
_MOST_CLASSES = 500
_LONGEST_LABEL = 60  # characters


def require_columns(names: Sequence[str], table: Table, key: str, where: str) -> None:
    """Check that the columns a recipe names are there.

    key: the recipe key, where: the source's name, both for the message. Raises DataError listing the columns there are.
    """
    for name in names:
        if name in table.columns:
            continue
        near = _nearest(name, table.columns)
        raise DataError(
            f"{key}: column '{name}' is not in {where} (columns: {', '.join(table.columns)})",
            f"did you mean '{near}'?" if near else "",
        )


def guess_label_column(table: Table, exclude: Collection[str] = ()) -> str:
    """The column with the label; raises DataError if none or several could be.

    exclude: columns known to hold something else. Of an integer column X and its names in X_text or X_name, the
    latter is taken.
    """
    names = {_plain(name): name for name in table.columns if name not in exclude}
    exact = [names[name] for name in LABEL_NAMES if name in names]
    if exact and _plain(exact[0]) in LABEL_NAMES[:2]:
        return _with_names(exact[0], names)
    named = [names[f"{name}{end}"] for name in LABEL_NAMES for end in ("_text", "_name") if f"{name}{end}" in names]
    found = exact or named[:1] or [names[name] for name in WEAK_LABEL_NAMES if name in names]
    if not found:
        found = [name for name in names.values() if _is_label_like(table.columns[name])]
    if len(found) != 1:
        raise _cannot_tell("label", found, table)
    return _with_names(found[0], names)


def guess_text_columns(table: Table, exclude: Collection[str] = ()) -> tuple[str, ...]:
    """The column with the text, or the two of a pair; raises DataError if none or several could be.

    exclude: columns known to hold something else, such as the label.
    """
    names = {_plain(name): name for name in table.columns if name not in exclude and _is_text(table.columns[name])}
    for first, second in TEXT_PAIRS:
        if first in names and second in names:
            return names[first], names[second]
    for name in TEXT_NAMES:
        for form in (name, f"{name}_text"):
            if form in names:
                return (names[form],)
    lengths = sorted(((_mean_length(table.columns[name]), name) for name in names.values()), reverse=True)
    varied = [(length, name) for length, name in lengths if _distinct_share(table.columns[name]) > 0.5]
    if varied and (len(varied) == 1 or varied[0][0] >= 2 * varied[1][0]):
        return (varied[0][1],)
    raise _cannot_tell("text", [name for _, name in varied], table)


def _cannot_tell(what: str, candidates: list[str], table: Table) -> DataError:
    columns = f"(columns: {', '.join(table.columns)})"
    if len(candidates) > 1:
        several = " and ".join(candidates) if len(candidates) == 2 else ", ".join(candidates)
        return DataError(
            f"data.{what}: {several} could each be the {what} {columns}", f"say which: data.{what}: {candidates[0]}"
        )
    hint = f"set data.{what} to the name of the column"
    if len(table.columns) == 1:
        hint = "if another character separates the columns, set data.separator"
    return DataError(f"data.{what}: no column looks like the {what} {columns}", hint)


def _nearest(name: str, columns: Collection[str]) -> str | None:
    plain = {_plain(column): column for column in columns}
    near = difflib.get_close_matches(_plain(name), list(plain), 1)
    return plain[near[0]] if near else None


def _plain(name: str) -> str:
    """`Label-Text` and `label text` are the same name."""
    return re.sub(r"[\s\-]+", "_", name.strip()).casefold()


def _with_names(column: str, names: dict[str, str]) -> str:
    for end in ("_text", "_name"):
        if _plain(column) + end in names:
            return names[_plain(column) + end]
    return column


def _sample(values: Sequence[Any]) -> list[Any]:
    """Values that are there, from rows spread over the whole column."""
    step = max(1, len(values) // _SAMPLE)
    return [value for value in values[::step] if not is_missing(value)]


def _is_text(values: Sequence[Any]) -> bool:
    """Return whether a column holds texts; JSON and Parquet may have a few numbers among them."""
    sample = _sample(values)
    texts = sum(isinstance(value, str) for value in sample)
    numbers = sum(isinstance(value, (int, float)) for value in sample)
    return texts > numbers and texts + numbers == len(sample)


def _mean_length(values: Sequence[Any]) -> float:
    sample = _sample(values)
    return sum(len(str(value)) for value in sample) / max(1, len(sample))


def _distinct_share(values: Sequence[Any]) -> float:
    sample = _sample(values)
    return len(set(sample)) / max(1, len(sample))


def _is_label_like(values: Sequence[Any]) -> bool:
    """Few distinct short values, each on two rows or more on average."""
    if any(isinstance(value, (list, dict, bytes)) for value in _sample(values)):
        return False
    kinds = {value for value in values if not is_missing(value)}
    short = all(len(str(kind)) <= _LONGEST_LABEL for kind in kinds)
    return short and 2 <= len(kinds) <= min(_MOST_CLASSES, len(values) // 2)
