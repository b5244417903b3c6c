"""The transfer set: the texts that a student is distilled on, by default budget and pool, whose labels are not read.

Knows texts. Knows nothing of tokenizers, models or losses.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kit.data.audit import normalise
from kit.data.columns import require_columns
from kit.data.examples import Examples
from kit.data.locate import HubData, locate
from kit.data.prepare import Prepared
from kit.data.readers import data_format, read_table
from kit.data.table import is_missing
from kit.errors import DataError
from kit.recipe.distilling import AugmentSection, DistillSection

Texts = list[tuple[str, ...]]
MASK = "\ufffc"  # stands for a masked word until a tokenizer's own mask takes its place


@dataclass(frozen=True)
class TransferSet:
    """Texts to distil on; the first `labelled` of them are the budget's training examples, in their order.

    pool, extra, augmented: how many come from the pool, from other files, from augmentation.
    dropped: of the other files, how many were empty, repeated, or are in test.
    """

    texts: Texts
    labelled: int
    pool: int
    extra: int
    augmented: int
    dropped: int

    def __len__(self) -> int:
        return len(self.texts)

    def fingerprint(self) -> str:
        """sha256 over the texts in order."""
        digest = hashlib.sha256()
        for row in self.texts:
            digest.update(repr(row).encode())
        return digest.hexdigest()


def transfer_set(section: DistillSection, data: Prepared, seed: int) -> TransferSet:
    """The texts that a recipe's distill section names, over data that are prepared.

    seed: of the pool's texts, if only some are taken, and of augmentation. Raises DataError for files that cannot be
    read or hold no usable text, and if there is no text at all.
    """
    texts = list(data.train.texts)
    pool = _from_pool(data.pool, section.pool, seed)
    extra, dropped = _from_files(section, data, pool) if section.texts is not None else ([], 0)
    texts += pool + extra
    if not texts:
        raise DataError("distill: there is no text to distil on", "raise data.budget, or name files in distill.texts")
    changed = augmented(texts, section.augment, seed)
    return TransferSet(texts + changed, len(data.train), len(pool), len(extra), len(changed), dropped)


def augmented(texts: Texts, section: AugmentSection, seed: int) -> Texts:
    """Copies of the texts in which about `share` of the words, one at least, are masked; one after the other copy."""
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
    # A prefix of one order, so that a smaller share of the pool is part of a larger one.
    order = np.random.default_rng((seed, 1)).permutation(len(pool))[:most]
    return [pool.texts[index] for index in order]


def _from_files(section: DistillSection, data: Prepared, pool: Texts) -> tuple[Texts, int]:
    """The usable texts of the recipe's own files, each once, and how many were not usable."""
    assert section.texts is not None
    rows = [row for name in _names(section.texts) for row in _read(name, data.splits.text_columns)]
    known = {
        normalise(row) for part in (data.test.texts, data.train.texts, data.validation.texts, pool) for row in part
    }
    usable: Texts = []
    for row in rows:
        key = normalise(row)
        if all(part.strip() for part in row) and key not in known:
            known.add(key)
            usable.append(row)
    if not usable:
        raise DataError(
            f"distill.texts: none of the {len(rows)} texts can be used: all are empty, repeated or in the data",
            "name files with other texts, or drop distill.texts",
        )
    return usable, len(rows) - len(usable)


def _names(texts: str | Sequence[str]) -> list[str]:
    return [texts] if isinstance(texts, str) else list(texts)


def _read(name: str, columns: tuple[str, ...]) -> Texts:
    path = Path(name).expanduser()
    if path.suffix == ".txt":
        if len(columns) > 1:
            raise DataError(f"distill.texts: {name} has one text a line, the data have pairs", "name a table")
        try:
            return [(line,) for line in path.read_text("utf-8").splitlines()]
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise DataError(f"distill.texts: {name} cannot be read: {reason}") from error
    found = locate(name, "distill.texts")
    if isinstance(found, HubData) or list(found.splits) != [""]:
        raise DataError(f"distill.texts: {name} is not a file", "name .txt files or tables")
    rows: Texts = []
    for file in found.splits[""]:
        if data_format(file) is None:
            raise DataError(f"distill.texts: {file} is of no kind that kit reads", "name .txt files or tables")
        table = read_table(file)
        require_columns(columns, table, "distill.texts", str(file))
        cells = [["" if is_missing(value) else str(value) for value in table.columns[column]] for column in columns]
        rows += list(zip(*cells, strict=True))
    return rows
