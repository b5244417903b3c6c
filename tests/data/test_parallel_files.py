"""Parallel text: every form it comes in, what is refused, and what the audit says of pairs that are no translations."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pandas as pd
import pytest

from kit.data import prepare
from kit.data.parallel_files import aligned_files, read_tmx
from kit.data.sources import load_splits
from kit.errors import DataError
from kit.recipe.sections.data import DataSection

EN = ["a man walks", "two dogs run", "the girl reads a book", "children play"]
DE = ["ein Mann geht", "zwei Hunde rennen", "das Mädchen liest ein Buch", "Kinder spielen"]
RU = ["мужчина идёт", "две собаки бегут", "девочка читает книгу", "дети играют"]
PAIRS = list(zip(EN, DE, strict=True))
TMX = """<?xml version="1.0" encoding="utf-8"?>
<tmx version="1.4"><header srclang="en-US"/><body>
<tu><tuv xml:lang="en-US"><seg>a <bpt i="1"/>man<ept i="1"/>
   walks</seg></tuv><tuv xml:lang="de-DE"><seg>ein <hi>Mann</hi> geht</seg></tuv></tu>
<tu><tuv xml:lang="en-US"><seg>nobody translated this</seg></tuv><tuv xml:lang="fr"><seg>rien</seg></tuv></tu>
<tu><tuv lang="EN"><seg>children play</seg></tuv><tuv lang="de"><seg>Kinder spielen</seg></tuv></tu>
</body></tmx>
"""


def write(path: Path, lines: list[str]) -> Path:
    text = "".join(f"{line}\n" for line in lines).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


def section(source: object, **keys: object) -> DataSection:
    return DataSection.model_validate(
        {"source": [str(s) for s in source] if isinstance(source, list) else str(source), "languages": ["en", "de"]}
        | keys
    )


def pairs_of(data: DataSection) -> list[tuple[str, str]]:
    """All pairs of train and test, in the order of the source."""
    splits = load_splits(data)
    found = [
        (row, texts[0], (labels or ("",))[0])
        for part in (splits.train, splits.test)
        for row, texts, labels in zip(part.ids, part.texts, part.labels, strict=True)
    ]
    return [(text, label) for _, text, label in sorted(found)]


def corpus(folder: Path, pairs: list[tuple[str, str]], test: list[tuple[str, str]]) -> DataSection:
    for name, part in (("train", pairs), ("test", test)):
        for place, language in enumerate(("en", "de")):
            write(folder / f"{name}.{language}", [pair[place] for pair in part])
    return section(folder)


def sentences(count: int) -> list[tuple[str, str]]:
    return [(f"number {i} has a brown dog", f"Nummer {i} hat einen braunen Hund") for i in range(count)]


@pytest.mark.parametrize("end", ["", ".gz"])
def test_a_folder_with_splits(end, tmp_path) -> None:
    for name, lines in (("train", slice(0, 3)), ("val", slice(2, 3)), ("test_2016_flickr", slice(3, 4))):
        write(tmp_path / f"{name}.en{end}", EN[lines])
        write(tmp_path / f"{name}.de{end}", DE[lines])
    (tmp_path / "README.md").write_text("not a language")
    splits = load_splits(section(tmp_path))
    assert [text for (text,) in splits.train.texts] == EN[:3]
    assert [label for (label,) in splits.train.labels] == DE[:3]
    assert splits.test.texts == [(EN[3],)] and splits.labels == ()
    assert "split 'test' of" in splits.description and "en-de, 3 training pairs" in splits.description
    turned = load_splits(section(tmp_path, languages=["de", "en"]))
    assert turned.train.texts[0] == (DE[0],) and turned.train.labels[0] == (EN[0],)


@pytest.mark.parametrize("form", ["stem", "one of them", "list", "swapped list", "gz and plain"])
def test_two_aligned_files(form, tmp_path) -> None:
    write(tmp_path / ("news.en.gz" if form == "gz and plain" else "news.en"), EN)
    write(tmp_path / "news.de", DE)
    first, second = tmp_path / "news.en", tmp_path / "news.de"
    source = {"stem": tmp_path / "news", "gz and plain": tmp_path / "news", "one of them": first,
              "list": [first, second], "swapped list": [second, first]}[form]  # fmt: skip
    assert pairs_of(section(source, test_size=1)) == PAIRS


@pytest.mark.parametrize("pattern", ["news.*", "n*s.??", "*.*"])
def test_a_glob_of_two_aligned_files(pattern, tmp_path) -> None:
    for name, lines in (("news.en", EN), ("news.de", DE), ("news.fr", EN[:2])):
        write(tmp_path / name, lines)
    assert pairs_of(section(tmp_path / pattern, test_size=1)) == PAIRS
    write(tmp_path / "old.en", EN)
    if pattern == "*.*":
        with pytest.raises(DataError, match=r"matches more than one pair of files: .*news, .*old"):
            load_splits(section(tmp_path / pattern))


def test_a_glob_of_tables_is_one_of_tables(tmp_path) -> None:
    pd.DataFrame(PAIRS, columns=["en", "de"]).to_csv(tmp_path / "a.csv", index=False)
    assert pairs_of(section(tmp_path / "*.csv", test_size=1)) == PAIRS


def test_files_of_other_languages_than_those_named_are_refused(tmp_path) -> None:
    names = write(tmp_path / "a.en", EN), write(tmp_path / "a.de", DE)
    with pytest.raises(DataError) as caught:
        load_splits(section(list(names), languages=["en", "fr"]))
    assert caught.value.message == (
        f"data.source: {names[1]} is named as if it were in de, where data.languages has fr"
    )
    assert len(load_splits(section(list(names), languages=["en-GB", "de"])).train) > 0


def test_variants_of_languages_that_are_there_are_suggested(tmp_path) -> None:
    write(tmp_path / "train.en-US", EN)
    write(tmp_path / "train.de-DE", DE)
    with pytest.raises(DataError) as caught:
        load_splits(section(tmp_path))
    assert caught.value.hint == "data.languages: [en-US, de-DE]"
    assert pairs_of(section(tmp_path, languages=["en-US", "de-DE"], test_size=1)) == PAIRS


def test_only_a_line_feed_ends_a_line(tmp_path) -> None:
    (tmp_path / "a.en").write_bytes("\ufeffa man\u2028walks\r\ntwo dogs\x0brun".encode())
    (tmp_path / "a.de").write_bytes(b"ein Mann geht\r\nzwei Hunde rennen\r\n")
    found = pairs_of(section(tmp_path / "a", test_size=1))
    assert found == [("a man\u2028walks", "ein Mann geht"), ("two dogs\x0brun", "zwei Hunde rennen")]


def test_files_that_are_not_aligned(tmp_path) -> None:
    first, second = write(tmp_path / "a.en", EN), write(tmp_path / "a.de", DE[:3])
    with pytest.raises(DataError) as caught:
        load_splits(section(tmp_path / "a"))
    assert caught.value.message == f"{first} has 4 lines, {second} 3: they are not aligned"
    assert "line 5 of one must be the translation of line 5 of the other" in caught.value.hint


@pytest.mark.parametrize(
    ("files", "source", "message"),
    [
        (["train.en"], "", "data.source: {}/train.de has no translation: there is no {}/train.en"),
        (["train.de"], "train", "data.source: {}/train.de has no translation: there is no {}/train.en"),
        (["a.en"], ["a.en", "a.de"], "data.source: there is no file {}/a.de"),
        (["a.en"], ["a.en", "a.en", "a.en"], "data.source: parallel text is two files, got 3"),
    ],
)
def test_a_side_that_is_missing(files, source, message, tmp_path) -> None:
    for name in files:
        write(tmp_path / name, EN)
    if files == ["train.en"]:
        message = "data.source: {}/train.en has no translation: there is no {}/train.de"
    given = [tmp_path / name for name in source] if isinstance(source, list) else tmp_path / source
    with pytest.raises(DataError) as caught:
        load_splits(section(given))
    assert caught.value.message == message.replace("{}", str(tmp_path))


def test_languages_that_are_there_are_listed(tmp_path) -> None:
    for name, lines in (("train.en", EN), ("train.de", DE), ("train.nl.gz", EN)):
        write(tmp_path / name, lines)
    with pytest.raises(DataError) as caught:
        load_splits(section(tmp_path, languages=["en", "fr"]))
    assert caught.value.message.endswith(f"there is no {tmp_path}/train.fr")
    assert f"beside it is {tmp_path}/train.de, {tmp_path}/train.nl" in caught.value.hint


def test_a_damaged_side_is_named(tmp_path) -> None:
    write(tmp_path / "a.de", DE)
    (tmp_path / "a.en.gz").write_bytes(gzip.compress("\n".join(EN).encode())[:-9])
    with pytest.raises(DataError, match=r"a.en.gz is not a whole gzip file"):
        load_splits(section(tmp_path / "a"))
    (tmp_path / "a.en").write_bytes("Mädchen\n".encode("latin1"))
    with pytest.raises(DataError, match=r"a.en is not UTF-8: byte 0xe4 in line 1 \(byte 1 of the file\)"):
        load_splits(section(tmp_path / "a"))
    (tmp_path / "a.en").write_bytes("girl\n".encode("utf-16"))
    with pytest.raises(DataError, match=r"a.en is not UTF-8 but UTF-16"):
        load_splits(section(tmp_path / "a"))


def test_one_file_for_both_sides_is_refused(tmp_path) -> None:
    write(tmp_path / "a.en", EN)
    with pytest.raises(DataError, match=r"a\.en is named twice") as caught:
        load_splits(section([str(tmp_path / "a.en")] * 2))
    assert caught.value.hint == "name one of en and one of de"


def test_tmx(tmp_path) -> None:
    path = tmp_path / "memory.tmx"
    path.write_text(TMX, "utf-8")
    assert pairs_of(section(path, test_size=1)) == [("a man walks", "ein Mann geht"), ("children play", DE[3])]
    with pytest.raises(DataError) as caught:
        load_splits(section(path, languages=["en", "it"]))
    assert caught.value.message == (
        f"data.source: {path} has no unit in both en and it (languages: de, de-de, en, en-us, fr)"
    )
    path.write_text(TMX[:-30], "utf-8")
    with pytest.raises(DataError, match=r"data.source: .*memory.tmx is not a whole TMX file: "):
        load_splits(section(path))


def test_tmx_of_a_translator_s_tools(tmp_path) -> None:
    """Codes of the document are no text, what they enclose is; a namespace changes nothing."""
    unit = (
        '<tu><tuv xml:lang="en"><seg>Click <bpt i="1">&lt;b&gt;</bpt>here<ept i="1">&lt;/b&gt;</ept> <hi>now</hi></seg>'
        '</tuv><tuv xml:lang="de"><seg>Hier<ph>{0}</ph> klicken<it pos="end">&lt;/i&gt;</it></seg></tuv></tu>'
    )
    for space in ("", ' xmlns="http://www.lisa.org/tmx14"'):
        path = tmp_path / "memory.tmx"
        path.write_text(
            f'<?xml version="1.0"?><tmx version="1.4"{space}><header/><body>{unit * 2}</body></tmx>', "utf-8"
        )
        assert read_tmx(path, ("en", "de")).columns == {"en": ["Click here now"] * 2, "de": ["Hier klicken"] * 2}


def test_files_named_like_no_split_are_none(tmp_path) -> None:
    for stem in ("travel", "testament", "test_2016", "value"):
        for code, lines in (("en", EN), ("de", DE)):
            write(tmp_path / f"{stem}.{code}", lines)
    assert sorted(aligned_files(str(tmp_path), "data.source", ("en", "de"))) == ["test", "testament", "travel", "value"]


@pytest.mark.parametrize("form", ["jsonl", "parquet", "csv", "csv of sides"])
def test_tables(form, tmp_path) -> None:
    held = [{"translation": {"en": en, "de": de}, "id": str(i)} for i, (en, de) in enumerate(PAIRS)]
    path = tmp_path / f"table.{form.split(' ')[0]}"
    if form == "jsonl":
        path.write_text("\n".join(json.dumps(row) for row in held), "utf-8")
    elif form == "parquet":
        pd.DataFrame(held).to_parquet(path)
    else:
        names = ["en", "de"] if form == "csv" else ["source", "target"]
        pd.DataFrame(PAIRS, columns=names).to_csv(path, index=False)
    assert pairs_of(section(path, test_size=1)) == PAIRS


def test_the_hub_s_feature_for_translations(tmp_path) -> None:
    """`datasets.Translation` in a parquet file, as a data set of the Hub keeps it, read as kit reads the Hub."""
    import datasets

    from kit.data.hub import to_table
    from kit.data.parallel_files import by_language

    features = datasets.Features({"translation": datasets.Translation(languages=["en", "de"])})
    rows = {"translation": [{"en": en, "de": de} for en, de in PAIRS]}
    data = datasets.Dataset.from_dict(rows, features=features)
    for each in (data, datasets.Dataset.from_dict(rows)):  # by its type, and as a mere struct
        table = by_language(to_table(each), ("de", "en"), "here")
        assert table.columns == {"de": DE, "en": EN}
    data.to_parquet(tmp_path / "train.parquet")
    assert pairs_of(section(tmp_path / "train.parquet", test_size=1)) == PAIRS


def test_columns_called_by_the_names_of_languages(tmp_path) -> None:
    pd.DataFrame(PAIRS, columns=["English", "german"]).to_csv(tmp_path / "a.csv", index=False)
    assert pairs_of(section(tmp_path / "a.csv", test_size=1)) == PAIRS


def test_columns_that_cannot_be_told(tmp_path) -> None:
    pd.DataFrame(PAIRS, columns=["left", "right"]).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(DataError) as caught:
        load_splits(section(tmp_path / "a.csv"))
    assert caught.value.message == ("data.text: no column looks like the source language en (columns: left, right)")
    assert pairs_of(section(tmp_path / "a.csv", text="left", label="right", test_size=1)) == PAIRS
    with pytest.raises(DataError, match=r"data.label: column 'left' is also data.text"):
        load_splits(section(tmp_path / "a.csv", text="left", label="left"))
    with pytest.raises(DataError, match=r"data.text: a translation has one source"):
        load_splits(section(tmp_path / "a.csv", text=["left", "right"], label="right"))


def test_a_language_that_the_translations_lack_is_named_with_the_nearest(tmp_path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"translation": {"eng": EN[0], "deu": DE[0]}}), "utf-8")
    with pytest.raises(DataError) as caught:
        load_splits(section(path))
    assert caught.value.message == (
        f"data.languages: 'en' is in no row of column 'translation' of {path} (languages: deu, eng)"
    )
    assert caught.value.hint == "did you mean 'eng'?"


def test_a_row_that_lacks_a_side_is_like_one_with_an_empty_side(tmp_path) -> None:
    good = sentences(30)
    rows = [{"translation": {"en": en, "de": de}} for en, de in good]
    rows[8:8] = [{"translation": {"en": "only a source"}}, {"translation": "no pair at all"}]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows), "utf-8")
    data = prepare(section(path, test_size=4, validation=0), 0)
    audit = data.audit
    assert audit.empty_train + audit.empty_test + audit.unlabelled_train + audit.unlabelled_test == 2
    assert len(data.train) + len(data.validation) + len(data.pool) + len(data.test) == len(good)


def test_what_is_no_translation_is_counted_and_dropped_from_train(tmp_path) -> None:
    good = sentences(30)
    bad = [
        ("", "Satz ohne Quelle"),  # an empty source
        ("a source without a translation", "  "),
        ("this was never translated", "this was never translated"),
        ("short one", "ein ganz und gar unverhältnismäßig langer Satz, der von etwas anderem handelt als die Quelle"),
        ("a sentence in letters of its own", "предложение другими буквами"),
        ("IBM", "IBM"),  # a name may well be its own translation
        good[0],  # a repetition
        (good[1][0], "Nummer 1 besitzt einen braunen Hund"),  # another translation of the same
    ]
    test = [("number 2 has a  Brown dog", "Nummer 2 hat einen Hund"), ("unseen one", "unseen one"), ("a cat", "Katze")]
    data = prepare(corpus(tmp_path, [*good, *bad], test), 0)
    account = data.audit
    assert (account.empty_train, account.unlabelled_train, account.identical_train) == (1, 1, 1)
    assert (account.length_ratio_train, account.wrong_script_train, account.flawed_test) == (1, 1, 0)
    assert (account.duplicates_train, account.conflicting_train) == (1, 0)
    assert (account.leaked_exact, account.leaked_normalised) == (0, 1)
    kept = data.splits.train
    pairs = {(texts[0], labels[0]) for texts, labels in zip(kept.texts, kept.labels, strict=True)}
    assert pairs == set(good) - {good[2]} | {bad[5], bad[7]}
    said = "\n".join(account.warnings())
    for words in (
        "1 training example has both sides alike: dropped",
        "1 training example has sides of very different length: dropped",
        "1 training example has letters of another script than the rest: dropped",
        "1 training example has no text: dropped",
        "1 training example is also in test (0 exactly, 1 but for case or space): dropped from train",
    ):
        assert words in said
    assert not account.swapped and "swapped" not in said


def test_swapped_languages_are_told_by_their_script(tmp_path) -> None:
    write(tmp_path / "train.en", RU)
    write(tmp_path / "train.ru", EN)
    account = prepare(section(tmp_path / "train", languages=["en", "ru"], test_size=1), 0).audit
    assert account.swapped
    warning = "source and target look swapped: each is in the script, or the words, of the other's language"
    assert warning in account.warnings()
    right = prepare(section(tmp_path / "train", languages=["ru", "en"], test_size=1), 0).audit
    assert right.swapped, "the files say en for Russian, whatever the direction"
    write(tmp_path / "right.en", EN)
    write(tmp_path / "right.ru", RU)
    assert not prepare(section(tmp_path / "right", languages=["en", "ru"], test_size=1), 0).audit.swapped


def test_swapped_captions_are_told_by_their_words(captions, tmp_path) -> None:
    for code, other in (("en", "de"), ("de", "en")):
        write(tmp_path / f"train.{code}", (captions / f"train.{other}").read_text("utf-8").split("\n"))
    assert prepare(section(tmp_path / "train", test_size=10), 0).audit.swapped
    assert not prepare(section(captions), 0).audit.swapped


def test_test_pairs_that_look_wrong_are_kept_and_counted(tmp_path) -> None:
    test = [*sentences(12), ("nobody translated this one", "nobody translated this one")]
    data = prepare(corpus(tmp_path, [(f"x {en}", f"x {de}") for en, de in sentences(20)], test), 0)
    assert data.audit.flawed_test == 1 and len(data.test) == 13
    assert "1 test example looks like no translation: kept" in data.audit.warnings()


def test_no_source_is_on_two_sides_of_a_choice(tmp_path) -> None:
    pairs = [
        (f"number {n} has a dog", f"{word} Nummer {n} hat einen Hund") for n in range(60) for word in ("Die", "Der")
    ]
    test = [("a cat sits there", "dort sitzt eine Katze")]
    data = prepare(corpus(tmp_path, pairs, test).model_copy(update={"budget": 100}), 0)
    train, validation, pool = ({texts[0] for texts in part.texts} for part in (data.train, data.validation, data.pool))
    assert len(data.train) + len(data.validation) == 100 and len(validation) >= 4
    assert not validation & (train | pool)


def test_smaller_budgets_are_part_of_larger_ones(tmp_path) -> None:
    data = corpus(tmp_path, sentences(60), [("a cat", "eine Katze")])
    drawn = {}
    for budget in (10, 20, 40):
        found = prepare(data.model_copy(update={"budget": budget}), 0)
        drawn[budget] = {*found.train.ids.tolist(), *found.validation.ids.tolist()}
        assert len(drawn[budget]) == budget and len(found.pool) == 60 - budget
        assert len(found.validation) == budget // 10
    assert drawn[10] < drawn[20] < drawn[40]
    other = prepare(data.model_copy(update={"budget": 10}), 1)
    assert {*other.train.ids.tolist(), *other.validation.ids.tolist()} != drawn[10]


def test_hostile_tmx_files_are_refused(tmp_path: Path) -> None:
    entities = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 10))
    laughs = f'<!DOCTYPE tmx [<!ENTITY e0 "ha">{entities}]><tmx><seg>&e9;</seg></tmx>'
    segment = "<x>" * 5_000 + "a" + "</x>" * 5_000
    deep = f'<tmx><tu><tuv lang="en"><seg>{segment}</seg></tuv></tu></tmx>'
    for content in (laughs, deep, '<?xml version="1.0" encoding="nonsense"?><tmx/>'):
        (tmp_path / "x.tmx").write_text(content)
        with pytest.raises(DataError, match=r"x\.tmx"):
            read_tmx(tmp_path / "x.tmx", ("en", "de"))
