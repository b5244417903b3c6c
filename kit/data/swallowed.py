"""Rows that stray quotes have merged into one field of a delimited file."""

from __future__ import annotations

from collections.abc import Sequence

from kit.data.delimited_records import Record

_FEWEST_VALUES = 4  # rows from which a column shows the values that it has
_MOST = 0.9  # share of the rows in a field that have a value of the column
_MOST_SUSPECTS = 0.1  # share of texts of several lines, from which a single column is meant to have them
_FEWEST_ROWS = 4  # rows in one field that are doubted by their separators alone


def find_swallowed(records: Sequence[Record], separator: str) -> list[tuple[int, int]]:
    """Return the first and last line of every field that seems to hold rows of its own.

    Each line of such a field completes a row: it has the separators of one, and a value that recurs in some column of
    the file. Lines of ordinary texts have neither.

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
    found = []
    for line, fields in suspects:
        place = next(place for place, field in enumerate(fields) if "\n" in field)
        rows = _rows_inside(fields, place, separator)
        if all(len(row) == len(fields) for row in rows) and _are_rows(rows, kinds):
            start = line + sum(field.count("\n") for field in fields[:place])
            found.append((start, start + fields[place].count("\n")))
    return found


def _long_texts(suspects: Sequence[Record], plain: Sequence[str]) -> list[tuple[int, int]]:
    """Return the rare texts of a single column in which each line is as long as other texts usually are."""
    if len(suspects) > _MOST_SUSPECTS * len(plain):
        return []
    lengths = sorted(map(len, plain))
    shortest, longest = lengths[len(lengths) // 10] if lengths else 0, max(lengths, default=0)
    return [
        (line, line + fields[0].count("\n"))
        for line, fields in suspects
        if all(shortest <= len(part) <= longest for part in fields[0].split("\n"))
    ]


def _rows_inside(fields: Sequence[str], place: int, separator: str) -> list[list[str]]:
    """Return the rows that the lines of a field would be without its quotes."""
    rows = [line.removesuffix("\r").split(separator) for line in fields[place].split("\n")]
    rows[0] = [*fields[:place], *rows[0]]
    rows[-1] = [*rows[-1], *fields[place + 1 :]]
    return rows


def _are_rows(rows: Sequence[Sequence[str]], kinds: Sequence[frozenset[str]]) -> bool:
    if not any(kinds):
        return len(rows) >= _FEWEST_ROWS
    least = _MOST * len(rows)
    return any(sum(row[place] in values for row in rows) >= least for place, values in enumerate(kinds))


def _recurring(column: Sequence[str]) -> frozenset[str]:
    """Return the values of a column that has few, such as labels; none for a column of texts."""
    values = frozenset(column)
    return values if len(column) >= _FEWEST_VALUES and len(values) <= len(column) // 2 else frozenset()
