"""Parser for lists of labels in text cells, in the notations of common libraries.

These are JSON (also encoded twice), Python, NumPy (without commas), pandas, polars, PyTorch, DuckDB, PostgreSQL, R,
Julia, Rust and Scala. Other cells that begin and end like a list are errors.
"""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass
from typing import Any

_CLOSING = {"[": "]", "(": ")", "{": "}"}
# Calls around a list, such as array(['a'], dtype=object); other names before a bracket are part of a label.
_WRAPPERS = re.compile(
    r"(?:(?:np|numpy|torch|pd|jnp)\.)?(?:array|set|frozenset|tuple|list|tensor|Array|Index|Int64Index|CategoricalIndex"
    r"|deque|dict_keys|dict_values|odict_keys|Series|OrderedSet|Counter|OrderedDict|dict|Set)\s*\("
)
_CALL = re.compile(r"[A-Za-z_][\w.:]*!?(?=[(\[{]\s*['\"\u201c\u2018])")  # c("a"), String["a"] and vec!["a"]
_SCALA = re.compile(
    r"(?:List|WrappedArray|ArrayBuffer|ArraySeq|Vector|Seq|Set|Array|Buffer|c(?=\([^()]*,))\(([^()\[\]{}'\"]*)\)"
)
_BULLETS = re.compile(r"(?:[-*\u2022][ \t]+\S[^\n]*(?:\n|$))+")
_MARKUP = re.compile(r"<(\w+)[^<>]*>.*</\1>|<\w[^<>]*/>|<\w+\s+[\w-]+\s*=", re.DOTALL)
_ITEM_WRAPPERS = re.compile(r"(?:np|numpy|torch)\.(?:str_|bytes_|u?int\d*|float\d*|bool_?|tensor)\s*\(")
_ARROW_LIST = re.compile(r"<pyarrow\.\w+: (.*)>", re.DOTALL)
_PANDAS_ARRAY = re.compile(r"<\w*Array>\s*(\[.*\])\s*Length: .*", re.DOTALL)
_CATEGORIES = re.compile(r"(\[.*\])\s*Categories \(.*", re.DOTALL)
_POLARS = re.compile(r"(?:shape: \(\d+,\)\s*)?Series: '.*?' \[.*?\]\s*(\[.*\])", re.DOTALL)
_PANDAS_SERIES_END = re.compile(r"\n(?:Name: .*, )?(?:Length: \d+, )?dtype: \w+$")
_PANDAS_SERIES_LINE = re.compile(r"\S+\s+(.*)")
_SMART = (
    r"\u201c[^\u201c\u201d\n]*\u201d|\u2018[^\u2018\u2019\n]*\u2019"
    r"|\u201e[^\u201c\u201d\n]*[\u201c\u201d]|\xab[^\xab\xbb\n]*\xbb"
)
_QUOTED = re.compile(r"[ub]?('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")|(" + _SMART + ")", re.DOTALL)
_BARE_LIST = re.compile(
    "|".join(rf"(?:{item})(?:\s*,\s*(?:{item}))*" for item in (r"""'[^',"\n]*'""", r"""\"[^'",\n]*\"""", _SMART))
)
_QUOTES = ('"', "\\", "\u201c", "\u2018", "\u201e", "\xab")  # a word does not begin with these
_TAGS = re.compile(r"(?:<[^<>,]+>)+|(?:\[[^\[\],'\"]+\]){2,}")  # <a><b> and [a][b]
_BRACKETS = re.compile(r"><|\]\[")
_NESTED = re.compile(r"""\[\s*(?:\{|\[\s*['"\d])|\{\s*["'][^"']*["']\s*:""")  # [{, [["a" and {"a":
_ELLIPSES = ("...", "…", "..")  # of NumPy, polars and pandas, in place of items
_OPENED = re.compile(r"\[\s*(['\"]|\d+[\s,])")  # beginning of a list, not of a label in brackets
_MISSING = {"none", "null", "nan", "<na>", "nat"}
_NUMBERS = re.compile(r"(?:[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|True|False|true|false)")


class ListError(Exception):
    """The cell looks like a list and cannot be read as a list. The message is the reason."""


@dataclass
class _Cursor:
    text: str
    place: int = 0

    def skip_space(self) -> None:
        while self.place < len(self.text) and self.text[self.place].isspace():
            self.place += 1

    def at(self, mark: str) -> bool:
        return self.text.startswith(mark, self.place)

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        match = pattern.match(self.text, self.place)
        if match:
            self.place = match.end()
        return match


