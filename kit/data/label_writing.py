"""Labels that differ only in spelling: merge numbers and truth values, report other groups."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal

from kit.data.blank import is_invisible
from kit.data.label_column import Labels
from kit.data.label_words import did_you_mean, listed, quoted
from kit.errors import DataError
from kit.recipe.setting import setting
from kit.runtime.printable import printable

_NUMBER = re.compile(r"[+-]?(?:0|[1-9]\d*)(?:\.\d*)?")  # not 007, whose zeros may be part of a code
_ANY_NUMBER = re.compile(r"[+-]?\d+(?:\.\d*)?(?:e[+-]?\d{1,2})?")
_TRUTH = ("false", "true")
DIGIT_OF_TRUTH = {"false": "0", "true": "1"}
DIGIT_OF_WORD = DIGIT_OF_TRUTH | dict.fromkeys(("f", "n", "no"), "0") | dict.fromkeys(("t", "y", "yes"), "1")
_QUOTES = {"'": "'", '"': '"', "`": "`", "\u201c": "\u201d", "\u2018": "\u2019", "\u201e": "\u201c", "\xab": "\xbb"}
_TATWEEL = "\u0640"  # stretches Arabic words
# Missing values of pandas, R, SQL, JavaScript and spreadsheets; not `none` and `na`, which are often words.
_MISSING = frozenset(
    ("NA", "N/A", "n/a", "#N/A", "#NA", "<NA>", "NaN", "nan", "NULL", "null", "None", "NaT", "nil", "\\N", "undefined")
)
_SHOWN_GROUPS = 4
MERGE_HINT = f"set {setting('data.normalise_labels', True)} to read them as one label, or data.label_map to name each"


def fold(name: str) -> str:
    """Return a label name without differences that are only in spelling.

    These are case, spaces, Unicode form, number format, invisible characters, and quotes around the name.
    """
    name = _without_quotes(name)
    text = unicodedata.normalize("NFKC", _visible(unicodedata.normalize("NFKC", name)).casefold())
    text = " ".join(text.split())
    return _plain_number(text) if _ANY_NUMBER.fullmatch(text) else text


def typed_names(names: Sequence[str], declared: Sequence[str] | None) -> dict[str, str]:
    """Return new names if all labels are numbers, or all truth values, and some have two spellings (1 and 1.0).

    Trailing zeros of other decimals stay: 1.1 and 1.10 may be section numbers. If every label has one spelling, the
    result is empty.

    Args:
        names: Labels of all splits.
        declared: Labels of the recipe, whose spelling is kept. None: undeclared.
    """
    every = [*names, *(declared or ())]
    if all(_NUMBER.fullmatch(name) for name in every):
        plain = {name: _whole_number(name) for name in every}
    elif all(name.lower() in _TRUTH for name in every):
        plain = {name: name.lower() for name in every}
    else:
        return {}
    if len(set(plain.values())) == len(set(every)):
        return {}
    wanted = {plain[name]: name for name in declared or ()}
    return {name: wanted.get(plain[name], plain[name]) for name in names}


def typed_remark(names: Mapping[str, str]) -> str | None:
    """Return a note on the names that `typed_names` changes; None if it changes none."""
    changed = [f"{quoted(name)} as {quoted(new)}" for name, new in names.items() if name != new]
    if not changed:
        return None
    more = f" and {len(changed) - _SHOWN_GROUPS} more" if len(changed) > _SHOWN_GROUPS else ""
    shown = ", ".join(changed[:_SHOWN_GROUPS])
    first = next(name for name, new in names.items() if name != new)
    apart = setting("data.label_map", {first: first})
    return f"labels that are one number or truth value are one label: {shown}{more} ({apart} keeps them apart)"


def mapped_names(
    names: Sequence[str], label_map: Mapping[str, str | None], *, grouped: bool = False
) -> dict[str, str | None]:
    """Return the new name of every label that `data.label_map` changes; None removes the label.

    Args:
        names: Labels of all splits.
        label_map: Entries of the recipe.
        grouped: Whether an entry also renames the labels that differ from it only in spelling.

    Raises:
        DataError: No example has the label of an entry, or a label without an entry differs only in spelling from
            labels with different new names.
    """
    unknown = [name for name in label_map if name not in names]
    if unknown:
        raise DataError(
            f"no example has the label {listed(unknown)}",
            did_you_mean(unknown, names) or f"labels are: {listed(sorted(names))}",
            key="data.label_map",
        )
    return _grouped_map(names, label_map) if grouped else dict(label_map)


def _grouped_map(names: Sequence[str], label_map: Mapping[str, str | None]) -> dict[str, str | None]:
    renamed = dict(label_map)
    for group in _groups(names):
        targets = {label_map[name] for name in group if name in label_map}
        rest = [name for name in group if name not in label_map]
        if len(targets) > 1 and rest:
            raise DataError(
                f"labels that differ only in spelling get different names, and {quoted(rest[0])} gets none",
                f"add an entry for {listed(rest)}, or leave data.normalise_labels out",
                key="data.label_map",
            )
        renamed |= dict.fromkeys(rest if targets else [], next(iter(targets), None))
    return renamed


def missing_remark(counts: Mapping[str, int]) -> str | None:
    """Return a warning about labels that look like missing values; None if there are none."""
    names = sorted(_MISSING & counts.keys())
    if not names:
        return None
    unlabelled = setting("data.label_map", dict.fromkeys(names))
    return f"some labels look like missing values: {listed(names, counts)}: if they mean no label, set {unlabelled}"


def merged_names(train: Mapping[str, int], test: Mapping[str, int], declared: Sequence[str] | None) -> dict[str, str]:
    """Return one name for all labels of a group that differ only in spelling.

    It is the declared name, otherwise the most frequent in train without invisible characters or outer quotes,
    otherwise the most frequent, cleaned.

    Args:
        train: Training rows per label.
        test: Test rows per label.
        declared: Labels of the recipe. None: undeclared.
    """
    renamed: dict[str, str] = {}
    names = sorted({*train, *test, *(declared or ())}, key=lambda name: (-train.get(name, 0), -test.get(name, 0), name))
    for group in _groups(names):
        name = _chosen(group, declared or ())
        renamed |= dict.fromkeys(group, name)
    return renamed


def spelling_groups(counts: Mapping[str, int]) -> list[list[str]]:
    """Return the groups of labels that differ only in spelling, the most frequent label of each group first."""
    return _groups(sorted(counts, key=lambda name: (-counts[name], name)))


def _groups(names: Sequence[str]) -> list[list[str]]:
    folded = {name: fold(name) for name in names}
    kinds = set(folded.values())
    digits = DIGIT_OF_WORD if kinds <= {*DIGIT_OF_WORD, "0", "1"} else DIGIT_OF_TRUTH
    mixed = len({digits.get(form, form) for form in kinds}) < len(kinds)  # True beside 1
    groups = defaultdict(list)
    for name, form in folded.items():
        groups[digits.get(form, form) if mixed else form].append(name)
    return [group for group in groups.values() if len(group) > 1]


def writing_remark(counts: Mapping[str, int]) -> str | None:
    """Return a warning with the groups of labels that differ only in spelling.

    The result is None if there are none.
    """
    groups = spelling_groups(counts)
    if not groups:
        return None
    words = "; ".join(_group_words(group, counts) for group in groups[:_SHOWN_GROUPS])
    more = f"; and {len(groups) - _SHOWN_GROUPS} more groups" if len(groups) > _SHOWN_GROUPS else ""
    return f"some labels differ only in spelling: {words}{more}: {MERGE_HINT}"


def _group_words(group: Sequence[str], counts: Mapping[str, int]) -> str:
    return ", ".join(f"{distinct_words(name)} ({counts[name]:,})" for name in group)


def distinct_words(name: str) -> str:
    """Return a label in quotes, with escapes for invisible characters and combining accents."""
    composed = unicodedata.is_normalized("NFC", name)
    shown = (char.encode("unicode_escape").decode() if _is_hidden(char, composed) else char for char in name)
    return f"'{printable(''.join(shown))}'"


def _is_hidden(char: str, composed: bool) -> bool:
    return (
        (is_invisible(char) and char != " ") or char == _TATWEEL or (not composed and bool(unicodedata.combining(char)))
    )


def rename(rows: Labels, names: Mapping[str, str | None]) -> Labels:
    """Return the rows with renamed labels, each label once; the name None removes a label."""
    if not names:
        return rows
    renamed = {row: dict.fromkeys(names.get(name, name) for name in row) for row in set(rows)}
    kept = {row: tuple(name for name in new if name is not None) for row, new in renamed.items()}
    return [kept[row] for row in rows]


def count_labels(*splits: Labels) -> Counter[str]:
    """Return the number of rows per label, over all splits."""
    return Counter(name for rows in splits for row in rows for name in row)


def _plain_number(text: str) -> str:
    """Return a number without plus sign and needless zeros: 1.0, 1. and +1 become 1, -0.0 becomes 0."""
    number = Decimal(text.rstrip("."))
    whole = number.to_integral_value()
    if number == whole:
        return f"{whole:f}".replace("-0", "0") if not whole else f"{whole:f}"
    return f"{number:f}".rstrip("0")


def _whole_number(text: str) -> str:
    """Return a whole number without plus sign and decimals; other numbers stay unchanged."""
    number = Decimal(text.rstrip("."))
    return _plain_number(text) if number == number.to_integral_value() else text


def _visible(text: str) -> str:
    return "".join(char for char in text if char.isspace() or not (is_invisible(char) or char == _TATWEEL))


def _without_quotes(name: str) -> str:
    """Return a name without the quotes that enclose it."""
    name = name.strip()
    while len(name) > 2 and _QUOTES.get(name[0]) == name[-1] and not {name[0], name[-1]} & {*name[1:-1]}:
        name = name[1:-1].strip()
    return name


def _clean(name: str) -> str:
    """Return a name in Unicode form NFC, without outer quotes, invisible characters and doubled spaces."""
    return " ".join(_visible(unicodedata.normalize("NFC", _without_quotes(name))).split())


def _chosen(group: Sequence[str], declared: Sequence[str]) -> str:
    known = (name for name in group if name in declared)
    clean = (name for name in group if name == _clean(name))
    return next(known, None) or next(clean, None) or _clean(group[0])
