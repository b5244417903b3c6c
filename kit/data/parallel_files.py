"""Parallel text: sentences and their translations, from aligned files, TMX, or columns that hold both.

Whatever the form, it becomes a table with a column for each language. A pair of files that do not have the same number
of lines is refused: from the first missing line on, nothing in it would be a translation.

Knows files of parallel text. Knows nothing of recipes beyond the two languages, or of tokenizers.
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
# What names of files begin with.
_SPLITS = {"train": "train(?:ing)?", "test": "test(?:ing)?", "validation": "val(?:id(?:ation)?)?"}
_SIDES = (("source", "src", "source_text"), ("target", "tgt", "target_text", "translation", "reference"))
_CODES = ("bpt", "ept", "ph", "it", "ut")  # of TMX: what they hold is markup, not text
_XML_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"


def aligned_files(source: str | Sequence[str], key: str, languages: tuple[str, str]) -> dict[str, Pair] | None:
    """Pairs of files with one sentence a line, by split ("" for the only one); None if `source` names none.

    source: a folder with `train.en` and `train.de` (or .gz), the name that two such files share, a glob of them, or a
    list of two files, the source language first. key: the recipe key that messages name.
    Raises DataError if one of a pair is missing.
    """
    if not isinstance(source, str):
        return _listed(source, key, languages)
    path = Path(source).expanduser()
    if path.is_dir():
        return _in_folder(path, key, languages)
    if glob.has_magic(source) and not path.is_file():
        return _matching(path, key, languages)
    stem = _stem(path, languages) or path.name
    pair = [_existing(path.with_name(f"{stem}.{language}")) for language in languages]
    if not any(pair):
        return None
    return {"": _whole(pair, path.with_name(stem), key, languages)}


def read_aligned(pair: Pair, languages: tuple[str, str], reading: Reading = DEFAULT_READING) -> Table:
    """A row a line. Raises DataError if the files cannot be read, or do not have the same number of lines."""
    lines = [read_lines(path, reading) for path in pair]
    if len(lines[0]) != len(lines[1]):
        raise DataError(
            f"{pair[0]} has {len(lines[0]):,} lines, {pair[1]} {len(lines[1]):,}: they are not aligned",
            "line 5 of one must be the translation of line 5 of the other; an editor may have joined or split lines, "
            "or left an empty one at the end",
        )
    if not lines[0]:
        raise DataError(f"{pair[0]} is empty")
    return Table.of(dict(zip(languages, lines, strict=True)))


def read_tmx(path: Path, languages: tuple[str, str]) -> Table:
    """The segments of a TMX file in these languages; units that lack one of them are left out.

    `en` also stands for `en-US`. Raises DataError if the file is no XML, or has no unit in both languages.
    """
    found: tuple[list[str], list[str]] = ([], [])
    seen: set[str] = set()
    try:
        for _, unit in ElementTree.iterparse(path):
            if _tag(unit) != "tu":
                continue
            texts: dict[str, str] = {}
            for variant in (each for each in unit.iter() if _tag(each) == "tuv"):
                language = str(variant.get(_XML_LANGUAGE) or variant.get("lang") or "").lower()
                segment = next((each for each in variant if _tag(each) == "seg"), None)
                seen.add(language)
                if segment is not None:
                    texts.setdefault(language, " ".join("".join(_written_in(segment)).split()))
            pair = [_variant(texts, language) for language in languages]
            if pair[0] is not None and pair[1] is not None:
                found[0].append(pair[0])
                found[1].append(pair[1])
            unit.clear()
    except (ElementTree.ParseError, ValueError, LookupError) as error:  # the latter two of encodings
        raise DataError(f"{path} is not a whole TMX file: {error}", "export it again") from error
    except RecursionError as error:
        raise DataError(f"{path}: elements are nested too deeply", "export it again") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    if not found[0]:
        raise DataError(
            f"{path} has no unit in both {languages[0]} and {languages[1]} (languages: {', '.join(sorted(seen))})",
            "set data.languages to two of them",
        )
    return Table.of(dict(zip(languages, found, strict=True)))


def _tag(element: ElementTree.Element) -> str:
    """Its name, of whatever namespace."""
    return element.tag.rpartition("}")[2]


def _written_in(segment: ElementTree.Element) -> Iterator[str]:
    """The text of a segment without the codes of the document that it is from."""
    yield segment.text or ""
    for inner in segment:
        if _tag(inner) not in _CODES:
            yield from _written_in(inner)
        yield inner.tail or ""


def by_language(table: Table, languages: tuple[str, str], where: str) -> Table:
    """The table with a column for each language in place of one that holds translations as `{"en": ..., "de": ...}`.

    A row that lacks one of them has nothing on that side. Raises DataError for a language that no row has.
    """
    holders = [name for name, values in table.columns.items() if isinstance(next(iter(values), None), dict)]
    holder = "translation" if "translation" in holders else holders[0] if len(holders) == 1 else None
    if holder is None or set(languages) <= set(table.columns):
        return table
    values = [value if isinstance(value, dict) else {} for value in table.columns[holder]]
    there = sorted({name for value in values for name in value})
    for language in languages:
        if language not in there:
            near = difflib.get_close_matches(language, there, 1)
            raise DataError(
                f"'{language}' is in no row of column '{holder}' of {where} (languages: {', '.join(there) or 'none'})",
                f"did you mean '{near[0]}'?" if near else "set data.languages to two of them",
                key="data.languages",
            )
    columns = {language: [value.get(language) for value in values] for language in languages}
    rest = {name: values for name, values in table.columns.items() if name != holder}
    return replace(table, columns={**columns, **rest})


def guess_language_column(table: Table, languages: tuple[str, str], side: int) -> str:
    """The column of the source (`side` 0) or the target (1) language: named after it, or after its side.

    Raises DataError if there is none.
    """
    plain = {name.strip().lower().replace("-", "_"): name for name in table.columns}
    language = languages[side].lower().replace("-", "_")
    names = (language, language.split("_")[0], NAMES.get(primary(language), "").lower(), *_SIDES[side])
    found = next((plain[name] for name in names if name in plain), None)
    if found is None:
        key = ("text", "label")[side]
        raise DataError(
            f"data.{key}: no column looks like the {('source', 'target')[side]} language {languages[side]} "
            f"(columns: {', '.join(table.columns)})",
            "set data.text to the column of the source and data.label to that of the translations",
        )
    return found


def _listed(source: Sequence[str], key: str, languages: tuple[str, str]) -> dict[str, Pair] | None:
    paths = [Path(name).expanduser() for name in source]
    if any(data_format(path) is not None or path.suffix == ".tmx" for path in paths):
        return None
    if len(paths) != 2:
        raise DataError(
            f"parallel text is two files, got {len(paths)}", f"[text.{languages[0]}, text.{languages[1]}]", key=key
        )
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise DataError(f"there is no file {missing[0]}", "paths are relative to the folder you start kit in", key=key)
    if paths[0] == paths[1]:
        raise DataError(f"{paths[0]} is named twice", f"name one of {languages[0]} and one of {languages[1]}", key=key)
    named, wanted = [primary(_language_of(path)) for path in paths], [primary(language) for language in languages]
    if named == wanted[::-1]:
        paths, named = paths[::-1], named[::-1]
    for path, found, language in zip(paths, named, wanted, strict=True):
        if is_language(found) and found != language:
            raise DataError(
                f"{path} is named as if it were in {found}, where data.languages has {language}",
                "set data.languages to the languages of the files, the source first, or name the file otherwise",
                key=key,
            )
    return {"": (paths[0], paths[1])}


def _matching(pattern: Path, key: str, languages: tuple[str, str]) -> dict[str, Pair] | None:
    """The pair of files that a glob matches, among others; None for a glob of other files."""
    found = [Path(match) for match in glob.glob(str(pattern))]  # noqa: PTH207
    stems = sorted({(path.parent, stem) for path in found if path.is_file() and (stem := _stem(path, languages))})
    if not stems:
        return None
    if len(stems) > 1:
        several = ", ".join(str(folder / stem) for folder, stem in stems)
        raise DataError(f"{pattern} matches more than one pair of files: {several}", "name one of them", key=key)
    folder, stem = stems[0]
    pair = [_existing(folder / f"{stem}.{language}") for language in languages]
    return {"": _whole(pair, folder / stem, key, languages)}


def _in_folder(folder: Path, key: str, languages: tuple[str, str]) -> dict[str, Pair] | None:
    stems = sorted({stem for path in folder.iterdir() if path.is_file() and (stem := _stem(path, languages))})
    pairs = {
        stem: _whole([_existing(folder / f"{stem}.{code}") for code in languages], folder / stem, key, languages)
        for stem in stems
    }
    if not pairs:
        _suggest_languages(folder, key, languages)
        return None
    if len(pairs) == 1:
        return {"": next(iter(pairs.values()))}
    # `test_2016_flickr` is the test split where no other file could be.
    for name, beginning in _SPLITS.items():
        starting = [stem for stem in pairs if re.match(rf"{beginning}(?=$|[._\-\d])", stem) and stem not in _SPLITS]
        if name not in pairs and len(starting) == 1:
            pairs[name] = pairs.pop(starting[0])
    return pairs


def _suggest_languages(folder: Path, key: str, languages: tuple[str, str]) -> None:
    """Raise DataError if a folder has pairs in variants of the languages: train.en-US where `en` is asked for."""
    there = sorted({_language_of(path) for path in folder.iterdir() if path.is_file()})
    near = [[name for name in there if primary(name) == primary(language)] for language in languages]
    if all(near):
        first, second = near[0][0], near[1][0]
        raise DataError(
            f"the folder {folder} has files in {first} and {second}, and none in {' and '.join(languages)}",
            f"data.languages: [{first}, {second}]",
            key=key,
        )


def _whole(pair: list[Path | None], stem: Path, key: str, languages: tuple[str, str]) -> Pair:
    first, second = pair
    if first is None or second is None:
        there, missing = (languages[1], languages[0]) if first is None else languages
        named = [path for path in stem.parent.iterdir() if path.name.startswith(f"{stem.name}.")]
        others = sorted({_language_of(path) for path in named} - {there})
        raise DataError(
            f"{stem}.{there} has no translation: there is no {stem}.{missing}",
            f"beside it is {stem}.{f', {stem}.'.join(others)}: set data.languages to those you want"
            if others
            else "put it beside that, or set data.languages to two that are there",
            key=key,
        )
    return first, second


def _existing(path: Path) -> Path | None:
    return next((each for each in (path, path.with_name(path.name + ".gz")) if each.is_file()), None)


def _language_of(path: Path) -> str:
    return path.name.removesuffix(".gz").rpartition(".")[2]


def _stem(path: Path, languages: tuple[str, str]) -> str | None:
    """`train` for train.en.gz; None for a file of neither language."""
    stem, _, language = path.name.removesuffix(".gz").rpartition(".")
    return stem if stem and language in languages else None


def _variant(texts: dict[str, str], language: str) -> str | None:
    wanted = language.lower()
    if wanted in texts:
        return texts[wanted]
    return next((text for name, text in texts.items() if re.split("[-_]", name)[0] == wanted), None)
