"""Methods for translation with a tiny encoder and a fresh decoder: Records, predictions, students and controls."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import MarianMTModel

import kit.distillation.teacher_outputs as outputs_module
import kit.methods.translators.distill as distill_module
from kit import Recipe, Record, distill, evaluate, finetune, predict
from kit.data.translation_checks import loops
from kit.distillation.students.decoder import decoder_depth
from kit.distillation.teacher import resolve_teacher
from kit.errors import KitError, ModelError, RecipeError
from kit.methods import family_of
from kit.methods.translators.family import METHODS
from kit.methods.translators.training import writer_of
from kit.models.checkpoints.checkpoint import resolve_checkpoint
from kit.models.kinds import form_of
from kit.models.kinds.form import Form
from kit.models.translation.seq2seq import load_translator, pretrained_translator
from kit.models.translation.translator import Translator
from kit.recipe.sections.model import ModelSection
from kit.runs.control import control_recipe
from kit.runs.derived_recipes import distillation_recipe, taught_by, teacher_recipe
from kit.runs.estimate import passes
from kit.runs.request import make_request
from kit.studies.grid import Cell, Grid
from kit.studies.plan import plan_study
from kit.tasks.translation.task import Translation
from kit.training.hardware import set_up_hardware
from kit.training.progress import Progress
from kit.workflows.check import check
from kit.workflows.distill import VERDICT_FILE
from tests.support.kills import kill_at
from tests.support.translators import marian

# Settings to learn within a few steps.
QUICK = {"decoder_dropout": 0.0, "encoder_rate": 1.0}
NOT_FRESH = {"decoder_layers": 3, "decoder_dropout": None, "encoder_rate": None}


def recipe_of(captions: Path, checkpoint: Path, runs: Path, method: str = "finetune", **sections: dict) -> Recipe:
    quick = {} if method in ("scratch", "lora") else QUICK
    fresh = {} if method == "scratch" else {"decoder_layers": 2}
    content: dict = {
        "task": "translation",
        "method": method,
        "runs": str(runs),
        "data": {"source": str(captions), "languages": ["en", "de"], "max_length": 24, "budget": 50},
        "model": {"checkpoint": str(checkpoint)},
        "train": {"epochs": 1, "evaluations": 2, "learning_rate": 5e-3, "batch_size": 16},
        "translation": {
            "beams": 2,
            "vocabulary": 400,
            **fresh,
            **quick,
        },
        "distill": {"student": {"layers": 1}} if method in ("distill", "student") else {},
    }
    for name, keys in sections.items():
        content[name] = content[name] | keys
    return Recipe.model_validate(content)


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("translated") / "runs"


@pytest.fixture(scope="module")
def base(captions, tiny_checkpoint, runs) -> Recipe:
    """Return a recipe with 50 pairs, 10 pool sources, two decoder layers, and a student with the last of them."""
    return recipe_of(captions, tiny_checkpoint, runs, "distill", distill={"student": {"layers": [1]}, "pool": 10})


@pytest.fixture(scope="module")
def teacher(base) -> Record:
    """Return the teacher that `base` fine-tunes first."""
    return finetune(teacher_recipe(base), quiet=True)


@pytest.fixture(scope="module")
def done(base, teacher):
    return distill(taught_by(base, teacher), quiet=True)


def changed(recipe: Recipe, **distill_keys: object) -> Recipe:
    content = recipe.model_dump()
    content["distill"] |= distill_keys
    return Recipe.model_validate(content)


@pytest.mark.parametrize(("language", "ratio"), [("zh", 0.5), ("zho_Hans", 0.5), ("de", 1.0)])
def test_length_ratio_counts_words_or_characters_by_language(language: str, ratio: float) -> None:
    task = Translation("translation", ("en", language), "chrf")
    lines = np.asarray(["我们", "今天"], object), np.asarray(["我们去吧", "今天天气"], object)
    assert task.details(*lines)["length_ratio"] == ratio


@pytest.mark.parametrize("method", METHODS)
def test_method_gives_a_complete_record(method, captions, tiny_checkpoint, runs, teacher) -> None:
    recipe = recipe_of(captions, tiny_checkpoint, runs, method)
    record = finetune(taught_by(recipe, teacher) if method == "distill" else recipe, quiet=True)
    content = record.to_dict()
    assert set(record.metrics) == {"bleu", "chrf", "ter"} and record.main_metric == "bleu"
    for estimate in record.metrics.values():
        assert estimate.low <= estimate.value <= estimate.high
    details = content["details"]
    assert set(details) == {"signatures", "length_ratio", "empty", "loops"}
    assert details["signatures"]["bleu"].startswith("nrefs:1|") and "nc:6|nw:2" in details["signatures"]["chrf"]
    assert set(content["data"]["truncation"]) == {"train", "validation", "test", "references"}
    assert 0 <= content["data"]["truncation"]["test"] < 1
    assert content["data"]["sizes"]["budget"] == 50 and content["data"]["sizes"]["test"] == 20
    stored = Record.load(record.folder).predictions()
    assert stored.outputs.shape == (20,) and all(isinstance(line, str) for line in stored.outputs)
    evaluated = evaluate(record.folder)
    assert evaluated.largest_difference == 0 and evaluated.metrics == record.metrics
    resolved = record.recipe
    assert resolved.train.refit is False and resolved.train.label_smoothing == 0.1
    assert resolved.data.text == "en" and resolved.data.label == "de"
    frozen = {"finetune": True, "lora": True, "scratch": False, "student": True, "distill": False}[method]
    if method != "distill":
        assert resolved.train.freeze_embeddings is frozen


def test_fresh_decoder_has_higher_rate_and_dropout(captions, tiny_checkpoint, runs) -> None:
    settings = {"decoder_dropout": 0.0, "encoder_rate": 1.0}
    writers = []
    for keys in (dict.fromkeys(settings), settings):
        request = make_request(recipe_of(captions, tiny_checkpoint, runs, translation=keys))
        job = request.job(set_up_hardware("fp32"), Progress(quiet=True))
        writers.append(writer_of(job, request.data.train))
    default, other = writers
    assert (default.rate_shares, other.rate_shares) == ({"encoder.": 0.2}, {"encoder.": 1.0})
    rates = [
        {layer.p for layer in writer.model.decoder.modules() if isinstance(layer, nn.Dropout)} for writer in writers
    ]
    assert rates == [{0.3}, {0.0}]
    assert default.model.encoder.config.hidden_dropout_prob == other.model.encoder.config.hidden_dropout_prob != 0.3
    for keys in (settings, {"decoder_layers": 2}):
        with pytest.raises(RecipeError, match="are for an encoder-only checkpoint"):
            make_request(recipe_of(captions, tiny_checkpoint, runs, "scratch", translation=keys))


def test_translator_made_of_an_encoder_can_be_finetuned(captions, teacher, runs) -> None:
    start = teacher.model_folder
    recipe = recipe_of(captions, start, runs, train={"epochs": 2}, translation={"vocabulary": None} | NOT_FRESH)
    record = finetune(recipe, quiet=True)
    history = record.to_dict()["training"]["evaluations"]
    assert history[0]["validation_loss"] < teacher.to_dict()["training"]["evaluations"][-1]["validation_loss"] + 0.05
    for name in ("tokenizer.json", "target/tokenizer.json"):
        assert (record.model_folder / name).read_bytes() == (start / name).read_bytes()
    assert evaluate(record.folder).largest_difference == 0
    assert family_of(recipe).foreseen_form(recipe) is form_of(record.model_folder) is Form.WARM_TRANSLATOR
    with pytest.raises(ModelError) as caught:
        finetune(recipe_of(captions, teacher.folder, runs), quiet=True)
    assert caught.value.hint == f"this is the folder of a run; its model is in {start}"


def test_control_has_the_settings_of_its_teacher(done) -> None:
    section = done.controls[0].recipe.translation
    assert {key: getattr(section, key) for key in QUICK} == QUICK


def test_empty_and_long_texts_are_translated(captions, teacher) -> None:
    long = " ".join(["a man in a blue shirt"] * 830)
    texts = ["A man walks.", "", "   ", long, "two dogs"]
    began = time.monotonic()
    predictions = list(predict(teacher.folder, texts))
    assert time.monotonic() - began < 10, "5,000 words are truncated"
    assert len(predictions) == 5 and [prediction["text"] for prediction in predictions] == texts
    assert predictions[1]["translation"] == predictions[2]["translation"] == ""
    assert "loops" not in predictions[1]
    assert [prediction.get("cut", False) for prediction in predictions] == [False] * 3 + [True, False]
    for prediction in predictions:
        keys = {"text", "translation", "loops", "cut"}
        assert set(prediction) <= keys and isinstance(prediction["translation"], str)
    alone = [next(predict(teacher.folder, [text]))["translation"] for text in texts]
    assert alone == [prediction["translation"] for prediction in predictions]
    translator = Translator.load(teacher.model_folder)
    start = " ".join(long.split()[:22])
    assert translator.outputs([(long,)])[0] == translator.outputs([(start,)])[0], "only the first tokens are read"
    assert teacher.recipe.data.max_length == translator.max_length == 24


def test_repetitive_translations_are_flagged(captions, tmp_path, runs) -> None:
    """A translator with a large bias for one word repeats it up to the maximum length."""
    lines = [line for code in ("en", "de") for line in (captions / f"train.{code}").read_text("utf-8").split("\n")]
    torch.manual_seed(0)
    marian(tmp_path, lines)
    model = MarianMTModel.from_pretrained(tmp_path)
    vocabulary = json.loads((tmp_path / "vocab.json").read_text("utf-8"))
    model.final_logits_bias[0, next(place for piece, place in vocabulary.items() if piece.strip("▁").isalpha())] = 50.0
    model.save_pretrained(tmp_path)
    recipe = recipe_of(captions, tmp_path, runs, translation={"vocabulary": None, **NOT_FRESH})
    record = finetune(recipe, quiet=True)
    assert record.to_dict()["details"]["loops"] > 10
    assert next(predict(record.folder, ["Two men walk."])).get("loops") is True
    with_vocabulary = recipe_of(captions, tmp_path, runs, translation=dict.fromkeys(QUICK))
    with pytest.raises(KitError) as caught:
        finetune(with_vocabulary, quiet=True)
    assert caught.value.message == "translation.vocabulary: this checkpoint has its own vocabulary"


def test_adapters_are_merged(captions, tiny_checkpoint, runs, teacher) -> None:
    record = finetune(recipe_of(captions, tiny_checkpoint, runs, "lora"), quiet=True)
    model, _ = load_translator(record.model_folder)
    assert not any("lora" in name for name in model.state_dict())
    assert record.to_dict()["parameters"] == teacher.to_dict()["parameters"]
    assert record.to_dict()["settings"]["trained_parameters"] < teacher.to_dict()["settings"]["trained_parameters"]
    missing = recipe_of(captions, tiny_checkpoint, runs, "lora", train={"seed": 1}).model_dump()
    missing["lora"]["targets"] = ["q_proj"]
    with pytest.raises(ModelError, match=r"lora\.targets: \['q_proj'\] are not modules of this model"):
        finetune(Recipe.model_validate(missing), quiet=True)


def test_student_is_compared_with_teacher_and_control(teacher, done) -> None:
    student, control = done.record, done.controls[0]
    assert student.to_dict()["settings"]["teachers"][0]["record"] == teacher.id
    sizes = student.to_dict()["settings"]["transfer_set"]
    assert sizes["texts"] == sizes["labelled"] + sizes["pool"] == 45 + 10
    assert sizes["references"] == 0 and sizes["not_translated"] < 55
    assert student.to_dict()["parameters"] == control.to_dict()["parameters"] < teacher.to_dict()["parameters"]
    assert student.to_dict()["training"]["plan"]["steps"] == control.to_dict()["training"]["plan"]["steps"]
    assert decoder_depth(student.model_folder) == decoder_depth(control.model_folder) == 1
    assert decoder_depth(teacher.model_folder) == 2
    for record in (student, control):
        assert evaluate(record.folder).largest_difference == 0
    # The student keeps the teacher's whole encoder and one layer of its decoder.
    teacher_model, student_model = (load_translator(run.model_folder)[0] for run in (teacher, student))
    assert len(student_model.encoder.encoder.layer) == len(teacher_model.encoder.encoder.layer) == 2
    assert len(student_model.decoder.bert.encoder.layer) == 1
    written = json.loads((student.folder / VERDICT_FILE).read_text("utf-8"))
    assert written["lines"] == done.verdict.lines and done.verdict.lines
    assert "bleu" in "\n".join(done.verdict.lines).lower()
    assert done.verdict.student_cost.size_bytes < done.verdict.teacher_cost.size_bytes
    assert done.verdict.gain is not None


def test_teacher_translates_once_for_all_students(base, teacher, done, monkeypatch) -> None:
    """Another student needs no inference of the teacher; another teacher does."""
    computed = done.record.to_dict()["settings"]["teacher_answers_computed"]
    assert [origin["of"] for origin in computed] == [55]
    loaded: list[Path] = []
    original = outputs_module.load_teacher
    monkeypatch.setattr(outputs_module, "load_teacher", lambda used: loaded.append(used.folder) or original(used))
    second = finetune(taught_by(changed(base, student={"layers": [0, 1]}), teacher), quiet=True)
    assert loaded == []
    assert second.to_dict()["settings"]["teacher_answers_computed"] == [{"texts": 0, "of": 55}]
    assert second.id != done.record.id
    train = teacher.recipe.train.model_copy(update={"seed": 0, "learning_rate": 4e-3})
    other = finetune(teacher.recipe.model_copy(update={"train": train}), quiet=True)
    third = finetune(taught_by(base, other), quiet=True)
    assert loaded == [other.model_folder]
    assert third.to_dict()["settings"]["teacher_answers_computed"] == [{"texts": 55, "of": 55}]


def test_distillation_of_a_finished_run_uses_its_recipe(teacher) -> None:
    """Including the vocabulary, which the control has too."""
    recipe = changed(distillation_recipe([str(teacher.folder)]), student={"layers": [0]}, pool=0)
    recipe = recipe.model_copy(update={"train": recipe.train.model_copy(update={"epochs": 1.0})})
    student = finetune(recipe, quiet=True)
    control = finetune(control_recipe(student, resolve_teacher(str(teacher.folder))), quiet=True)
    assert student.to_dict()["parameters"] == control.to_dict()["parameters"]
    assert control.recipe.translation.vocabulary == teacher.recipe.translation.vocabulary


@pytest.mark.parametrize("student", [{"layers": 1}, {"layers": [1], "hidden_size": 16}, {"init": "random"}])
def test_check_predicts_the_student_of_an_untrained_teacher(student, base, teacher) -> None:
    """With the same shape, size and plan as after the training of the teacher."""
    content = changed(base, student=student).model_dump()
    content["train"]["learning_rate"] = content["train"]["epochs"] = None
    recipe = Recipe.model_validate(content)
    before, after = (dict(check(checked).rows) for checked in (recipe, taught_by(recipe, teacher)))
    assert teacher.id in before["before that"] and "before that" not in after
    for row in ("student", "parameters", "training", "transfer set"):
        assert before[row] == after[row]


@pytest.mark.parametrize("student", [{"layers": 1}, {"init": "random"}])
def test_study_estimates_the_effort_of_a_student(student, base) -> None:
    """Before the data are drawn, the estimate of the passes is that of the request."""
    content = changed(base, student=student).model_dump()
    content["train"]["learning_rate"] = content["train"]["epochs"] = None
    content["study"] = {"methods": ["finetune", "distill"], "budgets": [30, 50], "seeds": 1}
    plan = plan_study(Recipe.model_validate(content))
    for cell in plan.cells:
        request = make_request(plan.grid.recipe_of(cell), plan.shared)
        assert plan.efforts[cell] == pytest.approx(passes(request), rel=0.01)


def test_narrower_student_and_its_control(base, teacher, monkeypatch) -> None:
    """Both sides have the requested width, with the teacher's decoder and with a fresh one."""
    narrow = {"layers": [1], "hidden_size": 16, "intermediate_size": 24}
    student = finetune(taught_by(changed(base, student=narrow), teacher), quiet=True)
    control = finetune(control_recipe(student, resolve_teacher(str(teacher.folder))), quiet=True)
    for record in (student, control):
        model, _ = load_translator(record.model_folder)
        for side in (model.encoder.config, model.decoder.config):
            assert (side.hidden_size, side.num_attention_heads, side.intermediate_size) == (16, 1, 24)
        assert evaluate(record.folder).largest_difference == 0
    assert student.to_dict()["parameters"] == control.to_dict()["parameters"] < teacher.to_dict()["parameters"]
    line = first_source(base, "test")
    assert next(predict(student.folder, line))["translation"] == str(student.predictions().outputs[0])
    # A student of the student has the same width, and so does its control, which starts from the wide encoder.
    monkeypatch.setattr(distill_module, "teacher_translations", never_empty(distill_module.teacher_translations))
    second = finetune(taught_by(changed(base, student={"layers": [0]}), student), quiet=True)
    second_control = finetune(control_recipe(second, resolve_teacher(str(student.folder))), quiet=True)
    sizes = [record.to_dict()["parameters"] for record in (second, second_control, student)]
    assert len(set(sizes)) == 1


