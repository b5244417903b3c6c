"""Scores of translations against sacrebleu itself."""

from __future__ import annotations

import numpy as np
import pytest
from sacrebleu.metrics import BLEU, CHRF, TER

from kit.data.sources import load_splits
from kit.measurement.intervals import bootstrap_scores
from kit.measurement.translation import TranslationMeasure
from kit.recipe.sections.data import DataSection

SCORERS = {"bleu": BLEU(), "chrf": CHRF(word_order=2), "ter": TER()}


@pytest.fixture(scope="module")
def references() -> np.ndarray:
    test = load_splits(DataSection(source="demo:translation", languages=["en", "de"])).test
    return np.asarray([labels[0] for labels in test.labels[:200]], object)


def worse(references: np.ndarray, seed: int) -> np.ndarray:
    """Return corrupted references: words dropped or shuffled, some unchanged, some empty."""
    random = np.random.default_rng(seed)
    result = []
    for line in references:
        words = [word for word in line.split() if random.random() > 0.3]
        random.shuffle(words) if random.random() > 0.7 else None
        result.append(" ".join(words) if random.random() > 0.1 else "")
    result[0] = references[0]
    return np.asarray(result, object)


@pytest.mark.parametrize("name", list(SCORERS))
def test_scores_equal_sacrebleu(references, name) -> None:
    outputs = worse(references, 0)
    parts = TranslationMeasure(names=(name,)).tally(outputs, references)
    for rows in (np.arange(200), np.arange(3), np.arange(50, 51), np.array([0]), np.array([7, 7, 9])):
        sums = {key: part[rows].sum(axis=0) for key, part in parts.items()}
        result = TranslationMeasure(names=(name,)).scores(sums, len(rows))[name]
        expected = SCORERS[name].corpus_score(list(outputs[rows]), [list(references[rows])]).score
        assert 100 * float(result) == pytest.approx(expected, abs=1e-6), rows


@pytest.mark.parametrize("outputs", [["", ""], ["x", "y z"], ["Ein Mann", "geht"], ["Ein Mann geht.", "geht weg"]])
def test_odd_translations_score_like_sacrebleu(outputs) -> None:
    references = np.asarray(["Ein Mann geht.", "Zwei Hunde laufen."], object)
    measure = TranslationMeasure()
    result = measure.scores(
        {k: v.sum(axis=0) for k, v in measure.tally(np.asarray(outputs, object), references).items()}, 2
    )
    for name, scorer in SCORERS.items():
        assert 100 * float(result[name]) == pytest.approx(
            scorer.corpus_score(outputs, [references.tolist()]).score, abs=1e-6
        )


def test_intervals_are_of_resampled_sentences(references) -> None:
    outputs = worse(references, 1)
    result = bootstrap_scores(outputs, references, TranslationMeasure().alone(), resamples=30, seed=4)["bleu"]
    drawn = np.random.default_rng(4).integers(0, 200, (30, 200))
    samples = [BLEU().corpus_score(list(outputs[rows]), [list(references[rows])]).score / 100 for rows in drawn]
    assert (result.low, result.high) == pytest.approx(tuple(np.quantile(samples, [0.025, 0.975])), abs=1e-9)
    assert result.low < result.value < result.high


def test_signatures_name_the_tokenizer() -> None:
    result = TranslationMeasure(language="zh_CN").signatures()
    assert (
        "tok:zh" in result["bleu"]
        and "nw:2" in result["chrf"]
        and "tok:13a" in TranslationMeasure().signatures()["bleu"]
    )


@pytest.mark.parametrize(
    ("languages", "tokenizer"),
    [(("zho_Hans", "cmn", "yue", "zh-TW"), "zh"), (("jpn_Jpan", "ja_XX", "kor_Hang"), "char"), (("deu_Latn",), "13a")],
)
def test_all_codes_of_a_language_have_the_same_tokenizer(languages, tokenizer) -> None:
    for language in languages:
        assert f"tok:{tokenizer}|" in TranslationMeasure(language=language).signatures()["bleu"]


def test_missing_references_are_refused() -> None:
    with pytest.raises(ValueError, match="1 translations for 2 references"):
        TranslationMeasure().tally(np.array(["a"], object), np.array(["a", "b"], object))
