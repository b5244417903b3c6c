"""CTranslate2: a translator in the format of a library that only translates, in 8 bits or more.

The conversion is proven before it is rounded: in float32 CTranslate2 has to translate texts of the budget as torch
does.

Knows CTranslate2's converters. Knows nothing of gates or chains.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kit.compression.proof import proof_texts, require_same
from kit.errors import ModelError, first_line
from kit.methods import Fitted, Job
from kit.models.backends.ctranslate2 import Ct2Facts, Ct2Translator, require_ct2
from kit.models.checkpoints.loading import quiet, save_tokenizer
from kit.models.saved_kind import Kind
from kit.models.translation.translator import Translator
from kit.recipe.sections.compression import Ct2Step
from kit.records.record import Record
from kit.runtime.json_files import read_object

# Architectures that it converts, as transformers calls them in config.json.
CONVERTED = ("marian", "bart", "mbart", "m2m_100", "pegasus", "t5", "mt5", "umt5")


class Ct2:
    """A translator for CTranslate2."""

    takes = (Kind.TRANSLATOR,)
    gives = Kind.CT2

    def require(self, step: Ct2Step, source: Record | None) -> None:
        """The package, and an architecture that it converts."""
        require_ct2()
        if source is None:
            return
        config = read_object(source.model_folder / "config.json", ModelError)
        kind = config["model_type"]
        shared = config.get("share_encoder_decoder_embeddings", True)
        if kind not in CONVERTED or not shared:
            what = kind if shared else f"{kind} with a table of embeddings for each side"
            raise ModelError(
                f"ct2: CTranslate2 has no form for {source.id}, which is {what}",
                f"it converts {', '.join(CONVERTED)}; distill into a student with `init: random`, then take this step",
            )

    def variants(self, step: Ct2Step) -> list[Ct2Step]:
        """None: more bits are asked for by name."""
        return []

    def compress(self, step: Ct2Step, source: Record, job: Job) -> Fitted:
        """Convert, prove in float32, and round."""
        model = Translator.load(source.model_folder)
        exact = converted(model, "float32", job.workdir / "float32")
        texts = proof_texts(job.data.train)
        same = require_same(exact, model, texts, f"ct2: CTranslate2's form of {source.id}")
        rounded = step.quantization != "float32"
        done = converted(model, step.quantization, job.workdir / step.quantization) if rounded else exact
        return Fitted(done, settings={"device": "cpu", "float32_same": same, "float32_texts": len(texts)})


def converted(translator: Translator, quantization: str, folder: Path) -> Ct2Translator:
    """A translator for CTranslate2, written to a folder that is replaced, by the first process.

    Raises ModelError if it cannot be made.
    """
    state = PartialState()
    if state.is_main_process:
        _convert(translator, quantization, folder)
    state.wait_for_everyone()
    return Ct2Translator.load(folder)


def _convert(translator: Translator, quantization: str, folder: Path) -> None:
    from ctranslate2.converters import Converter

    model, tokenizer = translator.model, translator.tongues.source

    class InMemory(Converter):  # type: ignore[misc]
        """CTranslate2's own reads a folder; this takes the model that is there, in float32."""

        def _load(self) -> Any:
            with torch.no_grad():
                return _loader(type(model.config).__name__)(model.cpu(), tokenizer)

    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with quiet():
            InMemory().convert(str(folder), quantization=quantization, force=True)
    except Exception as error:
        raise ModelError(f"ct2: CTranslate2 cannot convert the model: {first_line(error)}") from error
    Ct2Facts(translator.parameters, quantization, translator.prefix).write(folder)
    _save_beside(folder, model, tokenizer, translator.max_length)


def _save_beside(folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, max_length: int) -> None:
    own = (folder / "config.json").read_bytes()
    assert model.generation_config is not None
    with quiet():
        model.generation_config.save_pretrained(folder)
    save_tokenizer(tokenizer, folder, max_length)
    (folder / "config.json").write_bytes(own)


def _loader(config: str) -> Any:
    """What writes an architecture down for CTranslate2."""
    from ctranslate2.converters import transformers as known

    usual = known.BartLoader if config == "MarianConfig" else type(known._MODEL_LOADERS[config])

    class Loader(usual):  # type: ignore[misc, valid-type]
        """What transformers 5 no longer writes into configurations, or writes elsewhere, is read off the model.

        Every translation begins with the token that transformers begins it with. Marian's vector of that need not be
        zero: CTranslate2's own loader takes the last row for it, which is so only in models of the Marian project.
        """

        def get_model_spec(self, model: PreTrainedModel) -> Any:
            encoder = model.get_encoder()
            model.config.normalize_before = hasattr(encoder, "layer_norm")
            model.config.normalize_embedding = hasattr(encoder, "layernorm_embedding")
            spec = super().get_model_spec(model)
            if not getattr(model.config, "scale_decoder_outputs", model.config.model_type != "mt5"):
                spec.decoder.scale_outputs = 1.0  # of the T5 family only T5 and UMT5 with tied tables scale
            return spec

        def get_vocabulary(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[str]:
            """A table may have rows beyond the tokenizer's tokens, which are never written."""
            tokens: list[str] = super().get_vocabulary(model, tokenizer)[: model.config.vocab_size]
            return tokens + [f"madeupword{place}" for place in range(len(tokens), model.config.vocab_size)]

        def set_position_encodings(self, spec: Any, module: Any) -> None:
            super().set_position_encodings(spec, module)
            if hasattr(module, "weights"):  # computed ones count from after the padding token, wherever that is
                spec.encodings = module.weights[module.padding_idx + 1 :]

        def set_config(self, config: Any, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
            super().set_config(config, model, tokenizer)
            config.bos_token = config.bos_token or config.eos_token  # opus-mt has none; it must be a token of some kind
            assert model.generation_config is not None
            start = model.generation_config.decoder_start_token_id
            config.decoder_start_token = tokenizer.convert_ids_to_tokens(start)

    return Loader()
