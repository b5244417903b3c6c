"""Transfer set: the unlabelled texts that a student is distilled on, by default the budget and the pool."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from kit.data.audit import Key, normalise
from kit.data.blank import is_blank
from kit.data.columns import require_columns
from kit.data.examples import Examples
from kit.data.locate import Files, locate
from kit.data.prepare import Prepared
from kit.data.readers import data_format, read_table
from kit.data.reading import Reading
from kit.data.table import is_missing
from kit.data.text_files import read_lines
from kit.errors import DataError, errors_about
from kit.recipe import Recipe
from kit.recipe.sections.data import TargetKind
from kit.recipe.sections.distillation import AugmentSection, DistillSection

Texts = list[tuple[str, ...]]
_USUAL_LENGTHS = (0.05, 0.95)  # quantiles of the texts' lengths; shorter and longer sentences are left out
# Punctuation that ends a sentence, with a space in scripts that have spaces; line ends, also of HTML.
_SENTENCE_END = re.compile(r"(?<=[.!?…])\s+|(?<=[。！？])\s*|\n+|<br\s*/?>")
MASK = "\ufffc"  # a masked word, until the tokenizer's mask token replaces it


@dataclass(frozen=True)
class TransferSet:
    """Texts to distil on, in the order budget, pool, other files, augmentation.

    Attributes:
        texts: Texts or text pairs.
        labelled: Number of training examples of the budget.
        pool: Number of texts from the pool.
        extra: Number of texts from other files.
        augmented: Number of texts from augmentation.
        dropped: Number of texts of other files that are empty, repeated or in the data, and left out.
    """

    texts: Texts
    labelled: int
    pool: int
    extra: int
    augmented: int
    dropped: int

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def extra_texts(self) -> Texts:
        """Texts from other files."""
        start = self.labelled + self.pool
        return self.texts[start : start + self.extra]

    def fingerprint(self) -> str:
        """Return the sha256 of the texts in order."""
        digest = hashlib.sha256()
        for row in self.texts:
            digest.update(repr(row).encode())
        return digest.hexdigest()


def transfer_set(section: DistillSection, data: Prepared, seed: int) -> TransferSet:
    """Return the texts that a recipe's distill section selects.

    Args:
        section: Distill section of the recipe.
        data: Prepared data.
        seed: Seed of augmentation, and of the selection of texts and sentences if not all are used.

    Raises:
        DataError: A file cannot be read or has no usable text, or there is no text at all.
    """
    texts = list(data.train.texts)
    pool = _from_pool(data.pool, section.pool, seed)
    extra, dropped = [], 0  # type: Texts, int
    if section.texts is not None:
        extra, dropped = _from_files(_names(section.texts), section, data, pool=pool, seed=seed)
    texts += pool + extra
    if not texts:
        raise DataError("distill: there is no text to distil on", "raise data.budget, or name files in distill.texts")
    changed = augmented(texts, section.augment, seed)
    return TransferSet(texts + changed, len(data.train), len(pool), len(extra), len(changed), dropped)


def distilled_on(recipe: Recipe, data: Prepared) -> TransferSet | None:
    """Return the texts that a student was distilled on; None for translation, and if no text is from a file.

    The whole pool is included, so that a text of the pool does not count as a text from a file.

    Raises:
        DataError: The files no longer exist.
    """
    if (
        recipe.rules.targets is TargetKind.REFERENCES
        or recipe.method not in ("distill", "student")
        or recipe.distill.texts is None
    ):
        return None
    return transfer_set(recipe.distill.model_copy(update={"pool": None}), data, recipe.train.seed)


def augmented(texts: Texts, section: AugmentSection, seed: int) -> Texts:
    """Return `copies` masked copies of all texts, each with about `share` of its words masked, at least one."""
    random = np.random.default_rng((seed, 2))
    return [tuple(_masked(text, section.share, random) for text in row) for _ in range(section.copies) for row in texts]


def _masked(text: str, share: float, random: np.random.Generator) -> str:
    words = text.split()
    if not words:
        return text
    hidden = random.random(len(words)) < share
    hidden[random.integers(len(words))] |= not hidden.any()
    return " ".join(MASK if hide else word for word, hide in zip(words, hidden, strict=True))


def _from_pool(pool: Examples, most: int | None, seed: int) -> Texts:
    if most is None or most >= len(pool):
        return list(pool.texts)
    # A prefix of one order, so that a smaller share of the pool is a subset of a larger one.
    order = np.random.default_rng((seed, 1)).permutation(len(pool))[:most]
    return [pool.texts[index] for index in order]


def _from_files(
    files: list[str], section: DistillSection, data: Prepared, *, pool: Texts, seed: int
) -> tuple[Texts, int]:
    """Return the distinct usable texts of the recipe's files, or their sentences, and the number of other texts."""
    rows = [row for name in files for row in _read(name, data.splits.text_columns, data.splits.reading)]
    known = {
        normalise(row) for part in (data.test.texts, data.train.texts, data.validation.texts, pool) for row in part
    }
    usable: Texts = []
    keys = set(known)
    for row in rows:
        key = normalise(row)
        if not any(map(is_blank, row)) and key not in keys:
            keys.add(key)
            usable.append(row)
    if not usable:
        raise DataError(
            f"none of the {len(rows)} texts can be used: all are empty, repeated or in the data",
            "name files with other texts, or drop distill.texts",
            key="distill.texts",
        )
    dropped = len(rows) - len(usable)
    if section.sentences is not None:
        # A longer text may quote a sentence of the test or validation texts.
        known |= {normalise((piece,)) for row in data.test.texts + data.validation.texts for piece in _cut(row)}
        usable = _sentences(usable, data.train.texts + pool, section.sentences, known, seed)
    return usable, dropped


