"""Trimmed vocabularies: what stays is read as before, whatever kind of tokenizer it is."""

from __future__ import annotations

import numpy as np
import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from kit.compression.tokens import basic_tokens, changed_texts, expected_change, kept_tokens, origins, without_others
from kit.data.encode import encode
from kit.errors import ModelError

SPECIAL = ["[PAD]", "[UNK]"]


@pytest.fixture(scope="module")
def texts(reviews) -> list[tuple[str, ...]]:
    import pandas as pd

    return [(text,) for text in pd.read_csv(reviews / "train.csv")["text"]]


def tokenizer_of(kind: str, texts: list[tuple[str, ...]]) -> PreTrainedTokenizerFast:
    """A real tokenizer of 1,500 tokens, learnt from real texts."""
    lines = [text for (text,) in texts]
    if kind == "wordpiece":
        made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        made.normalizer, made.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(vocab_size=1_500, special_tokens=SPECIAL)
    elif kind == "bpe":
        made = Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(vocab_size=1_500, special_tokens=SPECIAL, initial_alphabet=alphabet)
    else:
        made = Tokenizer(models.Unigram())
        made.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = trainers.UnigramTrainer(vocab_size=1_500, special_tokens=SPECIAL, unk_token="[UNK]")
    made.train_from_iterator(lines, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="[PAD]", unk_token="[UNK]")


@pytest.mark.parametrize("kind", ["wordpiece", "bpe", "unigram"])
def test_texts_whose_tokens_stay_are_read_as_before(kind: str, texts: list[tuple[str, ...]]) -> None:
    tokenizer = tokenizer_of(kind, texts)
    some, others = texts[:60], texts[60:]
    encoded = encode(some, tokenizer, 64)
    kept = kept_tokens(encoded, tokenizer, None)
    smaller = without_others(tokenizer, kept)
    origin = origins(tokenizer, smaller)
    assert len(smaller) == len(origin) < len(tokenizer)
    assert not changed_texts(encoded, encode(some, smaller, 64), origin).any()
    before, after = encode(others, tokenizer, 64), encode(others, smaller, 64)
    stays = np.array([np.isin(before.take(np.array([i])).input_ids, sorted(kept)).all() for i in range(len(others))])
    changed = changed_texts(before, after, origin)
    assert not changed[stays].any() and changed[~stays].all() and (~stays).any()
    again = smaller("an unseen wordlike thing")["input_ids"]
    assert again and max(again) < len(smaller)


def test_a_largest_size_keeps_the_most_frequent_tokens(texts: list[tuple[str, ...]]) -> None:
    tokenizer = tokenizer_of("wordpiece", texts)
    encoded = encode(texts, tokenizer, 64)
    with pytest.raises(ModelError, match="max_size 1 is below the"):
        kept_tokens(encoded, tokenizer, 1)
    basic = len(basic_tokens(tokenizer))
    kept = kept_tokens(encoded, tokenizer, basic + 100)
    assert len(kept) == basic + 100
    counts = np.bincount(encoded.input_ids, minlength=len(tokenizer))
    gone = [index for index in range(len(tokenizer)) if index not in kept]
    frequent = sorted((counts[index] for index in kept - basic_tokens(tokenizer)), reverse=True)
    assert min(frequent) >= counts[gone].max()


def test_how_often_new_texts_change_is_estimated_on_texts_that_were_not_looked_at(texts) -> None:
    tokenizer = tokenizer_of("wordpiece", texts)
    encoded = encode(texts, tokenizer, 64)
    expected = expected_change(encoded, tokenizer, None)
    assert 0 < expected < 1
    assert expected_change(encoded, tokenizer, len(tokenizer)) == expected
    assert expected_change(encoded, tokenizer, len(basic_tokens(tokenizer)) + 20) > expected


def test_a_cased_tokenizer_stays_cased_when_it_is_saved(texts: list[tuple[str, ...]], tmp_path) -> None:
    """What is not in the vocabulary (case, kinds of input, lengths) is in the tokenizer's other files."""
    from transformers import AutoTokenizer, BertTokenizer

    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "The", "the", "Film", "film", "a", "##s", "x", "dull"]
    cased = BertTokenizer(vocab={piece: index for index, piece in enumerate(pieces)}, do_lower_case=False)
    cased.model_max_length = 77
    kept = kept_tokens(encode([("The Film a",), ("the x",)], cased, 16), cased, None)
    smaller = without_others(cased, kept)
    smaller.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    for tokenizer in (smaller, again):
        assert tokenizer.tokenize("The Film x") == ["The", "Film", "x"]
        assert tokenizer.tokenize("dull") == ["[UNK]"] and tokenizer.model_max_length == 77
