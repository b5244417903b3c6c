from dataclasses import asdict

import numpy as np
import pytest

from kit.data.audit import audit, normalise
from kit.data.examples import Examples
from kit.data.sources import Splits
from kit.errors import DataError


def examples(*rows: tuple[str, str]) -> Examples:
    """Rows of (text, labels joined by +)."""
    labels = [tuple(names.split("+")) if names else () for _, names in rows]
    return Examples(np.arange(len(rows)), [(text,) for text, _ in rows], labels)


def splits(train: Examples, test: Examples) -> Splits:
    return Splits(train, test, ("neg", "pos"), ("text",), "label", "made here")


TEST = examples(("seen", "pos"), ("Also  Seen", "neg"), ("seen", "pos"))
TRAIN = examples(
    ("one", "pos"),  # 0 kept
    ("seen", "pos"),  # exact leak
    ("also seen", "neg"),  # leak once normalised
    ("ONE ", "pos"),  # repetition
    ("one", "neg"),  # conflict
    ("  ", "pos"),  # empty
    ("two", ""),  # unlabelled
    ("three", "neg"),  # 7 kept
)


def test_every_kind_of_bad_row_is_counted_once_and_dropped_from_train() -> None:
    cleaned, account = audit(splits(TRAIN, TEST), multi_label=False)
    assert list(cleaned.train.ids) == [0, 7]
    assert list(cleaned.test.ids) == [0, 1, 2]
    plain = asdict(account)
    prints = plain.pop("fingerprints")
    assert plain == {
        "rows_train": 8, "rows_test": 3, "empty_train": 1, "empty_test": 0, "unlabelled_train": 1, "unlabelled_test": 0,
        "leaked_exact": 1, "leaked_normalised": 1, "duplicates_train": 1, "conflicting_train": 1, "duplicates_test": 1,
        "labels_train": {"neg": 1, "pos": 1}, "labels_test": {"neg": 1, "pos": 2},
        "identical_train": 0, "length_ratio_train": 0, "wrong_script_train": 0, "flawed_test": 0,
        "swapped": False, "copied": 0.0, "notes": (),
    }  # fmt: skip
    assert prints == {"train": cleaned.train.fingerprint(), "test": cleaned.test.fingerprint()}


def test_warnings_are_sentences_on_what_was_found() -> None:
    _, account = audit(splits(TRAIN, TEST), multi_label=False)
    assert account.warnings() == [
        "2 training examples are also in test (1 exactly, 1 but for case or space): dropped from train",
        "1 training example repeats an earlier text with another label: dropped",
        "1 training example repeats an earlier one: dropped",
        "1 test example repeats an earlier one: kept",
        "1 training example has no text: dropped",
        "1 training example has no label: dropped",
    ]


def test_clean_data_have_no_warnings() -> None:
    clean = splits(examples(("a", "pos"), ("b", "neg")), examples(("c", "pos"), ("d", "neg")))
    cleaned, account = audit(clean, multi_label=False)
    assert account.warnings() == []
    assert len(cleaned.train) == 2


def test_imbalance_and_untested_labels_are_said() -> None:
    many = [(f"text {i}", "pos") for i in range(11)]
    _, account = audit(splits(examples(*many, ("b", "neg")), examples(("c", "pos"))), multi_label=False)
    assert account.warnings() == [
        "classes are unbalanced: 'pos' has 11 training examples, 'neg' has 1; accuracy hides small classes, so "
        "macro_f1 is shown beside it, and `metric: macro_f1` decides by it",
        "no test example has 'neg'",
    ]


def test_multi_label_rows_without_a_label_are_kept_and_label_order_is_no_conflict() -> None:
    train = examples(("a", ""), ("b", "pos+neg"), ("b", "neg+pos"))
    cleaned, account = audit(splits(train, examples(("c", "pos"))), multi_label=True)
    assert list(cleaned.train.ids) == [0, 1]
    assert (account.duplicates_train, account.conflicting_train, account.unlabelled_train) == (1, 0, 0)
    assert account.labels_train == {"neg": 1, "pos": 1}


def test_a_class_that_cleaning_removes_from_train_is_an_error() -> None:
    with pytest.raises(DataError) as caught:
        audit(splits(examples(("a", "pos"), ("seen", "neg")), TEST), multi_label=False)
    assert caught.value.message == ("data.source: no training example is left for 'neg' once unusable ones are dropped")
    assert caught.value.hint == "its 1 rows are empty, repeated, or in test as well"


def test_a_test_split_of_empty_texts_is_an_error() -> None:
    with pytest.raises(DataError, match="no test example is left") as caught:
        audit(splits(TRAIN, examples(("", "pos"))), multi_label=False)
    assert "1 test examples were read" in str(caught.value.hint)
    assert "1 test example has no text: dropped" in str(caught.value.hint)


def test_a_train_split_of_untranslated_pairs_says_what_became_of_it() -> None:
    same = [("a dog runs here", "a dog runs here"), ("two cats sleep there", "two cats sleep there")]
    with pytest.raises(DataError, match="no training example is left") as caught:
        audit(splits(examples(*same), examples(("a man", "ein Mann"))), multi_label=False, languages=("en", "de"))
    assert caught.value.hint == (
        "2 training and 1 test examples were read; 2 training examples have both sides alike: dropped"
    )


def test_text_pairs_leak_only_as_pairs() -> None:
    def pairs(*rows: tuple[str, str]) -> Examples:
        return Examples(np.arange(len(rows)), list(rows), [("neg",), ("pos",)] * (len(rows) // 2))

    train = pairs(("a", "b"), ("b", "a"), ("a", "c"), ("x", "y"))
    cleaned, account = audit(splits(train, pairs(("A", "b"), ("q", ""))), multi_label=False)
    assert list(cleaned.train.ids) == [1, 2, 3]
    assert (account.leaked_normalised, account.empty_test) == (1, 1)


@pytest.mark.parametrize(
    ("written", "same"),
    [("  A\tb\n c ", "a b c"), ("ＦＵＬＬ", "full"), ("STRASSE", "straße"), ("cafe\u0301", "caf\u00e9")],
)
def test_normalised_forms(written: str, same: str) -> None:
    assert normalise((written,)) == normalise((same,))
    assert normalise((written,)) != normalise((same + "!",))
