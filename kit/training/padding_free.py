"""Training without padding: the blocks of an encoder compute only on the tokens of a batch.

Embeddings and heads still get padded batches. Between them, all tokens are concatenated in one row, and attention is
computed within each text, by scaled dot product attention on torch's jagged tensors
(https://docs.pytorch.org/docs/stable/nested.html); on a GPU this is FlashAttention for texts of any length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel

from kit.errors import ModelError, RecipeError, first_line
from kit.models.architectures.layers import encoder_of, find_layers

HOST_MASK = "kit_host_mask"
Collate = Callable[[Sequence[int]], dict[str, Any]]
_ATTENTION = "kit_padding_free"
_ROWS = "kit_rows"
# Rounding error, relative to the largest number. If texts attend to each other, pretrained models are off by a tenth.
_TOLERANCE, _TOLERANCE_BF16 = 1e-3, 0.03


@dataclass(frozen=True)
class Rows:
    """Positions of the texts of a batch whose tokens are concatenated in one row.

    Attributes:
        places: (tokens,) position of each token in the flattened padded batch.
        offsets: (texts + 1,) boundaries of the texts in the row.
        shortest: Tokens of the shortest text.
        longest: Tokens of the longest text.
    """

    places: torch.Tensor
    offsets: torch.Tensor
    shortest: int
    longest: int


def keeping_mask(collate: Collate) -> Collate:
    """Return a collate function that adds a copy of the mask in host memory, for `rows_of`."""

    def collate_with_mask(indices: Sequence[int]) -> dict[str, Any]:
        batch = collate(indices)
        return {**batch, HOST_MASK: batch["attention_mask"].numpy()}

    return collate_with_mask


def rows_of(mask: np.ndarray, device: torch.device) -> dict[str, Rows]:
    """Return the additional model input that describes the texts of a batch.

    Args:
        mask: (texts, longest), 1 for tokens and 0 for padding.
        device: Device of the model.
    """
    lengths = mask.sum(1)
    offsets = np.concatenate([[0], lengths.cumsum()])

    def on_device(array: np.ndarray) -> torch.Tensor:
        tensor = torch.from_numpy(array)
        return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)

    places = on_device(np.flatnonzero(mask))
    return {_ROWS: Rows(places, on_device(offsets), int(lengths.min()), longest=int(lengths.max()))}


class PaddingFree:
    """Hooks on an encoder that remove padding before its blocks, for batches with `rows_of` within `steps`.

    Args:
        model: Model whose encoder gets the hooks.

    Raises:
        RecipeError: The blocks of this architecture do not work without padding, as tested on two texts.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        get_base_model = getattr(model, "get_base_model", None)  # models with LoRA adapters have one
        model = model if get_base_model is None else get_base_model()
        encoder = encoder_of(model)
        try:
            blocks = find_layers(model).path.rpartition(".")[0]
        except ModelError as error:
            raise _refusal(encoder, "its layers cannot be found") from error
        stack = model.get_submodule(blocks)
        if stack is encoder:
            raise _refusal(encoder, "its blocks are not a separate module")
        configs: list[Any] = [module.config for module in encoder.modules() if hasattr(module, "config")]
        self.configs = list({id(config): config for config in configs}.values())
        self.hooks = (
            stack.register_forward_pre_hook(_remove_padding, with_kwargs=True),
            stack.register_forward_hook(_restore_padding, with_kwargs=True),
        )
        self._require_same_outputs(model, stack)

    @contextmanager
    def steps(self) -> Iterator[None]:
        """Compute attention within each text for training steps; predictions outside this context are unchanged."""
        implementations = [config._attn_implementation for config in self.configs]
        for config in self.configs:
            config._attn_implementation = _ATTENTION
        try:
            yield
        finally:
            for config, name in zip(self.configs, implementations, strict=True):
                config._attn_implementation = name

    def end(self) -> None:
        """Remove the hooks."""
        for hook in self.hooks:
            hook.remove()

    @torch.no_grad()
    def _require_same_outputs(self, model: PreTrainedModel, stack: nn.Module) -> None:
        """Raise RecipeError unless the blocks give the same outputs with and without padding for two texts."""
        ids = torch.arange(14, device=model.device).view(2, 7) + 1
        host_mask = np.ones((2, 7), np.int64)
        host_mask[1, 3:] = 0
        mask = torch.from_numpy(host_mask).to(model.device)
        batch = {"input_ids": ids, "attention_mask": mask}
        outputs: list[torch.Tensor] = []
        hook = stack.register_forward_hook(lambda _, inputs, output: outputs.append(output.last_hidden_state))
        training = model.training
        model.eval()  # type: ignore[no-untyped-call]
        try:
            model(**batch)
            with self.steps():
                model(**batch, **rows_of(host_mask, model.device))
            padded, unpadded = outputs
        except Exception as error:
            reason = f"its blocks do not accept tokens in one row ({first_line(error)})"
            raise _refusal(encoder_of(model), reason) from error
        finally:
            hook.remove()
            model.train(training)
        if unpadded[1, 3:].any():
            raise _refusal(encoder_of(model), "its blocks do not get the boundaries of texts")
        tokens, tolerance = mask.bool(), _TOLERANCE if padded.dtype == torch.float32 else _TOLERANCE_BF16
        limit = tolerance * float(padded[tokens].abs().max())
        if not torch.allclose(unpadded[tokens], padded[tokens], rtol=0, atol=limit):
            raise _refusal(encoder_of(model), "texts would attend to each other")