def never_empty(translate):
    """Replace empty and repetitive translations of a teacher that is hardly trained, which teach nothing."""

    def translated(*arguments):
        lines, computed = translate(*arguments)
        return [line if line and not loops(line) else "am Montag" for line in lines], computed

    return translated


def first_source(base: Recipe, split: str) -> str:
    return (Path(str(base.data.source)) / f"{split}.en").read_text("utf-8").splitlines()[0]


def test_student_with_random_weights(base, teacher) -> None:
    small = {"layers": 1, "init": "random", "hidden_size": 16, "heads": 2}
    record = finetune(taught_by(changed(base, student=small), teacher), quiet=True)
    model, tokenizer_pair = load_translator(record.model_folder)
    assert model.config.model_type == "m2m_100" and model.config.d_model == 16
    assert model.config.decoder_layers == 1 and tokenizer_pair.source is tokenizer_pair.target
    assert record.recipe.train.learning_rate == base.train.learning_rate
    assert evaluate(record.folder).largest_difference == 0


def test_student_with_its_own_checkpoint(base, teacher, tiny_checkpoint) -> None:
    record = finetune(taught_by(changed(base, student=str(tiny_checkpoint)), teacher), quiet=True)
    assert record.to_dict()["checkpoint"]["name"] == str(tiny_checkpoint)
    assert decoder_depth(record.model_folder) == base.translation.decoder_layers
    assert evaluate(record.folder).largest_difference == 0


