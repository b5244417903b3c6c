"""Models in few bits: what the libraries that round them get wrong, on some processors and in files.

Knows bitsandbytes' and torchao's layers and files. Knows nothing of what is rounded, or why.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

_ROWS, _BLOCK = 32, 64  # of layers that bitsandbytes packs: rows at once, and weights that share a scale


def packs(layer: nn.Linear) -> bool:
    """Whether bitsandbytes can pack a layer in 4 bits.

    On processors with AVX512-BF16 it packs every such layer when that first answers, and fails for a number of rows or
    columns that its blocks do not divide.
    """
    return layer.out_features % _ROWS == 0 and layer.in_features % _BLOCK == 0


def leave_odd_layers_unpacked(model: nn.Module) -> None:
    """Let 4-bit layers that bitsandbytes cannot pack be computed as they are."""
    _leave_unpacked(model, lambda layer: not packs(layer))


def leave_unpacked(model: nn.Module) -> None:
    """Let 4-bit layers be computed as they are: packed ones can neither be trained on nor made whole again."""
    _leave_unpacked(model, lambda layer: True)


def _leave_unpacked(model: nn.Module, chosen: Callable[[nn.Linear], bool]) -> None:
    for module in model.modules():
        packing = getattr(module, "support_avx512bf16_for_cpu", False)
        if packing and isinstance(module, nn.Linear) and chosen(module):
            module.support_avx512bf16_for_cpu = False  # type: ignore[assignment]


def mend_names(folder: Path) -> None:
    """Let torchao's files be read where a tensor belongs to the model itself, as `final_logits_bias` does.

    torchao lists the tensors of a file and fails on names without a dot when it reads them. It needs only those of
    rounded weights there, so the others are taken off the list.
    """
    for path in folder.glob("*.safetensors"):
        with safe_open(path, framework="pt") as file:
            notes = file.metadata() or {}
            names = json.loads(notes.get("tensor_names", "[]"))
            readable = [name for name in names if "." in name]
            if readable == names:
                continue
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dictionary)
        save_file(tensors, path, {**notes, "tensor_names": json.dumps(readable)})
