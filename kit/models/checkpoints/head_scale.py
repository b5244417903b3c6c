"""Scale of the numbers that a model predicts, folded into the weights of its head.

A model predicts in the units of its labels, so that nothing has to be converted where it is used, and is trained on
standardized numbers, so that learning rates do not depend on the units.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from kit.errors import ModelError
from kit.models.checkpoints.head import Scale


def to_units(model: nn.Module, scale: Scale | None) -> None:
    """Change a model that predicts standardized numbers to predict in the units of the labels.

    Args:
        model: Model with one output, modified in place. Its heads are its linear layers with one output.
        scale: Scale of the labels; None changes nothing.

    Raises:
        ModelError: The head has no bias that could hold the mean.
    """
    if scale is None:
        return
    with torch.no_grad():
        for head in _heads(model):
            head.weight.mul_(scale.deviation)
            head.bias.copy_(scale.original(head.bias))


@contextmanager
def standardized(model: nn.Module, scale: Scale | None) -> Iterator[None]:
    """Let a model predict standardized numbers within the context, and in the units of the labels afterwards.

    See `to_units` for arguments and errors.
    """
    if scale is not None:
        with torch.no_grad():
            for head in _heads(model):
                head.weight.div_(scale.deviation)
                head.bias.copy_(scale.standardized(head.bias))
    yield
    to_units(model, scale)


def _heads(model: nn.Module) -> list[nn.Linear]:
    heads = [layer for layer in model.modules() if isinstance(layer, nn.Linear) and layer.out_features == 1]
    if not heads or any(head.bias is None for head in heads):
        raise ModelError(
            "the checkpoint's own head has no linear layer with a bias, which a number needs",
            "set model.pooling: mean",
            key="model.pooling",
        )
    return heads
