"""Audit and budget of parallel text."""

from __future__ import annotations

import json

from kit.data import prepare
from tests.support.parallel_text import EN, corpus, section, sentences, write_lines

RU = ["мужчина идёт", "две собаки бегут", "девочка читает книгу", "дети играют"]


def test_missing_side_counts_as_empty(tmp_path) -> None:
    good = sentences(30)
    rows = [{"translation": {"en": en, "de": de}} for en, de in good]
    rows[8:8] = [{"translation": {"en": "only a source"}}, {"translation": "no pair at all"}]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows), "utf-8")
    data = prepare(section(path, test_size=4, validation=0), 0)
    audit = data.audit
    assert audit.empty_train + audit.empty_test + audit.unlabelled_train + audit.unlabelled_test == 2
    assert len(data.train) + len(data.validation) + len(data.pool) + len(data.test) == len(good)


def test_flawed_pairs_are_counted_and_dropped_from_train(tmp_path) -> None:
    good = sentences(30)
    bad = [
        ("", "Satz ohne Quelle"),  # an empty source
        ("a source without a translation", "  "),
        ("this was never translated", "this was never translated"),
        ("short one", "ein ganz und gar unverhältnismäßig langer Satz, der von etwas anderem handelt als die Quelle"),
        ("a sentence in letters of its own", "предложение другими буквами"),
        ("IBM", "IBM"),  # a name may be its own translation
        good[0],  # a duplicate
        (good[1][0], "Nummer 1 besitzt einen braunen Hund"),  # another translation of the same source
    ]
    test = [("number 2 has a  Brown dog", "Nummer 2 hat einen Hund"), ("unseen one", "unseen one"), ("a cat", "Katze")]
    data = prepare(corpus(tmp_path, [*good, *bad], test), 0)
    report = data.audit
    assert (report.empty_train, report.unlabelled_train, report.identical_train) == (1, 1, 1)
    assert (report.length_ratio_train, report.wrong_script_train, report.flawed_test) == (1, 1, 0)
    assert (report.duplicates_train, report.conflicting_train) == (1, 0)
    assert (report.leaked_exact, report.leaked_normalised) == (0, 1)
    kept = data.splits.train
    pairs = {(texts[0], labels[0]) for texts, labels in zip(kept.texts, kept.labels, strict=True)}
    assert pairs == set(good) - {good[2]} | {bad[5], bad[7]}
    warnings = "\n".join(report.warnings())
    for warning in (
        "1 training example has the same text on both sides: dropped",
        "1 training example has sides of very different length: dropped",
        "1 training example has letters of another script than the rest: dropped",
        "1 training example has no text: dropped",
        "1 training example is also in test (0 exactly, 1 except for case or space): dropped from train",
    ):
        assert warning in warnings
    assert not report.swapped and "swapped" not in warnings


def test_swapped_languages_are_detected_by_script(tmp_path) -> None:
    write_lines(tmp_path / "train.en", RU)
    write_lines(tmp_path / "train.ru", EN)
    report = prepare(section(tmp_path / "train", languages=["en", "ru"], test_size=1), 0).audit
    assert report.swapped
    warning = "source and target look swapped: each is in the script, or the words, of the other's language"
    assert warning in report.warnings()
    right = prepare(section(tmp_path / "train", languages=["ru", "en"], test_size=1), 0).audit
    assert right.swapped, "the files are named en for Russian in both directions"
    write_lines(tmp_path / "right.en", EN)
    write_lines(tmp_path / "right.ru", RU)
    assert not prepare(section(tmp_path / "right", languages=["en", "ru"], test_size=1), 0).audit.swapped


def test_swapped_captions_are_detected_by_common_words(captions, tmp_path) -> None:
    for code, other in (("en", "de"), ("de", "en")):
        write_lines(tmp_path / f"train.{code}", (captions / f"train.{other}").read_text("utf-8").split("\n"))
    assert prepare(section(tmp_path / "train", test_size=10), 0).audit.swapped
    assert not prepare(section(captions), 0).audit.swapped


def test_flawed_test_pairs_are_counted_and_kept(tmp_path) -> None:
    test = [*sentences(12), ("nobody translated this one", "nobody translated this one")]
    data = prepare(corpus(tmp_path, [(f"x {en}", f"x {de}") for en, de in sentences(20)], test), 0)
    assert data.audit.flawed_test == 1 and len(data.test) == 13
    assert "1 test example does not look like a translation: kept" in data.audit.warnings()


def test_validation_shares_no_source_with_train_or_pool(tmp_path) -> None:
    pairs = [
        (f"number {n} has a dog", f"{word} Nummer {n} hat einen Hund") for n in range(60) for word in ("Die", "Der")
    ]
    test = [("a cat sits there", "dort sitzt eine Katze")]
    data = prepare(corpus(tmp_path, pairs, test).model_copy(update={"budget": 100}), 0)
    train, validation, pool = ({texts[0] for texts in part.texts} for part in (data.train, data.validation, data.pool))
    assert len(data.train) + len(data.validation) == 100 and len(validation) >= 4
    assert not validation & (train | pool)


def test_smaller_budgets_are_subsets_of_larger_ones(tmp_path) -> None:
    data = corpus(tmp_path, sentences(60), [("a cat", "eine Katze")])
    drawn = {}
    for budget in (10, 20, 40):
        prepared = prepare(data.model_copy(update={"budget": budget}), 0)
        drawn[budget] = {*prepared.train.ids.tolist(), *prepared.validation.ids.tolist()}
        assert len(drawn[budget]) == budget and len(prepared.pool) == 60 - budget
        assert len(prepared.validation) == budget // 10
    assert drawn[10] < drawn[20] < drawn[40]
    other = prepare(data.model_copy(update={"budget": 10}), 1)
    assert {*other.train.ids.tolist(), *other.validation.ids.tolist()} != drawn[10]
