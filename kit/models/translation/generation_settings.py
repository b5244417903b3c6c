"""Generation settings that are saved with a translator: its languages and its search."""

from __future__ import annotations

from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from kit.errors import ModelError
from kit.models.translation.languages import Route, ends_in_language, set_languages
from kit.recipe.defaults import or_default


def settings_of(model: PreTrainedModel) -> GenerationConfig:
    """Return the generation settings of a model. Raise ModelError if its architecture does not write texts."""
    if model.generation_config is None:
        raise ModelError(f"a {model.config.model_type} model does not write texts", key="model.checkpoint")
    return model.generation_config


def apply_route(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, route: Route) -> int | None:
    """Set the languages of a checkpoint's tokenizer and model.

    mBART-25 puts the language after a text, so its decoder starts from the token of the target language (Liu et al.
    2020, arXiv:2001.08210).

    Returns:
        Token that every translation has to begin with; None if there is none.

    Raises:
        ModelError: If the tokenizer puts the language after a text but the model expects it before.
    """
    first = set_languages(tokenizer, route)
    if first is None or not ends_in_language(tokenizer):
        return first
    if model.config.model_type != "mbart":
        raise ModelError(
            "its tokenizer puts the language after a text, but its model expects it before",
            'set "legacy_behaviour": false in its tokenizer_config.json',
            key="model.checkpoint",
        )
    for config in (model.config, settings_of(model)):
        config.decoder_start_token_id = first
    return None


def set_search(
    model: PreTrainedModel, beams: int, length_penalty: float, longest: int, first: int | None, ratio: float
) -> None:
    """Set the model's generation settings, which are saved with it.

    `forced_eos_token_id` is not kept: transformers would apply it at the maximum length of the whole batch.

    Args:
        model: Translation model.
        beams: Number of beams; 1 for greedy search.
        length_penalty: Exponent of the length in the score of a hypothesis.
        longest: Maximum number of tokens of a translation.
        first: Token that every translation begins with; None if there is none.
        ratio: Maximum ratio of the tokens of a translation to those of its source; transformers ignores it.
    """
    before, config = settings_of(model), model.config
    start = getattr(config, "decoder_start_token_id", None)
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        num_beams=beams,
        length_penalty=length_penalty,
        early_stopping=beams > 1,
        do_sample=False,
        max_new_tokens=longest,
        pad_token_id=or_default(config.pad_token_id, before.pad_token_id),
        bos_token_id=or_default(getattr(config, "bos_token_id", None), before.bos_token_id),  # T5 has none
        eos_token_id=or_default(config.eos_token_id, before.eos_token_id),
        decoder_start_token_id=or_default(before.decoder_start_token_id, start),
        forced_bos_token_id=first,
        bad_words_ids=before.bad_words_ids,
        renormalize_logits=before.renormalize_logits,
        length_ratio=ratio,
    )
