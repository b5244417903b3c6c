"""Teacher outputs: computed once, cached by content, complete, and never those of another teacher."""

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

import kit.distillation.output_cache as cache_module
import kit.distillation.teacher_outputs as outputs_module
from kit import Recipe, finetune
from kit.data.encode import encode
from kit.distillation.teacher import Teacher, resolve_teacher
from kit.distillation.teacher_outputs import teacher_logits, token_outputs
from kit.errors import LaunchError, OutputError
from kit.models.architectures.layers import capturing
from kit.models.checkpoints.loading import load_classifier
from kit.models.checkpoints.tokenizers import load_tokenizer
from kit.models.load import load_predictor
from kit.training.progress import Progress

QUIET = Progress(quiet=True)
TEXTS = [(f"a film {i} that is {'good' if i % 2 else 'bad'}" + " indeed" * (i % 7),) for i in range(50)]


@pytest.fixture(scope="module")
def teachers(tmp_path_factory: pytest.TempPathFactory, reviews: Path, tiny_checkpoint: Path) -> list[Teacher]:
    """Return two Records of the tiny checkpoint with different seeds."""
    resolved = []
    for seed in (0, 1):
        recipe = Recipe(
            task="classification",
            runs=str(tmp_path_factory.mktemp("teachers")),
            data={"source": str(reviews), "text": "text", "label": "label", "budget": 60, "max_length": 32},
            model={"checkpoint": str(tiny_checkpoint)},
            train={"epochs": 1, "evaluations": 1, "seed": seed, "refit": False},
        )
        resolved.append(resolve_teacher(str(finetune(recipe, quiet=True).folder)))
    return resolved


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("KIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(outputs_module, "_LOGIT_SHARD", 20)
    monkeypatch.setattr(outputs_module, "_TOKEN_SHARD", 20)
    return tmp_path / "cache" / "teachers"


def logits_of(teacher: Teacher, texts=TEXTS):
    return teacher_logits(teacher, texts, 32, QUIET)


def test_cached_logits_need_no_teacher(teachers, cache, monkeypatch) -> None:
    first, computed = logits_of(teachers[0])
    assert (computed.texts, computed.of) == (50, 50)
    exact = load_predictor(teachers[0].folder).outputs(TEXTS)
    assert first.dtype == np.float16
    assert np.abs(first - exact).max() < 2e-3 * max(1.0, np.abs(exact).max())

    def forbidden(folder: Path) -> None:
        raise AssertionError("the teacher was loaded again")

    monkeypatch.setattr(outputs_module, "load_teacher", forbidden)
    again, computed = logits_of(teachers[0])
    assert computed.texts == 0
    assert np.array_equal(again, first)


@pytest.mark.parametrize("terminal", [False, True])
def test_a_long_pass_of_the_teacher_shows_progress(terminal, teachers, cache, monkeypatch) -> None:
    """A bar on a terminal; otherwise lines, without a last line at the end."""
    monkeypatch.setattr("kit.training.progress._LINE_SECONDS", 0)
    progress = Progress()
    progress.console = Console(file=StringIO(), force_terminal=terminal, width=200, color_system=None)
    teacher_logits(teachers[0], TEXTS, 32, progress)
    shown = progress.console.file.getvalue()
    assert "predicting 50 texts" in shown
    lines = re.findall(r"(\d+) of 50 texts(?:  .+ left)?\n", shown)
    assert lines == ([] if terminal else ["20", "40"])
    assert ("50/50 texts" in shown) == terminal


def test_bfloat16_outputs_are_computed_and_cached_separately(teachers, cache) -> None:
    exact, _ = logits_of(teachers[0])
    rounded_logits, computed = teacher_logits(teachers[0], TEXTS, 32, QUIET, bf16=True)
    assert computed.texts == 50, "logits in float32 are cached separately"
    assert 0 < np.abs(rounded_logits.astype(float) - exact).max() < 0.03 * np.abs(exact).max()
    tokenizer = load_tokenizer(teachers[0].folder)
    encoded = encode(TEXTS, tokenizer, 32)
    kept = [token_outputs(teachers[0], encoded, tokenizer, ["hidden:1"], QUIET, bf16)[0] for bf16 in (False, True)]
    vectors, rounded = (one.batch("hidden:1", np.arange(50), int(encoded.lengths.max())) for one in kept)
    assert 0 < float((vectors - rounded).norm() / vectors.norm()) < 0.02


def test_other_teachers_and_texts_are_not_in_the_cache(teachers, cache) -> None:
    first, _ = logits_of(teachers[0])
    second, computed = logits_of(teachers[1])
    assert computed.texts == 50
    assert not np.array_equal(first, second)
    assert logits_of(teachers[0], TEXTS[::-1])[1].texts == 50
    assert len(list(cache.iterdir())) == 3


def test_a_folder_of_another_teacher_is_not_used(teachers, cache) -> None:
    """Files may have been copied by hand from one folder to another."""
    first, _ = logits_of(teachers[0])
    second, _ = logits_of(teachers[1])
    ours, theirs = (
        next(f for f in cache.iterdir() if json.loads((f / "about.json").read_text())["teacher"] == t.sha256)
        for t in teachers
    )
    for file in ours.iterdir():
        file.unlink()
    for file in theirs.iterdir():
        (ours / file.name).write_bytes(file.read_bytes())
    again, computed = logits_of(teachers[0])
    assert computed.texts == 50
    assert np.array_equal(again, first) and not np.array_equal(again, second)


def test_processes_divide_the_shards_of_token_vectors(cache, monkeypatch) -> None:
    """The test simulates two processes one after the other; each computes and writes its own shards."""
    shards = cache_module.Shards({"about": "nothing"}, 50, 20, ["here"])
    done: dict[int, list[tuple[int, int]]] = {0: [], 1: []}
    for index, ranges in done.items():
        state = SimpleNamespace(
            num_processes=2, process_index=index, is_main_process=index == 0, wait_for_everyone=lambda: None
        )
        monkeypatch.setattr(cache_module, "PartialState", lambda state=state: state)
        monkeypatch.setattr(cache_module, "broadcast_object_list", lambda todo: [[0, 1, 2]])

        def compute(start: int, stop: int, ranges=ranges) -> dict[str, np.ndarray]:
            ranges.append((start, stop))
            return {"here": np.ones((stop - start, 2), np.float32)}

        teacher = SimpleNamespace(name="nobody")
        computed = cache_module.complete(shards, 400, lambda: compute, teacher, QUIET, alone=True)
        assert (computed.texts, computed.of) == (50, 50)
    assert done == {0: [(0, 20), (40, 50)], 1: [(20, 40)]}
    assert shards.missing() == [] and len(list(shards.folder.glob("*.npy"))) == 3


def test_machines_without_a_shared_cache_are_refused(cache, monkeypatch) -> None:
    shards = cache_module.Shards({"about": "nothing"}, 50, 20, ["here"])
    state = SimpleNamespace(num_processes=2, process_index=1, is_main_process=False, wait_for_everyone=lambda: None)
    monkeypatch.setattr(cache_module, "PartialState", lambda: state)
    monkeypatch.setattr(cache_module, "broadcast_object_list", lambda todo: [[0, 1, 2]])
    with pytest.raises(LaunchError, match="is not the same folder for all machines") as caught:
        cache_module.complete(shards, 400, lambda: None, SimpleNamespace(name="nobody"), QUIET)
    assert "KIT_CACHE" in caught.value.hint


@pytest.mark.parametrize("damage", ["cut", "bits", "empty", "gone"])
def test_only_a_damaged_shard_is_computed_again(damage, teachers, cache) -> None:
    first, _ = logits_of(teachers[0])
    file = sorted(cache.glob("*/0001.logits.*.npy"))[0]
    content = file.read_bytes()
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes({"cut": content[:-7], "bits": content[:-1] + bytes([content[-1] ^ 1]), "empty": b""}[damage])
    again, computed = logits_of(teachers[0])
    assert computed.texts == 20
    assert np.array_equal(again, first)


def test_a_killed_start_continues_with_the_next_shard(teachers, cache, monkeypatch) -> None:
    write = cache_module.Shards.write

    def dies(self, number: int, place: str, array: np.ndarray) -> None:
        if number == 1:
            raise KeyboardInterrupt
        write(self, number, place, array)

    monkeypatch.setattr(cache_module.Shards, "write", dies)
    with pytest.raises(KeyboardInterrupt):
        logits_of(teachers[0])
    monkeypatch.undo()
    monkeypatch.setenv("KIT_CACHE", str(cache.parent))
    monkeypatch.setattr(outputs_module, "_LOGIT_SHARD", 20)
    _, computed = logits_of(teachers[0])
    assert computed.texts == 30, "the first shard of 20 is cached"


def test_shards_written_before_the_disk_was_full_are_used(teachers, cache, monkeypatch) -> None:
    real = cache_module.write_atomically

    def full(path: Path, content: bytes | str) -> None:
        if "0001" in path.name:
            from kit.runtime.files import writing_to

            with writing_to(path):
                raise OSError(errno.ENOSPC, "No space left on device")
        real(path, content)

    monkeypatch.setattr(cache_module, "write_atomically", full)
    with pytest.raises(OutputError, match="the disk is full"):
        logits_of(teachers[0])
    monkeypatch.setattr(cache_module, "write_atomically", real)
    assert logits_of(teachers[0])[1].texts == 30


def test_a_disk_without_space_is_refused_before_the_teacher_runs(teachers, cache, monkeypatch) -> None:
    monkeypatch.setattr(cache_module, "_RESERVE_BYTES", 10**18)
    monkeypatch.setattr(outputs_module, "load_teacher", lambda folder: pytest.fail("the teacher was loaded"))
    with pytest.raises(OutputError, match="free"):
        logits_of(teachers[0])


def test_token_vectors_equal_those_of_the_teacher(teachers, cache) -> None:
    teacher = teachers[0]
    tokenizer = load_tokenizer(teacher.folder)
    encoded = encode(TEXTS, tokenizer, 32)
    places = ["embeddings", "hidden:1", "query"]
    outputs, computed = token_outputs(teacher, encoded, tokenizer, places, QUIET)
    assert computed.texts == 50
    model = load_classifier(teacher.folder)
    for positions in (np.array([0]), np.array([19, 20, 49]), np.array([40, 3])):
        lengths = encoded.lengths[positions]
        batch = tokenizer([TEXTS[p][0] for p in positions], padding=True, return_tensors="pt")
        with torch.inference_mode(), capturing(model, places) as captured:
            model(**batch)
        for place in places:
            vectors = outputs.batch(place, positions, int(lengths.max()))
            for row, length in enumerate(lengths):
                assert torch.allclose(vectors[row, :length], captured[place][row, :length], atol=3e-3)
                assert not vectors[row, length:].any()
    assert token_outputs(teacher, encoded, tokenizer, places, QUIET)[1].texts == 0
    assert isinstance(outputs.arrays["query"][0], np.memmap)
