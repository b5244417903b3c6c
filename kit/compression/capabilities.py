"""What can be done with the model that each technique leaves: works, or is refused with a reason before it is computed.

The tests hold every cell of this table to it; those of GPUs where there is one.

Knows kinds of models. Knows nothing of how techniques work.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

from kit.compression import TECHNIQUES
from kit.models.saved_kind import Kind

WORKS = "works"
_LAST = "refused: it comes last"
_UNSEEN = "works for translators; not seen for classifiers"  # which answered on the CPU when there was one to try
_BY_ADAPTERS = "adapters alone, on classifiers: method lora with lora.load"


@dataclass(frozen=True)
class Capability:
    """Of one technique.

    models: what it takes. train: steps that learn (prune, early-exit, aware) may follow. export: with plain libraries.
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
    """A row for each technique, in the order of the registry."""
    return [_row(name) for name in TECHNIQUES]


def capability_table() -> str:
    """The rows as Markdown."""
    head = ("step", "of", "train further", "evaluate", "save", "reload elsewhere", "export", "CPU", "GPU")
    lines = [head, ("---",) * len(head), *(astuple(row) for row in capabilities())]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _row(name: str) -> Capability:
    gives = TECHNIQUES[name].gives
    train = WORKS if gives is Kind.TORCH else _BY_ADAPTERS if name.endswith("-bnb") else _LAST
    export = "refused: no plain library exits early" if gives is Kind.EARLY_EXIT else WORKS
    elsewhere = gives in (Kind.ONNX, Kind.QUANTIZED_ONNX, Kind.CT2)
    gpu = "answers on the CPU" if elsewhere else _UNSEEN if name == "int8-torch" else WORKS
    return Capability(f"`{name}`", _models(name), train, WORKS, WORKS, WORKS, export, WORKS, gpu)


def _models(name: str) -> str:
    takes = TECHNIQUES[name].takes
    found = ["classifiers"] * (Kind.TORCH in takes) + ["translators"] * (Kind.TRANSLATOR in takes)
    return ", ".join(found)
