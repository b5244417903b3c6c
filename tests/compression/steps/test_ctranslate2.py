"""Conversion of translators to CTranslate2, and refusals before computation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from kit import Recipe, Record, evaluate, predict
from kit.compression.capabilities import WORKS, capabilities
from kit.compression.chain import Compression
from kit.compression.steps import ctranslate2 as module
from kit.errors import ModelError
from kit.models.backends.ctranslate2 import Ct2Translator
from kit.models.kinds import form_of
from kit.models.kinds.form import Form
from kit.models.load import load_predictor
from kit.models.translation.bpe import train_bpe
from kit.models.translation.generation_settings import apply_route, set_search
from kit.models.translation.languages import find_route
from kit.models.translation.seq2seq import TokenizerPair, load_translator
from kit.models.translation.translator import Translator
from kit.runs.derived_recipes import compression_recipe
from kit.workflows.compress import compress
from tests.support.translators import BUILDERS


def chain(source: Path, steps: object, **gate: object) -> Recipe:
    content = compression_recipe(source).model_dump()
    content["compress"] |= {"steps": steps, "gate": {"retained": None, "agreement": None} | gate}
    return Recipe.model_validate(content)


@pytest.fixture(scope="module")
def done(scratch_run: Path) -> dict[str, Compression]:
    return {
        quantization: compress(chain(scratch_run, [{"ct2": {"quantization": quantization}}]), quiet=True)
        for quantization in ("float32", "int8")
    }


def test_float32_translates_as_torch(done, scratch_run) -> None:
    record = done["float32"].record
    before, after = Record.load(scratch_run).predictions().outputs, record.predictions().outputs
    assert len(after) == 20 and (after == before).mean() >= 0.95
    assert record.to_dict()["settings"]["float32_same"] >= 0.95
    assert "same translation as torch before quantization for" in done["float32"].links[0].line
    model, start = load_predictor(record.model_folder), load_predictor(scratch_run / "model")
    assert model.parameters == start.parameters
    texts = [("A man is here.",), ("Two dogs run through the snow and play with a big ball.",)]
    translations = []
    for translator in (model, start):
        translator.search_greedily()
        translations.append(translator.outputs(texts).tolist())
    assert translations[0] == translations[1] and model.search["num_beams"] == 1


def test_texts_are_shared_among_independent_threads(done, monkeypatch) -> None:
    folder = done["int8"].record.model_folder
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    load_predictor(folder)
    assert torch.get_num_threads() == 2, "torch keeps its threads"
    torch.set_num_threads(threads)
    texts = [(f"A man is at the {place} of number {number}.",) for number in range(40) for place in ("door", "sea")]
    expected = load_predictor(folder).outputs(texts)
    with monkeypatch.context() as patched:
        patched.setattr("kit.models.backends.ctranslate2.thread_count", lambda: 3)
        shared = load_predictor(folder)
        assert shared._engine.num_translators == 3
        assert shared.outputs(texts).tolist() == expected.tolist()
    torch.set_num_threads(threads)  # loading restored the number of the patched function


def test_int8_is_smaller_and_a_complete_record(done, scratch_run) -> None:
    record = Record.load(done["int8"].record.folder)
    assert form_of(record.model_folder) is Form.CT2
    assert record.to_dict()["model_bytes"] < done["float32"].record.to_dict()["model_bytes"] / 1.7
    assert evaluate(record.folder).largest_difference == 0
    assert set(record.metrics) == {"bleu", "chrf", "ter"} and record.how == "ct2 of scratch"
    verdict = done["int8"].links[0].verdict
    assert verdict.metric == "bleu" and 0 <= verdict.agreement.value <= 1
    lines = [line["translation"] for line in predict(record.folder, ["A man is here.", "   ", ""])]
    assert lines[0] and lines[1:] == ["", ""]
    search = json.loads((record.model_folder / "generation_config.json").read_text("utf-8"))
    assert (search["num_beams"], search["max_new_tokens"]) == (2, 20)


def test_gate_undoes_a_conversion_that_loses_too_much(scratch_run, done, monkeypatch) -> None:
    scores = iter([0.4, 0.2])  # of the source, then of the converted model
    monkeypatch.setattr("kit.compression.gate._score", lambda job, outputs: next(scores))
    undone = compress(chain(scratch_run, ["ct2"], retained=0.9), quiet=True)
    assert undone.record.folder == scratch_run and "UNDONE by the gate: 50.0 % retained on" in undone.links[0].line


def test_conversion_with_other_translations_is_refused(scratch_run, monkeypatch) -> None:
    monkeypatch.setattr(Ct2Translator, "outputs", lambda self, texts: np.full(len(texts), "x", object))
    with pytest.raises(ModelError, match="translates only 0 % of 45 texts as the model does") as error:
        compress(chain(scratch_run, [{"ct2": {"quantization": "int16"}}]), quiet=True)
    assert "float16" in error.value.hint


REFUSED = {
    "an encoder with a fresh decoder": ("warm_run", "ct2", "made of an encoder and a fresh decoder", "init: random"),
    "a classifier": (
        "tiny_run",
        "ct2",
        "is a classifier of torch; this step works on a translator of one architecture",
        "int8-onnx",
    ),
    **{
        f"{step} of a translator": (
            "scratch_run",
            step,
            "is a translator of one architecture .*; this step works on a classifier of torch",
            "ct2",
        )
        for step in ("prune", "early-exit")
    },
}


@pytest.mark.parametrize("case", REFUSED)
def test_impossible_steps_are_refused_before_computation(case, request, monkeypatch) -> None:
    run, step, words, way_out = REFUSED[case]
    source = request.getfixturevalue(run)
    monkeypatch.setattr("kit.runs.write_record._fit_and_write", lambda *args: pytest.fail("something was computed"))
    with pytest.raises(ModelError, match=words) as error:
        compress(chain(source, [step]), quiet=True)
    assert error.value.hint and way_out in error.value.hint


def test_recipe_of_an_unsupported_kind_is_refused_before_training(warm_recipe, monkeypatch) -> None:
    monkeypatch.setattr("kit.runs.write_record._fit_and_write", lambda *args: pytest.fail("something was computed"))
    content = warm_recipe.model_dump()
    content["compress"] |= {"steps": ["ct2"], "gate": {"retained": None, "agreement": None}}
    with pytest.raises(ModelError, match="made of an encoder and a fresh decoder"):
        compress(Recipe.model_validate(content), quiet=True)


def test_unsupported_architectures_and_missing_packages_are_named(scratch_run, done, monkeypatch) -> None:
    with pytest.raises(ModelError, match="what ct2 leaves is a translator for CTranslate2") as error:
        compress(chain(scratch_run, ["ct2", "float16"]), quiet=True)
    assert "ct2 comes last" in error.value.hint
    with monkeypatch.context() as patched, pytest.raises(ModelError, match=r"cannot convert .*which is m2m_100"):
        patched.setattr(module, "CONVERTED", ("t5",))
        compress(chain(scratch_run, ["ct2"]), quiet=True)
    monkeypatch.setattr("kit.models.backends.ctranslate2.find_spec", lambda name: None)
    for attempt in (
        lambda: compress(chain(scratch_run, ["ct2"]), quiet=True),
        lambda: load_predictor(done["int8"].record.model_folder),
    ):
        with pytest.raises(ModelError, match="ctranslate2 is not installed") as error:
            attempt()
        assert error.value.hint == "pip install 'kit[ct2]'"


def test_damaged_model_is_named(done, tmp_path) -> None:
    place = tmp_path / "copy"
    load_predictor(done["int8"].record.model_folder).save(place)
    (place / "model.bin").write_bytes(b"")
    with pytest.raises(ModelError, match="CTranslate2 cannot load the model in"):
        load_predictor(place)
    (place / "ct2.json").write_text("{", "utf-8")
    with pytest.raises(ModelError, match=r"ct2\.json is damaged"):
        load_predictor(place)


def test_float16_halves_a_translator_that_ct2_cannot_convert(warm_run) -> None:
    half = compress(chain(warm_run, ["float16"]), quiet=True).record
    sizes = [(folder / "model/model.safetensors").stat().st_size for folder in (half.folder, warm_run)]
    assert sizes[0] < 0.55 * sizes[1] and form_of(half.model_folder) is Form.HALF
    assert isinstance(load_predictor(half.model_folder), Translator)


def test_cells_of_the_capability_table_are_true(done, scratch_run) -> None:
    row = next(row for row in capabilities() if row.technique == "`ct2`")
    assert (row.models, row.evaluate, row.save, row.reload, row.cpu) == ("translators", *[WORKS] * 4)
    assert row.gpu == "runs on the CPU" and row.train.startswith("refused")
    with pytest.raises(ModelError):
        compress(chain(done["int8"].record.folder, ["ct2"]), quiet=True)


def _model(kind: str, size: int):
    import transformers as library

    shape = {
        "vocab_size": size, "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2,
        "decoder_attention_heads": 2, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "max_position_embeddings": 64,
        "init_std": 0.3, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 2,
        "forced_eos_token_id": None,
    }  # fmt: skip
    t5 = {
        "vocab_size": size, "d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2,
        "initializer_factor": 3.0, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 1,
    }  # fmt: skip
    classes = {
        "BART": ("Bart", shape), "mBART": ("MBart", shape), "M2M100": ("M2M100", shape), "Pegasus": ("Pegasus", shape),
        "T5": ("T5", t5), "T5 1.1": ("T5", t5 | {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}),
        "mT5": ("MT5", t5), "UMT5": ("UMT5", t5),
    }  # fmt: skip
    name, settings = classes[kind]
    return getattr(library, f"{name}ForConditionalGeneration")(getattr(library, f"{name}Config")(**settings))


@pytest.mark.parametrize("first", [None, 50], ids=["", "forced first token"])
@pytest.mark.parametrize("kind", ["BART", "mBART", "M2M100", "Pegasus", "T5", "T5 1.1", "mT5", "UMT5"])
def test_converted_architectures_translate_as_torch(kind, first, tmp_path) -> None:
    """With random weights, so that ends of sentences, repetitions and beam scores are compared."""
    lines = [f"a {size} {thing} by the {place}" for size in ("big", "small") for thing in ("dog", "man", "red car")
             for place in ("sea", "house")]  # fmt: skip
    tokenizer = train_bpe(lines, 320, 24)
    tokenizer.pad_token, tokenizer.bos_token = tokenizer.bos_token, tokenizer.pad_token  # as in BART: padding is 1
    torch.manual_seed(0)
    model = _model(kind, len(tokenizer)).eval()
    set_search(model, 4, 1.2, 24, first, 2.0)
    translator = Translator(model, TokenizerPair(tokenizer, tokenizer), 24, "to german: ")
    texts = [(line,) for line in lines]
    expected = translator.outputs(texts)
    converted = module.converted(translator, "float32", tmp_path / "ct2")
    assert (converted.outputs(texts) == expected).mean() >= 0.9
    assert len(set(expected)) > 1


@pytest.mark.parametrize("family", sorted(BUILDERS))
def test_tokenizers_of_all_families_are_converted(family, tmp_path) -> None:
    """Marian has no token for the beginning, and the tables of M2M100 have more rows than there are tokens."""
    lines = [f"a {size} {thing}" for size in ("big", "small") for thing in ("dog", "man", "red car", "house")]
    torch.manual_seed(0)
    BUILDERS[family](tmp_path, lines)
    model, tokenizer_pair = load_translator(tmp_path)
    route = find_route(tokenizer_pair.source, model.config.model_type, ("en", "de"), None, None)
    set_search(model, 1, 1.0, 24, apply_route(model, tokenizer_pair.source, route), 2.0)
    translator = Translator(model, tokenizer_pair, 24, route.prefix)
    texts = [(line,) for line in lines]
    converted = module.converted(translator, "float32", tmp_path / "ct2")
    assert converted.outputs(texts).tolist() == translator.outputs(texts).tolist()
