"""Word-level distillation of translators: the teacher's token probabilities for the student's training pairs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import kit.distillation.output_cache as shards_module
import kit.distillation.teacher_outputs as outputs_module
from kit import Recipe, Record, finetune
from kit.data.batching import PlacedPairDataset
from kit.data.encode import IGNORED
from kit.data.examples import Examples
from kit.distillation.objectives import WordObjective
from kit.distillation.teacher import resolve_teacher
from kit.distillation.teacher_outputs import teacher_words
from kit.errors import KitError
from kit.methods.translators.writing import Pairs, Writer, dataset_of, encode_pairs
from kit.models.translation.translator import Translator
from kit.recipe.resolved import ResolvedDistill
from kit.runs.derived_recipes import taught_by, teacher_recipe
from kit.runs.request import make_request
from kit.tasks.translation.task import Translation
from kit.training.progress import Progress
from kit.workflows.distill import distill
from tests.support.translators import BUILDERS, marian

QUIET = Progress(quiet=True)
WORDS = {"student": {"layers": [1]}, "losses": {"logits": 1.0}}


@pytest.fixture(scope="module")
def base(captions, tiny_checkpoint, tmp_path_factory) -> Recipe:
    """Return a recipe with 50 pairs, 10 pool sources, two decoder layers, and a student with the last of them."""
    return Recipe.model_validate(
        {
            "task": "translation",
            "method": "distill",
            "runs": str(tmp_path_factory.mktemp("words") / "runs"),
            "data": {"source": str(captions), "languages": ["en", "de"], "max_length": 24, "budget": 50},
            "model": {"checkpoint": str(tiny_checkpoint)},
            "train": {"epochs": 1, "evaluations": 1, "learning_rate": 5e-3, "batch_size": 16, "report_to": []},
            "translation": {
                "beams": 2, "decoder_layers": 2, "vocabulary": 400, "decoder_dropout": 0.0, "encoder_rate": 1.0,
            },
            "distill": {**WORDS, "pool": 10},
        }
    )  # fmt: skip


def taught(base: Recipe, epochs: float) -> Record:
    """Train the teacher of a recipe for some epochs."""
    recipe = teacher_recipe(base)
    train = recipe.train.model_copy(update={"epochs": epochs, "learning_rate": 1e-2})
    return finetune(recipe.model_copy(update={"train": train}), quiet=True)


@pytest.fixture(scope="module")
def teacher(base) -> Record:
    return taught(base, 12)


@pytest.fixture(scope="module")
def done(base, teacher) -> Record:
    return finetune(taught_by(base, teacher), quiet=True)


@pytest.fixture(scope="module")
def examples(captions) -> Examples:
    """Return 60 pairs."""
    sides = [(captions / f"train.{code}").read_text("utf-8").split("\n") for code in ("en", "de")]
    return Examples(np.arange(len(sides[0])), [(line,) for line in sides[0]], [(line,) for line in sides[1]])


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("KIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(outputs_module, "_WORD_SHARD", 20)
    return tmp_path / "cache" / "teachers"


def changed(recipe: Recipe, **distill_keys: object) -> Recipe:
    content = recipe.model_dump()
    content["distill"] |= distill_keys
    return Recipe.model_validate(content)


def pairs_for(folder: Path, examples: Examples) -> tuple[Translator, Writer, Pairs]:
    translator = Translator.load(folder)
    writer = Writer(translator.model, translator.tokenizer_pair, translator.prefix, None)
    return translator, writer, encode_pairs(examples, writer, 24)


def log_probabilities(translator: Translator, writer: Writer, pairs: Pairs) -> torch.Tensor:
    """Return log probabilities (total, tokens) for all tokens of the targets, computed pair by pair."""
    dataset, results = dataset_of(pairs, writer), []
    with torch.inference_mode():
        for row in range(len(pairs)):
            batch = dataset.collate([row])
            del batch["labels"]
            results.append(translator.model(**batch).logits[0].log_softmax(-1))
    return torch.cat(results)


def divergence(teacher: Path, student: Path, examples: Examples) -> float:
    """Return the Kullback-Leibler divergence of the student's tokens from the teacher's, mean over reference tokens."""
    expected, predicted = (log_probabilities(*pairs_for(folder, examples)) for folder in (teacher, student))
    return float((expected.exp() * (expected - predicted)).sum(-1).mean())


@pytest.mark.parametrize("family", ["marian", "t5", "mbart50"])
def test_likeliest_tokens_equal_those_of_a_forward_pass(family, examples, tmp_path) -> None:
    torch.manual_seed(0)
    BUILDERS[family](tmp_path, [text for row in examples.texts + examples.labels for text in row])
    translator, writer, pairs = pairs_for(tmp_path, examples.take(range(12)))
    translator.max_length = 24
    tokens, chances = translator.likeliest(examples.texts[:12], pairs.target, 5)
    expected = log_probabilities(translator, writer, pairs).topk(5)
    assert tokens.dtype == np.int32 and tokens.shape == (len(pairs.target.input_ids), 5)
    assert np.array_equal(tokens, expected.indices.numpy())
    assert np.abs(chances - expected.values.numpy()).max() < 1e-4


def test_labels_are_positions_in_all_target_tokens(teacher, examples) -> None:
    _, writer, pairs = pairs_for(teacher.model_folder, examples)
    placed, plain = (dataset_of(pairs, writer, *kind).collate([7, 3, 40]) for kind in ([PlacedPairDataset], []))
    counted = plain["labels"] != IGNORED
    assert torch.equal(counted, placed["labels"] != IGNORED) and not counted.all(), "the same positions are padding"
    tokens = torch.from_numpy(pairs.target.input_ids)[placed["labels"][counted]]
    assert torch.equal(tokens.long(), plain["labels"][counted])
    assert all(torch.equal(placed[name], plain[name]) for name in plain if name != "labels")


def test_loss_is_the_weighted_sum_of_its_parts(base, teacher, examples, cache) -> None:
    """Compare with each part computed separately: three translations and two references, in a batch of four."""
    translator, writer, pairs = pairs_for(teacher.model_folder, examples.take(range(5)))
    words, _ = teacher_words(resolve_teacher(str(teacher.folder)), examples.texts[:5], pairs.target, QUIET)
    losses = {"logits": 0.5, "sequence": 0.25, "labels": 2.0}
    section = ResolvedDistill.of_translator(changed(base, losses=losses, temperature=3.0).distill)
    smoothed = Translation("translation", ("en", "de"), "bleu", 0.1)
    tokens = torch.from_numpy(pairs.target.input_ids).long()
    objective = WordObjective(smoothed, section, tokens, int(pairs.target.offsets[3]), words)
    rows = [4, 0, 2, 3]
    batch, plain = dataset_of(pairs, writer, PlacedPairDataset).collate(rows), dataset_of(pairs, writer).collate(rows)
    labels = batch.pop("labels")
    logits = torch.randn(*labels.shape, len(writer.tokenizer_pair.target), generator=torch.Generator().manual_seed(0))
    expected = 0.0
    for row, index in enumerate(rows):
        hard = smoothed.loss(logits[row : row + 1], plain["labels"][row : row + 1])
        expected += float(hard) * (0.25 if index < 3 else 2.0)
    likeliest = log_probabilities(translator, writer, pairs).topk(outputs_module.LIKELIEST)
    for token_logits, place in zip(logits[labels != IGNORED], labels[labels != IGNORED], strict=True):
        kept = likeliest.indices[place]
        target = likeliest.values[place].exp()
        target = torch.cat([target, 1 - target.sum(0, keepdim=True)]) ** (1 / 3)
        chances = token_logits.softmax(-1)
        predicted = torch.cat([chances[kept], 1 - chances[kept].sum(0, keepdim=True)]) ** (1 / 3)
        expected -= 0.5 * 9 * float((target / target.sum() * (predicted / predicted.sum()).log()).sum())
    count = int((labels != IGNORED).sum())
    assert float(objective({"logits": logits}, labels)) == pytest.approx(expected / count, rel=1e-3)
    assert float(objective({"logits": logits}, labels, 2 * count)) == pytest.approx(expected / count / 2, rel=1e-3)


def test_probabilities_are_cached_for_one_teacher(base, teacher, done, tmp_path, monkeypatch) -> None:
    computed = done.to_dict()["settings"]["teacher_answers_computed"]
    lessons = 55 - done.to_dict()["settings"]["transfer_set"]["not_translated"]
    assert [origin["of"] for origin in computed] == [55, lessons]
    section = done.recipe.distill
    assert (section.losses.logits, section.losses.sequence, section.temperature) == (1.0, 1.0, 1.0)
    original = outputs_module.load_teacher
    monkeypatch.setattr(outputs_module, "load_teacher", lambda folder: pytest.fail("the teacher was loaded"))
    alone = changed(base, losses={"logits": 1.0, "sequence": 0.0}, temperature=2.0)
    second = finetune(taught_by(alone, teacher), quiet=True)
    assert second.to_dict()["settings"]["teacher_answers_computed"] == [{"texts": 0, "of": n} for n in (55, lessons)]
    assert second.id != done.id
    elsewhere = taught_by(base, teacher).model_copy(update={"runs": str(tmp_path)})
    repeated = finetune(elsewhere, quiet=True)
    assert repeated.id == done.id
    assert repeated.predictions().outputs.tolist() == done.predictions().outputs.tolist()
    monkeypatch.setattr(outputs_module, "load_teacher", original)
    third = finetune(taught_by(base, taught(base, 11)), quiet=True)
    assert all(origin["texts"] == origin["of"] for origin in third.to_dict()["settings"]["teacher_answers_computed"])


def test_killed_computation_resumes_after_the_last_shard(teacher, examples, cache, monkeypatch) -> None:
    resolved = resolve_teacher(str(teacher.folder))
    _, _, pairs = pairs_for(teacher.model_folder, examples)

    def compute() -> tuple[list[np.ndarray], int]:
        words, computed = teacher_words(resolved, examples.texts, pairs.target, QUIET)
        places = np.arange(len(pairs.target.input_ids))[::-1]
        return [words.rows(name, places).numpy() for name in ("tokens", "log_chances")], computed.texts

    write = shards_module.Shards.write

    def interrupted(self, number: int, place: str, array: np.ndarray) -> None:
        if (number, place) == (1, "log_chances"):
            raise KeyboardInterrupt
        write(self, number, place, array)

    with monkeypatch.context() as patched:
        patched.setattr(shards_module.Shards, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            compute()
    outputs, computed = compute()
    assert computed == 40, "the first shard of 20 is complete, and the second is not"
    cached, computed = compute()
    assert computed == 0 and all(np.array_equal(*both) for both in zip(outputs, cached, strict=True))
    tokens, chances = Translator.load(teacher.model_folder).likeliest(
        examples.texts, pairs.target, outputs_module.LIKELIEST
    )
    assert np.array_equal(outputs[0], tokens[::-1])
    assert outputs[1].dtype == np.float16 and np.abs(outputs[1] - chances[::-1]).max() < 0.01


def test_word_level_students_are_closer_to_their_teacher(base, teacher, examples) -> None:
    """The same student, steps and rate, with the teacher's translations, its probabilities, and both."""
    content = base.model_dump()
    content["train"] |= {"epochs": 3}
    distances = {}
    for name, losses in (("sequence", {}), ("words", {"logits": 1.0, "sequence": 0.0}), ("both", {"logits": 1.0})):
        content["distill"]["losses"] = losses
        student = finetune(taught_by(Recipe.model_validate(content), teacher), quiet=True)
        distances[name] = divergence(teacher.model_folder, student.model_folder, examples)
    assert distances["words"] < distances["both"] < distances["sequence"], distances


