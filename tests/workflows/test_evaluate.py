"""`kit evaluate`: results per class."""

import json
from pathlib import Path
from typing import Any

import pytest

from kit import Record


def test_results_per_class_equal_those_of_the_record(tiny_run: Path, kit: Any) -> None:
    content = json.loads(kit("evaluate", tiny_run, "--per-class", "--json").out)
    record = Record.load(tiny_run)
    recorded = record.to_dict()["details"]["per_label"]
    assert {row["label"] for row in content["classes"]} == set(record.labels)
    for row in content["classes"]:
        expected = recorded[row["label"]]
        assert row["support"] == expected["support"]
        for name in ("precision", "recall", "f1"):
            value, low, high = row[name]
            assert value == pytest.approx(expected[name], abs=1e-6)
            assert low <= value <= high
    f1 = [row["f1"][0] for row in content["classes"]]
    assert f1 == sorted(f1)
    wrong = sum(pair["count"] for pair in content["confusions"])
    assert wrong == round((1 - record.metrics["accuracy"].value) * record.content.data.sizes.test)


def test_tables_of_classes_and_confusions_are_printed_on_request(tiny_run: Path, kit: Any) -> None:
    done = kit("evaluate", tiny_run, "--per-class")
    assert done.code == 0
    assert "class" in done.out and "support" in done.out and "predicted" in done.out
    plain = kit("evaluate", tiny_run)
    assert "support" not in plain.out
    assert "classes" not in json.loads(kit("evaluate", tiny_run, "--json").out)
