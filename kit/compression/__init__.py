"""Compression: techniques, chains of them, and the gate that limits their loss of quality.

To add a technique, add a module in `steps`, its recipe section in `kit.recipe.sections.compression`, and a line in
TECHNIQUES.
"""

from __future__ import annotations

from kit.compression.base import Technique
from kit.compression.steps.ctranslate2 import Ct2
from kit.compression.steps.early_exit import EarlyExit
from kit.compression.steps.greedy import Greedy
from kit.compression.steps.int4_onnx import Int4Onnx
from kit.compression.steps.int8_onnx import Int8Onnx
from kit.compression.steps.onnx import Onnx
from kit.compression.steps.prune import Prune
from kit.compression.steps.quantize import BitsAndBytes, Half, Int8Torch
from kit.compression.steps.vocabulary import Vocabulary

TECHNIQUES: dict[str, Technique] = {
    "vocabulary": Vocabulary(),
    "prune": Prune(),
    "early-exit": EarlyExit(),
    "greedy": Greedy(),
    "onnx": Onnx(),
    "int8-onnx": Int8Onnx(),
    "int4-onnx": Int4Onnx(),
    "ct2": Ct2(),
    "int8-torch": Int8Torch(),
    "int8-bnb": BitsAndBytes(),
    "nf4-bnb": BitsAndBytes(),
    "float16": Half(),
    "bfloat16": Half(),
}

__all__ = ["TECHNIQUES", "Technique"]
