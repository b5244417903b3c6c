"""Code that comes with a checkpoint: whether one needs it, and whether it may run.

Architectures that transformers lacks bring Python files along. transformers asks on the terminal whether to run them,
unless it is told; kit always tells it: no, unless the recipe (or, of a finished run, the command) says so.

Knows how checkpoints name their code. Knows nothing of what it does.
"""

from __future__ import annotations

from pathlib import Path

from kit.errors import ModelError, RecordError
from kit.runtime.json_files import read_json

_KIT = "kit_"  # how the names of kit's own architectures begin
_RUN_BEFORE = "transformers_modules"  # the package that transformers imports such code into


def code_of(folder: Path) -> str | None:
    """The class that the model in a folder needs and transformers lacks, as its files name it; None if there is none.

    The name of a class is `file.Class`, with `repository--` before it where the file lies in another repository.
    """
    try:
        config = read_json(folder / "config.json")
    except RecordError:
        return None  # who reads the configuration says so
    classes = config.get("auto_map") if isinstance(config, dict) else None
    kind = str(config.get("model_type")) if isinstance(config, dict) else ""
    if not isinstance(classes, dict) or not classes or kind.startswith(_KIT):
        return None
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING  # takes seconds: most bring no code along

    # Code that ran earlier in this process is known to transformers from then on.
    if kind in CONFIG_MAPPING and not CONFIG_MAPPING[kind].__module__.startswith(_RUN_BEFORE):
        return None
    models = {name: value for name, value in classes.items() if name.startswith("AutoModel")}
    return str(next(iter({**models, **classes}.values())))


def require_trusted(folder: Path, trusted: bool) -> bool:
    """Whether a saved model needs code of its own. Raises ModelError if it does, and that may not run."""
    needed = code_of(folder)
    if needed is not None and not trusted:
        raise ModelError(
            f"the model in {folder} wants to run code of its own ({needed})",
            "read that code; if you trust it, `kit predict` and `kit evaluate` run it with --trust-remote-code",
        )
    return needed is not None
