"""Training on a CPU: what torch is slow at there is done otherwise.

Dropout: torch draws a number for each element, which took a sixth of a small translator's training. Here 64 random bits
decide about eight elements, so that a rate is a multiple of 1/256: 0.1 is 26/256. What is left is scaled by the rate
that it was (Srivastava et al. 2014), so nothing is biased.

Attention: torch's own with its backward pass takes 4 to 7 times as long as the plain formula on texts of 20 to 50
tokens in bfloat16, which was a third of a classifier's training and half of a small translator's. In float32 it takes
up to 3 times as long.

Knows torch's functions. Knows nothing of models, or of what is trained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

_LEVELS = 256
# Keys up to which plain attention is the quicker one, as measured: benchmarks/LOG.md.
_SHORT = {torch.bfloat16: 192, torch.float32: 64}


def quick_on(device: torch.device) -> AbstractContextManager[Any]:
    """A context in which training on this device is as quick as can be: torch's own ways are on a GPU."""
    return Quick() if device.type == "cpu" else nullcontext()


class Quick(TorchFunctionMode):
    """Within this context dropout is quick, and so is scaled dot product attention that learns from short texts."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        options = kwargs or {}
        if func is nn.functional.dropout:
            return _dropout(*args, **options)
        if func is nn.functional.scaled_dot_product_attention and _is_slow(*args, **options):
            return _attention(*args, **options)
        return func(*args, **options)


def dropped(tensor: torch.Tensor, rate: float) -> torch.Tensor:
    """Each element zero with the chance `rate`, to the nearest 1/256, and what is left as much larger."""
    level = round(rate * _LEVELS)
    if level == 0:
        return tensor
    if level == _LEVELS:
        return tensor * 0
    found: torch.Tensor = _Dropped.apply(tensor, level)  # type: ignore[no-untyped-call]
    return found


class _Dropped(torch.autograd.Function):
    """level: of 256 chances, those of an element to be zero."""

    @staticmethod
    def forward(context: Any, tensor: torch.Tensor, level: int) -> torch.Tensor:
        words = torch.empty((tensor.numel() + 7) // 8, dtype=torch.int64).random_(-(2**63), None)
        kept = words.view(torch.uint8)[: tensor.numel()].view(tensor.shape) >= level
        context.save_for_backward(kept)
        context.scale = _LEVELS / (_LEVELS - level)
        return tensor.mul(kept).mul_(context.scale)

    @staticmethod
    def backward(context: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        (kept,) = context.saved_tensors
        return gradients[0].mul(kept).mul_(context.scale), None


def _dropout(tensor: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> torch.Tensor:
    """`nn.functional.dropout`, but that a tensor is never changed in place."""
    return dropped(tensor, p) if training else tensor


def _is_slow(query: torch.Tensor, key: torch.Tensor, *more: Any, dropout_p: float = 0.0, **options: Any) -> bool:
    if query.is_nested:
        return False
    trains = torch.is_grad_enabled() and query.requires_grad
    return dropout_p > 0 or (trains and key.shape[-2] <= _SHORT.get(query.dtype, 0))


def _attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """`nn.functional.scaled_dot_product_attention`, step by step, its softmax in float32.

    query, key, value: (..., heads, length, width).
    """
    if enable_gqa:
        groups = query.shape[-3] // key.shape[-3]
        key, value = (each.repeat_interleave(groups, -3) for each in (key, value))
    scores = (query * (query.shape[-1] ** -0.5 if scale is None else scale)) @ key.transpose(-1, -2)
    if is_causal:
        attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attn_mask, torch.finfo(scores.dtype).min)
    elif attn_mask is not None:
        scores = scores + attn_mask
    weights = dropped(scores.softmax(-1, dtype=torch.float32), dropout_p)
    return weights.to(value.dtype) @ value
