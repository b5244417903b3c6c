"""TF-IDF on texts without spaces between words."""

from __future__ import annotations

import json
import unicodedata
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from kit import Recipe, Record, finetune
from kit.data.scripts import is_written_in, language_of, main_script, words_are_separated
from kit.errors import DataError, ModelError
from kit.methods.encoders.tfidf import new_vectoriser, saved_features
from kit.models.backends.tfidf import FILE, TfidfPredictor
from kit.models.backends.tfidf_analyzers import analyzer_of
from kit.models.linear import fit_logistic

# Subjects, positive judgements and negative judgements; the judgement decides the label.
SENTENCES = {
    "zh": (
        ("这家酒店", "昨天看的电影", "孩子用的书包", "今天买的手机"),
        ("说实话非常好", "我很满意"),
        ("特别糟糕", "很失望"),
    ),
    "ja": (
        ("このホテルは", "昨日の映画は", "新しい電話は", "駅前の店は"),
        ("とても良かった", "最高です"),
        ("ひどかった", "最悪です"),
    ),
    "th": (
        ("โรงแรมนี้", "หนังเมื่อวาน", "โทรศัพท์เครื่องใหม่", "ร้านหน้าสถานี"),
        ("ดีมากเลย", "ประทับใจสุดๆ"),
        ("แย่มากเลย", "ผิดหวังสุดๆ"),
    ),
}


def reviews(language: str, count: int) -> tuple[list[str], list[str]]:
    """Return distinct sentences without spaces, with alternating labels."""
    places, good, bad = SENTENCES[language]
    texts, labels = [], []
    for i, place in enumerate(islice(cycle(places), count)):
        judgements = bad if i % 2 else good
        texts.append(f"{place}{chr(0x4E00 + i) if language == 'zh' else i}{judgements[i // 2 % 2]}")
        labels.append("neg" if i % 2 else "pos")
    return texts, labels


ENGLISH = (
    "A fine film, and I do not say so lightly!",
    "Don't go? The plot is thin; the jokes (all 3) fall flat.",
    "Ein Café, zwei CAFÉS! ﬁne",
)


@pytest.mark.parametrize("language", SENTENCES)
def test_tfidf_learns_from_texts_without_spaces(language: str, tmp_path: Path) -> None:
    record = train(tmp_path, *reviews(language, 60))
    assert record.metrics["accuracy"].value > 0.9
    assert record.to_dict()["settings"]["analyzer"] == record.to_dict()["recipe"]["tfidf"]["analyzer"] == "mixed"
    assert record.to_dict()["settings"]["texts_without_features"] == 0


def test_tfidf_learns_from_emoji(tmp_path: Path) -> None:
    texts = [("👍🏽" if i % 2 else "💔") + chr(0x1F400 + i) for i in range(60)]
    assert train(tmp_path, texts, ["pos", "neg"] * 30).metrics["accuracy"].value > 0.9


def test_texts_without_common_words_give_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"{chr(97 + i % 26)}{chr(97 + i // 26)}{'ella' if i % 2 else 'ard'}" for i in range(200)]
    record = train(tmp_path, names, ["woman" if i % 2 else "man" for i in range(200)], quiet=False)
    assert record.to_dict()["settings"]["texts_without_features"] == 1
    assert "no word in common with the training texts" in capsys.readouterr().err
    named = train(tmp_path, names, ["woman" if i % 2 else "man" for i in range(200)], analyzer="char")
    assert named.metrics["accuracy"].value == 1


def test_texts_without_features_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"tfidf.analyzer: word finds nothing to count") as caught:
        train(tmp_path, ["…" * (i + 1) for i in range(60)], ["pos", "neg"] * 30)
    assert "char" in caught.value.hint


@pytest.mark.parametrize(
    ("texts", "separated"),
    [
        (["a plain sentence", "another one"], True),
        (["Слова разделены", "пробелами"], True),
        (["한국어는 띄어쓰기를 한다"], True),
        (["हिन्दी में शब्द अलग होते हैं"], True),
        (["", "123", "!?"], True),
        ([], True),
        ([*["good 😀😀😀"] * 50], True),
        ([*["a longer sentence in English"] * 40, "好"], True),
        (["这家酒店非常好"], False),
        (["ภาษาไทยไม่เว้นวรรค"], False),
        (["ភាសាខ្មែរ"], False),
        (["ဗမာစာ"], False),
        (["ພາສາລາວ"], False),
        (["ｱｲｳｴｵ"], False),
        (["這個 phone 的 battery 很好"], False),
        ([*["a longer sentence in English"] * 9, "好"], False),
        (["😀😡", "👍🏽"], False),
    ],
)
def test_separation_of_words_is_detected(texts: list[str], separated: bool) -> None:
    assert words_are_separated(texts) is separated


