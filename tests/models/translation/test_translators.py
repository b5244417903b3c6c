"""Translators of every family: their languages, their training batches, and complete Records."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, ByT5Tokenizer, T5Config, T5ForConditionalGeneration

from kit import Recipe, Record, evaluate, finetune, predict
from kit.data.examples import Examples
from kit.distillation.students.decoder import decoder_depth, with_decoder_layers
from kit.errors import ModelError, RecipeError
from kit.methods.translators.writing import Writer, dataset_of, encode_pairs
from kit.models.checkpoints.checkpoint import resolve_checkpoint
from kit.models.checkpoints.tokenizers import load_tokenizer
from kit.models.translation.bpe import train_bpe
from kit.models.translation.generation_settings import apply_route
from kit.models.translation.languages import Route, find_route
from kit.models.translation.seq2seq import (
    TokenizerPair,
    pretrained_translator,
    scratch_translator,
    start_of,
    warm_translator,
)
from kit.models.translation.translator import Translator
from kit.recipe.sections.model import ModelSection
from tests.support.translators import BUILDERS

EN_DE = ("en", "de")
TYPES = {"multi_marian": "marian", "nllb": "m2m_100", "m2m100": "m2m_100", "mbart50": "mbart", "mbart25": "mbart"}
# Codes of English and German in each family, and the prefix of its sources.
ROUTES = {
    "marian": Route(None, ""),
    "multi_marian": Route(None, ">>deu<< "),
    "t5": Route(None, "translate English to German: "),
    "m2m100": Route(("en", "de"), ""),
    "nllb": Route(("eng_Latn", "deu_Latn"), ""),
    "mbart50": Route(("en_XX", "de_DE"), ""),
    "mbart25": Route(("en_XX", "de_DE"), ""),
}
Checkpoint = Callable[[str], Path]


@pytest.fixture(scope="module")
def lines(captions) -> list[str]:
    return [line for code in EN_DE for line in (captions / f"train.{code}").read_text("utf-8").split("\n")]


@pytest.fixture(scope="module")
def checkpoint(lines, tmp_path_factory) -> Checkpoint:
    """Return a function from a family to the folder of its tiny checkpoint, which is built once."""
    folders: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in folders:
            folders[name] = tmp_path_factory.mktemp("translators") / name
            folders[name].mkdir()
            torch.manual_seed(0)
            BUILDERS[name](folders[name], lines)
        return folders[name]

    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> str:
    return str(tmp_path_factory.mktemp("translated") / "runs")


def recipe_of(captions: Path, checkpoint: Path, runs: str, **sections: object) -> Recipe:
    return Recipe.model_validate(
        {
            "task": "translation",
            "runs": runs,
            "data": {"source": str(captions), "languages": ["en", "de"], "max_length": 24},
            "model": {"checkpoint": str(checkpoint)},
            "train": {"epochs": 3, "evaluations": 3, "learning_rate": 5e-3, "batch_size": 16},
            "translation": {"beams": 2, "length_penalty": 0.8},
        }
        | sections
    )


def route(folder: Path, name: str, languages=EN_DE, codes=None, prefix=None) -> Route:
    return find_route(load_tokenizer(folder), TYPES.get(name, name), languages, codes, prefix)


def writer_for(name: str, checkpoint: Checkpoint, tiny_checkpoint: Path, lines: list[str]) -> Writer:
    """Return the untrained model of a family, or a new one for `warm` and `scratch`."""
    if name == "warm":
        target = train_bpe(lines[60:], 400, 24)
        model = warm_translator(resolve_checkpoint(ModelSection(checkpoint=str(tiny_checkpoint))), target, 1, 0.0, 0.0)
        return Writer(model, TokenizerPair(load_tokenizer(tiny_checkpoint), target), "", None)
    if name == "scratch":
        joint = train_bpe(lines, 400, 24)
        model = scratch_translator(joint, 24, 0.0, width=16, heads=2, inner=32, layers=(2, 1))
        return Writer(model, TokenizerPair(joint, joint), "", None)
    folder = checkpoint(name)
    tokenizer = load_tokenizer(folder)
    model = pretrained_translator(resolve_checkpoint(ModelSection(checkpoint=str(folder))), None)
    first = apply_route(model, tokenizer, ROUTES[name])
    return Writer(model, TokenizerPair(tokenizer, tokenizer), ROUTES[name].prefix, first)


@pytest.mark.parametrize("name", BUILDERS)
def test_the_route_of_each_family_is_derived_from_its_tokenizer(name, checkpoint) -> None:
    folder = checkpoint(name)
    assert start_of(folder) == "translator"
    assert route(folder, name) == ROUTES[name]
    assert route(folder, name, ("en-GB", "de-AT") if name != "marian" else EN_DE).codes == ROUTES[name].codes
    codes = list(ROUTES[name].codes or ())
    if codes:
        assert route(folder, name, ("xx", "yy"), codes) == ROUTES[name], "codes take precedence over languages"
    assert route(folder, name, prefix="say: ").prefix.endswith("say: ")


@pytest.mark.parametrize(
    ("name", "languages", "codes", "message"),
    [
        ("mbart50", EN_DE, ["en_X", "de_DE"], "translation.codes: {} 'en_X' (nearest: en_XX"),
        ("nllb", EN_DE, ["eng_Latn", "deu_Ltn"], "translation.codes: {} 'deu_Ltn' (nearest: deu_Latn"),
        ("nllb", ("en", "Germn"), None, "data.languages: {} 'Germn' (nearest: "),
        ("m2m100", EN_DE, ["en", "dee"], "translation.codes: {} 'dee' (nearest: de"),
        ("multi_marian", ("en", "it"), None, "data.languages: {} 'it' (nearest: "),
        ("multi_marian", EN_DE, ["eng", "dee"], "translation.codes: {} 'dee' (nearest: deu"),
        ("nllb", EN_DE, ["deu_Latn", "eng_Latn"], "translation.codes: deu_Latn to eng_Latn is the reverse of"),
        ("marian", EN_DE, ["en", "de"], "translation.codes: this checkpoint's tokenizer has no languages"),
        ("t5", EN_DE, ["en", "de"], "translation.codes: this checkpoint's tokenizer has no languages"),
        ("t5", ("en", "is"), None, "translation.prefix: T5 needs a prefix with the names of the languages; kit has"),
    ],
)  # fmt: skip
def test_unsupported_languages_are_refused_with_the_nearest_codes(name, languages, codes, message, checkpoint) -> None:
    with pytest.raises(RecipeError) as caught:
        route(checkpoint(name), name, languages, codes)
    assert caught.value.message.startswith(message.format("the checkpoint's tokenizer does not have"))
    assert caught.value.hint


def test_a_language_with_several_codes_is_refused(checkpoint) -> None:
    with pytest.raises(RecipeError) as caught:
        route(checkpoint("nllb"), "nllb", ("en", "zh"))
    assert caught.value.message == (
        "data.languages: the checkpoint's tokenizer has 2 codes for 'zh' (zho_Hans, zho_Hant)"
    )
    assert "translation.codes" in caught.value.hint


@pytest.mark.parametrize("name", [*BUILDERS, "warm", "scratch"])
def test_training_batches_contain_labels_and_shifted_inputs(name, checkpoint, tiny_checkpoint, lines) -> None:
    """Labels contain an end, and the language as in the family; decoder inputs are the labels shifted by one."""
    writer = writer_for(name, checkpoint, tiny_checkpoint, lines)
    rows = [0, 3, 5]
    examples = Examples(np.asarray(rows), [(lines[row],) for row in rows], [(lines[60 + row],) for row in rows])
    batch = dataset_of(encode_pairs(examples, writer, 64), writer).collate([0, 1, 2])
    source, target = writer.tokenizer_pair.source, writer.tokenizer_pair.target
    pad, end, start = target.pad_token_id, target.eos_token_id, writer.model.config.decoder_start_token_id
    known = batch["labels"] != -100
    for row in range(3):
        written = batch["labels"][row][known[row]].tolist()
        if name == "mbart25":
            assert writer.first is None and written[-1] == start == target.convert_tokens_to_ids("de_DE")
        assert written[-2 if name == "mbart25" else -1] == end and written.count(end) == 1
        if name != "mbart25" and ROUTES.get(name, Route(None, "")).codes:
            token = writer.first
            assert token is not None and written[0] == token
            assert target.convert_ids_to_tokens(token) in ("__de__", "deu_Latn", "de_DE")
        text = target.decode(written, skip_special_tokens=True)
        if name in ("warm", "scratch"):
            assert text.strip() == lines[60 + rows[row]], "bytes can represent any text"
        shifted = batch["decoder_input_ids"][row].tolist()
        assert shifted[0] == start and shifted[1 : len(written)] == written[:-1]
        assert set(shifted[len(written) + 1 :]) <= {pad}
    codes = ROUTES[name].codes if name in ROUTES else None
    if codes:
        mark = source.convert_tokens_to_ids(f"__{codes[0]}__" if name == "m2m100" else codes[0])
        assert all(mark in row for row in batch["input_ids"].tolist())
    if name == "multi_marian":
        assert (batch["input_ids"][:, 0] == source.convert_tokens_to_ids(">>deu<<")).all()
    writer.model.eval()
    inputs = {key: batch[key] for key in ("input_ids", "attention_mask")}
    with torch.inference_mode():
        logits = writer.model(**inputs, decoder_input_ids=batch["decoder_input_ids"]).logits
        if name != "warm":  # an EncoderDecoderModel pads shifted labels with the token in its configuration
            expected = writer.model(**inputs, labels=batch["labels"]).logits
            assert torch.equal(logits[known], expected[known])
    assert logits.shape[-1] >= len(target)


@pytest.mark.parametrize("name", BUILDERS)
def test_a_checkpoint_is_trained_saved_and_loaded(name, captions, checkpoint, runs) -> None:
    record = finetune(recipe_of(captions, checkpoint(name), runs), quiet=True)
    evaluations = record.to_dict()["training"]["evaluations"]
    assert evaluations[-1]["train_loss"] < evaluations[0]["train_loss"]
    assert record.recipe.translation.prefix == ROUTES[name].prefix
    assert record.recipe.translation.codes == (list(ROUTES[name].codes) if ROUTES[name].codes else None)
    again = evaluate(record.folder)
    assert again.largest_difference == 0 and again.metrics == record.metrics
    stored = Record.load(record.folder).predictions()
    texts = [text for (text,) in _sources(captions)]
    assert [prediction["translation"] for prediction in predict(record.folder, texts)] == stored.outputs.tolist()
    assert not any("_" in line or "<" in line for line in stored.outputs), "a translation contains special tokens"
    settings = json.loads((record.model_folder / "generation_config.json").read_text("utf-8"))
    assert (settings["num_beams"], settings["length_penalty"], settings["max_new_tokens"]) == (2, 0.8, 24)
    assert settings["do_sample"] is False
    assert ("bad_words_ids" in settings) == ("marian" in name)
    tokenizer = AutoTokenizer.from_pretrained(record.model_folder)
    codes = ROUTES[name].codes
    if codes is None:
        assert settings.get("forced_bos_token_id") is None
    else:
        token = f"__{codes[1]}__" if name == "m2m100" else codes[1]
        of_language = "decoder_start_token_id" if name == "mbart25" else "forced_bos_token_id"
        assert settings[of_language] == tokenizer.convert_tokens_to_ids(token)
        assert (tokenizer.src_lang, tokenizer.tgt_lang) == codes
    if name != "marian":
        return
    # transformers alone gives the same translation.
    model = AutoModelForSeq2SeqLM.from_pretrained(record.model_folder)
    ids = model.generate(**tokenizer(texts[0], return_tensors="pt"))
    assert tokenizer.decode(ids[0], skip_special_tokens=True).strip() == stored.outputs[0]


def test_a_checkpoint_with_a_byte_tokenizer_is_trained(captions, tmp_path, runs) -> None:
    folder = tmp_path / "byt5"
    ByT5Tokenizer().save_pretrained(folder)
    shape = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2}
    T5ForConditionalGeneration(T5Config(vocab_size=384, decoder_start_token_id=0, **shape)).save_pretrained(folder)
    record = finetune(recipe_of(captions, folder, runs), quiet=True)
    assert record.recipe.translation.prefix == ROUTES["t5"].prefix
    assert evaluate(record.folder).largest_difference == 0


def _sources(captions: Path) -> list[tuple[str]]:
    return [(line,) for line in (captions / "test.en").read_text("utf-8").split("\n")]


def test_a_prefix_in_the_recipe_is_saved(captions, checkpoint, runs) -> None:
    record = finetune(
        recipe_of(captions, checkpoint("t5"), runs, translation={"prefix": "in German: ", "beams": 1}), quiet=True
    )
    assert Translator.load(record.model_folder).prefix == "in German: "
    assert evaluate(record.folder).largest_difference == 0


def test_other_codes_give_another_run(captions, checkpoint, runs) -> None:
    """The cache of tokenised texts separates languages, because they are among the tokens."""
    pairs = (["en_XX", "de_DE"], ["fr_XX", "de_DE"])
    records = [
        finetune(recipe_of(captions, checkpoint("mbart50"), runs, translation={"codes": codes}), quiet=True)
        for codes in pairs
    ]
    assert records[0].id != records[1].id
    for record in records:
        assert evaluate(record.folder).largest_difference == 0
    assert records[0].to_dict()["training"]["evaluations"] != records[1].to_dict()["training"]["evaluations"]


@pytest.mark.parametrize("name", ["t5", "marian", "mbart50"])
def test_lora_is_merged_into_a_translator(name, captions, checkpoint, runs) -> None:
    recipe = recipe_of(captions, checkpoint(name), runs, method="lora")
    record = finetune(recipe, quiet=True)
    assert evaluate(record.folder).largest_difference == 0
    evaluations = record.to_dict()["training"]["evaluations"]
    assert evaluations[-1]["train_loss"] < evaluations[0]["train_loss"]
    assert not any("lora" in key for key in Translator.load(record.model_folder).model.state_dict())


@pytest.mark.parametrize("name", ["marian", "t5", "m2m100", "mbart50", "warm"])
def test_a_student_has_the_selected_decoder_layers(name, checkpoint, tiny_checkpoint, lines, tmp_path) -> None:
    """All layers give the same model; the last layer alone gives another, which is saved and loaded unchanged."""
    writer = writer_for(name, checkpoint, tiny_checkpoint, lines)
    if name == "warm":
        target = writer.tokenizer_pair.target
        model = warm_translator(resolve_checkpoint(ModelSection(checkpoint=str(tiny_checkpoint))), target, 2, 0.0, 0.0)
        writer = replace(writer, model=model)
    examples = Examples(np.arange(2), [(lines[0],), (lines[1],)], [(lines[60],), (lines[61],)])
    batch = dataset_of(encode_pairs(examples, writer, 32), writer).collate([0, 1])
    del batch["labels"]
    model = writer.model.eval()
    with torch.inference_mode():
        before = model(**batch).logits
        assert torch.equal(with_decoder_layers(model, [0, 1])(**batch).logits, before)
        cut = with_decoder_layers(model, [1])(**batch).logits
        assert not torch.allclose(cut, before)
        model.save_pretrained(tmp_path)
        loaded = AutoModelForSeq2SeqLM.from_pretrained(tmp_path)
        assert torch.allclose(loaded(**batch).logits, cut, atol=1e-6)
        cached, fresh = (
            loaded.generate(batch["input_ids"], attention_mask=batch["attention_mask"], max_new_tokens=6, use_cache=on)
            for on in (True, False)
        )
    assert decoder_depth(tmp_path) == 1
    assert torch.equal(cached, fresh)


def test_decoder_only_checkpoints_are_refused(tmp_path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"architectures": ["LlamaForCausalLM"], "model_type": "llama"}))
    with pytest.raises(ModelError, match=r"model.checkpoint: .* is a decoder-only model; translation needs an encoder"):
        start_of(tmp_path)
    assert start_of(None) == "nothing"
