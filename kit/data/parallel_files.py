"""Parallel text from aligned files, TMX files or tables: tables with a column per language.

Aligned files must have the same number of lines, because no line after a missing one would be a translation.
"""

from __future__ import annotations

import difflib
import glob
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

from kit.data.language_codes import NAMES, is_language, primary
from kit.data.readers import data_format
from kit.data.reading import DEFAULT_READING, Reading
from kit.data.table import Table
from kit.data.text_files import read_lines
from kit.errors import DataError

Pair = tuple[Path, Path]
# Beginnings of file names, as regular expressions, by split.
_SPLITS = {"train": "train(?:ing)?", "test": "test(?:ing)?", "validation": "val(?:id(?:ation)?)?"}
_SIDES = (("source", "src", "source_text"), ("target", "tgt", "target_text", "translation", "reference"))
_CODES = ("bpt", "ept", "ph", "it", "ut")  # TMX elements that contain markup, not text
_XML_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"


def aligned_files(source: str | Sequence[str], key: str, languages: tuple[str, str]) -> dict[str, Pair] | None:
    """Return pairs of files with one sentence per line, by split ("" if there is one).

    The result is None if `source` has no pair.

    Args:
        source: Folder with `train.en` and `train.de` (or .gz), common name of two such files, glob that matches them,
            or list of two files, the source language first.
        key: Recipe key for error messages.
        languages: Source and target language.

    Raises:
        DataError: One file of a pair is missing.
    """
    if not isinstance(source, str):
        return _pair_of_list(source, key, languages)
    path = Path(source).expanduser()
    if path.is_dir():
        return _pairs_in_folder(path, key, languages)
    if glob.has_magic(source) and not path.is_file():
        return _pair_of_glob(path, key, languages)
    stem = _stem(path, languages) or path.name
    pair = [_existing(path.with_name(f"{stem}.{language}")) for language in languages]
    if not any(pair):
        return None
    return {"": _require_both(pair, path.with_name(stem), key, languages=languages)}


def read_aligned(pair: Pair, languages: tuple[str, str], reading: Reading = DEFAULT_READING) -> Table:
    """Return a table with one row per line of both files.

    Raises:
        DataError: A file cannot be read, or the files have different numbers of lines.
    """
    lines = [read_lines(path, reading) for path in pair]
    if len(lines[0]) != len(lines[1]):
        raise DataError(
            f"{pair[0]} has {len(lines[0]):,} lines, {pair[1]} {len(lines[1]):,}: they are not aligned",
            "line 5 of one must be the translation of line 5 of the other; an editor may have joined or split lines, "
            "or added an empty line at the end",
        )
    if not lines[0]:
        raise DataError(f"{pair[0]} is empty")
    return Table.of(dict(zip(languages, lines, strict=True)))


def read_tmx(path: Path, languages: tuple[str, str]) -> Table:
    """Return the segments of a TMX file in two languages; units that lack one of the languages are left out.

    The language `en` includes variants like `en-US`.

    Raises:
        DataError: The file is not valid XML, or has no unit in both languages.
    """
    sides: tuple[list[str], list[str]] = ([], [])
    file_languages: set[str] = set()
    try:
        for _, unit in ElementTree.iterparse(path):
            if _tag(unit) != "tu":
                continue
            texts: dict[str, str] = {}
            for variant in (element for element in unit.iter() if _tag(element) == "tuv"):
                language = str(variant.get(_XML_LANGUAGE) or variant.get("lang") or "").lower()
                segment = next((element for element in variant if _tag(element) == "seg"), None)
                file_languages.add(language)
                if segment is not None:
                    texts.setdefault(language, " ".join("".join(_text_parts(segment)).split()))
            source, target = (_text_in(texts, language) for language in languages)
            if source is not None and target is not None:
                sides[0].append(source)
                sides[1].append(target)
            unit.clear()
    except (ElementTree.ParseError, ValueError, LookupError) as error:  # the last two for unknown encodings
        raise DataError(f"{path} is not a valid TMX file: {error}", "export it again") from error
    except RecursionError as error:
        raise DataError(f"{path}: elements are nested too deeply", "export it again") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    if not sides[0]:
        known = ", ".join(sorted(file_languages))
        raise DataError(
            f"{path} has no unit in both {languages[0]} and {languages[1]} (languages: {known})",
            "set data.languages to two of them",
        )
    return Table.of(dict(zip(languages, sides, strict=True)))


