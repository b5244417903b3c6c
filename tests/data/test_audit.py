"""Counts, warnings and errors of the audit."""

from dataclasses import asdict

import numpy as np
import pytest

from kit.data.audit import audit, normalise
from kit.data.examples import Examples
from kit.data.sources import Splits
from kit.errors import DataError


def examples(*rows: tuple[str, str]) -> Examples:
    """Return examples from rows of (text, labels joined by +)."""
    labels = [tuple(names.split("+")) if names else () for _, names in rows]
    return Examples(np.arange(len(rows)), [(text,) for text, _ in rows], labels)


def splits(train: Examples, test: Examples) -> Splits:
    return Splits(train, test, ("neg", "pos"), ("text",), "label", "a description")


TEST = examples(("seen", "pos"), ("Also  Seen", "neg"), ("seen", "pos"))
TRAIN = examples(
    ("one", "pos"),  # 0 kept
    ("seen", "pos"),  # exact leak
    ("also seen", "neg"),  # leak once normalised
    ("ONE ", "pos"),  # duplicate
    ("one", "neg"),  # conflict
    ("  ", "pos"),  # empty
    ("two", ""),  # unlabelled
    ("three", "neg"),  # 7 kept
)


def test_unusable_training_rows_are_counted_once_and_dropped() -> None:
    cleaned, report = audit(splits(TRAIN, TEST), multi_label=False)
    assert list(cleaned.train.ids) == [0, 7]
    assert list(cleaned.test.ids) == [0, 1, 2]
    counts = asdict(report)
    fingerprints = counts.pop("fingerprints")
    assert counts == {
        "rows_train": 8, "rows_test": 3, "empty_train": 1, "empty_test": 0, "unlabelled_train": 1, "unlabelled_test": 0,
        "leaked_exact": 1, "leaked_normalised": 1, "duplicates_train": 1, "conflicting_train": 1, "duplicates_test": 1,
        "labels_train": {"neg": 1, "pos": 1}, "labels_test": {"neg": 1, "pos": 2},
        "identical_train": 0, "length_ratio_train": 0, "wrong_script_train": 0, "flawed_test": 0,
        "swapped": False, "copied": 0.0, "numbers_train": None, "numbers_test": None, "notes": (),
    }  # fmt: skip
    assert fingerprints == {"train": cleaned.train.fingerprint(), "test": cleaned.test.fingerprint()}


def test_warnings_are_one_sentence_per_defect() -> None:
    _, report = audit(splits(TRAIN, TEST), multi_label=False)
    assert report.warnings() == [
        "2 training examples are also in test (1 exactly, 1 except for case or space): dropped from train",
        "1 training example repeats an earlier text with another label: dropped",
        "1 training example repeats an earlier one: dropped",
        "1 test example repeats an earlier one: kept",
        "1 training example has no text: dropped",
        "1 training example has no label: dropped",
    ]


def test_clean_data_have_no_warnings() -> None:
    clean = splits(examples(("a", "pos"), ("b", "neg")), examples(("c", "pos"), ("d", "neg")))
    cleaned, report = audit(clean, multi_label=False)
    assert report.warnings() == []
    assert len(cleaned.train) == 2


def test_unbalanced_classes_and_untested_labels_are_warnings() -> None:
    many = [(f"text {i}", "pos") for i in range(11)]
    _, report = audit(splits(examples(*many, ("b", "neg")), examples(("c", "pos"))), multi_label=False)
    assert report.warnings() == [
        "classes are unbalanced: 'pos' has 11 training examples, 'neg' has 1; accuracy hides small classes, so "
        "macro_f1 is shown next to it; set `metric: macro_f1` to compare by it",
        "no test example has 'neg'",
    ]


def test_multi_label_audit_keeps_unlabelled_rows_and_ignores_label_order() -> None:
    train = examples(("a", ""), ("b", "pos+neg"), ("b", "neg+pos"))
    cleaned, report = audit(splits(train, examples(("c", "pos"))), multi_label=True)
    assert list(cleaned.train.ids) == [0, 1]
    assert (report.duplicates_train, report.conflicting_train, report.unlabelled_train) == (1, 0, 0)
    assert report.labels_train == {"neg": 1, "pos": 1}


def test_class_without_usable_training_example_is_an_error() -> None:
    with pytest.raises(DataError) as caught:
        audit(splits(examples(("a", "pos"), ("seen", "neg")), TEST), multi_label=False)
    assert caught.value.message == ("data.source: no training example is left for 'neg' once unusable ones are dropped")
    assert caught.value.hint == "its 1 rows are empty, repeated, or in test as well"


def test_test_split_of_empty_texts_is_an_error() -> None:
    with pytest.raises(DataError, match="no test example is left") as caught:
        audit(splits(TRAIN, examples(("", "pos"))), multi_label=False)
    assert "1 test examples were read" in str(caught.value.hint)
    assert "1 test example has no text: dropped" in str(caught.value.hint)


def test_train_split_of_untranslated_pairs_is_an_error() -> None:
    same = [("a dog runs here", "a dog runs here"), ("two cats sleep there", "two cats sleep there")]
    with pytest.raises(DataError, match="no training example is left") as caught:
        audit(splits(examples(*same), examples(("a man", "ein Mann"))), multi_label=False, languages=("en", "de"))
    assert caught.value.hint == (
        "2 training and 1 test examples were read; 2 training examples have the same text on both sides: dropped"
    )


def test_text_pair_leaks_only_if_both_texts_are_in_test() -> None:
    def pairs(*rows: tuple[str, str]) -> Examples:
        return Examples(np.arange(len(rows)), list(rows), [("neg",), ("pos",)] * (len(rows) // 2))

    train = pairs(("a", "b"), ("b", "a"), ("a", "c"), ("x", "y"))
    cleaned, report = audit(splits(train, pairs(("A", "b"), ("q", ""))), multi_label=False)
    assert list(cleaned.train.ids) == [1, 2, 3]
    assert (report.leaked_normalised, report.empty_test) == (1, 1)


@pytest.mark.parametrize(
    ("text", "equal"),
    [("  A\tb\n c ", "a b c"), ("ＦＵＬＬ", "full"), ("STRASSE", "straße"), ("cafe\u0301", "caf\u00e9")],
)
def test_normalise_removes_differences_of_case_space_and_unicode_form(text: str, equal: str) -> None:
    assert normalise((text,)) == normalise((equal,))
    assert normalise((text,)) != normalise((equal + "!",))
