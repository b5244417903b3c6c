"""Every mistake is reported with file, line, key and what to write instead."""

from __future__ import annotations

import pytest

from tests.recipe.conftest import Fail, Load

BASE = "task: classification\nmodel: {checkpoint: org/model}\ndata:\n  source: tickets.csv\n"
APPLY = "!!python/object/apply:os.system"
METRICS = "accuracy, macro_f1, mcc, exact_match, r2, pearson, spearman, bleu, chrf"
METHODS = "one of finetune, lora, probe, scratch, tfidf, distill, student"
TOP_KEYS = "task, method, metric, runs, data, model, train, lora, probe, tfidf, distill, compress, translation, study"


def test_one_problem_is_one_line(fail: Fail) -> None:
    error = fail(BASE + "train:\n  epochs: 2\n  learning_rte: 1\n")
    assert str(error) == "r.yaml:7: train.learning_rte is not a key; did you mean learning_rate?"


def test_all_problems_are_reported_at_once(fail: Fail) -> None:
    error = fail(
        "data:\n  budget: 1\ntrain:\n  learning_rte: 1\n  batch_size: -2\n  seed: many\n",
        "train.warmup=1.5",
    )
    assert str(error) == "\n".join(
        [
            "r.yaml: 7 problems, nothing was run",
            "  r.yaml: task is required: one of classification, regression, sentiment, translation",
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
        ("metric: f1", f"metric must be one of {METRICS}, got 'f1'"),
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
        ("task: sentiment", "task is set twice, first on line 1"),
        ("  source: other.csv", "data.source is set twice, first on line 4"),
        ("? [a]\n: b", "a key must be plain text"),
        ("runs: &a [*a]", "this alias contains itself"),
    ],
)  # fmt: skip
def test_a_mistake_on_line_5(fail: Fail, lines: str, message: str | None) -> None:
    error = fail(BASE + lines + "\n")
    if message is None:
        assert error.message.startswith("r.yaml:6:1: not valid YAML: ")
    else:
        assert error.message == f"r.yaml:5: {message}"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epochss=2", "train.epochss is not a key; did you mean epochs?"),
        ("trian.epochs=2", "trian is not a key; did you mean train?"),
        ("train.epochs", "expected key=value"),
        ("=3", "expected key=value"),
        ("train.=3", "expected key=value"),
        ("data.source.x=1", "data.source is not a section, so x cannot be set in it"),
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
def test_a_mistake_in_an_override(fail: Fail, override: str, message: str) -> None:
    assert fail(BASE, override).message == f"--set {override}: {message}"


def test_missing_checkpoint_names_the_line_of_its_section(load: Load, fail: Fail) -> None:
    text = "task: classification\ndata: {source: x.csv}\nmodel:\n  pooling: cls\n"
    assert str(fail(text)) == "r.yaml:3: model.checkpoint is required for method finetune"
    assert load(text, "method=tfidf").method == "tfidf"


def test_contradictions_are_all_reported(fail: Fail) -> None:
    error = fail(BASE + "metric: exact_match\ntrain: {batch_size: 32, accumulation: 64}\n")
    assert error.message.splitlines() == [
        "r.yaml: 2 problems, nothing was run",
        "  r.yaml:5: metric exact_match needs data.multi_label; for one label per example, use accuracy",
        "  r.yaml:6: train.accumulation cannot exceed train.batch_size",
    ]
