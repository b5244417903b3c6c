"""kit: transfer learning on a labelled budget, with numbers that can be trusted.

from kit import Recipe, finetune
record = finetune(Recipe.load("recipes/sentiment.yaml"))
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kit.distill import distill
    from kit.errors import KitError
    from kit.evaluate import evaluate
    from kit.export import export
    from kit.finetune import finetune
    from kit.predict import predict
    from kit.recipe import Recipe
    from kit.record import Record
    from kit.study import study

_HOMES = {
    "KitError": "kit.errors",
    "Recipe": "kit.recipe",
    "Record": "kit.record",
    "evaluate": "kit.evaluate",
    "distill": "kit.distill",
    "export": "kit.export",
    "finetune": "kit.finetune",
    "predict": "kit.predict",
    "study": "kit.study",
}

__all__ = ["KitError", "Recipe", "Record", "distill", "evaluate", "export", "finetune", "predict", "study"]


class _Package(ModuleType):
    """The package itself: names load on first use, because `import kit` and `kit --help` must not wait for torch.

    A verb's function has the name of its module. Importing the module would put it in the function's place, so
    that is refused here: `kit.finetune` is always the function.
    """

    def __getattr__(self, name: str) -> Any:
        if name in _HOMES:
            return getattr(import_module(_HOMES[name]), name)
        raise AttributeError(f"module 'kit' has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
