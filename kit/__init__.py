"""kit: transfer learning on a labelled budget, with numbers that can be trusted.

from kit import Recipe, finetune
record = finetune(Recipe.load("recipes/sentiment.yaml"))

There is one function for each command of the command line, with the same name (`list_runs` for `kit list`).
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from kit.runtime.quiet_libraries import hide_notices

if TYPE_CHECKING:
    from kit.bench import bench
    from kit.check import check
    from kit.compress import compress
    from kit.distill import distill
    from kit.errors import KitError
    from kit.evaluate import evaluate
    from kit.export import export
    from kit.finetune import finetune
    from kit.new import new
    from kit.predict import predict
    from kit.recipe import Recipe
    from kit.records.record import Record
    from kit.study import study
    from kit.verbs import advise, list_runs, report, schema

_HOMES = {
    "KitError": "kit.errors",
    "Recipe": "kit.recipe",
    "Record": "kit.records.record",
    "advise": "kit.verbs",
    "bench": "kit.bench",
    "check": "kit.check",
    "compress": "kit.compress",
    "distill": "kit.distill",
    "evaluate": "kit.evaluate",
    "export": "kit.export",
    "finetune": "kit.finetune",
    "list_runs": "kit.verbs",
    "new": "kit.new",
    "predict": "kit.predict",
    "report": "kit.verbs",
    "schema": "kit.verbs",
    "study": "kit.study",
}

__all__ = [
    "KitError",
    "Recipe",
    "Record",
    "advise",
    "bench",
    "check",
    "compress",
    "distill",
    "evaluate",
    "export",
    "finetune",
    "list_runs",
    "new",
    "predict",
    "report",
    "schema",
    "study",
]


class _Package(ModuleType):
    """The package, whose names load on first use: `import kit` and `kit --help` must not wait for torch.

    Most functions have the name of the module that they are in. Importing that module would put it in the function's
    place, which is refused here: `kit.finetune` is always the function. The modules are in `sys.modules`, and
    `from kit.finetune import ...` works as usual.
    """

    def __getattr__(self, name: str) -> Any:
        if name in _HOMES:
            return getattr(import_module(_HOMES[name]), name)
        raise AttributeError(f"module 'kit' has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*__all__, *(name for name in super().__dir__() if name.startswith("__"))})


hide_notices()
sys.modules[__name__].__class__ = _Package
