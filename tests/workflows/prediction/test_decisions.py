"""Texts that are left undecided: `--min-confidence` and `--coverage`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import kit as api
from kit import Recipe, Record, finetune
from tests.conftest import Kit

TEXTS = ["a wonderful, moving film", "dull and far too long", "it is a film"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, reviews: Path) -> Record:
    """TF-IDF with 100 held-out examples."""
    recipe = Recipe(
        task="classification",
        method="tfidf",
        runs=str(tmp_path_factory.mktemp("decisions") / "runs"),
        data={"source": str(reviews), "text": "text", "label": "label", "budget": 250, "validation": 0.4},
    )
    return finetune(recipe, quiet=True)


def test_a_text_below_the_least_confidence_is_undecided(run: Record) -> None:
    free = list(api.predict(run.folder, TEXTS))
    least = sorted(one["score"] for one in free)[1]
    decided = list(api.predict(run.folder, TEXTS, min_confidence=least))
    assert sum(one.get("undecided", False) for one in decided) == 1
    for before, after in zip(free, decided, strict=True):
        assert after["scores"] == before["scores"]
        assert after["label"] == (before["label"] if before["score"] >= least else None)


def test_coverage_names_the_held_out_examples(run: Record, kit: Kit) -> None:
    done = kit("predict", run.folder, *TEXTS, "--coverage", "0.4")
    assert done.code == 0
    assert "of 100 held-out examples" in done.err
    assert len(done.out.splitlines()) == len(TEXTS)


def test_a_table_has_a_column_for_undecided_texts(run: Record, kit: Kit, tmp_path: Path) -> None:
    table = tmp_path / "p.csv"
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS), "utf-8")
    done = kit("predict", run.folder, "--file", tmp_path / "texts.txt", "--out", table, "--min-confidence", "0.99")
    assert done.code == 0
    header, *rows = table.read_text("utf-8").splitlines()
    assert "undecided" in header.split(",")
    assert all("true" in row.lower() for row in rows)


def test_an_export_decides_like_its_run(run: Record, kit: Kit, tmp_path: Path) -> None:
    assert kit("export", run.folder, "--to", tmp_path / "exported", "--no-speed").code == 0
    arguments = (*TEXTS, "--coverage", "0.4")
    exported, own = (kit("predict", folder, *arguments) for folder in (tmp_path / "exported", run.folder))
    assert exported.out == own.out
    assert [json.loads(line)["text"] for line in own.out.splitlines()] == TEXTS


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--coverage", "0.999"], "100 held-out examples of tfidf"),
        (["--coverage", "0.95"], "do not show that 95.0 %"),
        (["--coverage", "95"], "95 % is 0.95"),
        (["--min-confidence", "0"], "95 % is 0.95"),
        (["--min-confidence", "0.5", "--coverage", "0.9"], "exclude each other"),
    ],
)
def test_impossible_decisions_are_refused(options: list[str], message: str, run: Record, kit: Kit) -> None:
    done = kit("predict", run.folder, *TEXTS, *options)
    assert done.code == 2
    assert message in done.err and not done.out


def test_a_model_without_held_out_examples_names_the_way_out(reviews: Path, tmp_path: Path, kit: Kit) -> None:
    recipe = Recipe(
        task="classification",
        method="tfidf",
        runs=str(tmp_path / "runs"),
        data={"source": str(reviews), "text": "text", "label": "label", "budget": 40, "validation": 0.0},
    )
    done = kit("predict", finetune(recipe, quiet=True).folder, *TEXTS, "--coverage", "0.9")
    assert done.code == 2
    assert "has no held-out examples" in done.err and "--min-confidence" in done.err
