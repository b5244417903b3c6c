"""Sizes in config.json that exceed the memory are refused before anything is allocated."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from kit.errors import ModelError
from kit.models.checkpoints.checkpoint import resolve_checkpoint
from kit.models.checkpoints.sizes import require_memory, require_possible_sizes
from kit.recipe.sections.model import ModelSection


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("num_hidden_layers", 10**7),
        ("vocab_size", 10**12),
        ("hidden_size", 10**8),
        ("intermediate_size", 10**13),
        ("max_position_embeddings", 10**12),
    ],
)
def test_impossible_sizes_are_refused(tiny_checkpoint: Path, tmp_path: Path, key, value) -> None:
    folder = shutil.copytree(tiny_checkpoint, tmp_path / "huge")
    config = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps(config | {key: value}), "utf-8")
    with pytest.raises(ModelError, match=r"is more than any model has|for one matrix, this machine has"):
        resolve_checkpoint(ModelSection(checkpoint=str(folder)))
    with pytest.raises(ModelError, match=r"huge/config\.json: "):
        require_possible_sizes({"model_type": "encoder-decoder", "decoder": config | {key: value}}, "huge")


def test_models_of_usual_sizes_pass() -> None:
    albert = {"vocab_size": 30_000, "embedding_size": 128, "hidden_size": 4_096, "num_hidden_layers": 12}
    for config in (albert, {"vocab_size": True, "hidden_size": "many"}, {"d_model": 512, "num_layers": 6}):
        require_possible_sizes(config, "usual")


def test_models_beyond_memory_are_refused_without_drawing_random_numbers(monkeypatch) -> None:
    monkeypatch.setattr("kit.models.checkpoints.sizes.memory_bytes", lambda: 1_000)
    before = torch.get_rng_state()
    require_memory(lambda: nn.Linear(10, 20), "small")
    with pytest.raises(ModelError, match="this machine has"):
        require_memory(lambda: nn.Linear(10, 10**9), "large")
    assert torch.equal(before, torch.get_rng_state())
