"""Predict: a Record or an exported folder, and some texts in, one answer a text out.

Knows predictors. Knows nothing of training or of the terminal.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from kit.data.columns import require_columns
from kit.data.pairs import copied_share, looks_like
from kit.data.readers import data_format, read_table
from kit.data.table import is_missing
from kit.errors import DataError
from kit.served import Served, find_served

_WORDS = 3  # a name may well be its own translation
_COPIED = 0.5  # of the words of translations, from which on nothing was translated; names and numbers are far fewer
_TELLING = 20  # words below which their share says nothing
_CHUNK = 4_096  # texts answered at once: a long file streams through in bounded memory


def predict(
    folder: str | Path,
    texts: str | Iterable[str | tuple[str, ...]],
    *,
    trust_remote_code: bool = False,
    tell: Callable[[str], None] | None = None,
) -> Iterator[dict[str, Any]]:
    """One answer a text, in order: `text`, then `label`, `score` and `scores` (for multi-label `labels` and `scores`).

    Of a translator: `text` and `translation`, with `loops` where that repeats itself and `copied` where it is the text.
    With `cut` where only the beginning of a text was read, for it has more tokens than the model was made for.

    texts: strings, or tuples of two for a Record of text pairs; a single string is one text.
    trust_remote_code: let the model run code that its checkpoint brought along. tell: is told once where texts to
    translate look to be in the target language, or come back as they were.
    Raises RecordError or ModelError for a damaged Record, DataError for a single text where a pair is needed or
    the other way round.
    """
    from kit.models.predictor import load_predictor, require_labels
    from kit.tasks import task_for

    served = find_served(folder)
    columns = served.text_columns
    task = task_for(served.recipe, served.labels)
    require_labels(served.model_folder, served.labels, served.backend)
    predictor = load_predictor(served.model_folder, trust_remote_code, served.backend)
    stream = iter([texts] if isinstance(texts, str) else texts)
    position = 0
    while chunk := [(text,) if isinstance(text, str) else text for text in islice(stream, _CHUNK)]:
        for offset, row in enumerate(chunk):
            if len(row) != len(columns):
                raise _wrong_shape(position + offset + 1, len(row), columns, served.name)
        answers = task.answers(predictor.outputs(chunk))
        if tell and served.recipe.task == "translation":
            wrong = _not_translated([row[0] for row in chunk], answers, served)
            if wrong:
                tell(wrong)
                tell = None
        for row, answer, cut in zip(chunk, answers, predictor.cut(chunk), strict=True):
            if cut:
                answer["cut"] = True
            if _is_copy(row, answer.get("translation")):
                answer["copied"] = True
            yield {"text": row[0] if len(row) == 1 else list(row), **answer}
        position += len(chunk)


def _not_translated(sources: list[str], answers: list[dict[str, Any]], served: Served) -> str | None:
    """What is said of sources that are not in the language that a translator reads; None if they look right."""
    languages = served.recipe.data.languages
    assert languages is not None
    source, target = languages
    if looks_like(sources, target, source):
        return f"these texts look to be in {target}; {served.name} translates from {source} to {target}"
    translations = [answer["translation"] for answer in answers]
    copied = copied_share(sources, translations)
    if copied >= _COPIED and sum(len(line.split()) for line in translations) >= _TELLING:
        return (
            f"{copied:.0%} of the words come back as they were: are these texts in {source}, "
            f"which {served.name} translates to {target}?"
        )
    return None


def _is_copy(row: tuple[str, ...], translation: Any) -> bool:
    """Whether a translation is just its source, which was then in the target language already, or in an unknown one."""
    words = row[0].split()
    return isinstance(translation, str) and len(words) >= _WORDS and translation.split() == words


def _wrong_shape(number: int, found: int, columns: Sequence[str], run: str) -> DataError:
    shape = "{" + ", ".join(f'"{column}": "..."' for column in columns) + "}"
    hint = f"give pairs as JSON lines: {shape}" if len(columns) > 1 else ""
    return DataError(f"text {number}: {run} takes {len(columns)} each ({', '.join(columns)}), got {found}", hint)


def named_file(argument: str) -> Path | None:
    """The file that a single argument names; None if it is a text.

    Raises DataError for the name of no file, or of a folder.
    """
    path = Path(argument)
    try:
        if path.is_file():
            return path
        if path.is_dir() and "/" in argument:
            raise DataError(f"{argument} is a folder", "name a file in it, or pipe in the text")
    except OSError:  # too long for a name
        return None
    if " " not in argument and (path.suffix in (".txt", ".gz", ".tmx") or data_format(path) is not None):
        raise DataError(f"there is no file {argument}", "to have its name answered as a text, pipe it in")
    return None


def is_table(path: Path) -> bool:
    """Whether a file has columns rather than one text a line."""
    kind = data_format(path)
    return kind in (".csv", ".tsv", ".parquet") or path.suffix == ".tmx" or (kind is not None and path.suffix == ".gz")


def table_texts(path: Path, columns: Sequence[str]) -> Iterator[str | tuple[str, ...]]:
    """Texts of a file with the Record's columns. Raises DataError if it cannot be read or lacks a column."""
    if path.suffix == ".tmx":  # columns, but of languages, which a Record does not name its texts by
        raise DataError(f"{path} is a translation memory", "give its sentences, one a line")
    table = read_table(path)
    require_columns(columns, table, "predict", str(path))
    for row in zip(*(table.columns[column] for column in columns), strict=True):
        if any(isinstance(value, list | dict) for value in row):
            raise DataError(f"{path}: {' and '.join(columns)} must hold text, got {str(row)[:60]}")
        texts = tuple("" if is_missing(value) else str(value) for value in row)
        yield texts[0] if len(texts) == 1 else texts


def read_texts(lines: Iterable[str], columns: Sequence[str], where: str) -> Iterator[str | tuple[str, ...]]:
    """Texts of a file or standard input: one a line, plain or as JSON objects with the Record's columns.

    A line is JSON if it starts with `{` and parses; any other line is the text itself. Empty lines are texts too,
    so that answers and lines correspond. Raises DataError for an object that lacks a column.
    """
    for number, line in enumerate(lines, start=1):
        text = line.rstrip("\r\n")
        value = _object(text)
        if value is None:
            yield text
            continue
        nested = value.get("translation")
        if isinstance(nested, dict) and not set(columns) <= set(value):  # as pairs of a translation are written
            value = nested
        missing = [column for column in columns if column not in value]
        if missing:
            raise DataError(
                f"{where}:{number}: no key {missing[0]!r} (keys: {', '.join(value)})",
                f"each line needs {', '.join(columns)}",
            )
        for column in columns:
            if isinstance(value[column], list | dict):
                raise DataError(f"{where}:{number}: {column} is not text but {json.dumps(value[column])[:60]}")
        row = tuple("" if value[column] is None else str(value[column]) for column in columns)
        yield row[0] if len(row) == 1 else row


def _object(text: str) -> dict[str, Any] | None:
    if not text.startswith("{"):
        return None
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
