"""Methods, by name. To add one: a module here and its line in METHODS, or in TRANSLATING for translation."""

from __future__ import annotations

from kit.methods.base import Classifying, Fitted, Job, Method
from kit.methods.distill import Distill, Student
from kit.methods.finetune import Finetune
from kit.methods.lora import Lora
from kit.methods.probe import Probe
from kit.methods.tfidf import Tfidf
from kit.methods.translate import Translate, TranslateLora
from kit.methods.translate_distill import TranslateDistill, TranslateStudent

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
    """The method of a name, for a task of a name."""
    return TRANSLATING[name] if task == "translation" else METHODS[name]


__all__ = ["METHODS", "TRANSLATING", "Fitted", "Job", "Method", "method_of"]
