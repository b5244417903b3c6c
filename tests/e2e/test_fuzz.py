"""Damaged files: every command ends with one line and a regular exit code, in little memory."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from kit.records.record import Record
from kit.runtime.files import file_sha256
from kit.runtime.seals import sealed
from tests.support.fuzz_inputs import BINARY, JSON, TEXT, Change, damaged, write_data
from tests.support.processes import QUICK_EXIT, Forks

MAX_BYTES = 2_000_000_000


@dataclass(frozen=True)
class Case:
    """A file to damage in a copy of its folder, and the command that reads it.

    reseal: Write hashes that match the damaged files, as after a deliberate change.
    """

    name: str
    folder: Path
    changes: tuple[Change, ...]
    command: Callable[[Path], list[object]]
    count: int
    reseal: bool = False


def _with_folder(command: str, *arguments: object) -> Callable[[Path], list[object]]:
    return lambda at: [command, at, *arguments]


@pytest.fixture(scope="module")
def cases(tiny_run: Path, tiny_checkpoint: Path, studied: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    data = tmp_path_factory.mktemp("data")
    files = write_data(data)
    recipe = data / "recipe.yaml"
    recipe.write_text(
        f"task: classification\ndata:\n  source: {data / 'data.csv'}\n  text: text\n  label: label\n"
        f"model: {{checkpoint: {tiny_checkpoint}}}\ntrain:\n  epochs: 1\n  seed: 0\n",
        "utf-8",
    )
    plain = Record.load(next(path for path in studied.parent.glob("tfidf-*") if (path / "model").is_dir()))
    exported = tmp_path_factory.mktemp("exported") / "folder"
    from kit.workflows.export import export

    export(plain.folder, to=exported, speed=False, say=lambda line: None)
    new = lambda name: lambda at: ["new", at / "new.yaml", "--train", at / name]  # noqa: E731
    cases = [
        Case(file.name, data, BINARY if file.suffix in (".gz", ".parquet") else TEXT, new(file.name), 14)
        for file in files
        if file.suffix != ".tmx"
    ]
    cases += [
        Case("data.tmx", data, TEXT, lambda at: [*new("data.tmx")(at), "--languages", "en,de"], 14),
        Case("recipe.yaml", data, TEXT, lambda at: ["check", at / "recipe.yaml", "--set", "method=tfidf"], 34),
        *(
            Case(name, plain.folder, changes, _with_folder(command, *extra), count, reseal)
            for name, changes, command, extra, count, reseal in (
                ("record.json", JSON, "predict", ["a text"], 10, False),
                ("record.json", JSON, "predict", ["a text"], 16, True),
                ("record.json", JSON, "evaluate", [], 16, True),
                ("predictions.parquet", BINARY, "evaluate", [], 4, False),
                ("predictions.parquet", BINARY, "evaluate", [], 14, True),
                ("model/tfidf.json", JSON, "predict", ["a text"], 14, True),
                ("model/tfidf.safetensors", BINARY, "predict", ["a text"], 12, True),
            )
        ),
        Case("kit.json", exported, JSON, lambda at: ["predict", at, "a text"], 12),
        Case("study.json", studied, JSON, lambda at: ["advise", at], 24),
        Case("speed.json", studied, JSON, lambda at: ["advise", at], 10),
        *(
            Case(name, tiny_checkpoint, changes, lambda at: ["check", recipe, "--set", f"model.checkpoint={at}"], count)
            for name, changes, count in (
                ("config.json", JSON, 16), ("tokenizer.json", JSON, 6), ("tokenizer_config.json", JSON, 6),
                ("model.safetensors", BINARY, 8), ("modules.json", JSON, 4),
            )
        ),
    ]  # fmt: skip
    return cases


def _reseal(folder: Path, name: str) -> None:
    record = folder / "record.json"
    try:
        content = json.loads(record.read_text("utf-8"))
        if name != "record.json":
            content["files"][name] = file_sha256(folder / name)
        text = json.dumps(sealed(content))
        record.unlink()  # it may be a link to the original
        record.write_text(text, "utf-8")
    except (ValueError, TypeError, AttributeError, RecursionError):
        return


def _copied(case: Case, to: Path) -> Path:
    """Link the files of a case's folder into a new one, with the runs of a study beside it."""
    if case.folder.name.startswith("study-"):
        to.mkdir()
        for run in case.folder.parent.iterdir():
            if run != case.folder:
                (to / run.name).symlink_to(run)
        return Path(shutil.copytree(case.folder, to / case.folder.name))
    return Path(shutil.copytree(case.folder, to / case.folder.name, copy_function=os.link))


def attempt(forks: Forks, case: Case, seed: int, to: Path) -> str:
    """Damage a file, run the command that reads it, and return the problems of its exit."""
    folder = _copied(case, to)
    path = folder / case.name
    content = damaged(path, case.changes, seed)
    path.unlink()
    path.write_bytes(content)
    if case.reseal:
        _reseal(folder, case.name)
    process = forks.start(*case.command(folder), **{QUICK_EXIT: "1"})
    out, err = process.communicate()
    problems = [] if process.returncode in (0, 1, 2) else [f"exit code {process.returncode}"]
    problems += [word for word in ("unexpected; `--debug`", "Traceback") if word in out + err]
    problems += ["no line"] if process.returncode and "error: " not in err else []
    problems += [f"{process.peak_bytes / 1e6:.0f} MB"] if process.peak_bytes > MAX_BYTES else []
    shutil.rmtree(to)
    return f"{case.name} {seed} {process.returncode}: {problems}\n{err[-600:]}" if problems else ""


@pytest.mark.timeout(900)  # a minute on two free cores, with the fixtures that others share
def test_damaged_files_of_every_kind_end_in_one_line(cases: list[Case], tmp_path: Path) -> None:
    assert sum(case.count for case in cases) >= 300
    forks = Forks()
    try:
        problems = [
            line
            for number, case in enumerate(cases)
            for seed in range(case.count)
            if (line := attempt(forks, case, seed, tmp_path / f"{number}-{seed}"))
        ]
    finally:
        forks.close()
    assert not problems, "\n".join(problems)
