"""Checkpoints that translate, of every family that kit knows the languages of: tiny, random, with real tokenizers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import (
    M2M100Config,
    M2M100ForConditionalGeneration,
    M2M100Tokenizer,
    MarianConfig,
    MarianMTModel,
    MarianTokenizer,
    MBart50Tokenizer,
    MBartConfig,
    MBartForConditionalGeneration,
    MBartTokenizer,
    NllbTokenizer,
    PreTrainedModel,
    T5Config,
    T5ForConditionalGeneration,
    T5Tokenizer,
)
from transformers.models.m2m_100.tokenization_m2m_100 import FAIRSEQ_LANGUAGE_CODES

Lines = list[str]
_SIZE = 160
# Widths and layers that Marian, M2M100, NLLB and mBART call by the same names.
_SHAPE = {
    "d_model": 16, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "max_position_embeddings": 128,
    "dropout": 0.0, "attention_dropout": 0.0, "activation_dropout": 0.0,
}  # fmt: skip


def marian(folder: Path, lines: Lines, targets: tuple[str, ...] = ()) -> None:
    """Of a single pair, or with targets (`deu`) of many: the source then begins with `>>deu<<`."""
    pieces = _sentencepiece(folder, lines)
    tokens = ["</s>", "<unk>", *(f">>{name}<<" for name in targets), *pieces, "<pad>"]
    vocabulary = _numbered(folder / "vocab.json", tokens)
    tokenizer = MarianTokenizer(
        str(folder / "spm.model"), str(folder / "spm.model"), str(vocabulary), source_lang="en", target_lang="de"
    )
    pad = len(tokens) - 1
    config = MarianConfig(
        vocab_size=len(tokens), pad_token_id=pad, eos_token_id=0, bos_token_id=0, decoder_start_token_id=pad,
        forced_eos_token_id=0, scale_embedding=True, **_SHAPE,
    )  # fmt: skip
    model = MarianMTModel(config)
    model.generation_config.bad_words_ids = [[pad]]  # as those of Helsinki-NLP have it
    _save(folder, model, tokenizer)


def multi_marian(folder: Path, lines: Lines) -> None:
    """To German and French."""
    marian(folder, lines, ("deu", "fra"))


def t5(folder: Path, lines: Lines) -> None:
    """Told in words what to do."""
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *_unigrams(lines)]
    tokenizer = T5Tokenizer(vocab=vocabulary, extra_ids=0)
    config = T5Config(
        vocab_size=len(tokenizer), d_model=16, d_kv=8, d_ff=32, num_layers=3, num_decoder_layers=2, num_heads=2,
        decoder_start_token_id=0, pad_token_id=0, eos_token_id=1, dropout_rate=0.0,
    )  # fmt: skip
    _save(folder, T5ForConditionalGeneration(config), tokenizer)


def m2m100(folder: Path, lines: Lines) -> None:
    """Languages by two letters; their tokens are `__de__`."""
    tokens = ["<s>", "<pad>", "</s>", "<unk>", *_sentencepiece(folder, lines)]
    vocabulary = _numbered(folder / "vocab.json", tokens)
    names = FAIRSEQ_LANGUAGE_CODES["m2m100"]
    tokenizer = M2M100Tokenizer(  # special tokens as facebook/m2m100_418M lists them
        str(vocabulary), str(folder / "spm.model"), additional_special_tokens=[f"__{name}__" for name in names]
    )
    config = M2M100Config(vocab_size=len(tokens) + 110, decoder_start_token_id=2, **_SHAPE)
    _save(folder, M2M100ForConditionalGeneration(config), tokenizer)


def nllb(folder: Path, lines: Lines) -> None:
    """Languages by three letters and a script."""
    whole = Tokenizer(models.BPE(unk_token="<unk>"))
    whole.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    whole.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=_SIZE, special_tokens=special, show_progress=False))
    learnt = json.loads(whole.to_str())["model"]
    tokenizer = NllbTokenizer(vocab=learnt["vocab"], merges=[tuple(pair) for pair in learnt["merges"]])
    config = M2M100Config(vocab_size=len(tokenizer), decoder_start_token_id=2, **_SHAPE)
    _save(folder, M2M100ForConditionalGeneration(config), tokenizer)


def mbart50(folder: Path, lines: Lines) -> None:
    """Languages by two letters and a country."""
    vocabulary = [("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0), *_unigrams(lines)]
    tokenizer = MBart50Tokenizer(vocab=vocabulary, src_lang="en_XX")
    config = MBartConfig(vocab_size=len(tokenizer), decoder_start_token_id=2, forced_eos_token_id=2, **_SHAPE)
    _save(folder, MBartForConditionalGeneration(config), tokenizer)


def mbart25(folder: Path, lines: Lines) -> None:
    """The same, written behind a text; made to write no language in particular."""
    vocabulary = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *_unigrams(lines)]
    tokenizer = MBartTokenizer(vocab=vocabulary, src_lang="en_XX")
    config = MBartConfig(vocab_size=len(tokenizer), forced_eos_token_id=2, **_SHAPE)
    _save(folder, MBartForConditionalGeneration(config), tokenizer)


BUILDERS: dict[str, Callable[[Path, Lines], None]] = {
    "marian": marian, "multi_marian": multi_marian, "t5": t5, "m2m100": m2m100, "nllb": nllb, "mbart50": mbart50,
    "mbart25": mbart25,
}  # fmt: skip


def _sentencepiece(folder: Path, lines: Lines) -> list[str]:
    """Train `spm.model` in the folder; returns its pieces but for `<unk>`."""
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_prefix=str(folder / "spm"), vocab_size=_SIZE, hard_vocab_limit=False,
        bos_id=-1, eos_id=-1, minloglevel=2,
    )  # fmt: skip
    model = sentencepiece.SentencePieceProcessor(model_file=str(folder / "spm.model"))
    return [model.id_to_piece(place) for place in range(model.get_piece_size()) if not model.is_unknown(place)]


def _unigrams(lines: Lines) -> list[tuple[str, float]]:
    whole = Tokenizer(models.Unigram())
    whole.pre_tokenizer = pre_tokenizers.Metaspace()
    whole.train_from_iterator(lines, trainers.UnigramTrainer(vocab_size=_SIZE, show_progress=False))
    return [(piece, score) for piece, score in json.loads(whole.to_str())["model"]["vocab"]]


def _numbered(path: Path, tokens: list[str]) -> Path:
    path.write_text(json.dumps({token: place for place, token in enumerate(tokens)}), "utf-8")
    return path


def _save(folder: Path, model: PreTrainedModel, tokenizer: Any) -> None:
    with torch.no_grad():
        for part in model.parameters():  # random weights of a wide enough spread, so that translations differ
            if part.ndim > 1:
                part.mul_(2)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
