"""Registry of the methods, by name.

To add a method, add a module in `encoders` or `translators`, and a line in METHODS or TRANSLATING.
"""

from __future__ import annotations

from kit.methods.base import Classifying, Fitted, Job, Method
from kit.methods.encoders.distill import Distill, Student
from kit.methods.encoders.finetune import Finetune
from kit.methods.encoders.lora import Lora
from kit.methods.encoders.probe import Probe
from kit.methods.encoders.tfidf import Tfidf
from kit.methods.translators.distill import TranslateDistill, TranslateStudent
from kit.methods.translators.methods import Translate, TranslateLora

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
