"""Removal of the paths of this machine that libraries write into saved models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kit.models.checkpoints.checkpoint import Checkpoint

_CONFIGS = ("config.json", "tokenizer_config.json")
_ADAPTER_CONFIG = "adapter_config.json"
# Keys that transformers writes, whose values depend on the machine.
LOCAL_KEYS = ("_name_or_path", "name_or_path", "is_local", "local_files_only")


def forget_origin(folder: Path, checkpoint: Checkpoint | None) -> None:
    """Remove the location of the checkpoint from the files of a saved model.

    A run then has the same files on any machine. Adapters keep the checkpoint's name in the recipe, or
    the last part of its path if it is local.

    Args:
        folder: The model's folder.
        checkpoint: Checkpoint that training started from; None without one.
    """
    for path in sorted(folder.rglob("*.json")):
        if path.name in _CONFIGS:
            _rewrite(path, without_local_keys)
        elif path.name == _ADAPTER_CONFIG and checkpoint is not None:
            _rewrite(path, lambda content: content | _base(checkpoint, content))


def without_local_keys(content: Any) -> Any:
    """Return plain data without the keys whose values depend on the machine."""
    if isinstance(content, dict):
        return {key: without_local_keys(value) for key, value in content.items() if key not in LOCAL_KEYS}
    return content


def _base(checkpoint: Checkpoint, content: dict[str, Any]) -> dict[str, Any]:
    """Return reproducible values for the keys of an adapter that depend on the machine or on the order of a set."""
    local = checkpoint.revision is None and ":" not in checkpoint.name
    name = Path(checkpoint.name).name if local else checkpoint.name
    targets = content.get("target_modules")
    ordered = {"target_modules": sorted(targets)} if isinstance(targets, list) else {}
    return {"base_model_name_or_path": name, "revision": checkpoint.revision, **ordered}


def _rewrite(path: Path, change: Any) -> None:
    """Apply a change to a JSON file; write it, in the format of transformers, only if it differs."""
    before = json.loads(path.read_text("utf-8"))
    after = change(before)
    if after != before:
        path.write_text(json.dumps(after, indent=2) + "\n", "utf-8")
