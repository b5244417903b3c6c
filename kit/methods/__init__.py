"""Registry of the methods, by name.

To add a method, add a module in `classification` or `translation`, and a line in METHODS or TRANSLATING.
"""

from __future__ import annotations

from kit.methods.base import Classifying, Fitted, Job, Method
from kit.methods.classification.distill import Distill, Student
from kit.methods.classification.finetune import Finetune
from kit.methods.classification.lora import Lora
from kit.methods.classification.probe import Probe
from kit.methods.classification.tfidf import Tfidf
from kit.methods.translation.distill import TranslateDistill, TranslateStudent
from kit.methods.translation.methods import Translate, TranslateLora

METHODS: dict[str, Classifying] = {
    "finetune": Finetune("finetune", "pretrained"),
    "scratch": Finetune("scratch", "scratch"),
    "lora": Lora(),
    "probe": Probe(),
    "tfidf": Tfidf(),
    "distill": Distill(),
    "student": Student(),
}

TRANSLATING: dict[str, Method] = {
    "finetune": Translate("finetune"),
    "scratch": Translate("scratch", needs_checkpoint=False),
    "lora": TranslateLora(),
    "distill": TranslateDistill(),
    "student": TranslateStudent(),
}


def method_of(task: str, name: str) -> Method:
    """Return the method with this name for a task."""
    return TRANSLATING[name] if task == "translation" else METHODS[name]


__all__ = ["METHODS", "TRANSLATING", "Fitted", "Job", "Method", "method_of"]
