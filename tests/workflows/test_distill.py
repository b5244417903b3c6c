"""kit distill: all kinds of teachers and students, controls, verdicts and refusals."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import kit.distillation.teacher_outputs as outputs_module
from kit import Recipe, Record, distill, evaluate, finetune, predict
from kit.distillation.teacher import resolve_teacher
from kit.errors import KitError, ModelError, RecipeError, RecordError
from kit.models.checkpoints.loading import load_classifier
from kit.models.load import load_predictor
from kit.recipe.sections.distillation import DistillSection
from kit.records.record import seal
from kit.runs.control import control_recipe
from kit.runs.derived_recipes import distillation_recipe, taught_by, teacher_recipe
from kit.workflows.distill import VERDICT_FILE
from tests.support.kills import kill_at
from tests.support.launches import launched

LABELS = ("negative", "positive")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, reviews: Path, tiny_checkpoint: Path) -> Recipe:
    """Return a recipe with 60 labels, a pool of 240 texts, a teacher of two layers and a student of one."""
    return Recipe(
        task="classification",
        method="distill",
        runs=str(tmp_path_factory.mktemp("distilled") / "runs"),
        data={"source": str(reviews), "text": "text", "label": "label", "budget": 60, "max_length": 32},
        model={"checkpoint": str(tiny_checkpoint)},
        train={"epochs": 1, "evaluations": 2, "refit": False},
        distill={"student": {"layers": [1]}},
    )


@pytest.fixture(scope="module")
def teacher(base: Recipe) -> Record:
    """Return the teacher that `base` trains first."""
    return finetune(teacher_recipe(base), quiet=True)


def changed(recipe: Recipe, **distill_keys: object) -> Recipe:
    content = recipe.model_dump()
    content["distill"] |= distill_keys
    return Recipe.model_validate(content)


@pytest.fixture(scope="module")
def done(base: Recipe, teacher: Record):
    return distill(base, quiet=True)


def test_padding_free_students_with_token_losses_are_refused(base: Recipe) -> None:
    train = base.train.model_copy(update={"padding_free": True})
    losses = DistillSection(student=base.distill.student, losses={"hidden": 1.0})
    recipe = base.model_copy(update={"method": "finetune", "train": train, "distill": losses})
    with pytest.raises(RecipeError, match=r"train\.padding_free: token-level distill\.losses need padded batches"):
        distill(recipe, quiet=True)


def test_a_student_is_compared_with_teacher_and_control(base, teacher, done) -> None:
    student, control = done.record, done.controls[0]
    assert student.to_dict()["settings"]["teachers"][0]["record"] == teacher.id
    assert student.to_dict()["method"] == "distill" and control.to_dict()["method"] == "student"
    assert student.to_dict()["parameters"] == control.to_dict()["parameters"]
    assert student.to_dict()["training"]["plan"]["steps"] == control.to_dict()["training"]["plan"]["steps"]
    assert student.to_dict()["data"]["fingerprints"] == control.to_dict()["data"]["fingerprints"]
    rows = dict(student.rows())
    assert rows["teacher"] == teacher.id and rows["student"] == "layers 1 of width 32 and 64 neurons"
    sizes = student.to_dict()["settings"]["transfer_set"]
    assert rows["distilled on"] == f"{sizes['texts']} texts"
    assert sizes["texts"] == sizes["labelled"] + sizes["pool"] > 250
    for record in (student, control):
        assert evaluate(record.folder).largest_difference < 1e-4
        assert load_classifier(record.model_folder).config.encoder["num_hidden_layers"] == 1
    assert set(next(predict(student.folder, "a fine film"))["scores"]) == set(LABELS)
    written = json.loads((student.folder / VERDICT_FILE).read_text("utf-8"))
    assert written["lines"] == done.verdict.lines
    assert written["retained"]["value"] == pytest.approx(
        student.metrics["accuracy"].value / teacher.metrics["accuracy"].value
    )
    assert done.verdict.student_cost.size_bytes < done.verdict.teacher_cost.size_bytes
    Record.load(student.folder)  # the file of the verdict does not damage the Record


def test_the_same_command_trains_nothing_again(base, done, monkeypatch) -> None:
    monkeypatch.setattr(
        "kit.runs.write_record._fit_and_write", lambda *args: pytest.fail("something was trained again")
    )
    again = distill(base, quiet=True)
    assert again.record.id == done.record.id
    assert again.verdict.retained == done.verdict.retained


def test_a_student_learns_the_predictions_of_its_teacher(base, teacher) -> None:
    """With more steps and a higher rate, the student agrees with its teacher more often than at the start."""
    recipe = base.model_copy(update={"train": base.train.model_copy(update={"epochs": 15, "learning_rate": 3e-3})})
    result = distill(recipe, controls=False, quiet=True)
    start = distill(base, controls=False, quiet=True)
    assert result.verdict.agreement.value >= max(0.85, start.verdict.agreement.value - 0.02)


def test_a_second_student_uses_the_cached_teacher_outputs(base, done, monkeypatch) -> None:
    monkeypatch.setattr(outputs_module, "load_teacher", lambda folder: pytest.fail("the teacher was loaded again"))
    record = finetune(taught_by(changed(base, student={"layers": [0]}), _teacher_of(done)), quiet=True)
    assert record.to_dict()["settings"]["teacher_answers_computed"] == [{"texts": 0, "of": record_texts(record)}]


def _teacher_of(done) -> Record:
    return Record.load(Path(done.record.recipe.distill.teacher))


def record_texts(record: Record) -> int:
    return record.to_dict()["settings"]["transfer_set"]["texts"]


def test_the_labels_of_the_pool_are_never_read(base, teacher, monkeypatch) -> None:
    from kit.data.prepare import Prepared

    class Sealed(tuple):
        def __iter__(self):
            raise AssertionError("a label of the pool was read")

        def __getitem__(self, place):
            raise AssertionError("a label of the pool was read")

    pools = []
    original = Prepared.__init__

    def sealing(self: Prepared, **parts) -> None:
        pool = parts["pool"]
        pools.append(len(pool))
        original(self, **{**parts, "pool": replace(pool, labels=[Sealed(("?",))] * len(pool))})

    monkeypatch.setattr(Prepared, "__init__", sealing)
    record = finetune(taught_by(changed(base, pool=90, losses={"labels": 0.5}), teacher), quiet=True)
    assert pools[0] and record.to_dict()["settings"]["transfer_set"]["pool"] == 90


STUDENTS = {
    "layers": {"student": "layers:1"},
    "narrow": {"student": {"hidden_size": 16, "layers": 2}},
    "svd": {"student": {"hidden_size": 16, "layers": 2, "init": "svd"}},
    "random": {"student": {"layers": 1, "init": "random"}},
    "cnn": {"student": "cnn"},
    "bilstm": {"student": {"architecture": "bilstm", "hidden_size": 12}},
}


@pytest.mark.parametrize("kind", STUDENTS)
def test_every_kind_of_student_is_trained_saved_and_loaded(kind, base, teacher) -> None:
    result = distill(changed(base, **STUDENTS[kind], teacher=str(teacher.folder)), quiet=True)
    for record in (result.record, result.controls[0]):
        assert evaluate(record.folder).largest_difference < 1e-4
    assert result.record.to_dict()["parameters"] == result.controls[0].to_dict()["parameters"]
    if kind not in ("cnn", "bilstm"):  # their embedding table is wider than that of the tiny teacher
        assert result.record.to_dict()["parameters"] < teacher.to_dict()["parameters"]


@pytest.mark.parametrize("losses", [
    {"logits": 0, "mse": 1}, {"logits": 0, "hidden": 1}, {"embeddings": 1}, {"cosine": 1}, {"relations": 1},
    {"logits": 1, "labels": 0.5, "hidden": 0.1, "embeddings": 0.1, "cosine": 0.1, "relations": 0.1},
])  # fmt: skip
def test_every_loss_falls_during_training(losses, base, teacher) -> None:
    student = {"layers": [0, 1], "hidden_size": 16}  # narrower, so that token vectors are projected
    content = base.model_dump()
    student = {**student, "init": "random"}  # a copy of the teacher has little to learn
    content["distill"] = {"student": student, "losses": losses, "teacher": str(teacher.folder), "pool": 60}
    content["train"] |= {"epochs": 8, "learning_rate": 2e-3, "evaluations": 1}
    record = finetune(Recipe.model_validate(content), quiet=True)
    logged = [entry["loss"] for entry in record.to_dict()["training"]["history"] if "loss" in entry]
    assert logged[-1] < logged[0]
    model = load_classifier(record.model_folder)
    assert not any("projection" in name for name, _ in model.named_parameters()), "only the student is saved"


def test_a_student_with_its_own_checkpoint_uses_its_own_tokenizer(base, teacher, tmp_path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import DistilBertConfig, DistilBertModel, PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz", "the", "film", "is"]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        mask_token="[MASK]",
    ).save_pretrained(tmp_path / "other")  # fmt: skip
    torch.manual_seed(0)
    DistilBertModel(
        DistilBertConfig(vocab_size=len(words), dim=16, n_layers=1, n_heads=2, hidden_dim=32)
    ).save_pretrained(tmp_path / "other")
    recipe = changed(base, student=str(tmp_path / "other"), teacher=str(teacher.folder))
    result = distill(recipe, quiet=True)
    assert result.record.to_dict()["checkpoint"]["name"] == str(tmp_path / "other")
    assert len(load_predictor(result.record.model_folder).tokenizer) == len(words)
    assert evaluate(result.record.folder).largest_difference < 1e-4
    with pytest.raises(RecipeError, match=r"distill.losses.hidden: .* has a tokenizer of its own"):
        distill(changed(recipe, losses={"hidden": 1.0}), quiet=True)


def test_several_teachers_are_averaged(base, teacher) -> None:
    other = finetune(
        base.model_copy(update={"method": "tfidf", "train": base.train.model_copy(update={"seed": 0})}), quiet=True
    )
    result = distill(changed(base, teacher=[str(teacher.folder), str(other.folder)]), controls=False, quiet=True)
    assert len(result.record.to_dict()["settings"]["teachers"]) == 2
    probabilities = [torch.softmax(torch.tensor(r.predictions().outputs), -1).numpy() for r in (teacher, other)]
    truth = np.array([LABELS.index(names[0]) for names in teacher.predictions().labels])
    assert result.verdict.teacher.value == pytest.approx(
        (np.mean(probabilities, axis=0).argmax(1) == truth).mean(), abs=0.011
    )


def test_a_teacher_without_layers_needs_a_student_checkpoint(base, tiny_checkpoint) -> None:
    words = finetune(base.model_copy(update={"method": "tfidf"}), quiet=True)
    with pytest.raises(ModelError, match="has no layers to make a student from"):
        distill(changed(base, teacher=str(words.folder)), quiet=True)
    result = distill(changed(base, teacher=str(words.folder), student=str(tiny_checkpoint)), quiet=True)
    assert result.record.to_dict()["settings"]["teachers"][0]["record"] == words.id
    assert len(result.controls) == 1


def test_labels_of_a_checkpoint_teacher_are_matched_by_name(base, teacher, tmp_path) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(teacher.model_folder)
    with torch.no_grad():
        model.classifier.weight.copy_(model.classifier.weight.flip(0))
        model.classifier.bias.copy_(model.classifier.bias.flip(0))
    model.config.id2label = {0: "positive", 1: "negative"}
    model.config.label2id = {"positive": 0, "negative": 1}
    model.save_pretrained(tmp_path / "turned")
    AutoTokenizer.from_pretrained(teacher.model_folder).save_pretrained(tmp_path / "turned")
    recipe = changed(base, teacher=str(tmp_path / "turned"))
    recipe = recipe.model_copy(update={"model": recipe.model.model_copy(update={"checkpoint": None})})
    result = distill(recipe, quiet=True)
    assert result.verdict.teacher.value == pytest.approx(teacher.metrics["accuracy"].value)
    assert result.record.labels == LABELS
    straight = distill(changed(base, teacher=str(teacher.folder)), controls=False, quiet=True)
    difference = np.abs(result.record.predictions().outputs - straight.record.predictions().outputs).max()
    assert difference < 0.02, "the same student, except for rounding"


def test_texts_can_be_augmented_by_masked_copies(base, teacher, tmp_path, tiny_checkpoint) -> None:
    from transformers import AutoTokenizer, BertConfig, BertForMaskedLM

    plain = finetune(taught_by(changed(base, pool=20, augment={"copies": 1}), teacher), quiet=True)
    sizes = plain.to_dict()["settings"]["transfer_set"]
    assert sizes["augmented"] == sizes["labelled"] + sizes["pool"]
    config = BertConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    BertForMaskedLM(config).save_pretrained(tmp_path / "masked")
    AutoTokenizer.from_pretrained(tiny_checkpoint).save_pretrained(tmp_path / "masked")
    recipe = changed(base, pool=20, augment={"copies": 1, "checkpoint": str(tmp_path / "masked")})
    assert finetune(taught_by(recipe, teacher), quiet=True).to_dict()["settings"]["transfer_set"] == sizes
    with pytest.raises(ModelError, match=r"distill.augment.checkpoint: .* is not a masked language model"):
        finetune(
            taught_by(changed(recipe, augment={"copies": 1, "checkpoint": str(tiny_checkpoint)}), teacher), quiet=True
        )


def test_the_control_starts_where_the_teacher_started(base, teacher, done) -> None:
    recipe = control_recipe(done.record, resolve_teacher(str(teacher.folder)))
    assert recipe.method == "student" and recipe.model.checkpoint == base.model.checkpoint
    assert recipe.distill.student.layers == [1] and recipe.distill.teacher is None
    assert recipe.train.epochs != base.train.epochs, "the same number of steps on fewer examples"


def test_the_control_of_a_students_student_starts_from_original_layers(base, done, tiny_checkpoint, tmp_path) -> None:
    """Layer 0 of a student with layer 1 of its teacher is layer 1 of the checkpoint of that teacher."""
    second = finetune(taught_by(changed(base, student={"layers": [0]}), done.record), quiet=True)
    between = resolve_teacher(str(done.record.folder))
    recipe = control_recipe(second, between)
    assert recipe.distill.student.layers == [1] and recipe.model.checkpoint == base.model.checkpoint

    own = shutil.copytree(tiny_checkpoint, tmp_path / "own")
    other = finetune(taught_by(changed(base, student={"checkpoint": str(own)}), _teacher_of(done)), quiet=True)
    third = finetune(taught_by(changed(base, student={"layers": [0]}), other), quiet=True)
    recipe = control_recipe(third, resolve_teacher(str(other.folder)))
    assert recipe.distill.student.layers == [0] and recipe.model.checkpoint == str(own)

    moved = shutil.copytree(done.record.folder, tmp_path / "runs" / done.record.id)
    content = json.loads((moved / "record.json").read_text("utf-8"))
    content["recipe"]["distill"]["teacher"] = str(tmp_path / "gone")
    seal(moved, {key: value for key, value in content.items() if key != "sha256"})
    with pytest.raises(RecipeError, match="is itself a student, and its start cannot be determined"):
        distill(changed(base, teacher=str(moved), student={"layers": [0]}), quiet=True)


@pytest.mark.parametrize("student", [{"layers": [1]}, {"architecture": "cnn"}])
def test_students_of_randomly_initialized_teachers_have_no_control(base, student) -> None:
    scratch = changed(base, student=student).model_copy(update={"method": "scratch"})
    with pytest.raises(RecipeError, match="starts from random weights, and a control would start from pretrained ones"):
        distill(scratch, quiet=True)


def test_a_finished_run_can_be_distilled_without_a_recipe(kit, teacher, done) -> None:
    result = kit("distill", "--teacher", teacher.folder, "--student", "layers:1", "--no-controls", "--set",
                "train.epochs=2", "--set", "train.evaluations=2", "--json")  # fmt: skip
    assert result.code == 0, result.err
    content = json.loads(result.out)
    assert content["students"][0]["method"] == "distill"
    assert Path(content["students"][0]["folder"]).parent == teacher.folder.parent
    assert content["controls"] == [] and content["verdict"]["gain"] is None
    assert distillation_recipe([str(teacher.folder)]).data == teacher.recipe.data


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"student": {"layers": [0, 2]}}, "distill.student.layers: there is no layer 2, the teacher has 2"),
        ({"layer_map": [0, 1], "losses": {"hidden": 1}}, "distill.layer_map: 2 layers of the teacher for the"),
        ({"layer_map": [5], "losses": {"hidden": 1}}, "distill.layer_map: the teacher has no layer 5"),
        ({"relation_heads": 5, "losses": {"relations": 1}}, "distill.relation_heads: 5 heads cannot be cut"),
        ({"texts": "nowhere.txt"}, "distill.texts: there is no file nowhere.txt"),
        ({"student": "nowhere/at-all"}, "distill.student.checkpoint: nowhere/at-all"),
        ({"teacher": "./nowhere"}, "distill.teacher: there is no folder ./nowhere"),
    ],
)
def test_impossible_settings_are_refused_before_training_a_teacher(keys, reason, base, monkeypatch) -> None:
    monkeypatch.setattr("kit.runs.write_record._fit_and_write", lambda *args: pytest.fail("something was trained"))
    with pytest.raises(KitError) as error:
        distill(changed(base, **keys).model_copy(update={"runs": base.runs + "-refused"}), quiet=True)
    assert reason in error.value.message
    assert error.value.exit_code == 2


def test_a_teacher_with_other_labels_is_refused(base, teacher, tmp_path) -> None:
    lines = (Path(base.data.source) / "train.csv").read_text("utf-8").replace('"positive"', '"great"')
    (tmp_path / "data").mkdir()
    for name in ("train", "test"):
        text = (Path(base.data.source) / f"{name}.csv").read_text("utf-8").replace('"positive"', '"great"')
        (tmp_path / "data" / f"{name}.csv").write_text(text, "utf-8")
    assert '"great"' in lines
    recipe = changed(base, teacher=str(teacher.folder))
    recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update={"source": str(tmp_path / "data")})})
    with pytest.raises(ModelError) as error:
        distill(recipe, quiet=True)
    assert "'negative', 'positive'" in error.value.message and "'great', 'negative'" in error.value.message


def test_a_damaged_teacher_is_refused(base, teacher, tmp_path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(teacher.folder, broken)
    weights = broken / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(RecordError, match=r"model.safetensors was changed"):
        distill(changed(base, teacher=str(broken)), quiet=True)
    (tmp_path / "bare").mkdir()
    with pytest.raises(ModelError, match=r"distill.teacher: .* has no config.json"):
        resolve_teacher(str(tmp_path / "bare"))


def test_a_checkpoint_without_a_head_is_refused(base, tiny_checkpoint) -> None:
    with pytest.raises(ModelError, match="without a classification head"):
        distill(changed(base, teacher=str(tiny_checkpoint)), quiet=True)


def test_a_killed_command_resumes_to_the_same_student(base, teacher, done, tmp_path, start, kit_forked) -> None:
    """After SIGKILL during prediction or training, the same command ends as an uninterrupted one."""
    recipe = base.model_copy(update={"runs": str(tmp_path / "runs")})
    file = tmp_path / "recipe.yaml"
    content = recipe.model_dump(mode="json", exclude_defaults=True)
    content["train"] |= {"checkpoint_seconds": 0}
    file.write_text(yaml.safe_dump(content), "utf-8")
    command, cache = ["distill", file, "--no-controls", "--json"], tmp_path / "cache"
    stages = (
        lambda: any(cache.glob("teachers/*/about.json")),
        lambda: any((tmp_path / "runs").glob(".distill*.partial/checkpoints/checkpoint-*")),
    )
    kill_at(start, stages, *command, KIT_CACHE=str(cache))
    finished = kit_forked(*command, KIT_CACHE=str(cache))
    assert finished.code == 0, finished.err
    record = Record.load(json.loads(finished.out)["students"][0]["folder"])
    assert record.id == done.record.id
    assert np.abs(record.predictions().outputs - done.record.predictions().outputs).max() < 1e-3


def test_two_processes_distil_together(base, tmp_path, start) -> None:
    """One of two gloo processes writes Records, outputs and verdict, and the steps are those of one process.

    The teacher is trained by both processes, which predict every test example once, as one process does.
    """
    file = tmp_path / "recipe.yaml"
    recipe = base.model_copy(update={"runs": str(tmp_path / "runs")})
    file.write_text(yaml.safe_dump(recipe.model_dump(mode="json", exclude_defaults=True)), "utf-8")
    first, second = launched(start, 2, "distill", file, "--json", KIT_CACHE=str(tmp_path / "cache")).results()
    assert (first.code, second.code) == (0, 0), first.err + second.err
    result = json.loads(first.out)
    student = Record.load(result["students"][0]["folder"])
    assert json.loads((student.folder / VERDICT_FILE).read_text("utf-8"))["lines"] == result["verdict"]["lines"]
    assert len(list((tmp_path / "runs").glob("*/record.json"))) == 3
    alone = distill(base, controls=False, quiet=True).record
    assert student.to_dict()["training"]["plan"]["steps"] == alone.to_dict()["training"]["plan"]["steps"]
    assert np.abs(student.predictions().outputs - alone.predictions().outputs).max() < 0.05
    (name,) = [settings["record"] for settings in student.to_dict()["settings"]["teachers"]]
    taught, by_one = Record.load(tmp_path / "runs" / name), Record.load(Path(base.runs) / name)
    assert taught.to_dict()["method"] == "finetune" and len(taught.predictions().ids) == 100
    assert taught.predictions().ids.tolist() == by_one.predictions().ids.tolist()
    assert np.abs(taught.predictions().outputs - by_one.predictions().outputs).max() < 0.05


def test_studies_use_their_own_cell_as_teacher(base, reviews, tiny_checkpoint, tmp_path) -> None:
    from kit.workflows.study import study

    recipe = Recipe(
        task="classification",
        runs=str(tmp_path / "runs"),
        data=base.data.model_dump(exclude={"budget"}),
        model={"checkpoint": str(tiny_checkpoint)},
        train={"evaluations": 2, "refit": False, "learning_rate": 2e-4, "epochs": 1},
        distill={"pool": 30, "student": {"layers": 1}},
        study={"methods": ["finetune", "distill", "student"], "budgets": [20, 40], "seeds": 1},
    )
    result = study(recipe, name="study-d", engine="inline", quiet=True)
    assert not result.failed
    records = {(o.cell.variant, o.cell.budget): result.ledger.record(o) for o in result.finished}
    assert len(records) == 6
    for budget in (20, 40):
        taught = records["distill", budget].to_dict()["settings"]["teachers"][0]
        assert taught["record"] == records["finetune", budget].id
        plans = [records[method, budget].to_dict()["training"]["plan"] for method in ("distill", "student")]
        assert plans[0]["steps"] == plans[1]["steps"]
    assert len(list((tmp_path / "runs").glob("*/record.json"))) == 6


def test_a_recipe_for_another_method_is_the_teacher(base, tmp_path) -> None:
    recipe = base.model_copy(update={"method": "probe", "runs": str(tmp_path / "runs")})
    recipe = recipe.model_copy(update={"train": recipe.train.model_copy(update={"epochs": None})})
    result = distill(recipe, controls=False, quiet=True)
    probe = finetune(recipe, quiet=True)
    assert result.record.to_dict()["settings"]["teachers"][0]["record"] == probe.id
    assert result.record.to_dict()["method"] == "distill"


def test_moved_runs_are_found_by_relative_paths(base, teacher, done, tmp_path, monkeypatch) -> None:
    shutil.copytree(base.runs, tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "kit.runs.write_record._fit_and_write", lambda *args: pytest.fail("something was trained again")
    )
    recipe = changed(base, teacher=f"runs/{teacher.id}").model_copy(update={"runs": "runs"})
    again = distill(recipe, quiet=True)
    assert again.record.folder == Path("runs") / done.record.id
    assert again.verdict.retained == done.verdict.retained


def test_kit_distill_and_kit_check_describe_the_recipe(kit, base, teacher, tmp_path) -> None:
    nothing = kit("distill")
    assert nothing.code == 2 and "kit distill --teacher runs/<id>" in nothing.err
    assert kit("distill", "--teacher", "nowhere/at-all").code == 2
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump(base.model_dump(mode="json", exclude_defaults=True)), "utf-8")
    shown = kit("check", file, "--set", "distill.student=layers:0,1")
    assert shown.code == 0, shown.err
    for words in (
        "fine-tuned on the budget first",
        "layers 0, 1 of width 32 and 64 neurons",
        "texts: 54 of the budget",
    ):
        assert words in " ".join(shown.out.split()), words
    wrong = kit("distill", file, "--student", "layers:0,9")
    assert wrong.code == 2 and "there is no layer 9, the teacher has 2" in wrong.err
    assert "--set distill.student" in wrong.err or "recipe.yaml" in wrong.err
    known = kit("check", file, "--set", f"distill.teacher={teacher.folder}")
    assert known.code == 0 and str(teacher.folder) in known.out
