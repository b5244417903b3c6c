"""kit: transfer learning on a labelled budget, with numbers that can be trusted.

from kit import Recipe, finetune
record = finetune(Recipe.load("recipes/sentiment.yaml"))

There is one function for each command of the command line, with the same name (`list_runs` for `kit list`).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from kit.runtime.quiet_libraries import hide_notices

if TYPE_CHECKING:
    from kit.errors import KitError
    from kit.recipe import Recipe
    from kit.records.record import Record
    from kit.runs.execute import finetune
    from kit.workflows.advise import advise
    from kit.workflows.answer import answer
    from kit.workflows.bench import bench
    from kit.workflows.check import check
    from kit.workflows.compress import compress
    from kit.workflows.distill import distill
    from kit.workflows.evaluate import evaluate
    from kit.workflows.export import export
    from kit.workflows.list_runs import list_runs
    from kit.workflows.new import new
    from kit.workflows.predict import predict
    from kit.workflows.report import report
    from kit.workflows.schema import schema
    from kit.workflows.study import study

# Module of each name. Names load on first use: `import kit` and `kit --help` must not wait for torch.
_HOMES = {
    "KitError": "kit.errors",
    "Recipe": "kit.recipe",
    "Record": "kit.records.record",
    "advise": "kit.workflows.advise",
    "answer": "kit.workflows.answer",
    "bench": "kit.workflows.bench",
    "check": "kit.workflows.check",
    "compress": "kit.workflows.compress",
    "distill": "kit.workflows.distill",
    "evaluate": "kit.workflows.evaluate",
    "export": "kit.workflows.export",
    "finetune": "kit.runs.execute",
    "list_runs": "kit.workflows.list_runs",
    "new": "kit.workflows.new",
    "predict": "kit.workflows.predict",
    "report": "kit.workflows.report",
    "schema": "kit.workflows.schema",
    "study": "kit.workflows.study",
}

__all__ = [
    "KitError",
    "Recipe",
    "Record",
    "advise",
    "answer",
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


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'kit' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})


hide_notices()