def test_references_are_added_to_the_transfer_set(base, teacher, done) -> None:
    record = finetune(taught_by(changed(base, losses={"labels": 0.5}), teacher), quiet=True)
    sizes = record.to_dict()["settings"]["transfer_set"]
    assert sizes["references"] == 45
    assert record.to_dict()["training"]["plan"]["steps"] > done.record.to_dict()["training"]["plan"]["steps"]


def test_labels_of_the_pool_are_never_read(base, teacher, monkeypatch) -> None:
    from dataclasses import replace

    from kit.data.prepare import Prepared

    class Sealed(tuple):
        def __iter__(self):
            raise AssertionError("a translation of the pool was read")

        def __getitem__(self, place):
            raise AssertionError("a translation of the pool was read")

    original = Prepared.__init__
    pools = []

    def sealing(self: Prepared, **parts) -> None:
        pools.append(len(parts["pool"]))
        sealed = [Sealed(("?",))] * len(parts["pool"])
        original(self, **{**parts, "pool": replace(parts["pool"], labels=sealed)})

    monkeypatch.setattr(Prepared, "__init__", sealing)
    record = finetune(taught_by(changed(base, pool=7), teacher), quiet=True)
    assert pools[0] and record.to_dict()["settings"]["transfer_set"]["pool"] == 7


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"student": "cnn"}, "distill.student: a cnn cannot translate"),
        ({"student": {"layers": [0, 2]}}, "distill.student.layers: the teacher's decoder has no layer 2"),
        ({"student": {"layers": 3}}, "distill.student.layers: 3 are more than the teacher's decoder has: 2"),
        ({"student": "width:20"},
         "distill.student.hidden_size: 20 cannot be cut into heads of 16, as wide as the teacher's"),
        ({"student": {"init": "random", "hidden_size": 30, "heads": 4}},
         "distill.student.heads: 4 heads cannot be cut from a width of 30"),
        ({"augment": {"copies": 1}}, "distill.augment: a sentence with masked words has no translation"),
    ],
)  # fmt: skip
def test_impossible_students_are_refused_before_training(keys, reason, base, teacher, monkeypatch) -> None:
    monkeypatch.setattr("kit.runs.write_record._fit_and_write", lambda *args: pytest.fail("something was trained"))
    with pytest.raises(KitError) as caught:
        distill(taught_by(changed(base, **keys), teacher), quiet=True)
    assert caught.value.message == reason and caught.value.exit_code == 2


