"""Texts of the transfer set."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from kit.data import prepare
from kit.data.distillation_texts import MASK, augmented, transfer_set
from kit.data.prepare import Prepared
from kit.errors import DataError
from kit.recipe.sections.data import DataSection
from kit.recipe.sections.distillation import AugmentSection, DistillSection


@pytest.fixture(scope="module")
def data(reviews: Path) -> Prepared:
    return prepare(DataSection(source=str(reviews), text="text", label="label", budget=60), 0)


def test_default_texts_are_budget_and_pool(data) -> None:
    transfer = transfer_set(DistillSection(), data, 0)
    assert transfer.texts == data.train.texts + data.pool.texts
    assert (transfer.labelled, transfer.pool, transfer.extra, transfer.augmented) == (
        len(data.train),
        len(data.pool),
        0,
        0,
    )
    held = set(data.validation.texts) | set(data.test.texts)
    assert not held & set(transfer.texts), "test and validation texts are not in the transfer set"


def test_smaller_part_of_the_pool_is_in_a_larger_part(data) -> None:
    small, large = (transfer_set(DistillSection(pool=n), data, 3) for n in (20, 80))
    assert (small.pool, large.pool) == (20, 80)
    assert large.texts[: len(small)] == small.texts
    assert transfer_set(DistillSection(pool=0), data, 3).texts == data.train.texts
    other = transfer_set(DistillSection(pool=20), data, 4)
    assert other.texts != small.texts and other.fingerprint() != small.fingerprint()


def test_files_add_only_new_texts(data, tmp_path) -> None:
    lines = tmp_path / "more.en"  # a text file, despite its extension
    tested, trained = data.test.texts[0][0], data.train.texts[0][0]
    lines.write_text(f"a new text\n\n{tested.upper()}\n  {trained}\nA  NEW text\nanother one\n", "utf-8")
    table = tmp_path / "more.csv"
    table.write_text("id,text\n1,from a table\n2,another one\n", "utf-8")
    transfer = transfer_set(DistillSection(texts=[str(lines), str(table)]), data, 0)
    assert transfer.texts[-3:] == [("a new text",), ("another one",), ("from a table",)]
    assert (transfer.extra, transfer.dropped) == (3, 5)


def test_sentences_have_usual_lengths_and_are_new(data, tmp_path) -> None:
    """Sentences end at punctuation and line ends; short, long, repeated and test sentences are left out."""
    words = sorted(len(text.split()) for (text,) in data.train.texts + data.pool.texts)
    usual = words[len(words) // 2]
    fits = [f"{start} " + "and so on " * 20 for start in ("first", "second", "third", "第四")]
    fits = [" ".join(text.split()[:usual]) for text in fits]
    long = " ".join(["endless"] * (words[-1] + 5))
    table = tmp_path / "more.csv"
    tested = data.test.texts[0][0]
    rows = [f"{fits[0]}. {fits[1]}! No. {long}.", f"{fits[2]}<br />{fits[3]}.", f"{fits[0]}. {tested}", tested]
    table.write_text("text\n" + "\n".join(f'"{row}"' for row in rows) + "\n", "utf-8")
    assert '"' not in tested and len(tested.split()) in range(words[len(words) // 20], words[-len(words) // 20])
    transfer = transfer_set(DistillSection(texts=str(table), sentences=50), data, 0)
    texts = [text for (text,) in transfer.texts[-transfer.extra :]]
    assert set(texts) == {f"{fits[0]}.", f"{fits[1]}!", fits[2], f"{fits[3]}."} and transfer.extra == 4
    assert transfer.dropped == 1, "the text of test"
    some = transfer_set(DistillSection(texts=str(table), sentences=3), data, 0)
    assert some.texts[-3:] == transfer.texts[-4:-1], "fewer sentences are a subset of more"
    (tmp_path / "short.txt").write_text("No. Oh!\n", "utf-8")
    with pytest.raises(DataError, match=r"no sentence of distill.texts has \d+ to \d+ words"):
        transfer_set(DistillSection(texts=str(tmp_path / "short.txt"), sentences=3), data, 0)
    with pytest.raises(ValueError, match=r"distill\.sentences needs distill\.texts"):
        DistillSection(sentences=3)


def test_only_a_line_feed_ends_a_text(data, tmp_path) -> None:
    lines = ["\ufeffone film\u2028of two halves", "another one, seen\u0085twice"]
    (tmp_path / "more.txt.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    transfer = transfer_set(DistillSection(texts=str(tmp_path / "more.txt.gz")), data, 0)
    assert [text for (text,) in transfer.texts[-transfer.extra :]] == [lines[0].removeprefix("\ufeff"), lines[1]]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("none.txt", "\n  \n", "none of the 2 texts can be used"),
        ("missing.txt", None, "there is no file"),
        ("latin.txt", b"caf\xe9\n", "not UTF-8"),
        ("no.csv", "id,body\n1,a text\n", "text"),
    ],
)
def test_files_without_usable_texts_are_an_error(name, content, reason, data, tmp_path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=reason) as error:
        transfer_set(DistillSection(texts=str(tmp_path / name)), data, 0)
    assert "distill.texts" in error.value.message


def test_augmentation_masks_a_share_of_the_words() -> None:
    texts = [(" ".join(f"word{i}" for i in range(200)),), ("one",), ("a pair", "of texts")]
    copies = augmented(texts, AugmentSection(copies=2, share=0.2), 0)
    assert len(copies) == 6
    for copy, original in zip(copies, texts * 2, strict=True):
        for new, old in zip(copy, original, strict=True):
            pairs = list(zip(new.split(), old.split(), strict=True))
            masked = [a for a, b in pairs if a != b]
            assert masked and set(masked) == {MASK}
    assert 20 <= copies[0][0].split().count(MASK) <= 60
    assert copies[0] != copies[3], "copies have different masks"
    assert augmented(texts, AugmentSection(copies=2, share=0.2), 0) == copies
