"""Columns with the text and the label: checked if the recipe names them, otherwise guessed from names and content.

A guess needs exactly one likely column. Otherwise the error lists the candidates and the recipe key to set.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from kit.data.label_words import in_line, list_item, quoted
from kit.data.table import Table, is_missing
from kit.errors import DataError
from kit.recipe.setting import setting
from kit.runtime.printable import printable

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
_BODIES = ("review", "content", "body", "utterance", "message", "comment", "tweet", "document", "post")  # whole texts
_MIN_TEXT_DISTINCT = 0.5  # share of distinct values above which a column may hold texts
_SAMPLE = 2_000  # rows that decide about the content of a column
_MAX_CLASSES = 500
MAX_LABEL_CHARS = 60
_MAX_EXAMPLE_CHARS = 30
_MAX_LABEL_DISTINCT = 0.9  # share of distinct values above which a column does not hold labels, whatever its name
_FEW_ROWS = 20  # below which the share of distinct values means little
_BITS = (("0", "1"), ("0.0", "1.0"), ("false", "true"))
_SHOWN = 6
_MAX_COLUMNS_SHOWN = 50
_MIN_LABEL_COLUMNS = 3  # 0/1 columns from which each may be a label


def require_columns(names: Sequence[str], table: Table, key: str, where: str, *, as_in_training: bool = False) -> None:
    """Raise DataError if a column that a recipe names is not in a table; the message lists the table's columns.

    Args:
        names: Columns that the table must have.
        table: Table to check.
        key: Recipe key for the message.
        where: Name of the source for the message.
        as_in_training: Whether the training data have the columns, so that the hint is to rename the table's column.
    """
    for name in names:
        if name in table.columns:
            continue
        near = _nearest(name, table.columns)
        hint = f"did you mean '{near}'?" if near else ""
        if as_in_training:
            hint = f"rename {quoted(near)} to {quoted(name)} in {where}" if near else "name it as in the training data"
        raise DataError(
            f"column '{name}' is not in {where} (columns: {in_line(list(table.columns), most=_MAX_COLUMNS_SHOWN)})",
            hint,
            key=key,
        )


class LabelPerColumnError(DataError):
    """The data seem to have one 0/1 column per label. columns: names of these columns."""

    def __init__(self, columns: tuple[str, ...]) -> None:
        super().__init__(
            f"{len(columns)} columns hold only 0 and 1, as if each were a label: {in_line(columns)}",
            f"if they are, set {setting('data.label', columns)}; else set data.label to one column",
            key="data.label",
        )
        self.columns = columns


def guess_label_column(table: Table, exclude: Collection[str] = ()) -> str:
    """Return the only column that could hold the label.

    Columns with a usual name (label, category, intent) come before other columns; an ambiguous name (score, rating) is
    not an advantage. Of a column of class numbers and a column of their names, the column of names is returned.

    Args:
        table: Table of training examples.
        exclude: Columns that hold something else, such as the text.

    Raises:
        DataError: No column, or several, could hold the label.
        LabelPerColumnError: Three or more columns hold only 0 and 1, and no other column could hold the label.
    """
    names = {_plain(name): name for name in table.columns if name not in exclude}
    label_like = [name for name in names.values() if _is_label_like(table.columns[name])]
    usual = [names[name] for name in _usual_names(names) if _repeats(table.columns[names[name]]) or not label_like]
    weak = [names[name] for name in WEAK_LABEL_NAMES if name in names and _repeats(table.columns[names[name]])]
    if usual and _plain(usual[0]) in LABEL_NAMES[:2]:
        candidates = [name for name in usual if name == usual[0] or name in label_like]
    elif usual:
        candidates = usual + [name for name in weak if name in label_like]
    else:
        candidates = label_like or weak
    candidates = _without_numbers(candidates, names, table)
    if all(_is_bits(table.columns[name]) for name in candidates) and len(candidates) >= _MIN_LABEL_COLUMNS:
        zero = [name for name in names.values() if _is_zero(table.columns[name])]  # a rare label may have no 1 here
        raise LabelPerColumnError(tuple(name for name in names.values() if name in candidates or name in zero))
    if len(candidates) != 1:
        raise ambiguous_columns("label", candidates, table)
    return _require_unique(candidates[0], "label", table, exclude=exclude)


def most_usual(columns: Sequence[str]) -> list[str]:
    """Return the columns with a usual name of a label column, of a number first; without such columns all of them."""
    names = {_plain(name): name for name in columns}
    return [names[name] for name in (*WEAK_LABEL_NAMES, *_usual_names(names)) if name in names] or list(columns)


def guess_text_columns(table: Table, exclude: Collection[str] = ()) -> tuple[str, ...]:
    """Return the only column that could hold the text, or the two columns of a text pair.

    Args:
        table: Table of training examples.
        exclude: Columns that hold something else, such as the label.

    Raises:
        DataError: No column, or several, could hold the text.
    """
    names = {_plain(name): name for name in table.columns if name not in exclude and _is_text(table.columns[name])}
    for first, second in TEXT_PAIRS:
        if first in names and second in names:
            return names[first], names[second]
    for name in TEXT_NAMES:
        for form in (name, f"{name}_text"):
            if form in names:
                _refuse_other_texts(names[form], names, table)
                return (_require_unique(names[form], "text", table, exclude=exclude),)
    lengths = sorted(((_mean_length(table.columns[name]), name) for name in names.values()), reverse=True)
    varied = [(length, name) for length, name in lengths if _distinct_share(table.columns[name]) > _MIN_TEXT_DISTINCT]
    if varied and (len(varied) == 1 or varied[0][0] >= 2 * varied[1][0]):
        return (varied[0][1],)
    raise ambiguous_columns("text", [name for _, name in varied], table)


def _require_unique(name: str, role: str, table: Table, exclude: Collection[str]) -> str:
    """Return the name; raise DataError if another column's name differs only in case, spaces or hyphens."""
    twins = [other for other in table.columns if other not in exclude and _plain(other) == _plain(name)]
    if len(twins) > 1:
        raise ambiguous_columns(role, twins, table)
    return name