def test_several_teachers_are_refused(base, teacher) -> None:
    with pytest.raises(KitError) as caught:
        distill(changed(base, teacher=[str(teacher.folder)] * 2), quiet=True)
    assert caught.value.message == "distill.teacher: a translator has one teacher, and several are named"


def test_teacher_of_the_other_direction_is_refused(base, teacher) -> None:
    recipe = taught_by(base, teacher).model_dump()
    recipe["data"]["languages"] = ["de", "en"]
    with pytest.raises(ModelError, match="translates en to de; the recipe has de to en"):
        make_request(Recipe.model_validate(recipe))


def test_teacher_from_random_weights(captions, tiny_checkpoint, base, runs) -> None:
    """It has students of its layers, without a control, and fresh students with a control."""
    scratch = finetune(recipe_of(captions, tiny_checkpoint, runs, "scratch", train={"epochs": 20}), quiet=True)
    content = changed(taught_by(base, scratch), student={"layers": [0], "intermediate_size": 100}).model_dump()
    student = finetune(Recipe.model_validate(content), quiet=True)
    assert student.to_dict()["checkpoint"]["name"] == scratch.id
    model, _ = load_translator(student.model_folder)
    assert (model.config.decoder_layers, model.config.encoder_ffn_dim, model.config.decoder_ffn_dim) == (1, 100, 100)
    with pytest.raises(RecipeError, match="starts from random weights, and a control would start from pretrained ones"):
        control_recipe(student, resolve_teacher(str(scratch.folder)))
    fresh = taught_by(changed(base, student={"init": "random", "hidden_size": 16, "layers": 1}), scratch)
    done = distill(fresh, quiet=True)
    assert done.record.to_dict()["parameters"] == done.controls[0].to_dict()["parameters"]


