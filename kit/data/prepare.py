"""From a data section to what a run works on: load, audit, draw the budget, hold out validation, in this order.

Knows the order of these steps. Knows nothing of formats, tokenizers or models.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kit.data.audit import Audit, audit, normalise
from kit.data.budget import hold_out, hold_out_sources, keep_covered, nested_budget, primary_class
from kit.data.examples import Examples
from kit.data.labels import encode_labels
from kit.data.sources import Splits, load_splits
from kit.recipe.sections.data import MAX_VALIDATION_EXAMPLES, VALIDATION_SHARE, DataSection


@dataclass(frozen=True)
class Prepared:
    """Everything a run may look at.

    labels: label names in the order of class indices. train, validation: the budget, in budget order; no source of
    parallel text is in both. pool: training examples outside the budget, whose labels must not be read (of parallel
    text without the sources that validate). test: only for the final figures.
    splits: the whole cleaned splits with columns and description. fingerprints: sha256 of train, validation and test.
    """

    labels: tuple[str, ...]
    multi_label: bool
    train: Examples
    validation: Examples
    pool: Examples
    test: Examples
    audit: Audit
    splits: Splits
    fingerprints: dict[str, str]


@dataclass(frozen=True)
class Cleaned:
    """What does not depend on budget or seed: the splits without what the audit dropped."""

    splits: Splits
    audit: Audit


def clean(data: DataSection) -> Cleaned:
    """Load and audit the data. Raises DataError."""
    languages = None if data.languages is None else data.language_pair
    return Cleaned(*audit(load_splits(data), data.multi_label, languages))


def prepare(data: DataSection, seed: int, cleaned: Cleaned | None = None) -> Prepared:
    """Load and audit the data (unless that is done) and draw the labelled budget.

    seed: of the budget; the test examples do not depend on it. Raises DataError or BudgetError.
    """
    cleaned = cleaned or clean(data)
    splits, account = cleaned.splits, cleaned.audit
    if data.languages is None:
        targets = encode_labels(splits.train.labels, splits.labels, data.multi_label)
    else:
        targets = np.zeros(len(splits.train), np.int64)  # translations are of no class
    classes = primary_class(targets) if data.multi_label else targets
    several = targets if data.multi_label else None
    order = nested_budget(classes, data.budget, seed, several, data.sampling == "balanced")
    share, most = (VALIDATION_SHARE, MAX_VALIDATION_EXAMPLES) if data.validation is None else (data.validation, None)
    pool = np.setdiff1d(np.arange(len(splits.train)), order)
    if data.languages is None:
        kept, held = hold_out(classes[order], share, most)
    else:  # a text may have several translations
        sources = [normalise(texts) for texts in splits.train.texts]
        kept, held = hold_out_sources([sources[place] for place in order], share, most)
        validates = {sources[place] for place in order[held]}
        pool = np.asarray([place for place in pool if sources[place] not in validates], np.int64)
    if data.multi_label:
        kept, held = keep_covered(targets[order], kept, held)
    train, validation = splits.train.take(order[kept]), splits.train.take(order[held])
    return Prepared(
        labels=splits.labels,
        multi_label=data.multi_label,
        train=train,
        validation=validation,
        pool=splits.train.take(pool),
        test=splits.test,
        audit=account,
        splits=splits,
        fingerprints={
            "train": train.fingerprint(),
            "validation": validation.fingerprint(),
            "test": account.fingerprints["test"],
        },
    )
