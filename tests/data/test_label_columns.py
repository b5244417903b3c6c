"""One 0/1 column per label, from training to evaluation."""

from __future__ import annotations

from pathlib import Path

from kit import Recipe, finetune, predict
from kit.workflows.evaluate import evaluate

NAMES = ["toxic", "rude", "kind"]
KINDS = [("toxic", "rude"), ("toxic",), ("kind",), ()]


def test_one_column_per_label_from_training_to_evaluation(tmp_path: Path) -> None:
    rows = [
        f"{' '.join(KINDS[i % 4])} words {i},{','.join(str(int(n in KINDS[i % 4])) for n in NAMES)}" for i in range(48)
    ]
    (tmp_path / "comments.csv").write_text("\n".join([f"comment,{','.join(NAMES)}", *rows]))
    data = {"source": str(tmp_path / "comments.csv"), "text": "comment", "label": NAMES}
    content = {"task": "classification", "method": "tfidf", "runs": str(tmp_path / "runs"), "data": data}
    record = finetune(Recipe.model_validate(content), quiet=True)
    assert (record.recipe.data.label, record.to_dict()["data"]["label_column"]) == (NAMES, NAMES)
    assert evaluate(record.folder).largest_difference == 0
    (prediction,) = predict(record.folder, "toxic rude words")
    assert list(prediction["scores"]) == NAMES
    assert prediction["scores"]["rude"] > prediction["scores"]["kind"]