def test_classifier_cannot_teach_translation(base, tiny_run) -> None:
    with pytest.raises(KitError) as caught:
        distill(changed(base, teacher=str(tiny_run)), quiet=True)
    assert caught.value.message.startswith("distill.teacher: ") and caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"codes": ["en", "de"]}, "translation.codes and translation.prefix are for a checkpoint that can translate"),
        ({"prefix": "to German: "}, "translation.codes and translation.prefix are for a checkpoint that can translate"),
    ],
)
def test_language_settings_are_refused_for_encoders(keys, message, captions, tiny_checkpoint, runs) -> None:
    with pytest.raises(KitError) as caught:
        finetune(recipe_of(captions, tiny_checkpoint, runs, translation=keys), quiet=True)
    assert caught.value.message == message


def test_study_ignores_keys_of_other_methods(captions, tiny_checkpoint, runs) -> None:
    recipe = recipe_of(captions, tiny_checkpoint, runs)
    assert recipe.translation.decoder_dropout == 0.0
    for method in ("finetune", "scratch", "lora"):
        checkpoint = None if method == "scratch" else str(tiny_checkpoint)
        section = make_request(Grid(recipe).recipe_of(Cell(method, checkpoint, 40, 0))).recipe.translation
        expected = {"finetune": (0.0, 1.0), "scratch": (None, None), "lora": (0.0, None)}[method]
        assert (section.decoder_dropout, section.encoder_rate) == expected
    with pytest.raises(RecipeError, match=r"translation.encoder_rate: method lora trains adapters"):
        make_request(recipe_of(captions, tiny_checkpoint, runs, "lora", translation={"encoder_rate": 0.5}))


