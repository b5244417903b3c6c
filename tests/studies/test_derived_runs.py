"""Compressed and distilled runs that were derived from a study."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from kit.records.record import Record, seal
from kit.studies.analyse import analyse
from kit.studies.derived_runs import derived_runs


@pytest.fixture
def runs(studied: Path, tmp_path: Path) -> Path:
    """Return a copy of the study's folder of runs."""
    shutil.copytree(studied.parent, tmp_path / "runs")
    return tmp_path / "runs"


def made_from(source: Record, name: str, techniques: Sequence[str] = ("int8-onnx",), **settings: object) -> Record:
    """Return a copy of a Record that names another Record as its source."""
    folder = shutil.copytree(source.folder, source.folder.with_name(name))
    content = json.loads((folder / "record.json").read_text())
    content |= {"id": name, "settings": {**content["settings"], **settings}}
    if "teachers" in settings:
        content["method"] = content["recipe"]["method"] = "distill"
        content["settings"]["transfer_set"] = {"texts": 1}
    else:
        content["settings"].pop("teachers", None)
    content["recipe"]["compress"]["steps"] = [{"technique": technique} for technique in techniques]
    for key in ("sha256", "format", "files", "backend"):
        content.pop(key, None)
    seal(folder, content)
    return Record.read(folder)


def compressed(source: Record, name: str) -> Record:
    return made_from(source, name, compression={"technique": "int8-onnx", "source": source.id})


def cell(runs: Path, method: str = "probe") -> Record:
    return Record.read(sorted(runs.glob(f"{method}-*-160-s0-*"))[0])


def test_chains_of_compressed_and_distilled_runs_are_followed(runs: Path) -> None:
    root = cell(runs, "scratch")
    one = compressed(root, "one")
    compressed(one, "two")
    made_from(root, "student", teachers=[{"record": root.id, "name": "t"}])
    compressed(Record.read(runs / "student"), "small-student")
    compressed(one, "again")
    derived = {run.record.id: run for run in derived_runs(runs, [root], root.predictions())}
    assert {name: len(run.steps) for name, run in derived.items()} == {
        "one": 1, "two": 2, "student": 1, "small-student": 2, "again": 2,
    }  # fmt: skip
    assert {run.root for run in derived.values()} == {root.id}
    assert (derived["one"].budget, derived["one"].seed) == (160, 0)


def test_each_step_of_a_chain_is_named_by_its_technique(runs: Path) -> None:
    root = cell(runs)
    made_from(root, "one", ["vocabulary"], compression={"technique": "vocabulary", "source": root.id})
    chain = ["vocabulary", "int8-onnx"]
    made_from(root, "two", chain, compression={"technique": "int8-onnx", "source": "one"})
    steps = {run.record.id: run.steps for run in derived_runs(runs, [root], root.predictions())}
    assert steps == {"one": ("vocabulary",), "two": ("vocabulary", "int8-onnx")}


def test_foreign_circular_and_damaged_runs_are_left_out(runs: Path) -> None:
    root = cell(runs)
    made_from(root, "circle", compression={"technique": "int8-onnx", "source": "circle"})
    made_from(root, "orphan", compression={"technique": "int8-onnx", "source": "elsewhere"})
    compressed(root, "damaged").folder.joinpath("predictions.parquet").write_bytes(b"PAR1")
    tested_elsewhere = compressed(root, "other").folder / "record.json"
    tested_elsewhere.write_text(tested_elsewhere.read_text().replace(root.content.data.fingerprints["test"], "0"))
    assert derived_runs(runs, [root], root.predictions()) == []


def test_a_compressed_run_is_timed_with_the_study(runs: Path, untimed: None) -> None:
    study = runs / next(path.parent.name for path in runs.glob("*/study.json"))
    compressed(cell(runs), "small")
    findings = analyse(study, derived=True)
    (candidate,) = findings.candidates
    assert candidate.name == "probe + int8-onnx"
    assert [point.budget for point in candidate.points] == [160]
    measured = {one.name: one.speed for one in findings.options if one.speed is not None}
    assert {"probe", "probe + int8-onnx", "tfidf"} <= set(measured)
    assert len({speed.hardware for speed in measured.values()}) == 1
    assert analyse(study).candidates == ()
