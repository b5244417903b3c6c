"""The audit: what is wrong with the examples as read, and the examples without it.

Examples that cannot be learnt from (empty, unlabelled) are dropped, and from train also repetitions and every text
that is in test, whether written alike or only differing in case, width or space. Test keeps its repetitions.

Knows texts and label names. Knows nothing of budgets, seeds, files or models.
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
from kit.data.sources import Splits
from kit.data.translation_checks import REASONS, copied_share, flaws, look_swapped
from kit.errors import DataError
from kit.runtime.quantities import percent

_NOTABLE = 0.01  # share of repeated rows from which they are worth a warning
_COPIED = 0.5  # of translations' words; on Multi30k, 5 % of the German ones stand in the English text as well
_DROPPED, _KEPT = "dropped", "kept"  # what became of rows

Key = tuple[str, ...]


@dataclass(frozen=True)
class Audit:
    """Counts of rows; each dropped row is counted once, under the first reason in this order.

    rows_*: as read. empty_*: some text is blank. unlabelled_*: no label. leaked_exact, leaked_normalised: training rows
    whose text is in test, as it is or once normalised. duplicates_train: the text and label of an earlier row.
    conflicting_train: an earlier row's text with another label (the earlier one stays). duplicates_test: kept.
    labels_*: examples of each label after cleaning. fingerprints: sha256 of train and test after cleaning.
    Of parallel text: identical_*, length_ratio_*, wrong_script_*: pairs that are no translations, see `pairs`; dropped
    from train, and kept in test (flawed_test). swapped: each side is in the script, or the words, of the other's
    language.
    copied: share of the translations' words that stand in their source. notes: what was assumed, repaired or looks
    wrong while the data were read.
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
    notes: tuple[str, ...] = ()

    @property
    def leaked(self) -> int:
        """Training rows that were dropped because their text is in test."""
        return self.leaked_exact + self.leaked_normalised

    def warnings(self) -> list[str]:
        """What a user should know, one plain sentence each; empty if all is well."""
        rows = [f"{sentence}: {fate}" for sentence, fate in self._rows()]
        return [*self.notes, *rows, *self._looks(), *self._balance()]

    def fates(self) -> str:
        """How many rows were read and why any were dropped, in one line."""
        reasons = [f"{sentence}: {fate}" for sentence, fate in self._rows() if fate != _KEPT]
        return "; ".join([f"{self.rows_train:,} training and {self.rows_test:,} test examples were read", *reasons])

    def _rows(self) -> list[tuple[str, str]]:
        """What was wrong with rows, and whether they were dropped."""
        found: list[tuple[str, str]] = []
        if self.leaked:
            leaked = (
                f"{_say(self.leaked, 'training', 'is', 'are')} also in test ({self.leaked_exact} exactly, "
                f"{self.leaked_normalised} but for case or space)"
            )
            found.append((leaked, f"{_DROPPED} from train"))
        if self.conflicting_train:
            repeat = _say(self.conflicting_train, "training", "repeats", "repeat")
            found.append((f"{repeat} an earlier text with another label", _DROPPED))
        for split, count, rows, fate in (
            ("training", self.duplicates_train, self.rows_train, _DROPPED),
            ("test", self.duplicates_test, self.rows_test, _KEPT),
        ):
            if count and count >= _NOTABLE * rows:
                found.append((f"{_say(count, split, 'repeats', 'repeat')} an earlier one", fate))
        label = "no label" if self.labels_test else "no translation"
        for split, count, what in (
            ("training", self.empty_train, "no text"),
            ("training", self.unlabelled_train, label),
            ("test", self.empty_test, "no text"),
            ("test", self.unlabelled_test, label),
            ("training", self.identical_train, "both sides alike"),
            ("training", self.length_ratio_train, "sides of very different length"),
            ("training", self.wrong_script_train, "letters of another script than the rest"),
        ):
            if count:
                found.append((f"{_say(count, split, 'has', 'have')} {what}", _DROPPED))
        if self.flawed_test:
            found.append((f"{_say(self.flawed_test, 'test', 'looks', 'look')} like no translation", _KEPT))
        return found

    def _looks(self) -> list[str]:
        """What is odd about all pairs together."""
        found: list[str] = []
        if self.swapped:
            found.append("source and target look swapped: each is in the script, or the words, of the other's language")
        if self.copied > _COPIED:
            found.append(
                f"{percent(self.copied)} of the translations' words stand in their source: "
                "are both sides of one language?"
            )
        return found

    def _balance(self) -> list[str]:
        found: list[str] = []
        if not self.labels_train:
            return found
        most, least = (pick(self.labels_train, key=lambda k: self.labels_train[k]) for pick in (max, min))
        if is_unbalanced(list(self.labels_train.values())):
            found.append(
                f"classes are unbalanced: {quoted(most)} has {self.labels_train[most]} training examples, "
                f"{quoted(least)} has {self.labels_train[least]}; accuracy hides small classes, so "
                "macro_f1 is shown beside it, and `metric: macro_f1` decides by it"
            )
        untested = [name for name, count in self.labels_test.items() if not count]
        if untested:
            found.append(f"no test example has {listed(untested)}")
        return found


