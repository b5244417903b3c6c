"""Parallel text in English and German, in aligned files."""

from __future__ import annotations

import gzip
from pathlib import Path

from kit.data.sources import load_splits
from kit.recipe.sections.data import DataSection

EN = ["a man walks", "two dogs run", "the girl reads a book", "children play"]
DE = ["ein Mann geht", "zwei Hunde rennen", "das Mädchen liest ein Buch", "Kinder spielen"]
PAIRS = list(zip(EN, DE, strict=True))


def write_lines(path: Path, lines: list[str]) -> Path:
    """Write a text file, compressed if its name ends in .gz."""
    text = "".join(f"{line}\n" for line in lines).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


def section(source: object, **keys: object) -> DataSection:
    """Return a data section for pairs in English and German."""
    return DataSection.model_validate(
        {"source": [str(s) for s in source] if isinstance(source, list) else str(source), "languages": ["en", "de"]}
        | keys
    )


def pairs_of(data: DataSection) -> list[tuple[str, str]]:
    """Return the pairs of train and test in the order of the source."""
    splits = load_splits(data)
    rows = [
        (row, texts[0], (labels or ("",))[0])
        for part in (splits.train, splits.test)
        for row, texts, labels in zip(part.ids, part.texts, part.labels, strict=True)
    ]
    return [(text, label) for _, text, label in sorted(rows)]


def corpus(folder: Path, pairs: list[tuple[str, str]], test: list[tuple[str, str]]) -> DataSection:
    """Write aligned files of both splits, and return their data section."""
    for name, part in (("train", pairs), ("test", test)):
        for place, language in enumerate(("en", "de")):
            write_lines(folder / f"{name}.{language}", [pair[place] for pair in part])
    return section(folder)


def sentences(count: int) -> list[tuple[str, str]]:
    """Return distinct pairs that are valid translations."""
    return [(f"number {i} has a brown dog", f"Nummer {i} hat einen braunen Hund") for i in range(count)]
