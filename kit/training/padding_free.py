"""Layers without padding: an encoder's blocks computed on the tokens of a batch alone.

Short texts of a batch are filled up to its longest. Embeddings and heads still see that; between them all tokens stand
in one row, and attention looks at each text by itself: scaled dot product attention of torch's jagged tensors
(https://docs.pytorch.org/docs/stable/nested.html), on a GPU FlashAttention for texts of any length.

Knows transformers' attention functions and torch's jagged tensors. Knows nothing of what is trained, or on what.
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
_NEAR, _NEAR_BF16 = 1e-3, 0.03  # of the largest number: rounding; in pretrained models a text that sees another is
# off by a tenth


@dataclass(frozen=True)
class Rows:
    """Where the texts of a batch are once its tokens stand in one row.

    places: (tokens,) of each token in the padded batch, counted row by row. offsets: (texts + 1,) at which each text
    begins and ends. shortest, longest: tokens of a text.
    """

    places: torch.Tensor
    offsets: torch.Tensor
    shortest: int
    longest: int


def keeping_mask(collate: Collate) -> Collate:
    """The same batches, whose mask is on the host too, where `rows_of` reads it."""

    def kept(indices: Sequence[int]) -> dict[str, Any]:
        batch = collate(indices)
        return {**batch, HOST_MASK: batch["attention_mask"].numpy()}

    return kept


def rows_of(mask: np.ndarray, device: torch.device) -> dict[str, Rows]:
    """What a model takes besides a batch. mask: (texts, longest) ones for tokens, zeros for what fills up."""
    lengths = mask.sum(1)
    offsets = np.concatenate([[0], lengths.cumsum()])

    def there(array: np.ndarray) -> torch.Tensor:
        tensor = torch.from_numpy(array)
        return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)

    places = there(np.flatnonzero(mask))
    return {_ROWS: Rows(places, there(offsets), int(lengths.min()), int(lengths.max()))}


class PaddingFree:
    """An encoder whose blocks can leave padding out, for batches that come with `rows_of` within `steps`.

    Raises RecipeError where the architecture's blocks cannot do so, which is tried on two texts.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        inside = getattr(model, "get_base_model", None)  # of a model that learns adapters, which are in its layers
        model = model if inside is None else inside()
        encoder = encoder_of(model)
        try:
            blocks = find_layers(model).path.rpartition(".")[0]
        except ModelError as error:
            raise _refusal(encoder, "its layers cannot be told apart") from error
        stack = model.get_submodule(blocks)
        if stack is encoder:
            raise _refusal(encoder, "its blocks are no module of their own")
        configs: list[Any] = [module.config for module in encoder.modules() if hasattr(module, "config")]
        self.configs = list({id(config): config for config in configs}.values())
        self.hooks = (
            stack.register_forward_pre_hook(_leave_out, with_kwargs=True),
            stack.register_forward_hook(_fill_up, with_kwargs=True),
        )
        self._try(model, stack)

    @contextmanager
    def steps(self) -> Iterator[None]:
        """Attention looks at each text by itself meanwhile; answers in between are computed as always."""
        usual = [config._attn_implementation for config in self.configs]
        for config in self.configs:
            config._attn_implementation = _ATTENTION
        try:
            yield
        finally:
            for config, name in zip(self.configs, usual, strict=True):
                config._attn_implementation = name

    def end(self) -> None:
        """Leave the encoder as it was."""
        for hook in self.hooks:
            hook.remove()

    @torch.no_grad()
    def _try(self, model: PreTrainedModel, stack: nn.Module) -> None:
        """Of two texts of different length the blocks have to make what they make of them with padding."""
        ids = torch.arange(14, device=model.device).view(2, 7) + 1
        known = np.ones((2, 7), np.int64)
        known[1, 3:] = 0
        mask = torch.from_numpy(known).to(model.device)
        batch = {"input_ids": ids, "attention_mask": mask}
        made: list[torch.Tensor] = []
        hook = stack.register_forward_hook(lambda _, inputs, output: made.append(output.last_hidden_state))
        training = model.training
        model.eval()  # type: ignore[no-untyped-call]
        try:
            model(**batch)
            with self.steps():
                model(**batch, **rows_of(known, model.device))
            padded, alone = made
        except Exception as error:
            why = f"its blocks do not take tokens in one row ({first_line(error)})"
            raise _refusal(encoder_of(model), why) from error
        finally:
            hook.remove()
            model.train(training)
        if alone[1, 3:].any():
            raise _refusal(encoder_of(model), "its blocks are not told where the texts are")
        texts, near = mask.bool(), _NEAR if padded.dtype == torch.float32 else _NEAR_BF16
        if not torch.allclose(alone[texts], padded[texts], rtol=0, atol=near * float(padded[texts].abs().max())):
            raise _refusal(encoder_of(model), "they see each other's texts then")


def _refusal(encoder: PreTrainedModel, why: str) -> RecipeError:
    kind = getattr(encoder.config, "model_type", type(encoder).__name__)
    return RecipeError(
        f"a {kind} model cannot be trained without padding: {why}", "leave it out", key="train.padding_free"
    )


def _leave_out(stack: nn.Module, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """The blocks get the tokens in one row, and no mask."""
    rows: Rows | None = options.get(_ROWS)
    if rows is None:
        return None
    hidden = inputs[0] if inputs else options["hidden_states"]
    alone = hidden.flatten(0, 1).index_select(0, rows.places).unsqueeze(0)
    kept = {name: value for name, value in options.items() if name not in ("hidden_states", "attention_mask")}
    shape = {f"{_ROWS}_shape": hidden.shape}
    return (alone, None), kept | shape


def _fill_up(stack: nn.Module, inputs: tuple[Any, ...], options: dict[str, Any], output: Any) -> Any:
    """What comes after the blocks gets the batch as it was, with zeros for what fills up."""
    rows: Rows | None = options.get(_ROWS)
    if rows is None:
        return None
    shape = options[f"{_ROWS}_shape"]
    alone = output.last_hidden_state[0]
    flat = alone.new_zeros(shape[0] * shape[1], shape[2]).index_copy(0, rows.places, alone)
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
    """Of each text by itself. query, key, value: (1, heads, tokens, width). Gives (1, tokens, heads, width)."""
    rows: Rows = options[_ROWS]

    def texts(tensor: torch.Tensor) -> torch.Tensor:
        jagged: torch.Tensor = torch.nested.nested_tensor_from_jagged(
            tensor[0].transpose(0, 1), rows.offsets, min_seqlen=rows.shortest, max_seqlen=rows.longest
        )
        return jagged.transpose(1, 2)

    found = nn.functional.scaled_dot_product_attention(
        texts(query), texts(key), texts(value), dropout_p=dropout, scale=scaling
    )
    return found.transpose(1, 2).values().unsqueeze(0), None


def _no_mask(*sizes: Any, **options: Any) -> None:
    """`_attend` needs none; transformers would read the batch's to see whether it can do without, and so wait."""


AttentionInterface.register(_ATTENTION, _attend)
AttentionMaskInterface.register(_ATTENTION, _no_mask)