def _refuse_other_texts(name: str, names: Mapping[str, str], table: Table) -> None:
    """Raise DataError if `name` is a column of whole texts (content, message) and not the only one."""
    others = [names[other] for other in _BODIES if other in names]
    bodies = [other for other in others if _distinct_share(table.columns[other]) > _MIN_TEXT_DISTINCT]
    if name in bodies and len(bodies) > 1:
        raise ambiguous_columns("text", bodies, table)


def ambiguous_columns(role: str, candidates: list[str], table: Table) -> DataError:
    """Return the error for no column, or several, that could hold the text or the label (`role`)."""
    columns = f"(columns: {in_line(list(table.columns), most=_MAX_COLUMNS_SHOWN)})"
    if len(candidates) > 1:
        shown = [f"{list_item(name)} ({_examples_of(table.columns[name])})" for name in candidates[:_SHOWN]]
        shown += [f"{len(candidates) - _SHOWN} more"] if len(candidates) > _SHOWN else []
        several = " and ".join(shown) if len(shown) == 2 else ", ".join(shown)
        bits = [name for name in candidates if role == "label" and _is_bits(table.columns[name])]
        every = f"if each is a label: {setting('data.label', bits)}" if len(bits) > 1 else ""
        words = next((name for name in candidates if not _is_code(table.columns[name])), None)
        first = f"set data.{role} to one" if words is None else f"say which: {setting(f'data.{role}', words)}"
        hint = f"{first}, or {every}" if every else first
        return DataError(f"{several} could each be the {role} {columns}", hint, key=f"data.{role}")
    hint = _hint_without_candidates(role, table)
    return DataError(f"no column looks like the {role} {columns}", hint, key=f"data.{role}")


def _hint_without_candidates(role: str, table: Table) -> str:
    nested = [name for name, values in table.columns.items() if any(isinstance(v, (list, dict)) for v in values)]
    binary = [name for name, values in table.columns.items() if any(isinstance(v, bytes) for v in values)]
    if role == "text" and binary:
        return f"column {list_item(binary[0])} holds bytes: write it as text"
    if nested and len(nested) == len(table.columns):
        return f"{list_item(nested[0])} holds lists or objects: write one object per example, with a text and a label"
    if len(table.columns) > 1:
        return f"set data.{role} to the name of the column"
    if not table.delimited:
        return f"add a column with the {role}"
    enclosed = any(mark in name for name in table.columns for mark in ",;|\t")
    hint = "if another character separates the columns, set data.separator"
    return hint + ("; if quotes enclose whole lines, remove them" if enclosed else "")