def _tag(element: ElementTree.Element) -> str:
    """Return the name of an element without its namespace."""
    return element.tag.rpartition("}")[2]


def _text_parts(segment: ElementTree.Element) -> Iterator[str]:
    """Yield the text of a segment without the markup codes of the original document."""
    yield segment.text or ""
    for inner in segment:
        if _tag(inner) not in _CODES:
            yield from _text_parts(inner)
        yield inner.tail or ""


def by_language(table: Table, languages: tuple[str, str], where: str) -> Table:
    """Replace a column of translations `{"en": ..., "de": ...}` with a column per language.

    A row that lacks a language has None in its column. A table without a column of translations, or with a column per
    language, stays unchanged.

    Args:
        table: Table of parallel text.
        languages: Source and target language.
        where: Name of the source for error messages.

    Raises:
        DataError: No row has one of the languages.
    """
    holders = [name for name, values in table.columns.items() if isinstance(next(iter(values), None), dict)]
    holder = "translation" if "translation" in holders else holders[0] if len(holders) == 1 else None
    if holder is None or set(languages) <= set(table.columns):
        return table
    values = [value if isinstance(value, dict) else {} for value in table.columns[holder]]
    known = sorted({name for value in values for name in value})
    for language in languages:
        if language not in known:
            near = difflib.get_close_matches(language, known, 1)
            raise DataError(
                f"'{language}' is in no row of column '{holder}' of {where} (languages: {', '.join(known) or 'none'})",
                f"did you mean '{near[0]}'?" if near else "set data.languages to two of them",
                key="data.languages",
            )
    columns = {language: [value.get(language) for value in values] for language in languages}
    rest = {name: values for name, values in table.columns.items() if name != holder}
    return replace(table, columns={**columns, **rest})


def guess_language_column(table: Table, languages: tuple[str, str], side: int) -> str:
    """Return the column of the source (`side` 0) or target language (`side` 1).

    Its name is the code or the English name of the language, or a usual name of the side (source, target).

    Raises:
        DataError: There is no such column.
    """
    plain = {name.strip().lower().replace("-", "_"): name for name in table.columns}
    language = languages[side].lower().replace("-", "_")
    names = (language, language.split("_")[0], NAMES.get(primary(language), "").lower(), *_SIDES[side])
    column = next((plain[name] for name in names if name in plain), None)
    if column is None:
        key = ("text", "label")[side]
        raise DataError(
            f"no column looks like the {('source', 'target')[side]} language {languages[side]} "
            f"(columns: {', '.join(table.columns)})",
            "set data.text to the column of the source texts and data.label to the column of the translations",
            key=f"data.{key}",
        )
    return column


def _pair_of_list(source: Sequence[str], key: str, languages: tuple[str, str]) -> dict[str, Pair] | None:
    paths = [Path(name).expanduser() for name in source]
    if any(data_format(path) is not None or path.suffix == ".tmx" for path in paths):
        return None
    if len(paths) != 2:
        raise DataError(
            f"parallel text needs two files, got {len(paths)}", f"[text.{languages[0]}, text.{languages[1]}]", key=key
        )
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise DataError(f"there is no file {missing[0]}", "paths are relative to the folder you start kit in", key=key)
    if paths[0] == paths[1]:
        raise DataError(f"{paths[0]} is named twice", f"name one of {languages[0]} and one of {languages[1]}", key=key)
    named, wanted = [primary(_language_of(path)) for path in paths], [primary(language) for language in languages]
    if named == wanted[::-1]:
        paths, named = paths[::-1], named[::-1]
    for path, name, language in zip(paths, named, wanted, strict=True):
        if is_language(name) and name != language:
            raise DataError(
                f"the name of {path} indicates {name}, data.languages has {language}",
                "set data.languages to the languages of the files, the source first, or rename the file",
                key=key,
            )
    return {"": (paths[0], paths[1])}