def _sentences(texts: Texts, like: Texts, most: int, known: set[Key], seed: int) -> Texts:
    """Return at most `most` random sentences of texts.

    Args:
        texts: Texts to split into sentences.
        like: Texts whose lengths, without the shortest and longest 5 %, are the range of lengths of the sentences.
        most: Number of sentences.
        known: Normalized texts to leave out.
        seed: Seed of the selection.

    Raises:
        DataError: The texts are pairs, or no sentence has a length in the range.
    """
    if len(texts[0]) > 1:
        raise DataError(
            "the data have text pairs, which cannot be cut", "drop distill.sentences", key="distill.sentences"
        )
    shortest, longest = np.quantile([len(row[0].split()) for row in like or texts], _USUAL_LENGTHS)
    pieces = dict.fromkeys(piece for row in texts for piece in _cut(row))
    sentences = [(piece,) for piece in pieces if shortest <= len(piece.split()) <= longest]
    sentences = [row for row in sentences if normalise(row) not in known]
    if not sentences:
        raise DataError(
            f"no sentence of distill.texts has {shortest:.0f} to {longest:.0f} words, like 90 % of the data's texts",
            "drop distill.sentences to use the texts whole",
            key="distill.sentences",
        )
    return [sentences[index] for index in np.random.default_rng((seed, 4)).permutation(len(sentences))[:most]]


def _cut(row: tuple[str, ...]) -> list[str]:
    return [piece.strip() for piece in _SENTENCE_END.split(row[0])]


def _names(texts: str | Sequence[str]) -> list[str]:
    return [texts] if isinstance(texts, str) else list(texts)


def _read(name: str, columns: tuple[str, ...], options: Reading) -> Texts:
    reading = replace(options, columns=columns)
    path = Path(name).expanduser()
    plain = path.is_file() and data_format(path) is None and path.suffix != ".tmx"
    if plain or path.name.removesuffix(".gz").endswith(".txt"):
        if len(columns) > 1:
            raise DataError(
                f"{name} has one text per line, the data have text pairs", "name a table", key="distill.texts"
            )
        with errors_about("distill.texts"):
            return [(line,) for line in read_lines(path, reading)]
    source = locate(name, "distill.texts")
    if not isinstance(source, Files) or list(source.splits) != [""]:
        raise DataError(f"{name} is not a file", "name .txt files or tables", key="distill.texts")
    rows: Texts = []
    for file in source.splits[""]:
        if data_format(file) is None:
            raise DataError(
                f"{file} is not in a format that kit reads", "name .txt files or tables", key="distill.texts"
            )
        table = read_table(file, reading)
        require_columns(columns, table, "distill.texts", str(file))
        cells = [["" if is_missing(value) else str(value) for value in table.columns[column]] for column in columns]
        rows += list(zip(*cells, strict=True))
    return rows
