"""Greedy search, which is that of transformers except that rows that have ended are not computed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForSeq2SeqLM, GenerationConfig

from kit.models.load import load_predictor
from kit.models.translation.greedy import likeliest_tokens, settings_for
from tests.support.translators import BUILDERS

LENGTHS = (12, 3, 9, 5, 12, 7, 2, 10, 4, 8, 6, 11)
LIMIT = 20
TEXTS = [("Nigeria, Australia, or United Kingdom",), ("in 46 hours",), ("",), ("日本",)] * 3


@pytest.mark.parametrize("family", sorted({*BUILDERS} - {"multi_marian"}))
def test_greedy_search_matches_transformers_and_skips_ended_rows(family, tmp_path) -> None:
    torch.manual_seed(0)
    lines = [f"a {size} {thing}" for size in ("big", "small") for thing in ("dog", "man", "red car", "house")]
    BUILDERS[family](tmp_path, lines)
    model = AutoModelForSeq2SeqLM.from_pretrained(tmp_path).eval()
    ids = torch.randint(4, model.config.vocab_size, (len(LENGTHS), max(LENGTHS)))
    begin = model.generation_config.decoder_start_token_id = (
        2 if family == "mbart25" else model.config.decoder_start_token_id
    )
    start = torch.full((len(LENGTHS), 1), begin)
    mask = (torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]).long()
    batch = {
        "input_ids": ids, "attention_mask": mask, "max_new_tokens": LIMIT, "num_beams": 1, "no_repeat_ngram_size": 1,
        "decoder_input_ids": torch.cat([start, ids[:, :1]], 1),  # otherwise all translations would be the same
    }  # fmt: skip
    model.generation_config.forced_bos_token_id = None
    model.generation_config.eos_token_id = None
    plain = model.generate(**batch)
    ends = [int(plain[3 * row, place]) for row, place in enumerate((4, 7, 10, 13))]  # rows end at different steps
    model.generation_config.eos_token_id = sorted({*ends, int(model.config.eos_token_id)})
    expected = model.generate(**batch)
    batch_sizes: list[int] = []
    model.get_decoder().register_forward_hook(lambda _, __, out: batch_sizes.append(len(out.last_hidden_state)))
    translations = model.generate(**batch, custom_generate=likeliest_tokens, limits=torch.full((len(ids),), LIMIT))
    assert translations.tolist() == expected.tolist()
    ended = (expected != model.generation_config.pad_token_id).sum(1)
    assert len(set(ended.tolist())) > 1, "the test needs rows that end at different steps"
    assert batch_sizes[0] == len(LENGTHS) > batch_sizes[-1] and len(batch_sizes) == expected.shape[1] - 2


@pytest.mark.parametrize(
    ("settings", "applies"),
    [
        ({}, True),
        ({"no_repeat_ngram_size": 3, "use_cache": False}, True),
        ({"num_beams": 2}, False),
        ({"do_sample": True}, False),
        ({"prompt_lookup_num_tokens": 4}, False),
        ({"encoder_no_repeat_ngram_size": 3}, False),
        ({"encoder_repetition_penalty": 1.2}, False),
        ({"cache_implementation": "static"}, False),
    ],
)
def test_other_searches_are_left_to_transformers(settings, applies) -> None:
    assert bool(settings_for(GenerationConfig(**settings), torch.ones(1))) == applies


def test_the_end_token_pads_if_there_is_no_padding_token(tmp_path) -> None:
    torch.manual_seed(0)
    BUILDERS["m2m100"](tmp_path, ["a big dog", "a small red car"])
    model = AutoModelForSeq2SeqLM.from_pretrained(tmp_path).eval()
    ids = torch.arange(4, 28).reshape(4, 6)
    start = torch.full((4, 1), model.config.decoder_start_token_id)
    batch = {
        "input_ids": ids, "attention_mask": torch.ones_like(ids),
        "decoder_input_ids": torch.cat([start, ids[:, :1]], 1),
        "max_new_tokens": 8, "num_beams": 1, "no_repeat_ngram_size": 1,
    }  # fmt: skip
    model.generation_config.eos_token_id = model.config.eos_token_id = None
    plain = model.generate(**batch)
    model.config.pad_token_id = model.generation_config.pad_token_id = None
    model.generation_config.eos_token_id = [int(plain[0, 3]), int(plain[1, 6])]
    expected = model.generate(**batch)
    assert (
        model.generate(**batch, custom_generate=likeliest_tokens, limits=torch.full((len(ids),), LIMIT)).tolist()
        == expected.tolist()
    )
    assert (expected[0, 4:] == int(plain[0, 3])).all()


def test_translations_are_the_same_without_a_cache(scratch_run) -> None:
    model = load_predictor(scratch_run / "model")
    model.search_greedily()
    expected = model.outputs(TEXTS)
    model.model.generation_config.use_cache = False
    assert model.outputs(TEXTS).tolist() == expected.tolist() and len(set(expected)) > 1


def test_graphs_match_torch_and_run_batches_in_threads(tmp_path: Path, warm_run: Path, monkeypatch) -> None:
    from kit.recipe import Recipe
    from kit.runs.derived_recipes import compression_recipe
    from kit.workflows.compress import compress

    content = compression_recipe(warm_run).model_dump()
    content["compress"] |= {"steps": ["onnx"], "gate": {"retained": None}}
    folder = compress(Recipe.model_validate(content), quiet=True).record.model_folder
    graphs, model = load_predictor(folder), load_predictor(warm_run / "model")
    for predictor in (graphs, model):
        predictor.search_greedily()
    alone = graphs.outputs(TEXTS)
    assert alone.tolist() == model.outputs(TEXTS).tolist()
    assert len(set(alone)) > 1 and alone[2] == ""
    monkeypatch.setattr("kit.models.backends.onnx_translator._BATCH_TOKENS", 8)
    monkeypatch.setattr("kit.models.backends.onnx_translator.torch.get_num_threads", lambda: 3)
    used_models = set()
    search = graphs._search
    monkeypatch.setattr(
        graphs,
        "_search",
        lambda *arguments, **options: used_models.add(id(arguments[2])) or search(*arguments, **options),
    )
    assert np.array_equal(graphs.outputs(TEXTS), alone)
    assert used_models == {id(graphs._single_threaded)}
