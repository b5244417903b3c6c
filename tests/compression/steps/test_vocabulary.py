"""Trimmed vocabularies of every kind of tokenizer: texts whose tokens are kept are tokenized as before."""

from __future__ import annotations

import numpy as np
import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from kit.compression.tokens import basic_tokens, changed_texts, expected_change, kept_tokens, origins, trimmed_tokenizer
from kit.data.encode import encode
from kit.errors import ModelError

SPECIAL = ["[PAD]", "[UNK]"]


@pytest.fixture(scope="module")
def texts(reviews) -> list[tuple[str, ...]]:
    import pandas as pd

    return [(text,) for text in pd.read_csv(reviews / "train.csv")["text"]]


def tokenizer_of(kind: str, texts: list[tuple[str, ...]]) -> PreTrainedTokenizerFast:
    """Train a tokenizer of 1,500 tokens on the texts."""
    lines = [text for (text,) in texts]
    if kind == "wordpiece":
        tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(vocab_size=1_500, special_tokens=SPECIAL)
    elif kind == "bpe":
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(vocab_size=1_500, special_tokens=SPECIAL, initial_alphabet=alphabet)
    else:
        tokenizer = Tokenizer(models.Unigram())
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = trainers.UnigramTrainer(vocab_size=1_500, special_tokens=SPECIAL, unk_token="[UNK]")
    tokenizer.train_from_iterator(lines, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]")


@pytest.mark.parametrize("kind", ["wordpiece", "bpe", "unigram"])
def test_texts_with_kept_tokens_are_tokenized_as_before(kind: str, texts: list[tuple[str, ...]]) -> None:
    tokenizer = tokenizer_of(kind, texts)
    counted, others = texts[:60], texts[60:]
    encoded = encode(counted, tokenizer, 64)
    kept = kept_tokens(encoded, tokenizer, None)
    smaller = trimmed_tokenizer(tokenizer, kept)
    origin = origins(tokenizer, smaller)
    assert len(smaller) == len(origin) < len(tokenizer)
    assert not changed_texts(encoded, encode(counted, smaller, 64), origin).any()
    before, after = encode(others, tokenizer, 64), encode(others, smaller, 64)
    rows = [before.take(np.array([row])) for row in range(len(others))]
    all_kept = np.array([np.isin(row.input_ids, sorted(kept)).all() for row in rows])
    changed = changed_texts(before, after, origin)
    assert not changed[all_kept].any() and changed[~all_kept].all() and (~all_kept).any()
    new_ids = smaller("an unseen wordlike thing")["input_ids"]
    assert new_ids and max(new_ids) < len(smaller)


def test_maximum_size_keeps_the_most_frequent_tokens(texts: list[tuple[str, ...]]) -> None:
    tokenizer = tokenizer_of("wordpiece", texts)
    encoded = encode(texts, tokenizer, 64)
    with pytest.raises(ModelError, match="max_size 1 is below the"):
        kept_tokens(encoded, tokenizer, 1)
    basic = len(basic_tokens(tokenizer))
    kept = kept_tokens(encoded, tokenizer, basic + 100)
    assert len(kept) == basic + 100
    counts = np.bincount(encoded.input_ids, minlength=len(tokenizer))
    removed = [index for index in range(len(tokenizer)) if index not in kept]
    frequent = sorted((counts[index] for index in kept - basic_tokens(tokenizer)), reverse=True)
    assert min(frequent) >= counts[removed].max()


def test_share_of_changed_new_texts_is_estimated_on_held_out_texts(texts) -> None:
    tokenizer = tokenizer_of("wordpiece", texts)
    encoded = encode(texts, tokenizer, 64)
    expected = expected_change(encoded, tokenizer, None)
    assert 0 < expected < 1
    assert expected_change(encoded, tokenizer, len(tokenizer)) == expected
    assert expected_change(encoded, tokenizer, len(basic_tokens(tokenizer)) + 20) > expected


def test_trimmed_tokenizer_keeps_its_other_settings_when_saved(texts: list[tuple[str, ...]], tmp_path) -> None:
    """Settings beside the vocabulary (case, model inputs, maximum length) are in the tokenizer's other files."""
    from transformers import AutoTokenizer, BertTokenizer

    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "The", "the", "Film", "film", "a", "##s", "x", "dull"]
    cased = BertTokenizer(vocab={piece: index for index, piece in enumerate(pieces)}, do_lower_case=False)
    cased.model_max_length = 77
    kept = kept_tokens(encode([("The Film a",), ("the x",)], cased, 16), cased, None)
    smaller = trimmed_tokenizer(cased, kept)
    smaller.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    for tokenizer in (smaller, loaded):
        assert tokenizer.tokenize("The Film x") == ["The", "Film", "x"]
        assert tokenizer.tokenize("dull") == ["[UNK]"] and tokenizer.model_max_length == 77