def audit(splits: Splits, multi_label: bool, languages: tuple[str, str] | None = None) -> tuple[Splits, Audit]:
    """The splits without what cannot be used, and an account of it.

    languages: of parallel text, in which a text may well have several translations. Raises DataError if nothing is left
    of test, or of some label in train.
    """
    test, empty_test, unlabelled_test = _usable(splits.test, multi_label)
    train, empty_train, unlabelled_train = _usable(splits.train, multi_label)
    test_keys = [normalise(texts) for texts in test.texts]
    exact, normalised = set(test.texts), set(test_keys)
    kept: list[int] = []
    flawed = _flaws(train) if languages else [None] * len(train)
    first_labels: dict[Key, frozenset[str]] = {}
    count: Counter[str] = Counter()
    for place, (texts, labels) in enumerate(zip(train.texts, train.labels, strict=True)):
        key = normalise(texts)
        if key in normalised:
            count["leaked_exact" if texts in exact else "leaked_normalised"] += 1
            continue
        if languages:
            key = (*key, *normalise(labels))
        if flawed[place] is not None:
            count[f"{flawed[place]}_train"] += 1
        elif key in first_labels:
            same = first_labels[key] == frozenset(labels)
            count["duplicates_train" if same else "conflicting_train"] += 1
        else:
            first_labels[key] = frozenset(labels)
            kept.append(place)
    cleaned = train.take(kept)
    account = Audit(
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
        **(_of_pairs(cleaned, test, count, languages) if languages else {}),
    )
    _require_all(cleaned, test, splits, account)
    return replace(splits, train=cleaned, test=test), account


def _of_pairs(train: Examples, test: Examples, count: Counter[str], languages: tuple[str, str]) -> dict[str, Any]:
    counts: dict[str, Any] = {f"{reason}_train": count[f"{reason}_train"] for reason in REASONS}
    sides = [texts[0] for texts in train.texts], [labels[0] for labels in train.labels]
    return {
        **counts,
        "flawed_test": sum(reason is not None for reason in _flaws(test)),
        "swapped": look_swapped(*sides, languages),
        "copied": copied_share(*sides),
    }


def _flaws(examples: Examples) -> list[str | None]:
    return flaws([texts[0] for texts in examples.texts], [labels[0] for labels in examples.labels])


def normalise(texts: Sequence[str]) -> Key:
    """Texts without differences of Unicode form, case and white space."""
    return tuple(
        " ".join((text if text.isascii() else unicodedata.normalize("NFKC", text)).casefold().split()) for text in texts
    )


def _usable(examples: Examples, multi_label: bool) -> tuple[Examples, int, int]:
    """Examples with text and label, and how many had no text, or text but no label."""
    full = np.asarray([not any(map(is_blank, texts)) for texts in examples.texts], bool)
    labelled = np.asarray([multi_label or bool(labels) for labels in examples.labels], bool)
    usable = examples.take(np.flatnonzero(full & labelled))
    return usable, int((~full).sum()), int((full & ~labelled).sum())


def _require_all(train: Examples, test: Examples, splits: Splits, account: Audit) -> None:
    if not len(test):
        raise DataError(
            "no test example is left once empty and unlabelled ones are dropped", account.fates(), key="data.source"
        )
    if not len(train):
        raise DataError(
            "no training example is left once unusable ones are dropped", account.fates(), key="data.source"
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


def _say(count: int, split: str, one: str, many: str) -> str:
    """`1 training example is`, `7 training examples are`."""
    return f"{count} {split} example {one}" if count == 1 else f"{count} {split} examples {many}"