def test_encoder_with_missing_weights_is_refused(captions, tiny_checkpoint, runs, tmp_path) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(tiny_checkpoint, folder)
    weights = load_file(folder / "model.safetensors")
    kept = {name: weight for name, weight in weights.items() if ".layer.1." not in name}
    assert 0 < len(kept) < len(weights)
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=f"lacks {len(weights) - len(kept)} encoder weights"):
        finetune(recipe_of(captions, folder, runs), quiet=True)


def test_dropout_is_set_in_both_configurations(teacher) -> None:
    checkpoint = resolve_checkpoint(ModelSection(checkpoint=str(teacher.model_folder)))

    def rates(dropout: float | None) -> set[float]:
        model = pretrained_translator(checkpoint, dropout)
        return {layer.p for layer in model.modules() if isinstance(layer, nn.Dropout)}

    assert rates(0.45) == {0.45} and rates(0.0) == {0.0} and 0.45 not in rates(None)


def test_killed_distillation_ends_with_the_same_student(base, teacher, done, tmp_path, start, kit_forked) -> None:
    """SIGKILL while the teacher translates and while the student trains, and the same command again."""
    recipe = taught_by(base, teacher).model_copy(update={"runs": str(tmp_path / "runs")})
    content = recipe.model_dump(mode="json", exclude_defaults=True)
    content["train"] |= {"checkpoint_seconds": 0}
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump(content), "utf-8")
    command, cache = ["finetune", file, "--json"], tmp_path / "cache"
    moments = (
        lambda: any(cache.glob("teachers/*/about.json")),
        lambda: any((tmp_path / "runs").glob(".distill*.partial/checkpoints/checkpoint-*")),
    )
    kill_at(start, moments, *command, KIT_CACHE=str(cache))
    finished = kit_forked(*command, KIT_CACHE=str(cache))
    assert finished.code == 0, finished.err
    record = Record.load(next(path.parent for path in (tmp_path / "runs").glob("*/record.json")))
    assert record.id == done.record.id
    assert record.predictions().outputs.tolist() == done.record.predictions().outputs.tolist()


