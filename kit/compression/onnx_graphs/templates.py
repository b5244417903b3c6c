"""Traced graphs without their weights, reused for models of the same architecture.

Tracing takes most of the time of a step, and does not depend on the values of the weights. A model is traced with
random weights, which identify the weight behind each tensor of the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    import onnx

_SEED = 23
_COMPARED = 4  # values by which tensors of random numbers are recognized, before all are compared

_templates: dict[Any, _Template | None] = {}  # a few hundred kilobytes each; None if the graph cannot be filled


@dataclass(frozen=True)
class _Template:
    """A graph without its weights.

    Attributes:
        model: The graph, in which the tensors of weights are empty.
        weights: Names of the weights by the position of their tensor, and whether the tensor is the transpose.
    """

    model: onnx.ModelProto
    weights: dict[int, tuple[str, bool]]

    def filled(self, values: Mapping[str, np.ndarray]) -> bytes:
        """Return the serialized graph with these weights."""
        model = type(self.model)()
        model.CopyFrom(self.model)
        for position, (name, transposed) in self.weights.items():
            value = values[name].T if transposed else values[name]
            model.graph.initializer[position].raw_data = np.ascontiguousarray(value).tobytes()
        return bytes(model.SerializeToString())


def traced_once(module: torch.nn.Module, key: object, trace: Callable[[], bytes]) -> bytes:
    """Return the graph of a module, traced if none with its key was traced before.

    Args:
        module: The module.
        key: Everything that decides the graph, except the weights of the module and its buffers.
        trace: Function that traces the module.
    """
    parameters = {name: weight for name, weight in module.named_parameters() if weight.is_floating_point()}
    whole = (key, repr(module), _forms(parameters), _contents(module, parameters))
    values = {name: weight.detach().cpu().numpy().copy() for name, weight in parameters.items()}
    if whole not in _templates:
        _templates[whole] = _template(parameters, trace)
    template = _templates[whole]
    return trace() if template is None else template.filled(values)


def _forms(parameters: Mapping[str, torch.Tensor]) -> tuple[Any, ...]:
    return tuple((name, weight.shape, weight.dtype) for name, weight in parameters.items())


def _contents(module: torch.nn.Module, parameters: Mapping[str, torch.Tensor]) -> tuple[Any, ...]:
    """Return names and values of the tensors that stay in the template."""
    tensors = [*module.named_buffers(), *((n, w) for n, w in module.named_parameters() if n not in parameters)]
    return tuple((name, tensor.shape, tensor.detach().cpu().numpy().tobytes()) for name, tensor in tensors)


def _template(parameters: Mapping[str, torch.Tensor], trace: Callable[[], bytes]) -> _Template | None:
    """Return the template of a module; None if weights may have been computed with."""
    import onnx

    if any(weight.numel() == 1 for weight in parameters.values()):
        return None  # a constant of one number could be such a weight
    own = {name: weight.detach().clone() for name, weight in parameters.items()}
    generator = torch.Generator().manual_seed(_SEED)
    with torch.no_grad():
        try:
            for weight in parameters.values():
                weight.copy_(torch.rand(weight.shape, generator=generator))
            model = onnx.load_from_string(trace())
            weights = _recognized(model, {name: weight.cpu().numpy() for name, weight in parameters.items()})
        finally:
            for name, weight in parameters.items():
                weight.copy_(own[name])
    if weights is None:
        return None
    for position in weights:
        model.graph.initializer[position].ClearField("raw_data")
    return _Template(model, weights)


def _recognized(model: onnx.ModelProto, parameters: Mapping[str, np.ndarray]) -> dict[int, tuple[str, bool]] | None:
    """Return the weight behind each tensor of a graph; None if one was computed.

    Single numbers are constants of the architecture.
    """
    from onnx.numpy_helper import to_array

    known: dict[Any, tuple[str, bool]] = {}
    for name, value in parameters.items():
        known.setdefault(_sign(value), (name, False))
        known.setdefault(_sign(value.T), (name, True))
    weights: dict[int, tuple[str, bool]] = {}
    for position, tensor in enumerate(model.graph.initializer):
        value = to_array(tensor)
        if value.size == 1 or not np.issubdtype(value.dtype, np.floating):
            continue
        name, transposed = known.get(_sign(value), ("", False))
        if not name or not np.array_equal(value, parameters[name].T if transposed else parameters[name]):
            return None
        weights[position] = name, transposed
    return None if _has_tensors(model) else weights


def _sign(value: np.ndarray) -> tuple[Any, ...]:
    return value.shape, value.dtype.str, value.ravel()[:_COMPARED].tobytes()


def _has_tensors(model: onnx.ModelProto) -> bool:
    """Return whether a node contains a tensor of several numbers that are not whole."""
    from onnx.numpy_helper import to_array

    tensors = (attribute.t for node in model.graph.node for attribute in node.attribute if attribute.HasField("t"))
    return any(np.issubdtype(value.dtype, np.floating) and value.size > 1 for value in map(to_array, tensors))
