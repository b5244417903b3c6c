"""Data and checkpoint of the training runs in this folder."""

from __future__ import annotations

import numpy as np
import pytest

from kit.data.encode import encode
from kit.models.checkpoints.checkpoint import resolve_checkpoint
from kit.models.checkpoints.tokenizers import load_tokenizer
from kit.recipe.sections.model import ModelSection
from kit.runs.write_record import quick_collection
from kit.training.interfaces import Split


@pytest.fixture(scope="module")
def data(tiny_checkpoint, reviews):
    import pandas as pd

    checkpoint = resolve_checkpoint(ModelSection(checkpoint=str(tiny_checkpoint)))
    tokenizer = load_tokenizer(checkpoint.folder)
    frame = pd.read_csv(reviews / "train.csv")
    encoded = encode([(text,) for text in frame.text], tokenizer, 32)
    targets = (frame.label == "positive").to_numpy().astype(np.int64)
    split = lambda a, b: Split(encoded.take(np.arange(a, b)), targets[a:b])  # noqa: E731
    return checkpoint, tokenizer, split(0, 90), split(90, 120)


@pytest.fixture(scope="module")
def quick_collections():
    """Collect garbage as `make_record` does: every training collects it twice."""
    with quick_collection():
        yield