def test_spaced_text_has_the_same_features_as_words() -> None:
    text = "Ein Café, zwei Cafés! You and I"
    words, mixed = (new_vectoriser(2, analyzer=name).build_analyzer()(text) for name in ("word", "mixed"))
    assert words == mixed


def test_mixed_counts_words_and_characters() -> None:
    terms = new_vectoriser(2, analyzer="mixed").build_analyzer()("这个 battery life 差❤️")
    assert {"battery", "life", "battery life", "这", "个", "这个", "差", "❤", " 这个"} <= set(terms)
    assert "\ufe0f" not in "".join(terms)


@pytest.mark.parametrize("analyzer", ["word", "mixed", "char"])
def test_features_equal_scikit_learn_bit_for_bit(analyzer: str) -> None:
    texts = [*reviews("zh", 12)[0], *ENGLISH, "这个 battery life 差❤️", "a a a", "ǅ İ"]
    vectoriser = new_vectoriser(2, analyzer=analyzer).fit(texts)
    features = saved_features(vectoriser, 2, analyzer)
    for rows in (texts, [*texts[::-1], "", "unknown", "😀"], ["a"], [""]):
        expected, actual = vectoriser.transform(rows), features.transform(rows)
        weights = np.linspace(-1, 1, 3 * expected.shape[1]).reshape(-1, 3)
        assert np.array_equal(actual.toarray(), expected.toarray())
        assert np.array_equal(actual @ weights, expected @ weights)


@pytest.mark.parametrize("ngrams", [1, 2, 3])
def test_words_equal_those_of_scikit_learn(ngrams: int) -> None:
    options = {"strip_accents": "unicode", "token_pattern": r"(?u)\b\w+\b|[!?]"}
    words = TfidfVectorizer(ngram_range=(1, ngrams), **options).build_analyzer()
    characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4)).build_analyzer()
    for text in (*ENGLISH, "", "  I\tam \n", "İstanbul ﬁne ǅ"):
        assert analyzer_of("word", ngrams)(text) == words(text)
        assert analyzer_of("char", ngrams)(text) == characters(unicodedata.normalize("NFKC", text).casefold())


@pytest.mark.parametrize("analyzer", ["word", "mixed", "char"])
def test_saved_model_keeps_its_analyzer(analyzer: str, tmp_path: Path) -> None:
    texts, labels = reviews("zh", 12)
    texts = [f"{text} fine words" for text in texts]
    vectoriser = new_vectoriser(2, analyzer=analyzer).fit(texts)
    fitted = fit_logistic(vectoriser.transform(texts), np.array([name == "pos" for name in labels], int), 2, 1.0)
    predictor = TfidfPredictor(saved_features(vectoriser, 2, analyzer), fitted.weights, fitted.bias, ("neg", "pos"))
    predictor.save(tmp_path)
    rows = [(text,) for text in texts]
    assert np.allclose(TfidfPredictor.load(tmp_path).outputs(rows), predictor.outputs(rows))
    content = json.loads((tmp_path / FILE).read_text("utf-8"))
    for damage in ("words", 3, ["word"]):
        (tmp_path / FILE).write_text(json.dumps(content | {"analyzer": damage}), "utf-8")
        with pytest.raises(ModelError, match="cannot be loaded: the analyzer is "):
            TfidfPredictor.load(tmp_path)


@pytest.mark.parametrize(
    ("text", "script", "language"),
    [
        ("这家酒店 is 非常好", "CJK", "zh"),
        ("このホテルは最高です", "KANA", "ja"),
        ("酒店非常好、とても", "KANA", "ja"),
        ("โรงแรมนี้ดีมาก", "THAI", "th"),
        ("호텔이 좋아요", "HANGUL", "ko"),
        ("Отель отличный", "CYRILLIC", None),
        ("a hotel", "LATIN", None),
        ("ｈｏｔｅｌ", "LATIN", None),
        ("123 !", None, None),
    ],
)
def test_language_follows_from_a_script_of_one_language(text: str, script: str | None, language: str | None) -> None:
    assert main_script([text]) == script
    assert language_of(script) == language
    if language is not None and script is not None:
        assert is_written_in(language, script)
        assert not is_written_in("en", script)


def train(folder: Path, texts: list[str], labels: list[str], *, analyzer: str = "auto", quiet: bool = True) -> Record:
    """Train TF-IDF on these texts."""
    source = folder / "reviews.jsonl"
    rows = [{"text": text, "label": label} for text, label in zip(texts, labels, strict=True)]
    source.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), "utf-8")
    data = {"source": str(source), "text": "text", "label": "label"}
    recipe = {"task": "classification", "method": "tfidf", "runs": str(folder / "runs"), "data": data}
    return finetune(Recipe.model_validate(recipe | {"tfidf": {"analyzer": analyzer}}), quiet=quiet)
