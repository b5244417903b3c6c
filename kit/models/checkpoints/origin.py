"""Where a model was loaded from, which libraries write into the files that they save."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kit.models.checkpoints.checkpoint import Checkpoint

_CONFIGS = ("config.json", "tokenizer_config.json")
_ADAPTER_CONFIG = "adapter_config.json"
# Keys that transformers writes about the machine that a file was saved on.
LOCAL_KEYS = ("_name_or_path", "name_or_path", "is_local", "local_files_only")


def forget_origin(folder: Path, checkpoint: Checkpoint | None) -> None:
    """Remove from a saved model where its checkpoint was, so that the same run has the same files on any machine.

    Args:
        folder: The model's folder; adapters in it name the checkpoint as the recipe does, a local one by its last part.
        checkpoint: What the model started from; None without one.
    """
    for path in sorted(folder.rglob("*.json")):
        if path.name in _CONFIGS:
            _rewrite(path, without_local_keys)
        elif path.name == _ADAPTER_CONFIG and checkpoint is not None:
            _rewrite(path, lambda content: content | _base(checkpoint, content))


def without_local_keys(content: Any) -> Any:
    """Return plain data without the keys that transformers writes about this machine."""
    if isinstance(content, dict):
        return {key: without_local_keys(value) for key, value in content.items() if key not in LOCAL_KEYS}
    return content


def _base(checkpoint: Checkpoint, content: dict[str, Any]) -> dict[str, Any]:
    """Return the keys of an adapter that depend on the machine, or on the order in a set of names."""
    local = checkpoint.revision is None and ":" not in checkpoint.name
    name = Path(checkpoint.name).name if local else checkpoint.name
    targets = content.get("target_modules")
    ordered = {"target_modules": sorted(targets)} if isinstance(targets, list) else {}
    return {"base_model_name_or_path": name, "revision": checkpoint.revision, **ordered}


def _rewrite(path: Path, change: Any) -> None:
    """Rewrite a JSON file if a change has an effect on it, in the form that transformers writes."""
    before = json.loads(path.read_text("utf-8"))
    after = change(before)
    if after != before:
        path.write_text(json.dumps(after, indent=2) + "\n", "utf-8")