@pytest.mark.parametrize(
    ("student", "words"),
    [
        (
            {"init": "random", "layers": 1, "hidden_size": 16, "heads": 2},
            "layers 1 of width 16 and 32 neurons with random weights",
        ),
        ("another checkpoint", "CHECKPOINT"),
    ],
)
@pytest.mark.parametrize("trained", [True, False])
def test_other_tokens_are_refused_before_training(student, words, trained, base, teacher, tiny_checkpoint, monkeypatch):
    monkeypatch.setattr("kit.runs.write_record._fit_and_write", lambda *args: pytest.fail("something was trained"))
    student = str(tiny_checkpoint) if student == "another checkpoint" else student
    recipe = changed(base, student=student)
    with pytest.raises(KitError) as caught:
        distill(taught_by(recipe, teacher) if trained else recipe, quiet=True)
    assert caught.value.message == (
        f"distill.losses.logits: {words.replace('CHECKPOINT', str(tiny_checkpoint))} has other tokens than its "
        "teacher, so their probabilities cannot be compared"
    )
    assert "distill.losses.sequence" in caught.value.hint and caught.value.exit_code == 2


def test_teacher_without_probabilities_is_refused(base, teacher, monkeypatch) -> None:
    from dataclasses import replace

    without_checkpoint = replace(resolve_teacher(str(teacher.folder)), checkpoint=None)
    monkeypatch.setattr("kit.distillation.teacher.resolve_teacher", lambda *args: without_checkpoint)
    with pytest.raises(KitError) as caught:
        finetune(taught_by(changed(base, student=str(teacher.model_folder)), teacher), quiet=True)
    assert caught.value.message.startswith("distill.losses.logits: this teacher returns translations")
    assert caught.value.exit_code == 2


