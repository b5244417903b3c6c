"""Asking: how a translator is told its languages, and the search for a translation that is saved with it.

Knows models of transformers and their generation settings. Knows nothing of recipes.
"""

from __future__ import annotations

from typing import Any

from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from kit.errors import ModelError
from kit.models.translation.languages import Route, ends_in_language, take_route


def tell_route(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, route: Route) -> int | None:
    """Tell a checkpoint the languages it is to work between. Returns the token that it is made to begin with, if any.

    Of mBART-25, which writes the language behind a text, a decoder starts from it instead (Liu et al. 2020,
    arXiv:2001.08210). Raises ModelError where the tokenizer writes it there and the model wants it in front.
    """
    first = take_route(tokenizer, route)
    if first is None or not ends_in_language(tokenizer):
        return first
    if model.config.model_type != "mbart":
        raise ModelError(
            "its tokenizer writes the language behind a text, where its model does not look for it",
            'set "legacy_behaviour": false in its tokenizer_config.json',
            key="model.checkpoint",
        )
    for config in (model.config, model.generation_config):
        assert config is not None
        config.decoder_start_token_id = first
    return None


def set_search(
    model: PreTrainedModel, beams: int, length_penalty: float, longest: int, first: int | None, ratio: float
) -> None:
    """Put the search for a translation into the model's generation settings, which are saved with it.

    longest: tokens of a translation at most. first: token that every translation begins with, None for none. ratio: of
    the tokens of a translation to those of its source at most; transformers ignores it. A token that a translation ends
    with if it is too long is left out: it would come where the longest of a batch is cut.
    """
    before = model.generation_config
    config = model.config
    assert before is not None
    start = getattr(config, "decoder_start_token_id", None)
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        num_beams=beams,
        length_penalty=length_penalty,
        early_stopping=beams > 1,
        do_sample=False,
        max_new_tokens=longest,
        pad_token_id=_or(config.pad_token_id, before.pad_token_id),
        bos_token_id=_or(getattr(config, "bos_token_id", None), before.bos_token_id),  # T5 has none
        eos_token_id=_or(config.eos_token_id, before.eos_token_id),
        decoder_start_token_id=_or(before.decoder_start_token_id, start),
        forced_bos_token_id=first,
        bad_words_ids=before.bad_words_ids,
        renormalize_logits=before.renormalize_logits,
        length_ratio=ratio,
    )


def _or(given: Any, otherwise: Any) -> Any:
    return otherwise if given is None else given
