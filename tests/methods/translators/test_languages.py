"""Language codes and prefixes of teachers and students, for every family of translators."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from kit import Recipe, finetune
from kit.distillation.teacher import load_teacher, resolve_teacher
from kit.models.checkpoints.tokenizers import load_tokenizer
from kit.models.load import load_predictor
from kit.models.translation.generation_settings import apply_route, set_search
from kit.models.translation.lengths import LEAST_RATIO
from kit.models.translation.seq2seq import load_translator
from kit.models.translation.translator import Translator
from kit.recipe.load import validated
from kit.runs.control import control_recipe
from kit.runs.derived_recipes import distillation_recipe
from kit.runs.request import make_request
from kit.workflows.distill import distill
from tests.models.translation.test_translators import ROUTES
from tests.support.translators import BUILDERS

MULTILINGUAL = ["multi_marian", "t5", "m2m100", "nllb", "mbart50", "mbart25"]
SOURCES = [("Two dogs run across the grass.",), ("A man in green holds a guitar.",)]


@pytest.fixture(scope="module")
def families(captions: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    lines = [line for code in ("en", "de") for line in (captions / f"train.{code}").read_text("utf-8").split("\n")]
    folders = {}
    for name in [*MULTILINGUAL, "marian"]:
        folders[name] = tmp_path_factory.mktemp("families") / name
        folders[name].mkdir()
        torch.manual_seed(0)
        BUILDERS[name](folders[name], lines)
    return folders


def recipe_for(captions: Path, runs: Path, **sections: object) -> Recipe:
    return Recipe.model_validate(
        {
            "task": "translation",
            "runs": str(runs),
            "data": {"source": str(captions), "languages": ["en", "de"], "budget": 40, "max_length": 24},
            "train": {"epochs": 1, "evaluations": 1, "batch_size": 16},
            "translation": {"beams": 2},
        }
        | sections
    )


@pytest.mark.parametrize("name", MULTILINGUAL)
def test_checkpoint_as_teacher_gets_the_languages(name, families, captions, tmp_path) -> None:
    folder = families[name]
    recipe = recipe_for(captions, tmp_path, method="distill", distill={"teacher": str(folder), "student": "layers:1"})
    teacher = resolve_teacher(str(folder), recipe)
    settings = teacher.translation_settings
    assert settings is not None and settings.route == ROUTES[name]
    model, tokenizer_pair = load_translator(folder)
    first = apply_route(model, tokenizer_pair.source, ROUTES[name])
    set_search(model, 2, 1.0, 24, first, LEAST_RATIO)
    expected = Translator(model, tokenizer_pair, 24, ROUTES[name].prefix).outputs(SOURCES)
    assert load_teacher(teacher).outputs(SOURCES).tolist() == expected.tolist()
    greedy = recipe.model_copy(update={"translation": recipe.translation.model_copy(update={"beams": 1})})
    assert resolve_teacher(str(folder), greedy).sha256 != teacher.sha256, "the cache key depends on decoding"


@pytest.mark.parametrize("name", ["t5", "nllb"])
def test_students_get_the_languages_of_their_teacher(name, families, captions, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("kit.methods.translators.distill.loops", lambda line: False)  # random weights loop
    section = {"teacher": str(families[name]), "student": "layers:1"}
    done = distill(recipe_for(captions, tmp_path, method="distill", distill=section), quiet=True)
    for record in (done.students[0], done.controls[0]):
        assert (record.recipe.translation.codes, record.recipe.translation.prefix) == (
            list(ROUTES[name].codes) if ROUTES[name].codes else None,
            ROUTES[name].prefix,
        )
        translator = load_predictor(record.model_folder)
        assert isinstance(translator, Translator) and translator.prefix == ROUTES[name].prefix
        if name == "nllb":
            settings = json.loads((record.model_folder / "generation_config.json").read_text("utf-8"))
            tokenizer = AutoTokenizer.from_pretrained(record.model_folder)
            assert settings["forced_bos_token_id"] == tokenizer.convert_tokens_to_ids("deu_Latn")
            assert (tokenizer.src_lang, tokenizer.tgt_lang) == ("eng_Latn", "deu_Latn")


def test_student_of_another_family_gets_its_own_languages(families, captions, tmp_path) -> None:
    teacher = finetune(recipe_for(captions, tmp_path, model={"checkpoint": str(families["t5"])}), quiet=True)
    assert teacher.recipe.translation.prefix == "translate English to German: "
    recipe = distillation_recipe([str(teacher.folder)])

    def student(section: dict[str, object] | str) -> Recipe:
        content = recipe.model_dump()
        content["distill"]["student"] = section
        return make_request(validated(content)).recipe

    assert student("layers:1").translation.prefix == "translate English to German: "
    assert student({"checkpoint": str(families["marian"])}).translation.prefix == ""
    assert student({"checkpoint": str(families["nllb"])}).translation.codes == ["eng_Latn", "deu_Latn"]
    fresh = student({"init": "random", "hidden_size": 16, "layers": 1})
    assert (fresh.translation.prefix, fresh.translation.codes) == ("", None)


@pytest.mark.parametrize("name", ["t5", "nllb"])
def test_fresh_student_has_a_control(name, families, captions, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("kit.methods.translators.distill.loops", lambda line: False)
    student = {"init": "random", "hidden_size": 16, "layers": 1}
    section = {"teacher": str(families[name]), "student": student}
    done = distill(recipe_for(captions, tmp_path, method="distill", distill=section), controls=False, quiet=True)
    control = make_request(control_recipe(done.record, resolve_teacher(str(families[name])))).recipe
    assert control.method == "student" and control.distill.student == done.record.recipe.distill.student
    assert (control.translation.codes, control.translation.prefix) == (None, "")


def test_explicit_default_prefix_gives_the_same_run(families, captions, tmp_path) -> None:
    recipe = recipe_for(captions, tmp_path, model={"checkpoint": str(families["multi_marian"])})
    implicit = make_request(recipe)
    section = recipe.translation.model_copy(update={"prefix": implicit.recipe.translation.prefix})
    explicit = make_request(recipe.model_copy(update={"translation": section}))
    assert implicit.recipe.translation.prefix == explicit.recipe.translation.prefix == ">>deu<< "
    assert implicit.id == explicit.id
    other = recipe.translation.model_copy(update={"prefix": ">>fra<< "})
    assert make_request(recipe.model_copy(update={"translation": other})).recipe.translation.prefix == ">>fra<< "


def test_language_code_after_the_text_is_only_for_mbart(families) -> None:
    model, _ = load_translator(families["nllb"])
    with pytest.raises(Exception, match="puts the language after a text"):
        apply_route(model, load_tokenizer(families["mbart25"]), ROUTES["mbart25"])
