"""Weights of a narrower student, from those of a wider BERT-, BART- or T5-like model.

Token vectors x of width d become P' x of width k. The columns of P (d, k) are unit vectors: the axes of the most
important dimensions (`neurons`), or the principal directions of the token embeddings (`svd`, a truncated singular value
decomposition). Weights that read token vectors are multiplied by P on that side, weights that write them by P', and the
scale g of a normalization becomes the diagonal of P' diag(g) P. The attention heads and feed-forward neurons with the
largest weights are kept. Encoder and decoder have separate P if they have separate embedding tables.
"""

from __future__ import annotations

import re

import torch
from transformers import PreTrainedModel

from kit.errors import ModelError
from kit.recipe.sections.distillation import StudentSection

Weights = dict[str, torch.Tensor]

# Meaning of the rows and columns of each weight: H token vectors, E encoder vectors read by a decoder, N scale of token
# vectors, A heads of self-attention, C heads of cross-attention, I feed-forward neurons, - neither.
_ROLES = (
    (r"(crossattention\.self|encoder_attn|EncDecAttention)\.(key|value|[kv]_proj|[kv])\.(weight|bias)$", "CE"),
    (r"(crossattention\.self|encoder_attn|EncDecAttention)\.(query|q_proj|q)\.(weight|bias)$", "CH"),
    (r"(crossattention\.output\.dense|encoder_attn\.out_proj|EncDecAttention\.o)\.(weight|bias)$", "HC"),
    (r"(query|key|value|[qkv]_lin|[qkv]_proj|SelfAttention\.[qkv])\.(weight|bias)$", "AH"),
    (r"(attention\.output\.dense|out_lin|(attention|self_attn)\.out_proj|SelfAttention\.o)\.(weight|bias)$", "HA"),
    (r"(intermediate\.dense|lin1|fc1|\bwi|\bwi_[01])\.(weight|bias)$", "IH"),
    (r"((?<!attention\.)output\.dense|lin2|fc2|\bwo)\.(weight|bias)$", "HI"),
    (r"(pooler\.dense|pre_classifier|classifier\.dense|predictions\.transform\.dense)\.(weight|bias)$", "HH"),
    (r"(classifier|classifier\.out_proj|predictions\.decoder|lm_head)\.weight$", "-H"),
    (r"(classifier|classifier\.out_proj|predictions|predictions\.decoder)\.bias$", "-"),
    (r"(_embeddings|shared|embed_tokens|embed_positions)\.weight$", "-H"),
    (r"(LayerNorm|layer_norm|layernorm_embedding)\.weight$", "N"),
    (r"(LayerNorm|layer_norm|layernorm_embedding)\.bias$", "H"),
    (r"(relative_attention_bias\.weight|final_logits_bias)$", "--"),
)
_TABLE = r"(word_embeddings|shared|embed_tokens)\.weight$"
_LAYER = r".*?\.(layer|layers|block)\.\d+\."


