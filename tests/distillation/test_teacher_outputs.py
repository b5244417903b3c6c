"""Teachers' answers: computed once, kept by content, never half, never another's."""

from __future__ import annotations

import errno
import json
import re
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from rich.console import Console

import kit.distillation.output_cache as shards_module
import kit.distillation.teacher_outputs as outputs_module
from kit import Recipe, finetune
from kit.data.encode import encode
from kit.distillation.teacher import Teacher, resolve_teacher
from kit.distillation.teacher_outputs import averaged, teacher_logits, token_outputs
from kit.errors import LaunchError, OutputError
from kit.models.architectures.layers import capturing
from kit.models.checkpoints.loading import load_classifier, load_tokenizer
from kit.models.predictor import load_predictor
from kit.training.progress import Progress

QUIET = Progress(quiet=True)
TEXTS = [(f"a film {i} that is {'good' if i % 2 else 'bad'}" + " indeed" * (i % 7),) for i in range(50)]


@pytest.fixture(scope="module")
def teachers(tmp_path_factory: pytest.TempPathFactory, reviews: Path, tiny_checkpoint: Path) -> list[Teacher]:
    """Two Records of the tiny checkpoint, of different seeds."""
    found = []
    for seed in (0, 1):
        recipe = Recipe(
            task="classification",
            runs=str(tmp_path_factory.mktemp("teachers")),
            data={"source": str(reviews), "text": "text", "label": "label", "budget": 60, "max_length": 32},
            model={"checkpoint": str(tiny_checkpoint)},
            train={"epochs": 1, "evaluations": 1, "seed": seed, "refit": False},
        )
        found.append(resolve_teacher(str(finetune(recipe, quiet=True).folder)))
    return found


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("KIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(outputs_module, "_LOGIT_SHARD", 20)
    monkeypatch.setattr(outputs_module, "_TOKEN_SHARD", 20)
    return tmp_path / "cache" / "teachers"


def ask(teacher: Teacher, texts=TEXTS):
    return teacher_logits(teacher, texts, 32, QUIET)


def test_a_second_question_costs_no_teacher_pass(teachers, cache, monkeypatch) -> None:
    first, computed = ask(teachers[0])
    assert (computed.texts, computed.of) == (50, 50)
    exact = load_predictor(teachers[0].folder).outputs(TEXTS)
    assert first.dtype == np.float16
    assert np.abs(first - exact).max() < 2e-3 * max(1.0, np.abs(exact).max())

    def forbidden(folder: Path) -> None:
        raise AssertionError("the teacher was loaded again")

    monkeypatch.setattr(outputs_module, "load_teacher", forbidden)
    again, computed = ask(teachers[0])
    assert computed.texts == 0
    assert np.array_equal(again, first)


@pytest.mark.parametrize("terminal", [False, True])
def test_a_long_pass_of_the_teacher_says_how_far_it_is(terminal, teachers, cache, monkeypatch) -> None:
    """By a bar on a terminal; else by lines, of which the last would say nothing new."""
    monkeypatch.setattr("kit.training.progress._LINE_SECONDS", 0)
    progress = Progress()
    progress.console = Console(file=StringIO(), force_terminal=terminal, width=200, color_system=None)
    teacher_logits(teachers[0], TEXTS, 32, progress)
    shown = progress.console.file.getvalue()
    assert "answering 50 texts" in shown
    lines = re.findall(r"(\d+) of 50 texts(?:  .+ left)?\n", shown)
    assert lines == ([] if terminal else ["20", "40"])
    assert ("50/50 texts" in shown) == terminal


def test_a_student_trained_in_bfloat16_is_told_in_bfloat16(teachers, cache) -> None:
    exact, _ = ask(teachers[0])
    found, computed = teacher_logits(teachers[0], TEXTS, 32, QUIET, bf16=True)
    assert computed.texts == 50, "answers in float32 are others"
    assert 0 < np.abs(found.astype(float) - exact).max() < 0.03 * np.abs(exact).max()
    tokenizer = load_tokenizer(teachers[0].folder)
    encoded = encode(TEXTS, tokenizer, 32)
    kept = [token_outputs(teachers[0], encoded, tokenizer, ["hidden:1"], QUIET, bf16)[0] for bf16 in (False, True)]
    vectors, rounded = (one.batch("hidden:1", np.arange(50), int(encoded.lengths.max())) for one in kept)
    assert 0 < float((vectors - rounded).norm() / vectors.norm()) < 0.02


def test_another_teacher_or_other_texts_find_nothing(teachers, cache) -> None:
    first, _ = ask(teachers[0])
    second, computed = ask(teachers[1])
    assert computed.texts == 50
    assert not np.array_equal(first, second)
    assert ask(teachers[0], TEXTS[::-1])[1].texts == 50
    assert len(list(cache.iterdir())) == 3


def test_a_folder_that_is_about_another_teacher_is_not_used(teachers, cache) -> None:
    """As after files were copied by hand from one place to another."""
    first, _ = ask(teachers[0])
    second, _ = ask(teachers[1])
    ours, theirs = (
        next(f for f in cache.iterdir() if json.loads((f / "about.json").read_text())["teacher"] == t.sha256)
        for t in teachers
    )
    for file in ours.iterdir():
        file.unlink()
    for file in theirs.iterdir():
        (ours / file.name).write_bytes(file.read_bytes())
    again, computed = ask(teachers[0])
    assert computed.texts == 50
    assert np.array_equal(again, first) and not np.array_equal(again, second)


def test_processes_share_the_shards_of_token_vectors_out(cache, monkeypatch) -> None:
    """A stand-in for the state of each of two processes, in turn: one of them computes and writes a shard."""
    shards = shards_module.Shards({"about": "nothing"}, 50, 20, ["here"])
    done: dict[int, list[tuple[int, int]]] = {0: [], 1: []}
    for index, ranges in done.items():
        state = SimpleNamespace(
            num_processes=2, process_index=index, is_main_process=index == 0, wait_for_everyone=lambda: None
        )
        monkeypatch.setattr(shards_module, "PartialState", lambda state=state: state)
        monkeypatch.setattr(shards_module, "broadcast_object_list", lambda todo: [[0, 1, 2]])

        def compute(start: int, stop: int, ranges=ranges) -> dict[str, np.ndarray]:
            ranges.append((start, stop))
            return {"here": np.ones((stop - start, 2), np.float32)}

        teacher = SimpleNamespace(name="nobody")
        computed = shards_module.complete(shards, 400, lambda: compute, teacher, QUIET, alone=True)
        assert (computed.texts, computed.of) == (50, 50)
    assert done == {0: [(0, 20), (40, 50)], 1: [(20, 40)]}
    assert shards.missing() == [] and len(list(shards.folder.glob("*.npy"))) == 3


def test_machines_that_do_not_share_the_cache_are_told(cache, monkeypatch) -> None:
    shards = shards_module.Shards({"about": "nothing"}, 50, 20, ["here"])
    state = SimpleNamespace(num_processes=2, process_index=1, is_main_process=False, wait_for_everyone=lambda: None)
    monkeypatch.setattr(shards_module, "PartialState", lambda: state)
    monkeypatch.setattr(shards_module, "broadcast_object_list", lambda todo: [[0, 1, 2]])
    with pytest.raises(LaunchError, match="is not the same folder for all machines") as caught:
        shards_module.complete(shards, 400, lambda: None, SimpleNamespace(name="nobody"), QUIET)
    assert "KIT_CACHE" in caught.value.hint


@pytest.mark.parametrize("damage", ["cut", "bits", "empty", "gone"])
def test_a_damaged_shard_is_computed_again_and_no_other(damage, teachers, cache) -> None:
    first, _ = ask(teachers[0])
    file = sorted(cache.glob("*/0001.logits.*.npy"))[0]
    content = file.read_bytes()
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes({"cut": content[:-7], "bits": content[:-1] + bytes([content[-1] ^ 1]), "empty": b""}[damage])
    again, computed = ask(teachers[0])
    assert computed.texts == 20
    assert np.array_equal(again, first)


def test_a_killed_start_goes_on_where_it_was(teachers, cache, monkeypatch) -> None:
    write = shards_module.Shards.write

    def dies(self, number: int, place: str, array: np.ndarray) -> None:
        if number == 1:
            raise KeyboardInterrupt
        write(self, number, place, array)

    monkeypatch.setattr(shards_module.Shards, "write", dies)
    with pytest.raises(KeyboardInterrupt):
        ask(teachers[0])
    monkeypatch.undo()
    monkeypatch.setenv("KIT_CACHE", str(cache.parent))
    monkeypatch.setattr(outputs_module, "_LOGIT_SHARD", 20)
    _, computed = ask(teachers[0])
    assert computed.texts == 30, "the first shard of 20 was there"


def test_a_full_disk_is_one_clear_error_and_what_was_written_serves(teachers, cache, monkeypatch) -> None:
    real = shards_module.write_atomically

    def full(path: Path, content: bytes | str) -> None:
        if "0001" in path.name:
            from kit.runtime.files import writing_to

            with writing_to(path):
                raise OSError(errno.ENOSPC, "No space left on device")
        real(path, content)

    monkeypatch.setattr(shards_module, "write_atomically", full)
    with pytest.raises(OutputError, match="the disk is full"):
        ask(teachers[0])
    monkeypatch.setattr(shards_module, "write_atomically", real)
    assert ask(teachers[0])[1].texts == 30


def test_a_disk_without_room_is_refused_before_the_teacher_answers(teachers, cache, monkeypatch) -> None:
    monkeypatch.setattr(shards_module, "_RESERVE", 10**18)
    monkeypatch.setattr(outputs_module, "load_teacher", lambda folder: pytest.fail("the teacher was loaded"))
    with pytest.raises(OutputError, match="free"):
        ask(teachers[0])


def test_token_vectors_are_those_of_the_teacher(teachers, cache) -> None:
    teacher = teachers[0]
    tokenizer = load_tokenizer(teacher.folder)
    encoded = encode(TEXTS, tokenizer, 32)
    places = ["embeddings", "hidden:1", "query"]
    found, computed = token_outputs(teacher, encoded, tokenizer, places, QUIET)
    assert computed.texts == 50
    model = load_classifier(teacher.folder)
    for positions in (np.array([0]), np.array([19, 20, 49]), np.array([40, 3])):
        lengths = encoded.lengths[positions]
        batch = tokenizer([TEXTS[p][0] for p in positions], padding=True, return_tensors="pt")
        with torch.inference_mode(), capturing(model, places) as captured:
            model(**batch)
        for place in places:
            vectors = found.batch(place, positions, int(lengths.max()))
            for row, length in enumerate(lengths):
                assert torch.allclose(vectors[row, :length], captured[place][row, :length], atol=3e-3)
                assert not vectors[row, length:].any()
    assert token_outputs(teacher, encoded, tokenizer, places, QUIET)[1].texts == 0
    assert isinstance(found.arrays["query"][0], np.memmap)


def test_probabilities_of_several_teachers_are_averaged() -> None:
    first, second = np.array([[2.0, 0.0, -1.0]]), np.array([[-1.0, 3.0, 0.5]])
    raised = [np.exp(each) / np.exp(each).sum() for each in (first, second)]
    found = averaged([first, second], multi_label=False)
    assert np.allclose(np.exp(found), np.mean(raised, axis=0), atol=1e-6)
    several = averaged([first, second], multi_label=True)
    assert np.allclose(1 / (1 + np.exp(-several)), np.mean([1 / (1 + np.exp(-e)) for e in (first, second)], axis=0))
    assert np.allclose(averaged([first], multi_label=False), first)
