"""Preparation of a run's data: load, audit, draw the budget, hold out validation."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from kit.data.audit import Audit, audit, normalise
from kit.data.budget import hold_out, hold_out_sources, keep_covered, nested_budget, primary_class
from kit.data.examples import Examples
from kit.data.labels import encode_labels
from kit.data.numbers import strata, values_of
from kit.data.sources import Splits, load_splits
from kit.recipe.sections.data import MAX_VALIDATION_EXAMPLES, VALIDATION_SHARE, DataSection, TargetKind

_IDLE_SAMPLING = (
    "data.sampling: balanced has no effect without data.budget: all training examples are used; set data.budget, or "
    "leave it out"
)


@dataclass(frozen=True)
class Prepared:
    """Data of a run.

    Attributes:
        labels: Names of the outputs of a model: label names in the order of class indices, the column of numbers, or
            nothing for parallel text.
        multi_label: Whether an example can have several labels.
        train: Training examples of the budget, in budget order.
        validation: Validation examples of the budget. No source text of parallel text is in both.
        pool: Training examples outside the budget, whose labels must not be read. In parallel text, without the source
            texts of validation.
        test: Test examples, only for the final scores.
        audit: Report on unusable examples.
        splits: All cleaned examples, with the columns and a description of the data.
        fingerprints: sha256 of train, validation and test.
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
    """Audited splits, which do not depend on the budget or the seed."""

    splits: Splits
    audit: Audit


def clean(data: DataSection) -> Cleaned:
    """Load and audit the data. Raise DataError if that fails."""
    languages = data.language_pair if data.targets is TargetKind.REFERENCES else None
    return Cleaned(*audit(load_splits(data), data.multi_label, languages, numbers=data.targets is TargetKind.NUMBERS))


def prepare(data: DataSection, seed: int, cleaned: Cleaned | None = None) -> Prepared:
    """Load and audit the data, draw the labelled budget and hold out validation examples.

    Args:
        data: Data section of the recipe.
        seed: Seed of the budget. The test examples do not depend on it.
        cleaned: Result of `clean` for the same data. None: load and audit the data.

    Raises:
        DataError: The data cannot be read, or have unusable labels.
        BudgetError: The budget is too small to cover every class, or too large.
    """
    cleaned = cleaned or clean(data)
    splits, report = cleaned.splits, cleaned.audit
    if data.sampling == "balanced" and data.budget is None:
        report = replace(report, notes=(*report.notes, _IDLE_SAMPLING))
    targets = _targets(splits, data)
    classes = primary_class(targets) if data.multi_label else targets
    several = targets if data.multi_label else None
    covered = data.targets is not TargetKind.NUMBERS
    order = nested_budget(
        classes, data.budget, seed, targets=several, balanced=data.sampling == "balanced", covered=covered
    )
    share, most = (VALIDATION_SHARE, MAX_VALIDATION_EXAMPLES) if data.validation is None else (data.validation, None)
    pool = np.setdiff1d(np.arange(len(splits.train)), order)
    if data.targets is not TargetKind.REFERENCES:
        kept, held = hold_out(classes[order], share, most)
    else:  # a text may have several translations
        sources = [normalise(texts) for texts in splits.train.texts]
        kept, held = hold_out_sources([sources[place] for place in order], share, most)
        held_sources = {sources[place] for place in order[held]}
        pool = np.asarray([place for place in pool if sources[place] not in held_sources], np.int64)
    if data.multi_label:
        kept, held = keep_covered(targets[order], kept, held)
    train, validation = splits.train.take(order[kept]), splits.train.take(order[held])
    return Prepared(
        labels=splits.label_columns if data.targets is TargetKind.NUMBERS else splits.labels,
        multi_label=data.multi_label,
        train=train,
        validation=validation,
        pool=splits.train.take(pool),
        test=splits.test,
        audit=report,
        splits=splits,
        fingerprints={
            "train": train.fingerprint(),
            "validation": validation.fingerprint(),
            "test": report.fingerprints["test"],
        },
    )


def _targets(splits: Splits, data: DataSection) -> np.ndarray:
    """Return the classes by which training examples are stratified: (n,), or (n, labels) of 0 and 1 if multi-label."""
    match data.targets:
        case TargetKind.LABELS:
            return encode_labels(splits.train.labels, splits.labels, data.multi_label)
        case TargetKind.NUMBERS:
            return strata(values_of(splits.train.labels))
        case TargetKind.REFERENCES:
            return np.zeros(len(splits.train), np.int64)  # translations have no classes
