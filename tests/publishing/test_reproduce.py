"""Recipes and commands on a card reproduce the run in an empty folder."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from kit import Recipe, Record, finetune
from kit.publishing.card import model_card
from kit.publishing.card_facts import CardFacts, CardFormat
from kit.publishing.reproduce import chain_steps, reproduction_of
from kit.recipe.load import recipe_to_yaml
from kit.runs.derived_recipes import compression_recipe
from kit.runtime.files import file_sha256
from kit.workflows.compress import compress
from tests.support.sealing import edited


def card_of(record: Record) -> str:
    """Return a model card of a run with its section on reproduction."""
    facts = CardFacts(
        name="exported",
        recipe=record.recipe.model_dump(mode="json"),
        history=[],
        formats=[CardFormat("safetensors", ".", "transformers", {}, "transformers", "")],
        reproduction=reproduction_of(record),
    )
    return model_card(record, facts)


def follow(card: str, folder: Path, sources: dict[str, Path], kit: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """Follow the section on reproduction in an empty folder; return the run id of the last command.

    sources: Folders of the files that the card names, by the first part of the name; "" for single files.
    """
    section = card.partition("## Reproduce this model")[2]
    assert "inputs are missing" not in section and str(folder.parent) not in section
    for name, digest in re.findall(r"^\| (\S+) \| ([0-9a-f]{64}) \|$", section, re.MULTILINE):
        plain = name.replace("\\", "")
        first, _, rest = plain.partition("/")
        origin = sources[first] / rest if rest else sources[""] / plain
        assert file_sha256(origin) == digest
        target = folder / plain
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(origin, target)
    for name, text in re.findall(r"^`(\S+\.yaml)`:\n\n```yaml\n(.*?)\n```$", section, re.MULTILINE | re.DOTALL):
        (folder / name).write_text(text, "utf-8")
    monkeypatch.chdir(folder)
    [commands] = re.findall(r"^```sh\n(.*?)\n```$", section, re.MULTILINE | re.DOTALL)
    out = ""
    for command in commands.splitlines():
        program, *arguments = command.split()
        result = kit(*arguments)
        assert program == "kit" and result.code == 0, result.err
        out = result.out
    [run_id] = re.findall(r"runs/(\S+)", out.splitlines()[-1] if "ends with" in out else out)[-1:]
    return str(run_id)


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    folder = tmp_path / "empty"
    folder.mkdir()
    return folder


@pytest.fixture
def sources(reviews: Path, tiny_checkpoint: Path) -> dict[str, Path]:
    return {reviews.name: reviews, tiny_checkpoint.name: tiny_checkpoint}


def compressed(folder: Path, steps: list[object]) -> Record:
    content = compression_recipe(folder).model_dump()
    content["compress"] |= {"steps": steps, "gate": None}
    return compress(Recipe.model_validate(content), quiet=True).record


def test_card_of_a_chain_reproduces_all_its_steps(
    tiny_run: Path, empty: Path, sources: dict[str, Path], kit, monkeypatch, untimed: None
) -> None:
    trimmed = compressed(tiny_run, ["vocabulary"])
    rounded = compressed(trimmed.folder, [{"int8-onnx": {"embeddings": "int4"}}])  # continues the chain
    card = card_of(rounded)
    run_id = follow(card, empty, sources, kit, monkeypatch)
    assert run_id == rounded.id
    assert {path.parent.name for path in empty.glob("runs/*/record.json")} == {tiny_run.name, trimmed.id, rounded.id}
    recipe = empty / "record.yaml"  # the recipe in the Record, with the original paths of the data
    recipe.write_text(recipe_to_yaml(rounded.recipe.model_copy(update={"runs": "runs"})), "utf-8")
    assert compress(Recipe.load(recipe), quiet=True).record.id == rounded.id


def test_card_of_a_student_reproduces_its_teacher_first(
    tiny_run: Path, empty: Path, sources: dict[str, Path], kit, monkeypatch, tmp_path: Path
) -> None:
    texts = tmp_path / "a" / "train.csv"
    texts.parent.mkdir()
    texts.write_text("text\nmore text without labels\nand more of it\n", "utf-8")
    content = Record.read(tiny_run).recipe.model_dump()
    content |= {"method": "distill", "runs": str(tmp_path / "runs"), "train": {"epochs": 0.1}}
    content["distill"] |= {"teacher": str(tiny_run), "student": "layers:1", "texts": str(texts)}
    student = finetune(Recipe.model_validate(content), quiet=True)
    reproduction = reproduction_of(student)
    assert reproduction.commands == ("kit finetune teacher.yaml", "kit finetune model.yaml")
    assert f"teacher: runs/{tiny_run.name}" in reproduction.recipes["model.yaml"]
    run_id = follow(card_of(student), empty, {**sources, "": texts.parent}, kit, monkeypatch)
    assert run_id == student.id


def test_card_of_an_adapter_reproduces_it(
    tiny_run: Path, empty: Path, sources: dict[str, Path], kit, monkeypatch, tmp_path: Path
) -> None:
    content = Record.read(tiny_run).recipe.model_dump()
    content |= {"method": "lora", "runs": str(tmp_path / "runs"), "train": {"epochs": 1}, "lora": {"r": 2}}
    record = finetune(Recipe.model_validate(content), quiet=True)
    assert follow(card_of(record), empty, sources, kit, monkeypatch) == record.id


@pytest.mark.parametrize("form", ["two files of one name", "glob", "list"])
def test_local_files_get_new_names(form: str, reviews: Path, empty: Path, kit, monkeypatch, tmp_path: Path) -> None:
    for folder, name in (("one", "train"), ("two", "test")):
        (tmp_path / folder).mkdir()
        shutil.copy(reviews / f"{name}.csv", tmp_path / folder / "all.csv")
    train = tmp_path / "one" / "all.csv"
    source = {"two files of one name": str(train), "glob": str(train.parent / "*.csv"), "list": [str(train)]}[form]
    data = {"source": source, "test": str(tmp_path / "two" / "all.csv"), "text": "text", "label": "label", "budget": 60}
    recipe = {"task": "classification", "method": "tfidf", "runs": str(tmp_path / "runs"), "data": data}
    record = finetune(Recipe.model_validate(recipe), quiet=True)
    names = list(reproduction_of(record).files)
    places = {"": tmp_path / "one", "one": tmp_path / "one", "files-2": tmp_path / "two"}
    if form == "glob":
        assert names == ["all.csv", "one/all.csv"]
        places[""] = tmp_path / "two"
    else:
        assert names == ["all.csv", "files-2/all.csv"]
    assert follow(card_of(record), empty, places, kit, monkeypatch) == record.id


def test_missing_inputs_are_listed(tiny_run: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(tiny_run, tmp_path / "runs" / tiny_run.name)
    record = Record.read(moved)
    content = {**record.to_dict()["recipe"], "method": "distill"}
    content["data"] = {**content["data"], "source": str(tmp_path / "gone.csv")}
    content["distill"] = {**content["distill"], "teacher": str(tmp_path / "runs" / "teacher-1")}
    reproduction = reproduction_of(edited(record, recipe=content))
    assert reproduction.missing == (
        "The checkpoint teacher-1 was not found.",
        "gone.csv (data.source) was not found.",
    )
    assert str(tmp_path) not in reproduction.recipes["model.yaml"]


def test_steps_of_older_records_are_collected(tiny_run: Path) -> None:
    trimmed = compressed(tiny_run, ["vocabulary"])
    halved = compressed(trimmed.folder, ["float16"])
    assert [step.technique for step in chain_steps(halved)] == ["vocabulary", "float16"]
    recipe = {**halved.to_dict()["recipe"], "compress": {"steps": ["float16"]}}
    older = edited(halved, recipe=recipe)
    assert [step.technique for step in chain_steps(older)] == ["vocabulary", "float16"]
    assert chain_steps(Record.read(tiny_run)) == []
