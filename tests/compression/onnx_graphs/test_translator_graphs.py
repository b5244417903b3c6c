"""Translators as graphs for ONNX Runtime: the encoder, and one decoding step."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers.cache_utils import DynamicCache, EncoderDecoderCache

from kit import Record, evaluate, predict
from kit.compression.chain import Compression
from kit.compression.onnx_graphs import translator_graphs as module
from kit.errors import ModelError
from kit.models.backends.onnx_translator import OnnxTranslator
from kit.models.checkpoints.tokenizers import load_tokenizer
from kit.models.kinds import form_of
from kit.models.kinds.form import Form
from kit.models.load import load_predictor
from kit.models.translation.generation_settings import set_search
from kit.models.translation.seq2seq import TokenizerPair, load_translator
from kit.models.translation.translator import Translator
from kit.recipe import Recipe
from kit.workflows.compress import compress
from tests.compression.steps.test_ctranslate2 import chain
from tests.support.translators import BUILDERS


@pytest.fixture(scope="module")
def done(warm_run: Path) -> Compression:
    return compress(chain(warm_run, ["onnx", "int8-onnx"]), quiet=True)


@pytest.fixture(scope="module")
def float32(done: Compression) -> Record:
    return done.links[0].record


def test_float32_graphs_translate_as_torch(float32, warm_run) -> None:
    assert form_of(float32.model_folder) is Form.ONNX
    before, after = Record.load(warm_run).predictions().outputs, float32.predictions().outputs
    assert len(after) == 20 and any(before) and (after == before).mean() >= 0.95
    assert load_predictor(float32.model_folder).parameters == load_predictor(warm_run / "model").parameters


def test_graphs_hold_only_their_weights_and_no_local_paths(float32, warm_run, tiny_checkpoint) -> None:
    import onnx

    sizes = {
        side: sum(int(np.prod(tensor.dims)) for tensor in onnx.load(path).graph.initializer)
        for side in ("encoder", "decoder")
        for path in [float32.model_folder / f"{side}.onnx"]
    }
    model, _ = load_translator(warm_run / "model")
    encoder = sum(parameter.numel() for parameter in model.get_encoder().parameters())
    decoder = sum(parameter.numel() for parameter in model.parameters()) - encoder
    table = model.get_output_embeddings().weight.numel()
    assert sizes["encoder"] < encoder + decoder - table  # only the keys and values of cross-attention are added
    assert sizes["decoder"] < 1.05 * (decoder + table)  # the table is the output layer too
    files = b"".join(path.read_bytes() for path in float32.model_folder.rglob("*") if path.is_file())
    assert not any(local in files for local in (str(warm_run).encode(), str(tiny_checkpoint).encode(), b"/kit/"))


def test_int8_is_smaller_and_a_complete_record(done, float32) -> None:
    record = Record.load(done.record.folder)
    assert form_of(record.model_folder) is Form.QUANTIZED_ONNX and record.how.startswith("int8-onnx of")
    sizes = [
        sum((run.model_folder / f"{side}.onnx").stat().st_size for side in ("encoder", "decoder"))
        for run in (record, float32)
    ]
    assert sizes[0] < 0.5 * sizes[1]
    assert evaluate(record.folder).largest_difference == 0
    lines = [line["translation"] for line in predict(record.folder, ["A man is here.", "   ", ""])]
    assert lines[0] and lines[1:] == ["", ""]
    model = load_predictor(record.model_folder)
    assert isinstance(model, OnnxTranslator) and model.model.generation_config.num_beams == 2
    # The tiny model is almost untrained, so that rounding changes its translations: compare logits instead.
    int8_logits, float32_logits = (first_logits(load_predictor(run.model_folder)) for run in (record, float32))
    assert np.corrcoef(int8_logits, float32_logits)[0, 1] > 0.95 and not (int8_logits == float32_logits).all()


def first_logits(model: OnnxTranslator) -> np.ndarray:
    """Return the logits of the first token of a translation."""
    source = model.tokenizer_pair.source("A man is here.", return_tensors="pt", return_token_type_ids=False)
    cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
    start = torch.tensor([[model.model.generation_config.decoder_start_token_id]])
    outputs = model.model(start, model.model.get_encoder()(**source), source["attention_mask"], cache)
    return outputs.logits[0, 0].numpy()


def test_int4_is_smaller_than_float32(float32) -> None:
    small = compress(chain(float32.folder, ["int4-onnx"]), quiet=True).record
    assert json.loads((small.model_folder / "onnx.json").read_text("utf-8"))["weights"] == "int4"
    assert small.to_dict()["model_bytes"] < float32.to_dict()["model_bytes"]
    assert any(small.predictions().outputs)


def test_relative_positions_of_t5_count_previous_steps(captions, tmp_path) -> None:
    """Greedy and beam search, with padding, sources of one word, and fewer layers in the decoder."""
    lines = (captions / "train.en").read_text("utf-8").splitlines()
    torch.manual_seed(0)
    BUILDERS["t5"](tmp_path, lines)
    model, _ = load_translator(tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    set_search(model, 2, 1.0, 24, None, 2.0)
    torch_side = Translator(model, TokenizerPair(tokenizer, tokenizer), 64)
    folder = tmp_path / "saved"
    torch_side.save(folder)
    graphs = module._exported(folder, (), tuple((line,) for line in lines[:4]))
    onnx_side = OnnxTranslator(graphs, torch_side.tokenizer_pair, 64)
    texts = [(line,) for line in [*lines[:20], "a"]]
    for beams in (2, 1):
        for translator in (onnx_side, torch_side):
            translator.model.generation_config.num_beams = beams
            translator.model.generation_config.early_stopping = beams > 1
        assert len(set(torch_side.outputs(texts))) > 1
        # Not all translations, because sums in another order may decide between two words.
        assert (onnx_side.outputs(texts) == torch_side.outputs(texts)).mean() > 0.9


def test_graphs_with_other_translations_are_refused(warm_run, monkeypatch) -> None:
    monkeypatch.setattr(module, "_exported", module._exported.__wrapped__)
    monkeypatch.setattr(module, "traced", lambda *args, **options: b"")
    monkeypatch.setattr(OnnxTranslator, "__init__", lambda self, *args, **options: None)
    monkeypatch.setattr(OnnxTranslator, "outputs", lambda self, texts: np.full(len(texts), "x", object))
    with pytest.raises(ModelError, match="translates only 0 % of 45 texts as the model does") as error:
        compress(chain(warm_run, [{"int8-onnx": {"per_channel": False}}]), quiet=True)
    assert "float16" in error.value.hint


def test_settings_for_classifiers_only_are_refused_before_computation(warm_run, monkeypatch) -> None:
    monkeypatch.setattr("kit.runs.write_record._fit_and_write", lambda *args: pytest.fail("something was computed"))
    source = Record.load(warm_run)
    from kit.compression import TECHNIQUES
    from kit.recipe.sections.compression import CompressSection

    for settings, words in (
        ({"calibration": "static"}, "ranges on texts"),
        ({"aware": 1.0}, "a translator is quantized as it is"),
    ):
        content = chain(warm_run, ["onnx"]).model_dump() | {"compress": {"steps": [{"int8-onnx": settings}]}}
        with pytest.raises(ValueError, match=r"compress.steps: .*leave"):
            Recipe.model_validate(content)
        step = CompressSection.model_validate({"steps": [{"int8-onnx": settings}]}).steps[0]
        with pytest.raises(ModelError, match=words):
            TECHNIQUES["int8-onnx"].require(step, source)


def test_damaged_graphs_are_named(float32, tmp_path) -> None:
    place = tmp_path / "copy"
    load_predictor(float32.model_folder).save(place)
    (place / "decoder.onnx").write_bytes(b"no graph")
    with pytest.raises(ModelError, match=r"ONNX Runtime cannot load .*copy/decoder\.onnx"):
        load_predictor(place)
    (place / "encoder.onnx").unlink()
    with pytest.raises(ModelError, match=r"cannot be loaded"):
        load_predictor(place)
