"""Detection of rows that stray quotes merge into one field of a delimited file."""

from __future__ import annotations

from collections.abc import Sequence

from kit.data.delimited_records import Record

_MIN_COLUMN_ROWS = 4  # for the values of a column to be known
_MIN_VALUE_SHARE = 0.9  # of the rows in a field that have a value of the column
_MAX_MULTILINE_SHARE = 0.1  # of texts with several lines, above which a single column is meant to have them
_MIN_MERGED_ROWS = 4  # in one field, to be suspected by their separators alone


def find_swallowed(records: Sequence[Record], separator: str) -> list[tuple[int, int]]:
    """Return the first and last line of every field that seems to hold several rows.

    Each line of such a field has the separators of a row, and nearly all lines have a value that recurs in some column
    of the file. Lines of ordinary texts have neither.

    Args:
        records: Records of the file with the width of its header.
        separator: Character between the columns.
    """
    suspects = [record for record in records if any("\n" in field for field in record[1])]
    if not suspects:
        return []
    plain = [fields for _, fields in records if not any("\n" in field for field in fields)]
    if len(suspects[0][1]) == 1:
        return _long_texts(suspects, [fields[0] for fields in plain])
    kinds = [_recurring(column) for column in zip(*plain, strict=True)]
    spans = []
    for line, fields in suspects:
        place = next(place for place, field in enumerate(fields) if "\n" in field)
        rows = _rows_inside(fields, place, separator)
        if all(len(row) == len(fields) for row in rows) and _are_rows(rows, kinds):
            start = line + sum(field.count("\n") for field in fields[:place])
            spans.append((start, start + fields[place].count("\n")))
    return spans


def _long_texts(suspects: Sequence[Record], plain: Sequence[str]) -> list[tuple[int, int]]:
    """Return the lines of texts, in a single column, in which each line has the usual length of a text."""
    if len(suspects) > _MAX_MULTILINE_SHARE * len(plain):
        return []
    lengths = sorted(map(len, plain))
    shortest, longest = lengths[len(lengths) // 10] if lengths else 0, max(lengths, default=0)
    return [
        (line, line + fields[0].count("\n"))
        for line, fields in suspects
        if all(shortest <= len(part) <= longest for part in fields[0].split("\n"))
    ]


def _rows_inside(fields: Sequence[str], place: int, separator: str) -> list[list[str]]:
    """Return the rows that the lines of a field would be if quotes did not enclose the field."""
    rows = [line.removesuffix("\r").split(separator) for line in fields[place].split("\n")]
    rows[0] = [*fields[:place], *rows[0]]
    rows[-1] = [*rows[-1], *fields[place + 1 :]]
    return rows


def _are_rows(rows: Sequence[Sequence[str]], kinds: Sequence[frozenset[str]]) -> bool:
    if not any(kinds):
        return len(rows) >= _MIN_MERGED_ROWS
    least = _MIN_VALUE_SHARE * len(rows)
    return any(sum(row[place] in values for row in rows) >= least for place, values in enumerate(kinds))


def _recurring(column: Sequence[str]) -> frozenset[str]:
    """Return the values of a column with few values, such as labels.

    The result is empty for a column of texts.
    """
    values = frozenset(column)
    return values if len(column) >= _MIN_COLUMN_ROWS and len(values) <= len(column) // 2 else frozenset()