def narrow_weights(weights: Weights, student: PreTrainedModel, section: StudentSection) -> Weights:
    """Return weights of the student's shape from those of the wider original.

    Args:
        weights: Weights of the original, with layers numbered as in the student.
        student: Model of the student's shape.
        section: Resolved section of the student, with all widths.

    Raises:
        ModelError: This architecture has weights that cannot be narrowed.
    """
    shapes = {key: tensor.shape for key, tensor in student.state_dict().items()}
    roles = {key: _role(key, student) for key in shapes if key in weights and weights[key].is_floating_point()}
    width, heads, inner = section.hidden_size, section.heads, section.intermediate_size
    assert width is not None and heads is not None and inner is not None
    rows = next((shapes[key][0] for key, role in roles.items() if role == "AH"), width)
    separate = student.config.model_type == "encoder-decoder"
    projections = {}
    for side in ("", "decoder.") if separate else ("",):
        side_roles = {
            key: role
            for key, role in roles.items()
            if not separate or (key.startswith("decoder.") and role != "CE") == (side == "decoder.")
        }
        projections[side] = _projection(weights, side_roles, width, init=section.init)
    result = {}
    for key, shape in shapes.items():
        if key not in roles:
            continue
        layer = re.match(_LAYER, key)
        layer_weights = {name: weights[name] for name in roles if layer and name.startswith(layer[0])}
        kept = {
            "A": _head_rows(layer_weights, roles, role="HA", count=heads, head_width=rows // heads),
            "C": _head_rows(layer_weights, roles, role="HC", count=heads, head_width=rows // heads),
            "I": _neurons(layer_weights, roles, inner),
        }
        own = projections["decoder." if separate and key.startswith("decoder.") else ""]
        result[key] = _narrow(weights[key], roles[key], {"H": own, "N": own, "E": projections[""]}, kept=kept)
        if result[key].shape != shape:
            raise _unsupported(student, key)
    return result | {key: weights[key] for key in shapes if key not in roles and key in weights}


def _role(key: str, student: PreTrainedModel) -> str:
    """Return the meaning of the rows and columns of a weight, see `_ROLES`."""
    for pattern, role in _ROLES:
        if re.search(pattern, key):
            return role[0] if key.endswith(".bias") and len(role) > 1 else role
    raise _unsupported(student, key)


def _unsupported(student: PreTrainedModel, key: str) -> ModelError:
    return ModelError(
        f"{key} of {type(student).__name__} cannot be made narrower",
        "keep the teacher's width and choose layers, or use init: random",
        key="distill.student.hidden_size",
    )


def _projection(weights: Weights, roles: dict[str, str], width: int, init: str) -> torch.Tensor:
    """Return P (d, k), whose columns are unit vectors.

    Args:
        weights: Weights of the original.
        roles: Roles of the weights that read or write these token vectors.
        width: Width k of the student.
        init: `svd` or `neurons`.
    """
    tables = [weights[key] for key, role in roles.items() if role == "-H" and re.search(_TABLE, key)]
    if not tables:
        raise ModelError("the teacher does not have a table of word embeddings", key="distill.student.hidden_size")
    table = tables[0].double()
    if init == "svd" and width < table.shape[1]:
        _, vectors = torch.linalg.eigh(table.T @ table)
        principal: torch.Tensor = vectors[:, -width:].flip(-1).to(tables[0].dtype)
        return principal
    # Importance of a dimension: its mean square in the table times the squared weights that read it.
    reading = [weights[key].double().pow(2).sum(0) for key, role in roles.items() if role in ("AH", "CH", "CE", "IH")]
    importance = torch.stack(reading).sum(0) * table.pow(2).mean(0)
    kept = importance.topk(width).indices.sort().values
    return torch.eye(len(importance), dtype=tables[0].dtype)[:, kept]


def _head_rows(
    layer_weights: Weights, roles: dict[str, str], *, role: str, count: int, head_width: int
) -> torch.Tensor:
    """Return the rows (A,) of queries, keys and values to keep: those of the heads with the largest output weights.

    Args:
        layer_weights: Weights of one layer; empty outside layers.
        roles: Roles of all weights.
        role: Role of the output weights: HA for self-attention, HC for cross-attention.
        count: Heads to keep.
        head_width: Width of a head.
    """
    output = [tensor.double().pow(2).sum(0) for key, tensor in layer_weights.items() if roles[key] == role]
    if not output:
        return torch.zeros(0, dtype=torch.long)
    importance = output[0].view(-1, head_width).sum(-1)
    kept = importance.topk(count).indices.sort().values
    return (kept[:, None] * head_width + torch.arange(head_width)).flatten()


def _neurons(layer_weights: Weights, roles: dict[str, str], count: int) -> torch.Tensor:
    """Return the feed-forward neurons (I,) to keep: those with the largest product of input and output weights."""
    reading = [tensor.double().pow(2).sum(1) for key, tensor in layer_weights.items() if roles[key] == "IH"]
    writing = [tensor.double().pow(2).sum(0) for key, tensor in layer_weights.items() if roles[key] == "HI"]
    if not reading or not writing:
        return torch.zeros(0, dtype=torch.long)
    return (torch.stack(reading).sum(0) * writing[0]).topk(count).indices.sort().values


def _narrow(
    tensor: torch.Tensor, role: str, projections: dict[str, torch.Tensor], kept: dict[str, torch.Tensor]
) -> torch.Tensor:
    """Return the part of a weight that a narrower student gets.

    Args:
        tensor: The weight.
        role: Meaning of its rows and columns.
        projections: P per letter of a role.
        kept: Indices to keep per letter of a role.
    """
    if role == "N":  # a scale: the diagonal of P' diag(g) P
        return tensor @ projections["N"].pow(2)
    for axis, kind in enumerate(role):
        if kind in projections:
            tensor = (tensor.movedim(axis, -1) @ projections[kind]).movedim(-1, axis)
        elif kind in kept:
            tensor = tensor.index_select(axis, kept[kind])
    return tensor.contiguous()