def test_precision_is_never_fp16(captions, tiny_checkpoint, runs) -> None:
    capable = set_up_hardware("auto").precision == "bf16"
    precision = "bf16" if capable else "fp32"
    record = finetune(recipe_of(captions, tiny_checkpoint, runs, train={"precision": precision}), quiet=True)
    assert record.to_dict()["training"]["precision"] == precision
    assert load_translator(record.model_folder)[0].dtype.itemsize == 4, "saved and decoded in float32"
    with pytest.raises(ValueError, match="precision"):
        recipe_of(captions, tiny_checkpoint, runs, train={"precision": "fp16"})


def test_best_weights_have_the_lowest_loss_on_references(captions, tiny_checkpoint, runs) -> None:
    recipe = recipe_of(captions, tiny_checkpoint, runs, train={"select": "best", "epochs": 2, "learning_rate": 0.02})
    record = finetune(recipe, quiet=True)
    losses = [evaluation["validation_loss"] for evaluation in record.to_dict()["training"]["evaluations"]]
    assert len(losses) >= 2 and all(np.isfinite(losses))
    assert record.to_dict()["settings"]["loss_on_references"]["validation"] == pytest.approx(min(losses), rel=0.01)
    test = record.to_dict()["settings"]["loss_on_references"]["test"]
    assert min(losses) / 3 < test < 3 * min(losses) and f"{test:.3f} per token" in str(dict(record.rows()))
    nothing = recipe_of(captions, tiny_checkpoint, runs, train={"select": "best"}, data={"validation": 0})
    with pytest.raises(KitError) as caught:
        finetune(nothing, quiet=True)
    assert caught.value.message == "train.select: best needs validation examples, and there are none"
