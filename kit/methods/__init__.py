"""Methods, by name. To add one: a module here and its line in METHODS."""

from __future__ import annotations

from kit.methods.base import Fitted, Job, Method
from kit.methods.distill import Distill, Student
from kit.methods.finetune import Finetune
from kit.methods.lora import Lora
from kit.methods.probe import Probe
from kit.methods.tfidf import Tfidf

METHODS: dict[str, Method] = {
    "finetune": Finetune("finetune", "pretrained"),
    "scratch": Finetune("scratch", "scratch"),
    "lora": Lora(),
    "probe": Probe(),
    "tfidf": Tfidf(),
    "distill": Distill(),
    "student": Student(),
}

__all__ = ["METHODS", "Fitted", "Job", "Method"]
