"""Workarounds for errors of bitsandbytes and torchao with quantized models."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

_ROWS, _BLOCK = 32, 64  # of 4-bit layers that bitsandbytes packs: rows per group, weights per scale


def packs(layer: nn.Linear) -> bool:
    """Return True if bitsandbytes can pack a layer in 4 bits.

    On processors with AVX512-BF16 it packs every 4-bit layer in its first forward pass, and fails if its blocks do not
    divide the number of rows or columns.
    """
    return layer.out_features % _ROWS == 0 and layer.in_features % _BLOCK == 0


def leave_odd_layers_unpacked(model: nn.Module) -> None:
    """Disable packing for the 4-bit layers that bitsandbytes cannot pack."""
    _leave_unpacked(model, lambda layer: not packs(layer))


def leave_unpacked(model: nn.Module) -> None:
    """Disable packing for all 4-bit layers: packed layers can neither be trained nor dequantized."""
    _leave_unpacked(model, lambda layer: True)


def _leave_unpacked(model: nn.Module, chosen: Callable[[nn.Linear], bool]) -> None:
    for module in model.modules():
        packing = getattr(module, "support_avx512bf16_for_cpu", False)
        if packing and isinstance(module, nn.Linear) and chosen(module):
            module.support_avx512bf16_for_cpu = False  # type: ignore[assignment]


def mend_names(folder: Path) -> None:
    """Make torchao's files readable if a tensor belongs to the model itself, such as `final_logits_bias`.

    torchao lists the tensors of a file in its metadata, and fails to read names without a dot. It needs only the names
    of quantized weights, so the others are removed from the list.
    """
    for path in folder.glob("*.safetensors"):
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            names = json.loads(metadata.get("tensor_names", "[]"))
            readable = [name for name in names if "." in name]
            if readable == names:
                continue
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dictionary)
        save_file(tensors, path, {**metadata, "tensor_names": json.dumps(readable)})
