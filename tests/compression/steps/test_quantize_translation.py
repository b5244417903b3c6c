"""Quantized translators: which layers are quantized, and the same translations in a fresh process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoModelForSeq2SeqLM, BertConfig, BertModel, T5Config, T5ForConditionalGeneration

from kit import Recipe, Record, evaluate
from kit.compression import TECHNIQUES
from kit.compression.base import attempts
from kit.compression.chain import Compression
from kit.compression.steps.quantize import _SavedPredictor
from kit.errors import ModelError
from kit.models.checkpoints.checkpoint import Checkpoint
from kit.models.checkpoints.loading import rounded_on_load
from kit.models.kinds import form_of, kind_in
from kit.models.kinds.form import Form
from kit.models.load import load_predictor
from kit.models.translation.bpe import train_bpe
from kit.models.translation.generation_settings import set_search
from kit.models.translation.seq2seq import TokenizerPair, layers_to_round, warm_translator
from kit.models.translation.translator import Translator
from kit.publishing import standalone_check as probe
from kit.publishing.formats import plan_formats
from kit.recipe.sections.compression import CompressSection
from kit.runs.derived_recipes import compression_recipe
from kit.workflows.compress import compress
from tests.compression.steps.test_vocabulary_translation import sides, trimmed  # noqa: F401 (fixtures)
from tests.support.translators import BUILDERS

# Steps, the run to compress, and the minimum factor by which the file shrinks: nearly all of the warm model is tables.
CASES = {"int8-torch": ("scratch_run", 3.0), "int8-bnb": ("warm_run", 1.0), "nf4-bnb": ("scratch_run", 5.0)}
QUANTIZED_TYPES = ("Int8Tensor", "Int8Params", "Params4bit")
SCRIPT_WITHOUT_KIT = """
import json, runpy, sys
sys.modules["kit"] = None
translate = runpy.run_path(sys.argv[1])["_seq2seq"]
print(json.dumps([translate(job)["translations"] for job in json.loads(sys.argv[2])]))
"""
TRIMMED = ("bart", "nllb", "untied t5")  # translators with a trimmed vocabulary
TEXTS = [("Two dogs run through the snow and play with a big ball.",), ("日本",)]


def chain(source: Path, steps: list[object]) -> Recipe:
    content = compression_recipe(source).model_dump()
    content["compress"] |= {"steps": steps, "gate": {"retained": None, "agreement": None}}
    return Recipe.model_validate(content)


def translations_without_kit(folders: list[Path]) -> list[list[str]]:
    """Return the translations by plain transformers, computed as in the check of an export."""
    jobs = []
    for folder in folders:
        kind = kind_in(folder)
        assert kind.name == "seq2seq"
        jobs.append({"arguments": {"model": str(folder), **kind.arguments(folder, kind.form(folder))}, "texts": TEXTS})
    command = [sys.executable, "-c", SCRIPT_WITHOUT_KIT, str(probe.__file__), json.dumps(jobs)]
    process = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
    assert process.returncode == 0, process.stderr[-2000:]
    translations: list[list[str]] = json.loads(process.stdout.strip().splitlines()[-1])
    return translations


def one_by_one(model: Any) -> list[str]:
    """Translate the texts one by one as in the other process: quantized activations depend on the batch."""
    return [str(model.outputs([text])[0]) for text in TEXTS]


def quantized_layers(model: nn.Module) -> set[str]:
    weights = {name: getattr(module, "weight", None) for name, module in model.named_modules()}
    return {name for name, weight in weights.items() if type(weight).__name__ in QUANTIZED_TYPES}


pytestmark = pytest.mark.usefixtures("untimed")


@pytest.fixture(scope="module")
def compressed(request: pytest.FixtureRequest, untimed: None) -> dict[str, Compression]:
    runs = {run: request.getfixturevalue(run) for run, _ in CASES.values()}
    return {step: compress(chain(runs[run], [step]), quiet=True) for step, (run, _) in CASES.items()}


@pytest.fixture(scope="module")
def lines(captions: Path) -> list[str]:
    return [line for side in ("en", "de") for line in (captions / f"train.{side}").read_text("utf-8").split("\n")]


def saved(model: Any, tokenizer_pair: TokenizerPair, folder: Path) -> Path:
    set_search(model, 2, 1.0, 8, None, 2.0)
    Translator(model, tokenizer_pair, 24).save(folder)
    return folder


def family(name: str) -> Callable[[Path, list[str]], Path]:
    def build(place: Path, lines: list[str]) -> Path:
        BUILDERS[name](place, lines)
        model = Translator.load(place)
        return saved(model.model, model.tokenizer_pair, place / "saved")

    return build


def wide_t5(place: Path, lines: list[str]) -> Path:
    """Save a T5 that is wide enough for the 4-bit layers of bitsandbytes."""
    tokenizer = train_bpe(lines, 300, 24)
    shape = {"d_model": 64, "d_kv": 32, "d_ff": 128, "num_layers": 1, "num_heads": 2, "initializer_factor": 3.0}
    ends = {"decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 2}
    model = T5ForConditionalGeneration(T5Config(vocab_size=len(tokenizer), **shape, **ends))
    return saved(model, TokenizerPair(tokenizer, tokenizer), place / "saved")


def wide_warm(place: Path, lines: list[str]) -> Path:
    """Save an encoder with a fresh decoder that is as wide as `wide_t5`."""
    tokenizer = train_bpe(lines, 300, 24)
    shape = {"hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 128}
    BertModel(BertConfig(vocab_size=len(tokenizer), initializer_range=0.2, **shape)).save_pretrained(place)
    model = warm_translator(Checkpoint("wide", place, None, "", ""), tokenizer, 1, None, 0.0)
    return saved(model, TokenizerPair(tokenizer, train_bpe(lines, 300, 24)), place / "saved")


# Architectures with their quantizations; int8-torch quantizes activations too.
QUANTIZATIONS: dict[str, tuple[Callable[[Path, list[str]], Path], tuple[str, ...]]] = {
    "marian": (family("marian"), ("int8",)),
    "m2m100": (family("m2m100"), ("int8-torch",)),
    "wide t5": (wide_t5, ("int8", "nf4")),
    "wide warm": (wide_warm, ("int8-torch", "nf4")),
}


def config_of(name: str, kept: list[str]) -> Any:
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig
    from transformers import TorchAoConfig

    if name == "int8-torch":
        return TorchAoConfig(Int8DynamicActivationInt8WeightConfig(), modules_to_not_convert=kept)
    return rounded_on_load(name, kept)  # type: ignore[arg-type]


@pytest.mark.parametrize("step", CASES)
def test_quantized_translator_matches_its_record(step, compressed, request) -> None:
    run, smaller = CASES[step]
    source, record = Record.read(request.getfixturevalue(run)), Record.load(compressed[step].record.folder)
    assert form_of(record.model_folder) is Form.QUANTIZED
    assert record.to_dict()["model_bytes"] * smaller < source.to_dict()["model_bytes"]
    assert evaluate(record.folder).largest_difference == 0
    model = load_predictor(record.model_folder)
    assert isinstance(model, Translator)
    head = model.model.get_output_embeddings()
    assert head.weight.dtype == torch.float32
    layers = {name for name, part in model.model.named_modules() if isinstance(part, nn.Linear)}
    names = quantized_layers(model.model)
    assert names and all(name.startswith(("lm_head", "decoder.cls")) for name in layers - names)


def test_saved_translators_translate_the_same_in_a_fresh_process(lines, compressed, trimmed, tmp_path) -> None:  # noqa: F811
    """Quantized and trimmed translators, in one process."""
    expected: dict[Path, list[str]] = {}
    for name, (build, quantizations) in QUANTIZATIONS.items():
        torch.manual_seed(0)
        place = tmp_path / name
        place.mkdir()
        source = build(place, lines)
        layers, kept = layers_to_round(source)
        for quantization in quantizations:
            model = Translator.rounded(source, quantization_config=config_of(quantization, kept), device_map="cpu")
            network = model.model
            assert network.get_output_embeddings().weight.dtype == torch.float32
            quantized = quantized_layers(network)
            assert quantized <= set(layers) and len(quantized) >= 0.8 * len(layers)  # T5 keeps some in float32
            saved_first = _SavedPredictor(model, place / f"{quantization}-first")
            folder = place / quantization
            expected[folder] = one_by_one(saved_first)  # bitsandbytes repacks its weights now
            saved_first.save(folder)
            ids = torch.tensor([[5, 9, 11, 2]])
            with torch.inference_mode():
                plain = AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
                logits = [loaded(input_ids=ids, decoder_input_ids=ids).logits for loaded in (network, plain)]
            assert torch.equal(*logits), (name, quantization)
    folders = [done.record.model_folder for done in compressed.values()]
    for folder in [*folders, *(trimmed[family][1] for family in TRIMMED)]:
        expected[folder] = one_by_one(load_predictor(folder))
    assert translations_without_kit(list(expected)) == list(expected.values())
    distinct = {line for translations in expected.values() for line in translations}
    assert len(distinct) > len(QUANTIZATIONS), "the models do not all write the same"


def test_exports_name_the_packages_that_load_them(compressed, scratch_run) -> None:
    for step, library in (("int8-torch", "torchao"), ("nf4-bnb", "bitsandbytes accelerate")):
        [with_step] = plan_formats(Record.read(scratch_run), [step])
        [quantized] = plan_formats(compressed[step].record, [])
        assert with_step.step == step and with_step.loader == quantized.loader == "seq2seq"
        assert quantized.kind.requirements(compressed[step].record.model_folder) == f"transformers torch {library}"


def test_impossible_steps_are_refused_before_computation(compressed, scratch_run, warm_run, monkeypatch) -> None:
    monkeypatch.setattr("kit.runs.write_record._fit_and_write", lambda *args: pytest.fail("something was computed"))
    for step in ("float16", "int8-bnb", "ct2", "vocabulary"):
        with pytest.raises(ModelError, match=f"{step}: .* is a quantized model of torch") as error:
            compress(chain(compressed["int8-torch"].record.folder, [step]), quiet=True)
        assert "quantization comes last" in error.value.hint
    monkeypatch.setattr("kit.compression.steps.quantize.packs", lambda layer: False)
    with pytest.raises(
        ModelError, match=r"nf4-bnb: no layer of .* has a multiple of 32 rows and of 64 columns"
    ) as error:
        compress(chain(warm_run, ["nf4-bnb"]), quiet=True)
    assert "int8-bnb" in error.value.hint
    aware: list[object] = [{"int8-torch": {"aware": 1.0}}]
    with pytest.raises(ValueError, match="aware is for classifiers"):
        chain(scratch_run, aware)
    with pytest.raises(ModelError, match="aware: quantization-aware training is for classifiers") as error:
        TECHNIQUES["int8-torch"].require(CompressSection(steps=aware).steps[0], Record.read(scratch_run))
    assert "leave `aware` out" in error.value.hint
    monkeypatch.setattr("kit.compression.steps.quantize.find_spec", lambda name: None)
    with pytest.raises(ModelError, match="bitsandbytes is not installed"):
        compress(chain(scratch_run, ["nf4-bnb"]), quiet=True)


def test_aware_variant_is_offered_only_for_classifiers(scratch_run, tiny_run) -> None:
    [step] = CompressSection(steps=["int8-torch"]).steps
    technique = TECHNIQUES["int8-torch"]
    assert [attempt.aware for attempt in attempts(technique, step, Record.read(tiny_run))] == [0, 1]
    assert [attempt.aware for attempt in attempts(technique, step, Record.read(scratch_run))] == [0]
