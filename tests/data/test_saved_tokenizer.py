"""Tokenizers read without transformers give the same tokens as transformers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import transformers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from kit.data.encode import encode
from kit.data.padding import pad_id_of, padded
from kit.data.saved_tokenizer import CLASSES, LANGUAGES, read_saved_tokenizer
from kit.models.checkpoints.tokenizers import load_for_inference, load_tokenizer, longest_text, save_tokenizer
from kit.models.translation.bpe import train_bpe
from kit.models.translation.sources import count_tokens
from tests.support.translators import BUILDERS

TEXTS = [
    ("A fine film, moving and funny.",),
    ("",),
    ("naïve ÜBER 这个 battery 差❤️ can't",),
    ("[CLS] special [SEP] tokens </s> <pad> [MASK] <unk> in a text",),
    ("word " * 60,),
]
PAIRS = [("a question?", "an answer"), ("long " * 40, "short"), ("short", "long " * 40), ("", "b")]
LINES = [text for text, *_ in TEXTS if text]


def bert(folder: Path, tiny_checkpoint: Path) -> None:
    save_tokenizer(load_tokenizer(tiny_checkpoint), folder, 24)


def byte_level(folder: Path, tiny_checkpoint: Path) -> None:
    save_tokenizer(train_bpe(LINES, 300, 512), folder, 24)


def t5(folder: Path, tiny_checkpoint: Path) -> None:
    BUILDERS["t5"](folder / "model", LINES * 20)
    save_tokenizer(load_tokenizer(folder / "model"), folder, 24)


@pytest.mark.parametrize("name", ["marian", "multi_marian", "nllb", "mbart50", "mbart25"])
def test_translators_encode_and_decode_like_transformers(name: str, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    BUILDERS[name](tmp_path / "model", LINES * 20)
    usual = load_tokenizer(tmp_path / "model")
    if name.startswith(("nllb", "mbart")):
        usual.src_lang = "eng_Latn" if name == "nllb" else "en_XX"
    save_tokenizer(usual, tmp_path, 24)
    saved, usual = read_saved_tokenizer(tmp_path, decodes=True), load_tokenizer(tmp_path)
    assert saved is not None
    rows = [*TEXTS, (">>deu<< a fine film",), (">>fra<<film >>deu<<",), ("  two  spaces \n and </s>a line ",)]
    actual, expected = (encode(rows, tokenizer, 24) for tokenizer in (saved, usual))
    assert actual.input_ids.tolist() == expected.input_ids.tolist()
    assert actual.offsets.tolist() == expected.offsets.tolist()
    assert actual.truncated.tolist() == expected.truncated.tolist()
    assert pad_id_of(saved) == pad_id_of(usual)
    ids = [row["input_ids"] for row in map(usual, (text for text, *_ in rows))]
    assert saved.batch_decode(ids, skip_special_tokens=True) == usual.batch_decode(ids, skip_special_tokens=True)
    names = [usual.convert_ids_to_tokens(row) for row in ids]
    assert [saved.convert_ids_to_tokens(row) for row in ids] == names
    assert [saved.convert_tokens_to_ids(row) for row in names] == [usual.convert_tokens_to_ids(row) for row in names]
    assert count_tokens(saved, LINES) == count_tokens(usual, LINES)


@pytest.fixture(params=[bert, byte_level, t5])
def folder(request: pytest.FixtureRequest, tmp_path: Path, tiny_checkpoint: Path) -> Path:
    save: Callable[[Path, Path], None] = request.param
    save(tmp_path, tiny_checkpoint)
    return tmp_path


@pytest.mark.parametrize("rows", [TEXTS, PAIRS])
@pytest.mark.parametrize("sides", [("right", "right"), ("left", "left")])
def test_tokens_cuts_and_padding_equal_transformers(folder: Path, rows: list, sides: tuple[str, str]) -> None:
    settings = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    changed = settings | {"truncation_side": sides[0], "padding_side": sides[1]}
    (folder / "tokenizer_config.json").write_text(json.dumps(changed), "utf-8")
    saved, usual = read_saved_tokenizer(folder), load_tokenizer(folder)
    assert saved is not None
    assert longest_text(saved) == longest_text(usual) == 24
    assert pad_id_of(saved) == pad_id_of(usual)
    assert saved.padding_side == usual.padding_side
    for chosen in (rows, *[[row] for row in rows]):
        actual, expected = (encode(chosen, tokenizer, 24) for tokenizer in (saved, usual))
        assert actual.truncated.tolist() == expected.truncated.tolist()
        batches = [
            padded(encoded, range(len(chosen)), pad_id_of(usual), usual.padding_side == "left")
            for encoded in (actual, expected)
        ]
        assert {name: part.tolist() for name, part in batches[0].items()} == {
            name: part.tolist() for name, part in batches[1].items()
        }


def test_text_of_tokens_equals_transformers(folder: Path) -> None:
    saved, usual = read_saved_tokenizer(folder, decodes=True), load_tokenizer(folder)
    assert saved is not None
    ids = [usual(text)["input_ids"] for text in LINES]
    assert saved.batch_decode(ids, skip_special_tokens=True) == usual.batch_decode(ids, skip_special_tokens=True)
    names = [usual.convert_ids_to_tokens(row) for row in ids]
    assert [saved.convert_ids_to_tokens(row) for row in ids] == names
    assert [saved.convert_tokens_to_ids(row) for row in names] == ids
    assert count_tokens(saved, LINES) == count_tokens(usual, LINES)


@pytest.mark.parametrize("name", CLASSES)
def test_listed_classes_encode_as_their_file(name: str) -> None:
    kind = getattr(transformers, name)
    assert issubclass(kind, PreTrainedTokenizerFast)
    assert kind.__call__ is PreTrainedTokenizerBase.__call__
    assert kind._encode_plus is PreTrainedTokenizerFast._encode_plus
    assert kind._decode is PreTrainedTokenizerFast._decode
    assert hasattr(kind, "_switch_to_input_mode") == (name in LANGUAGES)
    assert ("token_type_ids" in kind.model_input_names) == CLASSES[name]
    assert (kind.padding_side, kind.truncation_side) == ("right", "right")


@pytest.mark.parametrize(
    "change",
    [
        {"tokenizer_class": "NllbTokenizer"},
        {"tokenizer_class": "M2M100Tokenizer"},
        {"backend": None},
        {"auto_map": {"AutoTokenizer": ["code.Tokenizer", None]}},
        {"add_bos_token": True},
        {"pad_token": "<unknown>"},
        {"clean_up_tokenization_spaces": True},
    ],
)
def test_other_tokenizers_are_left_to_transformers(change: dict, tmp_path: Path, tiny_checkpoint: Path) -> None:
    bert(tmp_path, tiny_checkpoint)
    file = tmp_path / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text("utf-8")) | change), "utf-8")
    assert read_saved_tokenizer(tmp_path, decodes=True) is None


def test_tokenizer_read_alone_is_saved_like_others(tmp_path: Path, tiny_checkpoint: Path) -> None:
    for name in ("saved", "usual"):
        bert(tmp_path / name, tiny_checkpoint)
    shutil.copytree(tmp_path / "saved", tmp_path / "source")
    save_tokenizer(load_for_inference(tmp_path / "source"), tmp_path / "saved", 16)
    save_tokenizer(load_tokenizer(tmp_path / "source"), tmp_path / "usual", 16)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "saved" / file).read_bytes() == (tmp_path / "usual" / file).read_bytes()
