"""Trimmed vocabularies of translators: logits of kept tokens, and refusals.

Translations in a fresh process are tested in test_quantize_translation, together with those of quantized translators.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForSeq2SeqLM,
    BartConfig,
    BartForConditionalGeneration,
    T5Config,
    T5ForConditionalGeneration,
)

from kit import Recipe, Record, evaluate
from kit.compression.vocabulary_translation import trim_translator
from kit.errors import ModelError
from kit.models.kinds import form_of
from kit.models.kinds.form import Form
from kit.models.load import load_predictor
from kit.models.translation.bpe import train_bpe
from kit.models.translation.generation_settings import set_search
from kit.models.translation.translator import Translator
from kit.runs.derived_recipes import compression_recipe
from kit.workflows.compress import compress
from tests.support.translators import BUILDERS

PREFIX = "to german: "


def chain(source: Path, steps: list[object]) -> Recipe:
    content = compression_recipe(source).model_dump()
    content["compress"] |= {"steps": steps, "gate": {"retained": None, "agreement": None}}
    return Recipe.model_validate(content)


pytestmark = pytest.mark.usefixtures("untimed")


@pytest.fixture(scope="module")
def sides(captions: Path) -> tuple[list[str], list[str]]:
    en, de = ((captions / f"train.{side}").read_text("utf-8").split("\n") for side in ("en", "de"))
    return en, de


def job(sides: tuple[list[str], list[str]], pairs: int = 12, pool: int = 4) -> Any:
    """Return a job with the fields that the step reads; the pool has no labels."""
    en, de = ([(line,) for line in side] for side in sides)
    data = SimpleNamespace(
        train=SimpleNamespace(texts=en[:pairs], labels=de[:pairs]),
        pool=SimpleNamespace(texts=en[pairs : pairs + pool]),
    )
    recipe = SimpleNamespace(data=SimpleNamespace(max_length=24))
    return SimpleNamespace(data=data, recipe=recipe, hardware=SimpleNamespace(device="cpu"))


def bart(place: Path, lines: list[str]) -> None:
    """Save a BART with a bias per token, forbidden words, and a tokenizer of the same size."""
    tokenizer = train_bpe(lines, 512, 24)
    shape = {
        "vocab_size": len(tokenizer), "d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "init_std": 0.3,
        "encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32,
        "max_position_embeddings": 512, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
        "decoder_start_token_id": 2, "forced_eos_token_id": 2,
    }  # fmt: skip
    model = BartForConditionalGeneration(BartConfig(**shape))
    model.final_logits_bias = torch.randn(1, len(tokenizer))
    model.generation_config.bad_words_ids = [[0], [400, 401]]
    model.save_pretrained(place)
    tokenizer.save_pretrained(place)


def untied_t5(place: Path, lines: list[str]) -> None:
    """Save a T5 with an untied output layer, as in T5 1.1 and mT5."""
    tokenizer = train_bpe(lines, 512, 24)
    shape = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2, "initializer_factor": 3.0}
    ends = {"decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 2}
    config = T5Config(
        vocab_size=len(tokenizer) + 28, feed_forward_proj="gated-gelu", tie_word_embeddings=False, **ends, **shape
    )
    T5ForConditionalGeneration(config).save_pretrained(place)
    tokenizer.save_pretrained(place)


FAMILIES = {
    "t5": (BUILDERS["t5"], None),
    "nllb": (BUILDERS["nllb"], ("eng_Latn", "deu_Latn")),
    "mbart50": (BUILDERS["mbart50"], ("en_XX", "de_DE")),
    "bart": (bart, None),
    "untied t5": (untied_t5, None),
}


def saved(name: str, place: Path, lines: list[str]) -> Path:
    """Save a translator of a family in the format of kit."""
    build, codes = FAMILIES[name]
    torch.manual_seed(0)
    build(place, lines)
    built = Translator.load(place)
    first = None
    if codes:
        built.tokenizer_pair.source.src_lang, built.tokenizer_pair.source.tgt_lang = codes
        first = built.tokenizer_pair.source.convert_tokens_to_ids(codes[1])
    set_search(built.model, 2, 1.0, 12, first, 2.0)
    Translator(built.model, built.tokenizer_pair, 24, PREFIX).save(place / "saved")
    return place / "saved"


def logits(folder: Path, source: str, target: str) -> tuple[torch.Tensor, list[str]]:
    """Return the logits of a pair by plain transformers, and the tokens in their order."""
    translator = load_predictor(folder)
    assert isinstance(translator, Translator)
    tokenizer = translator.tokenizer_pair.source
    model = AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
    ids = tokenizer([PREFIX + source], text_target=[target], truncation=True, return_tensors="pt")
    with torch.inference_mode():
        outputs = model(input_ids=ids["input_ids"], decoder_input_ids=ids["labels"])
    return outputs.logits, tokenizer.convert_ids_to_tokens(range(len(tokenizer)))


@pytest.fixture(scope="module")
def trimmed(sides, tmp_path_factory) -> dict[str, tuple[Path, Path, dict[str, Any]]]:
    """Return for each family the folders before and after trimming, and the settings of the step."""
    results = {}
    for name in FAMILIES:
        place = tmp_path_factory.mktemp(name.replace(" ", "-"))
        before = saved(name, place, [*sides[0], *sides[1]])
        fitted = trim_translator(before, job(sides), None)
        fitted.predictor.save(place / "trimmed")
        results[name] = (before, place / "trimmed", fitted.settings)
    return results


@pytest.mark.parametrize("family", FAMILIES)
def test_pairs_with_kept_tokens_have_the_same_logits(family, trimmed, sides) -> None:
    before, after, settings = trimmed[family]
    assert settings["sides"] == "both" and settings["tokens"] < settings["tokens_before"]
    assert settings["texts"] == 16 and settings["texts_read_differently"] == 0 and settings["pairs_proven"] == 12
    for source, target in list(zip(*sides, strict=True))[:3]:
        (old, names), (new, fewer) = logits(before, source, target), logits(after, source, target)
        assert new.shape == (*old.shape[:2], len(fewer)) and len(fewer) == settings["tokens"]
        assert torch.equal(new, old[..., [names.index(name) for name in fewer]])
    weights = [(folder / "model.safetensors").stat().st_size for folder in (before, after)]
    assert weights[1] < weights[0]
    config = json.loads((after / "config.json").read_text("utf-8"))
    assert config["vocab_size"] == settings["tokens"]


def test_special_tokens_get_their_new_ids(trimmed) -> None:
    for before, after, _ in trimmed.values():
        translators = [load_predictor(folder) for folder in (before, after)]
        for key in ("pad_token_id", "eos_token_id", "decoder_start_token_id", "forced_bos_token_id", "bad_words_ids"):
            tokens = [_tokens(model, getattr(model.model.generation_config, key)) for model in translators]
            assert tokens[0] == tokens[1], key
    _, after, _ = trimmed["nllb"]
    first = load_predictor(after).model.generation_config.forced_bos_token_id
    assert load_predictor(after).tokenizer_pair.source.convert_ids_to_tokens(first) == "deu_Latn"


def _tokens(translator: Translator, ids: Any) -> Any:
    """Replace ids in nested lists by tokens."""
    if isinstance(ids, list):
        return [_tokens(translator, item) for item in ids]
    return None if ids is None else translator.tokenizer_pair.source.convert_ids_to_tokens(ids)


def test_fresh_decoder_keeps_its_target_vocabulary(warm_run) -> None:
    done = compress(chain(warm_run, ["vocabulary", "int8-torch"]), quiet=True)
    record = Record.load(done.links[0].record.folder)
    source = Record.read(warm_run)
    assert form_of(record.model_folder) is Form.WARM_TRANSLATOR and done.links[0].gate.passed
    assert record.to_dict()["model_bytes"] < source.to_dict()["model_bytes"] / 2
    assert record.to_dict()["settings"]["sides"] == "source" and evaluate(record.folder).largest_difference == 0
    assert any("The target vocabulary is unchanged" in line for line in done.links[0].lines)
    for name in ("tokenizer.json", "generation_config.json"):
        place = f"target/{name}" if name == "tokenizer.json" else name
        old, new = (json.loads((run.model_folder / place).read_text("utf-8")) for run in (source, record))
        assert old == new
    assert record.to_dict()["settings"]["texts_read_differently"] == 0
    assert form_of(done.record.model_folder) is Form.QUANTIZED


def test_maximum_size_removes_rare_tokens(sides, trimmed) -> None:
    before, _, settings = trimmed["bart"]
    smaller = trim_translator(before, job(sides), settings["tokens"] - 20)
    assert smaller.settings["tokens"] <= settings["tokens"] - 18  # forbidden words are kept in addition
    assert smaller.settings["texts_read_differently"] > 0


def test_translators_that_cannot_be_trimmed_are_refused_before_computation(
    scratch_run, sides, tmp_path, monkeypatch
) -> None:
    from kit.compression import TECHNIQUES
    from kit.recipe.sections.compression import CompressSection

    [step] = CompressSection(steps=["vocabulary"]).steps
    for family in ("marian", "m2m100"):
        place = tmp_path / family
        (place / "model").mkdir(parents=True)
        BUILDERS[family](place / "model", sides[0])
        source: Any = SimpleNamespace(model_folder=place / "model", id=family, backend=None)
        with pytest.raises(ModelError, match=r"has no tokenizer\.json") as error:
            TECHNIQUES["vocabulary"].require(step, source)
        assert error.value.hint
    place = tmp_path / "two-tables"
    load_predictor(scratch_run / "model").save(place)
    config = json.loads((place / "config.json").read_text("utf-8"))
    (place / "config.json").write_text(json.dumps(config | {"share_encoder_decoder_embeddings": False}), "utf-8")
    with pytest.raises(ModelError, match="a table of embeddings for each side") as error:
        source = SimpleNamespace(model_folder=place, id="two", backend=None)
        TECHNIQUES["vocabulary"].require(step, source)
    assert "float16" in error.value.hint
