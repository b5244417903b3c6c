"""Python code that comes with a checkpoint: detection of the need for it, and refusal unless it is trusted.

Checkpoints of architectures that transformers lacks contain Python files. By default transformers asks on the terminal
before it runs them. kit never lets it ask: they run only if the recipe (or, for a finished run, the command) allows it.
"""

from __future__ import annotations

from pathlib import Path

from kit.errors import ModelError
from kit.models.checkpoints.config_file import read_config

_KIT_PREFIX = "kit_"  # of the names of kit's own architectures
_CODE_PACKAGE = "transformers_modules"  # package into which transformers imports such code


def code_of(folder: Path) -> str | None:
    """Return the class that a model needs and transformers lacks, or None.

    Returns:
        Name in the model's files: `file.Class`, with the prefix `repository--` if the file is in another repository.
    """
    try:
        config = read_config(folder)
    except ModelError:
        return None  # the caller that reads the configuration raises the error
    classes, kind = config.content.get("auto_map"), config.model_type
    if not isinstance(classes, dict) or not classes or kind.startswith(_KIT_PREFIX):
        return None
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING  # takes seconds; few checkpoints have code

    # transformers registers code that ran earlier in this process.
    if kind in CONFIG_MAPPING and not CONFIG_MAPPING[kind].__module__.startswith(_CODE_PACKAGE):
        return None
    models = {name: value for name, value in classes.items() if name.startswith("AutoModel")}
    return str(next(iter({**models, **classes}.values())))


def require_trusted(folder: Path, trusted: bool) -> bool:
    """Return True if a saved model needs to run its own code.

    Raises:
        ModelError: If it does and is not trusted.
    """
    needed = code_of(folder)
    if needed is not None and not trusted:
        raise ModelError(
            f"the model in {folder} needs to run its own code ({needed})",
            "read that code; if you trust it, `kit predict` and `kit evaluate` run it with --trust-remote-code",
        )
    return needed is not None
