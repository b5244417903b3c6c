"""Tiny translators: real Records of Multi30k that take seconds."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from kit import Recipe, finetune

MULTI30K = Path(__file__).parents[3] / "shared" / "data" / "multi30k"


def _recipe(folder: Path, method: str, checkpoint: Path | None) -> Recipe:
    if not MULTI30K.is_dir():
        pytest.skip("Multi30k is not beside the repository (../shared/data/multi30k)")
    data = folder / "pairs"
    data.mkdir(exist_ok=True)
    for name, source, count in (("train", "train", 60), ("test", "test_2016_flickr", 20)):
        for language in ("en", "de"):
            lines = gzip.decompress((MULTI30K / f"{source}.{language}.gz").read_bytes()).decode().split("\n")
            (data / f"{name}.{language}").write_text("\n".join(lines[:count]) + "\n", "utf-8")
    return Recipe(
        task="translation",
        method=method,
        runs=str(folder / "runs"),
        data={"source": str(data), "languages": ["en", "de"], "budget": 50, "max_length": 20},
        model={"checkpoint": checkpoint and str(checkpoint)},
        train={"epochs": 1, "evaluations": 1, "report_to": []},
        translation={"vocabulary": 400, "beams": 2, "decoder_layers": 1},
    )


@pytest.fixture(scope="session")
def scratch_recipe(tmp_path_factory) -> Recipe:
    return _recipe(tmp_path_factory.mktemp("scratch"), "scratch", None)


@pytest.fixture(scope="session")
def scratch_run(scratch_recipe) -> Path:
    """A small Transformer that has seen 45 pairs once."""
    return finetune(scratch_recipe, quiet=True).folder


@pytest.fixture(scope="session")
def warm_recipe(tmp_path_factory, tiny_checkpoint) -> Recipe:
    return _recipe(tmp_path_factory.mktemp("warm"), "finetune", tiny_checkpoint)


@pytest.fixture(scope="session")
def warm_run(warm_recipe) -> Path:
    """The tiny encoder with a fresh decoder, with a tokenizer on each side."""
    return finetune(warm_recipe, quiet=True).folder
