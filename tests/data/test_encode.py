"""Token ids, cuts and the cache of tokenised texts."""

from pathlib import Path

import numpy as np
import pytest
from transformers import PreTrainedTokenizerBase

from kit.data import encode as encode_module
from kit.data.encode import cache_folder, encode
from kit.models.checkpoints.tokenizers import load_tokenizer, save_tokenizer
from kit.models.translation.bpe import train_bpe
from tests.support.translators import mbart50

PAIRS = [("", "b"), ("a man sleeps", "someone rests [SEP] 日本 😀"), ("w " * 9, "v " * 40)]
TEXTS = [("a gripping, funny film",), ("good",), ("word " * 50,)]


@pytest.fixture(scope="module")
def tokenizer(tiny_checkpoint):
    return load_tokenizer(tiny_checkpoint)


def test_encode_returns_token_ids_and_marks_cut_texts(tokenizer) -> None:
    encoded = encode(TEXTS, tokenizer, 16)
    expected = tokenizer("a gripping, funny film")["input_ids"]
    assert encoded.input_ids[: encoded.lengths[0]].tolist() == expected
    assert encoded.lengths.tolist() == [len(expected), 3, 16]
    assert encoded.truncated.tolist() == [False, False, True]


def test_pairs_have_token_types(tokenizer) -> None:
    encoded = encode([("a man sleeps", "someone rests")], tokenizer, 16)
    assert encoded.token_types is not None
    assert sorted(set(encoded.token_types.tolist())) == [0, 1]


def test_second_call_reads_the_cache(tokenizer, monkeypatch) -> None:
    first = encode(TEXTS, tokenizer, 16, cache_key="key")

    def fail(*_, **__):
        raise AssertionError("tokenised again")

    monkeypatch.setattr(encode_module, "_tokenize", fail)
    second = encode(TEXTS, tokenizer, 16, cache_key="key")
    assert np.array_equal(first.input_ids, second.input_ids)
    assert np.array_equal(first.offsets, second.offsets)
    for other in ({"max_length": 15}, {"cache_key": "other"}, {"texts": TEXTS[:2]}):
        with pytest.raises(AssertionError, match="tokenised again"):
            encode(**{"texts": TEXTS, "tokenizer": tokenizer, "max_length": 16, "cache_key": "key"} | other)


def test_damaged_cache_file_is_replaced(tokenizer) -> None:
    texts = [("a text of this test only",)]
    first = encode(texts, tokenizer, 16, cache_key="damaged")
    newest = max(cache_folder().glob("*.npz"), key=lambda path: path.stat().st_mtime_ns)
    newest.write_bytes(b"PK half a file")
    assert encode(texts, tokenizer, 16, cache_key="damaged").input_ids.tolist() == first.input_ids.tolist()


def test_unwritable_cache_is_ignored(tokenizer, monkeypatch, tmp_path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    monkeypatch.setenv("KIT_CACHE", str(blocked))
    assert len(encode(TEXTS, tokenizer, 16, cache_key="key")) == 3


def test_take_selects_whole_texts(tokenizer) -> None:
    encoded = encode(TEXTS, tokenizer, 16)
    taken = encoded.take(np.array([2, 0]))
    assert taken.lengths.tolist() == [16, encoded.lengths[0]]
    assert taken.input_ids[16:].tolist() == encoded.input_ids[: encoded.lengths[0]].tolist()
    assert len(encoded.take(np.array([], int))) == 0


def test_truncated_cache_file_is_replaced(tiny_checkpoint) -> None:
    texts = [("another text of this test only",)]
    tokenizer = load_tokenizer(tiny_checkpoint)
    first = encode(texts, tokenizer, 16, "truncated")
    path = max((cache_folder()).glob("*.npz"), key=lambda file: file.stat().st_mtime)
    for content in (path.read_bytes()[:40], b""):
        path.write_bytes(content)
        again = encode(texts, tokenizer, 16, "truncated")
        assert again.input_ids.tolist() == first.input_ids.tolist()


def byte_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    return train_bpe([text for text, *_ in TEXTS], 300, 512)


def translation_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    mbart50(folder, [text for text, *_ in TEXTS])
    tokenizer = load_tokenizer(folder)
    tokenizer.src_lang, tokenizer.tgt_lang = "en_XX", "de_DE"
    return tokenizer


@pytest.mark.parametrize("rows", [TEXTS, PAIRS])
@pytest.mark.parametrize("create", [load_tokenizer, byte_tokenizer, translation_tokenizer])
def test_encode_equals_transformers_for_single_texts_and_batches(create, rows, tiny_checkpoint, tmp_path) -> None:
    tokenizer = create(tiny_checkpoint if create is load_tokenizer else tmp_path)
    together = encode(rows, tokenizer, 16)
    for number, row in enumerate(rows):
        expected = tokenizer(*row, truncation=True, max_length=16)
        alone = encode([row], tokenizer, 16)
        assert alone.input_ids.tolist() == expected["input_ids"]
        assert together.take(np.array([number])).input_ids.tolist() == expected["input_ids"]
        assert (alone.token_types is None) == ("token_type_ids" not in expected)
        if alone.token_types is not None:
            assert alone.token_types.tolist() == expected["token_type_ids"]
        uncut = tokenizer(*row)["input_ids"]
        assert alone.truncated.tolist() == [len(uncut) > 16] == [together.truncated[number]]


def test_encoding_does_not_change_saved_tokenizer_files(tiny_checkpoint, tmp_path) -> None:
    for number, rows in enumerate(([], TEXTS)):
        tokenizer = load_tokenizer(tiny_checkpoint)
        encode(rows, tokenizer, 16)
        save_tokenizer(tokenizer, tmp_path / str(number), 16)
    unused, used = ((tmp_path / number / "tokenizer.json").read_bytes() for number in "01")
    assert unused == used
    assert load_tokenizer(tmp_path / "1").model_max_length == 16