def parse_list(cell: str) -> list[Any] | None:
    """Return the items of a cell that holds a list, None if the cell does not look like a list.

    Items are text, numbers, booleans, and None for missing items.

    Raises:
        ListError: The cell begins and ends like a list and has no unique reading: nested or shortened lists, mappings,
            words that may be one label or several.
    """
    text = _decoded(cell.strip())
    if (items := _without_brackets(text)) is not None:
        return items
    text = _unwrapped(text)
    if _MARKUP.search(text):
        raise ListError("markup, not a list of labels")
    if _OPENED.match(text) and _end_of_list(text) is None:
        raise ListError("the list is not closed")
    if _TAGS.fullmatch(text) or _BARE_LIST.fullmatch(text):
        return _items(_BRACKETS.sub(",", text.strip("<>[]")), braces=False)
    if not _is_enclosed(text) or (text[0] == "(" and not _is_tuple(text[1:-1])):
        return None  # the brackets are part of a label: [bug]
    return _items(text[1:-1], braces=text[0] == "{")


def _is_enclosed(text: str) -> bool:
    """Check that the first bracket of a text is its first character and closes at its end."""
    return text[:1] in _CLOSING and text[-1:] == _CLOSING[text[0]] and _end_of_list(text) == len(text) - 1


def is_nested(cell: str) -> bool:
    """Return whether a cell holds an object, or a list of objects or lists."""
    text = cell.strip()
    return _NESTED.match(text) is not None and text[-1] == _CLOSING[text[0]]


def _decoded(text: str) -> str:
    """Return the list inside a cell that was encoded as JSON twice or has escaped quotes, otherwise the cell."""
    if text.startswith('[\\"'):
        return text.replace('\\"', '"')
    if text[:1] != '"' or text[-1:] != '"':
        return text
    try:
        inner = json.loads(text)
    except ValueError:
        return text
    return inner.strip() if isinstance(inner, str) and inner.strip()[:1] in ("[", "{") else text


def _without_brackets(text: str) -> list[Any] | None:
    """Return the items of a bullet list, a pandas Series or a Scala list.

    The result is None for other cells.
    """
    if _BULLETS.fullmatch(text):
        return [line[1:].strip() for line in text.split("\n") if line.strip()]
    scala = _SCALA.fullmatch(text)
    return [_plain(part.strip()) for part in scala[1].split(",") if part.strip()] if scala else _series(text)


def _unwrapped(text: str) -> str:
    """Return the list inside a notation that names its type: array([...]), <StringArray>, c("a")."""
    if (call := _CALL.match(text)) and _is_enclosed(text[call.end() :]):
        return text[call.end() :]
    for pattern in (_ARROW_LIST, _PANDAS_ARRAY, _CATEGORIES, _POLARS):
        if form := pattern.fullmatch(text):
            return form[1].strip()
    wrapper = _WRAPPERS.match(text)
    if not wrapper or not text.endswith(")"):
        return text
    inside = text[wrapper.end() : -1].strip()
    if not inside:
        return "[]"
    end = _end_of_list(inside)
    if end is None or inside[0] not in _CLOSING or inside[end + 1 :].strip()[:1] not in ("", ","):
        return text
    return inside[: end + 1]


def _series(text: str) -> list[Any] | None:
    """Return the items of a printed pandas Series, None for other cells."""
    if not _PANDAS_SERIES_END.search(text):
        return None
    lines = [_PANDAS_SERIES_LINE.fullmatch(line) for line in _PANDAS_SERIES_END.sub("", text).split("\n")]
    if not all(lines):
        return None
    for line in lines:
        _require_whole(line[0].split()[0] if line else "")
    return [line[1] for line in lines if line]


def _require_whole(word: str) -> None:
    """Raise ListError for an ellipsis in place of items."""
    if word in _ELLIPSES:
        raise ListError("the list is cut short (...): write all of its items")


def _end_of_list(text: str) -> int | None:
    """Return the position of the bracket that closes the first bracket, None if it stays open."""
    cursor, depth = _Cursor(text), 0
    fresh = True  # whether an item may begin here; quotes inside a word are part of the word
    while cursor.place < len(text):
        char = text[cursor.place]
        if fresh and cursor.take(_QUOTED):
            fresh = False
            continue
        if char in _CLOSING:
            depth += 1
        elif char in _CLOSING.values():
            depth -= 1
            if not depth:
                return cursor.place
        fresh = char in _CLOSING or char in ",:" or char.isspace()
        cursor.place += 1
    return None


