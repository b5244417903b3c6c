"""Narrower translators: weights from the teacher, saving and loading, shapes that are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModelForSeq2SeqLM,
    BertConfig,
    BertLMHeadModel,
    BertModel,
    EncoderDecoderModel,
    PreTrainedModel,
    T5Config,
    T5ForConditionalGeneration,
)

from kit.distillation.students.narrow_translator import narrow_translator, translator_widths
from kit.errors import ModelError, RecipeError
from kit.models.checkpoints.checkpoint import resolve_checkpoint
from kit.models.translation.bpe import train_bpe
from kit.models.translation.seq2seq import load_translator, warm_translator
from kit.recipe.sections.distillation import StudentSection
from kit.recipe.sections.model import ModelSection
from tests.support.translators import BUILDERS

IDS = torch.tensor([[5, 9, 13, 21, 2], [7, 30, 2, 1, 1]])
MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
WRITTEN = torch.tensor([[2, 11, 17], [2, 8, 6]])
RESIZABLE = ["warm", "t5", "gated_t5", "mbart50"]
Saved = Callable[[str], Path]


@pytest.fixture(scope="module")
def saved(captions, tiny_checkpoint, tmp_path_factory) -> Saved:
    """Return a function from a family to the folder of its tiny translator, which is created once."""
    folders: dict[str, Path] = {}
    lines = [line for code in ("en", "de") for line in (captions / f"train.{code}").read_text("utf-8").split("\n")]

    def folder(name: str) -> Path:
        if name in folders:
            return folders[name]
        folders[name] = tmp_path_factory.mktemp("wide") / name
        folders[name].mkdir()
        torch.manual_seed(0)
        if name == "warm":
            target = train_bpe(lines[60:], 400, 24)
            start = resolve_checkpoint(ModelSection(checkpoint=str(tiny_checkpoint)))
            warm_translator(start, target, 2, 0.0, 0.0).save_pretrained(folders[name])
        elif name == "gated_t5":
            config = T5Config(
                vocab_size=200, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=3, feed_forward_proj="gated-gelu",
                tie_word_embeddings=False, decoder_start_token_id=0,
            )  # fmt: skip
            T5ForConditionalGeneration(config).save_pretrained(folders[name])
        else:
            BUILDERS[name](folders[name], lines)
        return folders[name]

    return folder


def model_in(folder: Path) -> PreTrainedModel:
    return AutoModelForSeq2SeqLM.from_pretrained(folder).eval()


def narrowed(folder: Path, **widths: object) -> PreTrainedModel:
    section = translator_widths(StudentSection(layers=[0, 1], **widths), folder)
    return narrow_translator(model_in(folder), section).eval()


def logits(model: PreTrainedModel) -> torch.Tensor:
    with torch.inference_mode():
        return model(input_ids=IDS, attention_mask=MASK, decoder_input_ids=WRITTEN).logits


def width_of(model: PreTrainedModel) -> int:
    return model.get_encoder().config.hidden_size


def disable_neuron(model: PreTrainedModel) -> None:
    """Set the output weights of the second neuron of every feed-forward layer to zero."""
    output_layers = [
        part for name, part in model.named_modules() if name.endswith(("fc2", ".wo")) or _is_bert_output(name)
    ]
    assert len(output_layers) in (4, 5)
    with torch.no_grad():
        for layer in output_layers:
            layer.weight[:, 1] = 0


def _is_bert_output(name: str) -> bool:
    return name.endswith(".output.dense") and "attention" not in name


@pytest.mark.parametrize("name", [*RESIZABLE, "marian", "m2m100"])
def test_the_least_important_neurons_are_removed(name, saved, tmp_path) -> None:
    """Removing a disabled neuron does not change the logits; removing none gives the same model."""
    model = model_in(saved(name))
    disable_neuron(model)
    model.save_pretrained(tmp_path)
    count = 64 if name == "warm" else 32
    less = narrowed(tmp_path, intermediate_size=count - 1)
    assert torch.allclose(logits(less), logits(model), atol=1e-5)
    assert less.num_parameters() < model.num_parameters()
    assert torch.equal(logits(narrowed(tmp_path, intermediate_size=count)), logits(model))


@pytest.mark.parametrize("name", RESIZABLE)
@pytest.mark.parametrize("how", ["neurons", "svd"])
def test_both_sides_can_have_half_the_width(name, how, saved, tmp_path) -> None:
    wide = model_in(saved(name))
    half = narrowed(saved(name), hidden_size=width_of(wide) // 2, init=how)
    assert width_of(half) == half.get_decoder().config.hidden_size == width_of(wide) // 2
    assert torch.isfinite(logits(half)).all() and logits(half).shape == logits(wide).shape
    if how == "neurons":  # each column is a column of the teacher's table
        for ours, theirs in zip(tables(half), tables(wide), strict=True):
            columns = {tuple(column[:50].tolist()) for column in theirs.T}
            assert all(tuple(column[:50].tolist()) in columns for column in ours.T)
    assert torch.equal(logits(narrowed(saved(name), hidden_size=width_of(half), init=how)), logits(half))
    half.save_pretrained(tmp_path)
    loaded = model_in(tmp_path)
    assert torch.allclose(logits(loaded), logits(half), atol=1e-6)
    cached, fresh = (loaded.generate(IDS, attention_mask=MASK, max_new_tokens=6, use_cache=on) for on in (True, False))
    assert torch.equal(cached, fresh)


def tables(model: PreTrainedModel) -> list[torch.Tensor]:
    return [model.get_encoder().get_input_embeddings().weight, model.get_decoder().get_input_embeddings().weight]


def test_unused_dimensions_are_removed_first(saved, tmp_path) -> None:
    """A translator of width 16, embedded in one of width 32 with zeros, is recovered."""
    small = model_in(saved("t5"))
    config = T5Config(**{**small.config.to_dict(), "d_model": 32})
    wide = T5ForConditionalGeneration(config)
    places = torch.arange(16) * 2 + 1
    state = {}
    for key, target in wide.state_dict().items():
        source = small.state_dict()[key]
        state[key] = torch.zeros_like(target)
        sizes = zip(source.shape, target.shape, strict=True)
        where = [places if ours != theirs else torch.arange(ours) for ours, theirs in sizes]
        state[key][where[0] if source.ndim == 1 else torch.meshgrid(*where, indexing="ij")] = source
    wide.load_state_dict(state)
    wide.save_pretrained(tmp_path)
    out = narrowed(tmp_path, hidden_size=16, intermediate_size=32)
    for key, tensor in out.state_dict().items():
        assert torch.equal(tensor, small.state_dict()[key]), key


def test_heads_with_the_largest_output_weights_are_kept(saved, tmp_path) -> None:
    """One of the two heads in each attention has zero output weights and is removed."""
    model = model_in(saved("mbart50"))
    decoder = model.model.decoder.layers[0]
    with torch.no_grad():
        decoder.self_attn.out_proj.weight[:, :8] = 0
        decoder.encoder_attn.out_proj.weight[:, 8:] = 0
    model.save_pretrained(tmp_path)
    half = narrowed(tmp_path, hidden_size=8).model.decoder.layers[0]
    assert torch.equal(half.self_attn.q_proj.bias, decoder.self_attn.q_proj.bias[8:])
    assert torch.equal(half.encoder_attn.v_proj.bias, decoder.encoder_attn.v_proj.bias[:8])


@pytest.mark.parametrize(
    ("name", "widths", "reason"),
    [
        ("marian", {"hidden_size": 8}, "hidden_size: the position vectors of a marian model depend on"),
        ("m2m100", {"hidden_size": 8}, "hidden_size: the position vectors of a m2m_100 model depend on"),
        (None, {"hidden_size": 64}, "hidden_size: the position vectors of a m2m_100 model depend on"),
        ("marian", {"intermediate_size": 33}, "intermediate_size: 33 is more than the teacher's 32"),
        (None, {"intermediate_size": 257}, "intermediate_size: 257 is more than the teacher's 256"),
        ("t5", {"hidden_size": 32}, "hidden_size: 32 is wider than the teacher's 16"),
        ("t5", {"heads": 1}, "heads: the heads of a T5 model cannot change"),
        ("warm", {"hidden_size": 20}, "hidden_size: 20 cannot be cut into heads of 16"),
        ("warm", {"hidden_size": 16, "heads": 2}, "heads: 2 heads of 8 cannot start from heads of 16"),
    ],
)
def test_impossible_shapes_are_refused(name, widths, reason, saved) -> None:
    with pytest.raises(RecipeError, match=f"distill.student.{reason}"):
        translator_widths(StudentSection(layers=[0], **widths), saved(name) if name else None)


def test_sides_of_different_width_are_refused(tmp_path) -> None:
    shape = {"vocab_size": 50, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    decoder = BertLMHeadModel(BertConfig(**shape, hidden_size=8, is_decoder=True, add_cross_attention=True))
    model = EncoderDecoderModel(encoder=BertModel(BertConfig(**shape, hidden_size=16)), decoder=decoder)
    model.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="encoder and decoder of the encoder-decoder model differ in width, heads or"):
        translator_widths(StudentSection(layers=[0], hidden_size=8), tmp_path)
    assert translator_widths(StudentSection(layers=[0]), tmp_path).hidden_size is None


def test_a_section_without_widths_is_unchanged(saved) -> None:
    section = StudentSection(layers=[1])
    assert translator_widths(section, saved("warm")) is section
    model, _ = load_translator(saved("t5"))
    assert narrow_translator(model, section) is model
