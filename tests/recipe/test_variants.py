"""Variants of a study in recipes: their short forms, and each kind of mistake with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from kit.errors import RecipeError
from kit.recipe import Recipe, load_recipe

HEAD = """task: sentiment
data: {source: reviews.csv}
model: {checkpoint: org/small}
study:
  budgets: [80, 160]
  variants:
    - finetune
    - scratch
"""
FIRST = HEAD.count("\n") + 1  # line of the variant that a test adds


def load(path: Path, more: str) -> Recipe:
    path.write_text(HEAD + more, "utf-8")
    return load_recipe(path)


def test_short_forms_become_variants(tmp_path: Path) -> None:
    recipe = load(
        tmp_path / "r.yaml",
        "    - {name: frozen, method: finetune, set: {train.freeze_embeddings: true}}\n"
        "    - {name: student, method: distill, of: frozen}\n"
        "    - {of: student, steps: [vocabulary, {int8-onnx: {embeddings: int4}}]}\n",
    )
    assert [variant.name for variant in recipe.variants] == [
        "finetune", "scratch", "frozen", "student", "student vocabulary int8-onnx",
    ]  # fmt: skip
    assert recipe.variants[4].steps[1].embeddings == "int4"  # type: ignore[index, union-attr]


def test_methods_are_variants_with_their_names() -> None:
    study = {"methods": ["probe", "tfidf", "probe"]}
    recipe = Recipe(task="sentiment", data={"source": "r.csv"}, model={"checkpoint": "org/small"}, study=study)
    assert [(variant.name, variant.method) for variant in recipe.variants] == [("probe", "probe"), ("tfidf", "tfidf")]


MISTAKES = {
    "{name: a, of: finetun, steps: [int8-onnx]}": "there is no variant finetun; did you mean finetune?",
    "{name: a, of: a, steps: [int8-onnx]}": "a variant cannot be made of itself",
    "{name: finetune, method: lora}": "2 variants are named finetune; rename all but one",
    "{name: a, method: finetune}": "a has the same runs as finetune",
    "{name: a, method: finetune, set: {train.epocs: 3}}": "a: train.epocs is not a key; did you mean epochs?",
    "{name: a, method: finetune, set: {train.epochs: -3}}": "a: train.epochs must be greater than 0, got -3",
    "{name: a, method: finetune, set: {train.epochs.x: 3}}": "train.epochs.x is not a key: epochs is not a section",
    "{name: a, method: finetune, set: {data.budget: 3}}": "data.budget belongs to the grid: use study.budgets",
    "{name: a, method: finetune, set: {data.source: b.csv}}": "data.source is the same for all variants of a study",
    "{name: a, method: finetune, set: {compress.steps: [onnx]}}": "write a variant with `of` and `steps`",
    "{name: a, method: finetune, of: scratch}": "of is for steps and for method distill, not for method finetune",
    "{name: a, method: finetune, of: scratch, steps: [onnx]}": "a variant has a method or steps, not both",
    "{name: a}": "a variant needs a method, or steps with `of`",
    "{name: a, steps: [onnx]}": "steps need `of`: the variant to compress",
    "{name: a, of: scratch, steps: [onnx], set: {train.epochs: 1}}": "set is for variants with a method",
    "{name: a, of: scratch, stepz: [onnx]}": "study.variants[2].stepz is not a key; did you mean steps?",
    "{name: a, of: scratch, steps: [onx]}": "onx is not a technique; techniques are vocabulary",
    "{name: a, method: lora, teacher_checkpoint: org/small}": "teacher_checkpoint is for method distill",
    "{name: a, method: distill, teacher_checkpoint: org/smal}": "org/smal is not in study.checkpoints",
    "{name: a, method: distill, teacher_checkpoint: x, set: {distill.student: cnn}}": "leave distill.student out",
    "finetun": "study.variants[2].method must be one of finetune, lora",
    "{name: a/b, method: lora}": "study.variants[2].name must match",
}


@pytest.mark.parametrize("variant", MISTAKES)
def test_mistakes_are_one_line_with_their_place(variant: str, tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    with pytest.raises(RecipeError) as caught:
        load(path, f"    - {variant}\n")
    place, _, message = str(caught.value).partition(": ")
    line = 6 if "rename" in message else FIRST  # two variants share the mistake: the line of their list
    assert place == f"{path}:{line}"
    assert MISTAKES[variant] in message
    assert "\n" not in message


def test_variants_made_of_each_other_are_refused(tmp_path: Path) -> None:
    circle = "    - {name: a, of: b, steps: [onnx]}\n    - {name: b, of: a, steps: [vocabulary]}\n"
    with pytest.raises(RecipeError, match="these variants are made of each other: a, b"):
        load(tmp_path / "r.yaml", circle)


def test_the_line_of_a_key_inside_a_variant_is_reported(tmp_path: Path) -> None:
    text = (
        "    - name: a\n      method: finetune\n      set:\n        train.weight_decay: 0.1\n        train.epocs: 3\n"
    )
    with pytest.raises(RecipeError, match=f"r.yaml:{FIRST + 4}: "):
        load(tmp_path / "r.yaml", text)


TEACHERS = {
    ("[org/small]", "finetune", ""): "study.checkpoints has no other checkpoint that could be a student",
    ("[org/small, org/large]", "finetune", "distill: {teacher: runs/x}\n"): "distill.teacher names another teacher",
    ("[org/small, org/large]", "student", ""): "student, the teacher, has no model of org/small",
}


@pytest.mark.parametrize(("checkpoints", "of", "more"), TEACHERS)
def test_checkpoints_that_cannot_teach_are_refused(checkpoints: str, of: str, more: str, tmp_path: Path) -> None:
    student = "{name: student, method: distill, of: finetune, teacher_checkpoint: org/small}"
    second = f"{{name: a, method: distill, of: {of}, teacher_checkpoint: org/small, set: {{train.epochs: 1}}}}"
    text = HEAD.replace("  budgets", f"  checkpoints: {checkpoints}\n  budgets") + f"    - {student}\n    - {second}\n"
    (tmp_path / "r.yaml").write_text(more + text, "utf-8")
    with pytest.raises(RecipeError) as caught:
        load_recipe(tmp_path / "r.yaml")
    assert TEACHERS[checkpoints, of, more] in str(caught.value)


def test_methods_and_variants_together_are_refused() -> None:
    study = {"methods": ["probe"], "variants": ["tfidf"]}
    with pytest.raises(ValueError, match=r"study.methods and study.variants are both set"):
        Recipe(task="sentiment", data={"source": "r.csv"}, model={"checkpoint": "org/small"}, study=study)