def _is_tuple(inside: str) -> bool:
    """Check that the text inside parentheses is a tuple, not a label in parentheses."""
    inside = inside.strip()
    return not inside or "," in inside or bool(_QUOTED.fullmatch(inside))


def _items(inside: str, braces: bool) -> list[Any]:
    cursor, items, words, commas = _Cursor(inside), [], 0, 0
    cursor.skip_space()
    while cursor.place < len(inside):
        item, bare = _item(cursor, braces)
        words += bare
        items.append(item)
        gap = cursor.place
        cursor.skip_space()
        if cursor.at(","):
            commas += 1
            cursor.place += 1
            cursor.skip_space()
        elif cursor.place == gap < len(inside):
            raise ListError(f"there is no comma or space after {inside[:gap]!r}")
    if words and not commas and len(items) > 1:
        raise ListError("words without quotes and commas may be one label or several")
    if words and not commas and any(mark in inside for mark in ";|"):
        raise ListError("the items of the list have no commas between them")
    return _joined(items, inside, commas)


def _joined(items: list[Any], inside: str, commas: int) -> list[Any]:
    """Return the values of items.

    Items without quotes between commas may have spaces: [credit card, fees].
    """
    if not commas or not any(isinstance(item, _Word) for item in items):
        return [_value(item) for item in items]
    if any(not isinstance(item, _Word) and isinstance(item, str) for item in items):
        if len(items) > commas + 1:
            raise ListError("some labels have quotes and others do not")
        return [_value(item) for item in items]
    return [_value(_Word(part.strip())) for part in inside.split(",") if part.strip()]


class _Word(str):
    """Text without quotes in a list."""

    __slots__ = ()


def _item(cursor: _Cursor, braces: bool) -> tuple[Any, bool]:
    """Return the next item, and whether it is a word without quotes."""
    text = cursor.text
    if text[cursor.place] in _CLOSING:
        raise ListError("a list or an object inside a list: write one list of names per example")
    if quoted := cursor.take(_QUOTED):
        if cursor.at(":") and braces:
            raise ListError("a mapping, not a list of labels")
        return _unquoted(quoted), False
    if wrapper := cursor.take(_ITEM_WRAPPERS):
        item, _ = _item(cursor, braces)
        if not cursor.at(")"):
            raise ListError(f"{wrapper[0]} is not closed")
        cursor.place += 1
        return (_plain(item) if isinstance(item, _Word) else item), False
    word = _word(cursor)
    if braces and ":" in word:
        raise ListError("a mapping, not a list of labels")
    is_value = bool(_NUMBERS.fullmatch(word)) or word.lower() in _MISSING
    return (_plain(word) if is_value else word), not is_value


def _word(cursor: _Cursor) -> _Word:
    text, start = cursor.text, cursor.place
    while cursor.place < len(text) and not (text[cursor.place].isspace() or text[cursor.place] in ",)"):
        cursor.place += 1
    if cursor.place == start:
        if text[start] == ",":
            raise ListError("an item is missing between two commas")
        cursor.place += 1
    word = _Word(text[start : cursor.place])
    if word.startswith(_QUOTES):
        raise ListError(f"the quote of {str(word)!r} does not close")
    _require_whole(word)
    return word


def _unquoted(quoted: re.Match[str]) -> str:
    if quoted[2]:
        return quoted[2][1:-1]
    literal = quoted[1]
    if "\\" not in literal:
        return literal[1:-1]
    if literal[0] == '"':
        try:
            return str(json.loads(literal, strict=False))
        except ValueError:
            pass
    try:
        return str(ast.literal_eval(literal))
    except (ValueError, SyntaxError):
        return literal[1:-1]


def _value(item: Any) -> Any:
    return _plain(item) if isinstance(item, _Word) else item


def _plain(word: str) -> Any:
    """Return the value of a word without quotes: a number, a truth value, None or text."""
    if word.lower() in _MISSING:
        return None
    if word in ("True", "true", "False", "false"):
        return word.lower() == "true"
    if not _NUMBERS.fullmatch(word):
        return str(word)
    return float(word) if re.search(r"[.eE]", word) else int(word)