def _pair_of_glob(pattern: Path, key: str, languages: tuple[str, str]) -> dict[str, Pair] | None:
    """Return the only pair of files that a glob matches; None if it matches no such file."""
    matches = [Path(match) for match in glob.glob(str(pattern))]  # noqa: PTH207
    stems = sorted({(path.parent, stem) for path in matches if path.is_file() and (stem := _stem(path, languages))})
    if not stems:
        return None
    if len(stems) > 1:
        several = ", ".join(str(folder / stem) for folder, stem in stems)
        raise DataError(f"{pattern} matches more than one pair of files: {several}", "name one of them", key=key)
    folder, stem = stems[0]
    pair = [_existing(folder / f"{stem}.{language}") for language in languages]
    return {"": _require_both(pair, folder / stem, key, languages=languages)}


def _pairs_in_folder(folder: Path, key: str, languages: tuple[str, str]) -> dict[str, Pair] | None:
    stems = sorted({stem for path in folder.iterdir() if path.is_file() and (stem := _stem(path, languages))})
    pairs = {
        stem: _require_both(
            [_existing(folder / f"{stem}.{code}") for code in languages], folder / stem, key, languages=languages
        )
        for stem in stems
    }
    if not pairs:
        _suggest_languages(folder, key, languages)
        return None
    if len(pairs) == 1:
        return {"": next(iter(pairs.values()))}
    # A single name like `test_2016_flickr` is the test split.
    for name, beginning in _SPLITS.items():
        starting = [stem for stem in pairs if re.match(rf"{beginning}(?=$|[._\-\d])", stem) and stem not in _SPLITS]
        if name not in pairs and len(starting) == 1:
            pairs[name] = pairs.pop(starting[0])
    return pairs


def _suggest_languages(folder: Path, key: str, languages: tuple[str, str]) -> None:
    """Raise DataError if a folder has files in variants of both languages, such as train.en-US for `en`."""
    endings = sorted({_language_of(path) for path in folder.iterdir() if path.is_file()})
    near = [[name for name in endings if primary(name) == primary(language)] for language in languages]
    if all(near):
        first, second = near[0][0], near[1][0]
        raise DataError(
            f"the folder {folder} has files in {first} and {second}, and none in {' and '.join(languages)}",
            f"data.languages: [{first}, {second}]",
            key=key,
        )


def _require_both(pair: list[Path | None], stem: Path, key: str, languages: tuple[str, str]) -> Pair:
    """Return the pair; raise DataError if one of its files is missing."""
    first, second = pair
    if first is None or second is None:
        present, missing = (languages[1], languages[0]) if first is None else languages
        named = [path for path in stem.parent.iterdir() if path.name.startswith(f"{stem.name}.")]
        others = sorted({_language_of(path) for path in named} - {present})
        raise DataError(
            f"{stem}.{present} has no translation: there is no {stem}.{missing}",
            f"the folder has {stem}.{f', {stem}.'.join(others)}: set data.languages to the languages you want"
            if others
            else f"add the file to the folder of {stem}.{present}, or set data.languages to the languages of the files",
            key=key,
        )
    return first, second


def _existing(path: Path) -> Path | None:
    """Return the path, plain or with .gz; None if neither file exists."""
    return next((file for file in (path, path.with_name(path.name + ".gz")) if file.is_file()), None)


def _language_of(path: Path) -> str:
    return path.name.removesuffix(".gz").rpartition(".")[2]


def _stem(path: Path, languages: tuple[str, str]) -> str | None:
    """Return `train` for train.en.gz; None for a file in neither language."""
    stem, _, language = path.name.removesuffix(".gz").rpartition(".")
    return stem if stem and language in languages else None


def _text_in(texts: dict[str, str], language: str) -> str | None:
    """Return the text in a language or in a variant of the language; None if there is none."""
    wanted = language.lower()
    if wanted in texts:
        return texts[wanted]
    return next((text for name, text in texts.items() if re.split("[-_]", name)[0] == wanted), None)
