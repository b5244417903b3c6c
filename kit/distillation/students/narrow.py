"""Narrower: the part of each of a model's weights that a student of less width starts from.

The token vectors x of width d become P' x of width k, where the columns of P (d, k) are unit vectors: those of the most
important dimensions (`neurons`), or the principal directions of the token embeddings (`svd`, a truncated singular value
decomposition). What reads token vectors is multiplied by P on that side, what writes them by P', a normalisation's
scale g becomes the diagonal of P' diag(g) P. Attention heads and feed-forward neurons keep what weighs most. Encoder
and decoder have a P each, where each has a table of its own.

Knows the names of weights in encoders like BERT, and in translators made of them, like BART and like T5. Knows nothing
of training.
"""

from __future__ import annotations

import re

import torch
from transformers import PreTrainedModel

from kit.errors import ModelError
from kit.recipe.sections.distillation import StudentSection

Weights = dict[str, torch.Tensor]

# Rows and columns of each weight: H token vectors, E those that a decoder reads of its encoder, N their scale, A heads
# of self-attention, C heads of attention to the encoder, I feed-forward neurons, - none.
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
    """Weights of the student's shape from those of its wide original.

    weights: of the original, its layers numbered as in the student. section: resolved, with all widths.
    Raises ModelError for an architecture whose weights are not known.
    """
    wanted = {key: tensor.shape for key, tensor in student.state_dict().items()}
    roles = {key: _role(key, student) for key in wanted if key in weights and weights[key].is_floating_point()}
    width, heads, inner = section.hidden_size, section.heads, section.intermediate_size
    assert width is not None and heads is not None and inner is not None
    rows = next((wanted[key][0] for key, role in roles.items() if role == "AH"), width)
    apart = student.config.model_type == "encoder-decoder"
    projections = {}
    for side in ("", "decoder.") if apart else ("",):
        read = {
            key: role
            for key, role in roles.items()
            if not apart or (key.startswith("decoder.") and role != "CE") == (side == "decoder.")
        }
        projections[side] = _projection(weights, read, width, section.init)
    result = {}
    for key, shape in wanted.items():
        if key not in roles:
            continue
        layer = re.match(_LAYER, key)
        inside = {name: weights[name] for name in roles if layer and name.startswith(layer[0])}
        kept = {
            "A": _heads(inside, roles, "HA", heads, rows // heads),
            "C": _heads(inside, roles, "HC", heads, rows // heads),
            "I": _neurons(inside, roles, inner),
        }
        own = projections["decoder." if apart and key.startswith("decoder.") else ""]
        result[key] = _cut(weights[key], roles[key], {"H": own, "N": own, "E": projections[""]}, kept)
        if result[key].shape != shape:
            raise _unknown(student, key)
    return result | {key: weights[key] for key in wanted if key not in roles and key in weights}


def _role(key: str, student: PreTrainedModel) -> str:
    for pattern, role in _ROLES:
        if re.search(pattern, key):
            return role[0] if key.endswith(".bias") and len(role) > 1 else role
    raise _unknown(student, key)


def _unknown(student: PreTrainedModel, key: str) -> ModelError:
    return ModelError(
        f"it is not known how {key} of {type(student).__name__} narrows",
        "keep the teacher's width and choose layers, or use init: random",
        key="distill.student.hidden_size",
    )


def _projection(weights: Weights, roles: dict[str, str], width: int, how: str) -> torch.Tensor:
    """P (d, k): unit columns. roles: of the weights that read or write these token vectors."""
    tables = [weights[key] for key, role in roles.items() if role == "-H" and re.search(_TABLE, key)]
    if not tables:
        raise ModelError("the teacher has no table of word embeddings to go by", key="distill.student.hidden_size")
    table = tables[0].double()
    if how == "svd" and width < table.shape[1]:
        _, vectors = torch.linalg.eigh(table.T @ table)
        principal: torch.Tensor = vectors[:, -width:].flip(-1).to(tables[0].dtype)
        return principal
    # A dimension matters as far as the layers read it: by the squared weights that it meets.
    reading = [weights[key].double().pow(2).sum(0) for key, role in roles.items() if role in ("AH", "CH", "CE", "IH")]
    importance = torch.stack(reading).sum(0) * table.pow(2).mean(0)
    kept = importance.topk(width).indices.sort().values
    return torch.eye(len(importance), dtype=tables[0].dtype)[:, kept]


def _heads(inside: Weights, roles: dict[str, str], role: str, count: int, of_a_head: int) -> torch.Tensor:
    """(A,) rows of queries, keys and values that stay: those of the heads that write most. role: of what they write."""
    writing = [tensor.double().pow(2).sum(0) for key, tensor in inside.items() if roles[key] == role]
    if not writing:
        return torch.zeros(0, dtype=torch.long)
    weight = writing[0].view(-1, of_a_head).sum(-1)
    kept = weight.topk(count).indices.sort().values
    return (kept[:, None] * of_a_head + torch.arange(of_a_head)).flatten()


def _neurons(inside: Weights, roles: dict[str, str], count: int) -> torch.Tensor:
    """(I,) feed-forward neurons that stay: those with the largest product of what they read and write."""
    reading = [tensor.double().pow(2).sum(1) for key, tensor in inside.items() if roles[key] == "IH"]
    writing = [tensor.double().pow(2).sum(0) for key, tensor in inside.items() if roles[key] == "HI"]
    if not reading or not writing:
        return torch.zeros(0, dtype=torch.long)
    return (torch.stack(reading).sum(0) * writing[0]).topk(count).indices.sort().values


def _cut(
    tensor: torch.Tensor, role: str, projections: dict[str, torch.Tensor], kept: dict[str, torch.Tensor]
) -> torch.Tensor:
    if role == "N":  # a scale: the diagonal of P' diag(g) P
        return tensor @ projections["N"].pow(2)
    for axis, kind in enumerate(role):
        if kind in projections:
            tensor = (tensor.movedim(axis, -1) @ projections[kind]).movedim(-1, axis)
        elif kind in kept:
            tensor = tensor.index_select(axis, kept[kind])
    return tensor.contiguous()
