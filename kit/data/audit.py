"""Audit of the examples as read: drop unusable ones, and report every defect.

Empty and unlabelled examples are dropped from both splits. Duplicates, and texts that are also in test (even if they
differ in case, character width or spaces), are dropped from train. Test keeps its duplicates.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kit.data.balance import is_unbalanced
from kit.data.blank import is_blank
from kit.data.examples import Examples
from kit.data.label_words import listed, quoted
from kit.data.numbers import Distribution, values_of
from kit.data.sources import Splits
from kit.data.translation_checks import REASONS, copied_share, flaws, look_swapped
from kit.errors import DataError
from kit.runtime.quantities import percent

_MIN_DUPLICATE_SHARE = 0.01  # of rows: fewer duplicates get no warning
_MAX_COPIED_SHARE = 0.5  # of translations' words; on Multi30k, 5 % of the German words are in the English text
_DROPPED, _KEPT = "dropped", "kept"

Key = tuple[str, ...]


@dataclass(frozen=True)
class Audit:
    """Counts of rows; each dropped row is counted once, under the first reason that holds.

    Attributes:
        rows_train, rows_test: Rows as read.
        empty_train, empty_test: Rows with a blank text.
        unlabelled_train, unlabelled_test: Rows with text and without a label.
        leaked_exact: Training rows whose text is in test.
        leaked_normalised: Training rows whose text is in test only after `normalise`.
        duplicates_train: Rows with the text and label of an earlier row.
        conflicting_train: Rows with the text of an earlier row and another label; the earlier row stays.
        duplicates_test: Rows with the text of an earlier row; they are kept.
        labels_train, labels_test: Examples per label after cleaning.
        fingerprints: sha256 of train and test after cleaning.
        identical_train, length_ratio_train, wrong_script_train: Dropped pairs of parallel text, by the reasons of
            `translation_checks.flaws`.
        flawed_test: Test pairs with one of these flaws; they are kept.
        swapped: Each side of the parallel text looks like the language of the other side.
        copied: Share of the translations' words that are also in their source text.
        numbers_train, numbers_test: Distribution of the labels after cleaning, if they are numbers.
        notes: Assumptions, repairs and doubts from reading the data.
    """

    rows_train: int
    rows_test: int
    empty_train: int
    empty_test: int
    unlabelled_train: int
    unlabelled_test: int
    leaked_exact: int
    leaked_normalised: int
    duplicates_train: int
    conflicting_train: int
    duplicates_test: int
    labels_train: dict[str, int]
    labels_test: dict[str, int]
    fingerprints: dict[str, str]
    identical_train: int = 0
    length_ratio_train: int = 0
    wrong_script_train: int = 0
    flawed_test: int = 0
    swapped: bool = False
    copied: float = 0.0
    numbers_train: Distribution | None = None
    numbers_test: Distribution | None = None
    notes: tuple[str, ...] = ()

    @property
    def leaked(self) -> int:
        """Training rows that were dropped because their text is in test."""
        return self.leaked_exact + self.leaked_normalised

    def warnings(self) -> list[str]:
        """Return one sentence per defect that the user should know of; empty if there is none."""
        rows = [f"{sentence}: {outcome}" for sentence, outcome in self._row_defects()]
        return [*self.notes, *rows, *self._corpus_defects(), *self._balance_warnings(), *self._outlier_warnings()]

    def summary(self) -> str:
        """Return one line with the numbers of rows read and the reasons for dropping some."""
        reasons = [f"{sentence}: {outcome}" for sentence, outcome in self._row_defects() if outcome != _KEPT]
        return "; ".join([f"{self.rows_train:,} training and {self.rows_test:,} test examples were read", *reasons])

    def _row_defects(self) -> list[tuple[str, str]]:
        """Return a sentence per kind of defective rows, with `dropped` or `kept`."""
        defects: list[tuple[str, str]] = []
        if self.leaked:
            leaked = (
                f"{_count_words(self.leaked, 'training', 'is', plural='are')} also in test "
                f"({self.leaked_exact} exactly, {self.leaked_normalised} except for case or space)"
            )
            defects.append((leaked, f"{_DROPPED} from train"))
        if self.conflicting_train:
            repeat = _count_words(self.conflicting_train, "training", "repeats", plural="repeat")
            defects.append((f"{repeat} an earlier text with another label", _DROPPED))
        for split, count, rows, outcome in (
            ("training", self.duplicates_train, self.rows_train, _DROPPED),
            ("test", self.duplicates_test, self.rows_test, _KEPT),
        ):
            if count and count >= _MIN_DUPLICATE_SHARE * rows:
                defects.append((f"{_count_words(count, split, 'repeats', plural='repeat')} an earlier one", outcome))
        label = "no label" if self.labels_test or self.numbers_test else "no translation"
        for split, count, defect in (
            ("training", self.empty_train, "no text"),
            ("training", self.unlabelled_train, label),
            ("test", self.empty_test, "no text"),
            ("test", self.unlabelled_test, label),
            ("training", self.identical_train, "the same text on both sides"),
            ("training", self.length_ratio_train, "sides of very different length"),
            ("training", self.wrong_script_train, "letters of another script than the rest"),
        ):
            if count:
                defects.append((f"{_count_words(count, split, 'has', plural='have')} {defect}", _DROPPED))
        if self.flawed_test:
            flawed = _count_words(
                self.flawed_test, "test", "does not look like a translation", plural="do not look like translations"
            )
            defects.append((flawed, _KEPT))
        return defects

    def _corpus_defects(self) -> list[str]:
        """Return warnings about the parallel text as a whole."""
        warnings: list[str] = []
        if self.swapped:
            warnings.append(
                "source and target look swapped: each is in the script, or the words, of the other's language"
            )
        if self.copied > _MAX_COPIED_SHARE:
            warnings.append(
                f"{percent(self.copied)} of the translations' words are also in their source: "
                "are both sides in the same language?"
            )
        return warnings

    def _outlier_warnings(self) -> list[str]:
        """Return a warning about labels that are far from the others, if they are numbers."""
        warnings: list[str] = []
        for split, numbers in (("training", self.numbers_train), ("test", self.numbers_test)):
            if numbers and numbers.outliers:
                are = _count_words(numbers.outliers, split, "has", plural="have")
                warnings.append(f"{are} a label far from the others ({numbers.words}): check that it is right")
        return warnings

    def _balance_warnings(self) -> list[str]:
        """Return warnings about unbalanced classes and labels without a test example."""
        warnings: list[str] = []
        if not self.labels_train:
            return warnings
        most, least = (pick(self.labels_train, key=lambda k: self.labels_train[k]) for pick in (max, min))
        if is_unbalanced(list(self.labels_train.values())):
            warnings.append(
                f"classes are unbalanced: {quoted(most)} has {self.labels_train[most]} training examples, "
                f"{quoted(least)} has {self.labels_train[least]}; accuracy hides small classes, so "
                "macro_f1 is shown next to it; set `metric: macro_f1` to compare by it"
            )
        untested = [name for name, count in self.labels_test.items() if not count]
        if untested:
            warnings.append(f"no test example has {listed(untested)}")
        return warnings


def audit(
    splits: Splits, multi_label: bool, languages: tuple[str, str] | None = None, *, numbers: bool = False
) -> tuple[Splits, Audit]:
    """Return the splits without unusable examples, and the report on them.

    Args:
        splits: Train and test as read.
        multi_label: Whether an example can have several labels, or none.
        languages: Source and target language of parallel text, where a text may have several translations. None for
            texts with labels.
        numbers: Whether the labels are numbers.

    Raises:
        DataError: No example is left in test, in train, or for one of the labels in train.
    """
    test, empty_test, unlabelled_test = _usable(splits.test, multi_label)
    train, empty_train, unlabelled_train = _usable(splits.train, multi_label)
    test_keys = [normalise(texts) for texts in test.texts]
    exact, normalised = set(test.texts), set(test_keys)
    kept: list[int] = []
    reasons = _flaws(train) if languages else [None] * len(train)
    first_labels: dict[Key, frozenset[str]] = {}
    count: Counter[str] = Counter()
    for place, (texts, labels) in enumerate(zip(train.texts, train.labels, strict=True)):
        key = normalise(texts)
        if key in normalised:
            count["leaked_exact" if texts in exact else "leaked_normalised"] += 1
            continue
        if languages:
            key = (*key, *normalise(labels))
        if reasons[place] is not None:
            count[f"{reasons[place]}_train"] += 1
        elif key in first_labels:
            same = first_labels[key] == frozenset(labels)
            count["duplicates_train" if same else "conflicting_train"] += 1
        else:
            first_labels[key] = frozenset(labels)
            kept.append(place)
    cleaned = train.take(kept)
    report = Audit(
        rows_train=len(splits.train),
        rows_test=len(splits.test),
        empty_train=empty_train,
        empty_test=empty_test,
        unlabelled_train=unlabelled_train,
        unlabelled_test=unlabelled_test,
        leaked_exact=count["leaked_exact"],
        leaked_normalised=count["leaked_normalised"],
        duplicates_train=count["duplicates_train"],
        conflicting_train=count["conflicting_train"],
        duplicates_test=len(test_keys) - len(normalised),
        labels_train=_counts(cleaned, splits.labels),
        labels_test=_counts(test, splits.labels),
        fingerprints={"train": cleaned.fingerprint(), "test": test.fingerprint()},
        notes=splits.notes,
        **(_number_fields(cleaned, test) if numbers else {}),
        **(_pair_fields(cleaned, test, count, languages=languages) if languages else {}),
    )
    _require_examples(cleaned, test, splits, report=report)
    return replace(splits, train=cleaned, test=test), report


def _pair_fields(train: Examples, test: Examples, count: Counter[str], languages: tuple[str, str]) -> dict[str, Any]:
    """Return the fields of an Audit that only parallel text has."""
    counts: dict[str, Any] = {f"{reason}_train": count[f"{reason}_train"] for reason in REASONS}
    sides = [texts[0] for texts in train.texts], [labels[0] for labels in train.labels]
    return {
        **counts,
        "flawed_test": sum(reason is not None for reason in _flaws(test)),
        "swapped": look_swapped(*sides, languages),
        "copied": copied_share(*sides),
    }


def _number_fields(train: Examples, test: Examples) -> dict[str, Any]:
    """Return the fields of an Audit that only numbers have; nothing for a split without an example."""
    parts = {"numbers_train": values_of(train.labels), "numbers_test": values_of(test.labels)}
    return {name: Distribution.of(values) for name, values in parts.items() if len(values)}


def _flaws(examples: Examples) -> list[str | None]:
    return flaws([texts[0] for texts in examples.texts], [labels[0] for labels in examples.labels])


def normalise(texts: Sequence[str]) -> Key:
    """Return texts without differences in Unicode form, case and white space."""
    return tuple(
        " ".join((text if text.isascii() else unicodedata.normalize("NFKC", text)).casefold().split()) for text in texts
    )


def _usable(examples: Examples, multi_label: bool) -> tuple[Examples, int, int]:
    """Return the examples with text and label, and the numbers of rows that lack a text or only the label."""
    full = np.asarray([not any(map(is_blank, texts)) for texts in examples.texts], bool)
    labelled = np.asarray([multi_label or bool(labels) for labels in examples.labels], bool)
    usable = examples.take(np.flatnonzero(full & labelled))
    return usable, int((~full).sum()), int((full & ~labelled).sum())


def _require_examples(train: Examples, test: Examples, splits: Splits, report: Audit) -> None:
    """Raise DataError if no example is left in test, in train, or for one of the labels in train."""
    if not len(test):
        raise DataError(
            "no test example is left once empty and unlabelled ones are dropped", report.summary(), key="data.source"
        )
    if not len(train):
        raise DataError(
            "no training example is left once unusable ones are dropped", report.summary(), key="data.source"
        )
    counts, before = _counts(train, splits.labels), _counts(splits.train, splits.labels)
    lost = [name for name in splits.labels if not counts[name]]
    if lost:
        raise DataError(
            f"no training example is left for {listed(lost)} once unusable ones are dropped",
            f"{'its' if len(lost) == 1 else 'their'} {sum(before[name] for name in lost)} rows are empty, repeated, "
            "or in test as well",
            key="data.source",
        )


def _counts(examples: Examples, labels: Sequence[str]) -> dict[str, int]:
    counts = Counter(name for names in examples.labels for name in names)
    return {name: counts[name] for name in labels}


def _count_words(count: int, split: str, singular: str, plural: str) -> str:
    """Return `1 training example is` or `7 training examples are`."""
    return f"{count} {split} example {singular}" if count == 1 else f"{count} {split} examples {plural}"