def _refusal(encoder: PreTrainedModel, reason: str) -> RecipeError:
    kind = getattr(encoder.config, "model_type", type(encoder).__name__)
    return RecipeError(
        f"a {kind} model cannot be trained without padding: {reason}", "leave it out", key="train.padding_free"
    )


def _remove_padding(stack: nn.Module, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """Pass the tokens to the blocks in one row, without a mask."""
    rows: Rows | None = options.get(_ROWS)
    if rows is None:
        return None
    hidden = inputs[0] if inputs else options["hidden_states"]
    unpadded = hidden.flatten(0, 1).index_select(0, rows.places).unsqueeze(0)
    others = {name: value for name, value in options.items() if name not in ("hidden_states", "attention_mask")}
    shape = {f"{_ROWS}_shape": hidden.shape}
    return (unpadded, None), others | shape


def _restore_padding(stack: nn.Module, inputs: tuple[Any, ...], options: dict[str, Any], output: Any) -> Any:
    """Put the outputs of the blocks back into the shape of the batch, with zeros for padding."""
    rows: Rows | None = options.get(_ROWS)
    if rows is None:
        return None
    shape = options[f"{_ROWS}_shape"]
    unpadded = output.last_hidden_state[0]
    flat = unpadded.new_zeros(shape[0] * shape[1], shape[2]).index_copy(0, rows.places, unpadded)
    output.last_hidden_state = flat.view(shape)
    return output


def _attend(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Compute attention within each text, as transformers' attention functions do.

    Args:
        module: The attention module.
        query: (1, heads, tokens, width).
        key: (1, heads, tokens, width).
        value: (1, heads, tokens, width).
        attention_mask: Not used.
        dropout: Dropout rate of the attention weights.
        scaling: Factor of the products; None for width ** -0.5.
        options: Further inputs of the block, among them `rows_of`.

    Returns:
        Vectors (1, tokens, heads, width), and None for the attention weights.
    """
    rows: Rows = options[_ROWS]

    def per_text(tensor: torch.Tensor) -> torch.Tensor:
        jagged: torch.Tensor = torch.nested.nested_tensor_from_jagged(
            tensor[0].transpose(0, 1), rows.offsets, min_seqlen=rows.shortest, max_seqlen=rows.longest
        )
        return jagged.transpose(1, 2)

    attended = nn.functional.scaled_dot_product_attention(
        per_text(query), per_text(key), per_text(value), dropout_p=dropout, scale=scaling
    )
    return attended.transpose(1, 2).values().unsqueeze(0), None


def _no_mask(*sizes: Any, **options: Any) -> None:
    """Return no mask; transformers' own function would read the mask of the batch and wait for the device."""


AttentionInterface.register(_ATTENTION, _attend)
AttentionMaskInterface.register(_ATTENTION, _no_mask)