def _nearest(name: str, columns: Collection[str]) -> str | None:
    plain = {_plain(column): column for column in columns}
    near = difflib.get_close_matches(_plain(name), list(plain), 1)
    return plain[near[0]] if near else None


def _plain(name: str) -> str:
    """Return a column name in one spelling: `label_text` for `Label-Text` and `label text`."""
    return re.sub(r"[\s\-]+", "_", name.strip()).casefold()


def _usual_names(names: Collection[str]) -> list[str]:
    """Return the usual names of label columns that are in `names`, `label` first."""
    forms = [f"{name}{end}" for name in LABEL_NAMES for end in ("", "_text", "_name")]
    return [name for name in forms if name in names]


def _without_numbers(candidates: list[str], names: Mapping[str, str], table: Table) -> list[str]:
    """Replace columns of class numbers with the columns of class names (label with label_text)."""
    twins = [names.get(_plain(name) + end) for name in candidates for end in ("_text", "_name")]
    every = dict.fromkeys([*candidates, *(name for name in twins if name is not None)])
    words = (next((other for other in every if _numbers(name, other, table)), name) for name in candidates)
    return list(dict.fromkeys(words))


def _numbers(name: str, other: str, table: Table) -> bool:
    """Check that a column numbers the values of another column."""
    if name == other or not _one_to_one(table.columns[name], table.columns[other]):
        return False
    longer = _plain(other) in (f"{_plain(name)}_text", f"{_plain(name)}_name")
    return longer or (_are_digits(table.columns[name]) and not _are_digits(table.columns[other]))


def _are_digits(values: Sequence[Any]) -> bool:
    return all(re.fullmatch(r"\d+(\.0)?", str(value)) for value in _sample(values))


def _one_to_one(first: Sequence[Any], second: Sequence[Any]) -> bool:
    """Check that each value of one column always comes with the same value of the other."""
    pairs = {(str(one), str(two)) for one, two in zip(first, second, strict=True)}
    return len(pairs) == len({one for one, _ in pairs}) == len({two for _, two in pairs}) < len(first)


def _repeats(values: Sequence[Any]) -> bool:
    """Check that a column repeats values, as labels do; a column of few rows passes."""
    sample = [str(value) for value in _sample(values)]
    return len(sample) < _FEW_ROWS or len(set(sample)) <= _MAX_LABEL_DISTINCT * len(sample)


def _is_bits(values: Sequence[Any]) -> bool:
    kinds = {str(value).strip().lower() for value in values if not is_missing(value)} - {""}
    return any(kinds <= {zero, one} for zero, one in _BITS)


def _is_zero(values: Sequence[Any]) -> bool:
    kinds = {str(value).strip().lower() for value in values}
    return any(kinds == {zero} for zero, _ in _BITS)


def _is_code(values: Sequence[Any]) -> bool:
    """Check for numbers or truth values, which describe a label less clearly than words."""
    return _is_bits(values) or all(re.fullmatch(r"[+-]?\d+([.,]\d+)?", str(value).strip()) for value in _sample(values))


def _examples_of(values: Sequence[Any]) -> str:
    """Return two values of a column."""
    kinds = dict.fromkeys(printable(str(value)) for value in _sample(values))
    return ", ".join(
        repr(kind if len(kind) <= _MAX_EXAMPLE_CHARS else f"{kind[:_MAX_EXAMPLE_CHARS]}...") for kind in [*kinds][:2]
    )


def _sample(values: Sequence[Any]) -> list[Any]:
    """Return values that are not missing, from rows spread over the whole column."""
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
    """Check for few distinct short values, or lists of them, each on two rows or more on average."""
    kinds: set[Any] = set()
    for value in values:
        items = value if isinstance(value, list) else [] if is_missing(value) else [value]
        if any(isinstance(item, (list, dict, bytes)) for item in items):
            return False
        kinds.update(items)
    short = all(len(str(kind)) <= MAX_LABEL_CHARS for kind in kinds)
    return short and 2 <= len(kinds) <= min(_MAX_CLASSES, len(values) // 2)
