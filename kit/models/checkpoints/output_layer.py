"""Division of logits by a temperature, folded into the weights of the output layer.

A model that is saved afterwards is calibrated wherever it is loaded, without code of kit.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel


def divide_logits(model: PreTrainedModel, temperature: np.ndarray, tokens: dict[str, torch.Tensor]) -> bool:
    """Divide the logits of a model by a temperature, in place.

    Args:
        model: The classifier.
        temperature: (1,) or (labels,) numbers above 0.
        tokens: Any batch, on the device of the model.

    Returns:
        False if the output layer is not linear in float32: the model is then unchanged.
    """
    layer = _output_layer(model, tokens)
    if layer is None:
        return False
    divisor = torch.as_tensor(temperature, dtype=layer.weight.dtype, device=layer.weight.device)
    with torch.no_grad():
        layer.weight.div_(divisor[:, None])
        if layer.bias is not None:
            layer.bias.div_(divisor)
    return True


def _output_layer(model: PreTrainedModel, tokens: dict[str, torch.Tensor]) -> nn.Linear | None:
    """Return the linear layer whose output is the logits; None without one in float32."""
    outputs: dict[nn.Linear, torch.Tensor] = {}

    def keep(layer: nn.Module, _: object, output: torch.Tensor) -> None:
        if isinstance(layer, nn.Linear):
            outputs[layer] = output

    layers = [layer for layer in model.modules() if type(layer) is nn.Linear]
    hooks = [layer.register_forward_hook(keep) for layer in layers]
    was_training = model.training
    try:
        model.train(False)
        with torch.inference_mode():
            logits = model(**tokens).logits
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()
    for layer, output in outputs.items():
        plain = type(layer.weight) is nn.Parameter and layer.weight.dtype == torch.float32
        if plain and output.shape == logits.shape and torch.equal(output, logits):
            return layer
    return None
