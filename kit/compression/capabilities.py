"""Table of what works with the model of each technique, and what is refused with a reason before it is computed.

The tests check every cell of the table; those of GPUs only on a machine with a GPU.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

from kit.compression import TECHNIQUES
from kit.models.kinds.form import Form

WORKS = "works"
_LAST = "refused: it comes last"
_UNVERIFIED = "works for translators; not verified for classifiers"  # a classifier predicted on the CPU beside a GPU
_BY_ADAPTERS = "adapters alone, on classifiers: method lora with lora.load"


@dataclass(frozen=True)
class Capability:
    """One row of the table: the uses of the model that a technique produces.

    Args:
        technique: Name of the technique, in backticks.
        models: Kinds of models that the technique applies to.
        train: Further steps that train (prune, early-exit, aware).
        evaluate: `kit evaluate`.
        save: Saving of the model in its Record.
        reload: Loading in another process.
        export: Export to files that libraries other than kit can load.
        cpu: Inference on the CPU.
        gpu: Inference on a GPU.
    """

    technique: str
    models: str
    train: str
    evaluate: str
    save: str
    reload: str
    export: str
    cpu: str
    gpu: str


def capabilities() -> list[Capability]:
    """Return a row for each technique, in the order of the registry."""
    return [_row(name) for name in TECHNIQUES]


def capability_table() -> str:
    """Return the rows as a Markdown table."""
    head = ("step", "models", "train further", "evaluate", "save", "reload elsewhere", "export", "CPU", "GPU")
    lines = [head, ("---",) * len(head), *(astuple(row) for row in capabilities())]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _row(name: str) -> Capability:
    gives = TECHNIQUES[name].gives
    train = WORKS if gives is Form.TORCH else _BY_ADAPTERS if name.endswith("-bnb") else _LAST
    export = "refused: no plain library exits early" if gives is Form.EARLY_EXIT else WORKS
    elsewhere = gives in (Form.ONNX, Form.QUANTIZED_ONNX, Form.CT2)
    gpu = "runs on the CPU" if elsewhere else _UNVERIFIED if name == "int8-torch" else WORKS
    return Capability(f"`{name}`", _models(name), train, WORKS, WORKS, WORKS, export, WORKS, gpu)


def _models(name: str) -> str:
    takes = TECHNIQUES[name].takes
    models = ["classifiers"] * (Form.TORCH in takes) + ["translators"] * (Form.TRANSLATOR in takes)
    return ", ".join(models)