def test_checkpoint_with_the_same_tokens_can_be_a_student(base, examples, tmp_path) -> None:
    lines = [text for row in examples.texts + examples.labels for text in row]
    for name, training_lines in (("teacher", lines), ("same", lines), ("other", lines[::-3])):
        (tmp_path / name).mkdir()
        marian(tmp_path / name, training_lines)
    make_request(changed(base, teacher=str(tmp_path / "teacher"), student=str(tmp_path / "same")))
    with pytest.raises(KitError, match="has other tokens than its teacher"):
        make_request(changed(base, teacher=str(tmp_path / "teacher"), student=str(tmp_path / "other")))


def test_command_distills_by_recipe_and_from_a_run(kit, base, teacher, captions, tiny_checkpoint) -> None:
    keys = {
        "data.source": captions, "data.budget": 50, "data.max_length": 24, "model.checkpoint": tiny_checkpoint,
        "distill.pool": 10, "distill.losses.logits": 0.5, "train.epochs": 1, "train.learning_rate": "5e-3",
        "translation.beams": 2, "translation.vocabulary": 400, "distill.teacher": teacher.folder, "runs": base.runs,
    }  # fmt: skip
    options = [part for key, value in keys.items() for part in ("--set", f"{key}={value}")]
    plan = kit("check", "recipes/translation-distill.yaml", *options)
    assert plan.code == 0 and "0.5 x logits, 1 x sequence" in plan.out, plan.err
    by_recipe = kit("distill", "recipes/translation-distill.yaml", *options, "--no-controls")
    assert by_recipe.code == 0, by_recipe.err
    assert "retained" in by_recipe.out
    by_run = kit(
        "distill", "--teacher", teacher.folder, "--student", "layers:1", "--no-controls", "--set", "train.epochs=1"
    )
    assert by_run.code == 0, by_run.err
    wrong = kit("distill", "recipes/translation-distill.yaml", *options, "--student", str(tiny_checkpoint))
    assert wrong.code == 2 and "has other tokens than its teacher" in wrong.err
