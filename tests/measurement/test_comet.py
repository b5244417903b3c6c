"""COMET by its command, replaced by a stand-in, because the package conflicts with kit's libraries.

The stand-in has the arguments and file formats of `comet-score` in unbabel-comet 2.2.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from kit.errors import ModelError
from kit.measurement.comet import comet
from kit.records.record import Record

COMMAND = f"""#!{sys.executable}
import argparse, json, sys
parser = argparse.ArgumentParser()
for name in ("-s", "-t", "-r", "--model", "--to_json"):
    parser.add_argument(name, required=True)
parser.add_argument("--gpus", type=int, default=1)
parser.add_argument("--quiet", action="store_true")
parser.add_argument("--only_system", action="store_true")
given = parser.parse_args()
if "broken" in open(given.model).read():
    sys.exit("Traceback\\nRuntimeError: invalid magic number")
columns = [[line.strip() for line in open(path, encoding="utf-8")] for path in (given.s, given.t, given.r)]
rows = [dict(zip(("src", "mt", "ref"), row)) for row in zip(*columns, strict=True)]
for row in rows:
    row["COMET"] = 0.9 if row["mt"] == row["ref"] else 0.3
print(given.t, "score: %.4f" % (sum(row["COMET"] for row in rows) / len(rows)))
json.dump({{given.t: rows}}, open(given.to_json, "w"))
"""


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the command on the path, and return a file that stands for its checkpoint."""
    command = tmp_path / "bin" / "comet-score"
    command.parent.mkdir()
    command.write_text(COMMAND, "utf-8")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}{os.pathsep}{os.environ['PATH']}")
    path = tmp_path / "model.ckpt"
    path.write_text("weights", "utf-8")
    return path


def test_every_sentence_counts_once(checkpoint) -> None:
    translations = ["ein hund", "", "zwei\nkatzen", "drei", "ein\u2028haus", "vier"]
    score = comet(["s"] * 6, translations, ["ein hund", "eine katze", "zwei katzen", "drei", "x", "y"], checkpoint)
    assert score.value == pytest.approx(0.6)
    assert 0.3 <= score.low < 0.5 and 0.7 < score.high <= 0.9


def test_evaluate_adds_the_score_of_a_translation(checkpoint, scratch_run, kit) -> None:
    done = kit("evaluate", scratch_run, "--comet", checkpoint, "--json")
    assert done.code == 0, done.err
    score = json.loads(done.out)["metrics"]
    assert score["comet"] == pytest.approx([0.3, 0.3, 0.3])  # the model translates no sentence correctly
    assert score["bleu"][0] == pytest.approx(Record.read(scratch_run).metrics["bleu"].value)
    assert "0.300 [0.300, 0.300]" in kit("evaluate", scratch_run, "--comet", checkpoint).out


def test_the_error_of_the_command_is_reported(checkpoint) -> None:
    checkpoint.write_text("broken", "utf-8")
    with pytest.raises(ModelError, match="comet-score failed: RuntimeError: invalid magic number"):
        comet(["a"], ["b"], ["c"], checkpoint)


def test_unscorable_input_is_refused_before_prediction(
    checkpoint, scratch_run, trained, kit, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr("kit.models.load.load_predictor", None)
    other = kit("evaluate", trained, "--comet", checkpoint)
    assert other.code == 2 and f"{trained.name} does not translate" in other.err
    absent = kit("evaluate", scratch_run, "--comet", tmp_path / "absent.ckpt")
    assert absent.code == 2 and "absent.ckpt is not a checkpoint of COMET" in absent.err
    monkeypatch.setenv("PATH", str(tmp_path))
    missing = kit("evaluate", scratch_run, "--comet", checkpoint)
    assert missing.code != 0 and "pipx install unbabel-comet" in missing.err
