"""The content of record.json as types is written as it was read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kit.records.content import RecordContent, RecordedTraining
from kit.records.record import Record

EARLIER = Path(__file__).parent / "earlier"


@pytest.mark.parametrize("file", sorted(EARLIER.glob("runs/*/record.json")), ids=lambda file: file.parent.name)
def test_earlier_records_are_written_byte_for_byte(file: Path) -> None:
    record = Record.read(file.parent)
    assert record.content.to_json() == file.read_text("utf-8")
    assert record.to_dict() == json.loads(file.read_bytes())


def test_records_of_training_runs_are_written_byte_for_byte(tiny_run: Path) -> None:
    assert Record.read(tiny_run).content.to_json() == (tiny_run / "record.json").read_text("utf-8")


def test_keys_of_other_versions_are_kept_in_their_place(tiny_run: Path) -> None:
    content = Record.read(tiny_run).to_dict()
    content = {"later": [1, {"a": None}], **content, "training": {"model_dump": 1, **content["training"]}}
    assert list(RecordContent.model_validate(content).to_dict()) == list(content)
    assert RecordContent.model_validate(content).to_dict() == content


def test_whole_numbers_stay_whole(tiny_run: Path) -> None:
    training = Record.read(tiny_run).to_dict()["training"] | {"samples_per_second": 3}
    assert json.dumps(RecordedTraining.model_validate(training).to_dict()) == json.dumps(training)
