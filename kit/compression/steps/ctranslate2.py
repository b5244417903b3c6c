"""Conversion of translators to CTranslate2, in 8 bits or more.

Before quantization the conversion is checked: in float32 CTranslate2 has to translate texts of the budget as torch
does.
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
from kit.models.checkpoints.config_file import CONFIG_FILE, read_config
from kit.models.checkpoints.tokenizers import quiet, save_tokenizer
from kit.models.kinds.form import Form
from kit.models.translation.generation_settings import settings_of
from kit.models.translation.translator import Translator
from kit.recipe.sections.compression import Ct2Step
from kit.records.record import Record

# Architectures that CTranslate2 can convert, by `model_type` in config.json.
CONVERTED = ("marian", "bart", "mbart", "m2m_100", "pegasus", "t5", "mt5", "umt5")


class Ct2:
    """A translator for CTranslate2."""

    takes = (Form.TRANSLATOR,)
    gives = Form.CT2

    def require(self, step: Ct2Step, source: Record | None) -> None:
        """Raise ModelError without the package, or if CTranslate2 cannot convert the architecture."""
        require_ct2()
        if source is None:
            return
        config = read_config(source.model_folder)
        kind = config.model_type
        if kind not in CONVERTED or not config.shares_embeddings:
            what = kind if config.shares_embeddings else f"{kind} with a table of embeddings for each side"
            raise ModelError(
                f"ct2: CTranslate2 cannot convert {source.id}, which is {what}",
                f"it converts {', '.join(CONVERTED)}; distill into a student with `init: random`, then apply this step",
            )

    def variants(self, step: Ct2Step) -> list[Ct2Step]:
        """Return no variants: formats with more bits are chosen explicitly."""
        return []

    def compress(self, step: Ct2Step, source: Record, job: Job) -> Fitted:
        """Convert to float32, compare the translations, and convert to the format of the step."""
        model = Translator.load(source.model_folder)
        exact = converted(model, "float32", job.workdir / "float32")
        texts = proof_texts(job.data.train)
        same = require_same(exact, model, texts, f"ct2: CTranslate2's conversion of {source.id}")
        quantized = step.quantization != "float32"
        final = converted(model, step.quantization, job.workdir / step.quantization) if quantized else exact
        return Fitted(final, settings={"device": "cpu", "float32_same": same, "float32_texts": len(texts)})


def converted(translator: Translator, quantization: str, folder: Path) -> Ct2Translator:
    """Convert a translator on the main process, and load the result on all processes.

    Args:
        translator: Translator of torch.
        quantization: Format of the weights, by CTranslate2's name.
        folder: Folder of the converted translator; its content is replaced.

    Raises:
        ModelError: CTranslate2 cannot convert the translator.
    """
    state = PartialState()
    if state.is_main_process:
        _convert(translator, quantization, folder)
    state.wait_for_everyone()
    return Ct2Translator.load(folder)


def _convert(translator: Translator, quantization: str, folder: Path) -> None:
    from ctranslate2.converters import Converter

    model, tokenizer = translator.model, translator.tokenizer_pair.source

    class InMemory(Converter):  # type: ignore[misc]
        """Converter of the model in memory, in float32.

        CTranslate2's own converter reads a folder.
        """

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
    own = (folder / CONFIG_FILE).read_bytes()
    with quiet():
        settings_of(model).save_pretrained(folder)
    save_tokenizer(tokenizer, folder, max_length)
    (folder / CONFIG_FILE).write_bytes(own)


def _loader(config: str) -> Any:
    """Return the loader that describes an architecture to CTranslate2, given the name of its configuration class."""
    from ctranslate2.converters import transformers as loaders

    base = loaders.BartLoader if config == "MarianConfig" else type(loaders._MODEL_LOADERS[config])

    class Loader(base):  # type: ignore[misc, valid-type]
        """CTranslate2's loader, adapted to transformers 5, which stores some settings elsewhere or not at all.

        Every translation begins with the same token as in transformers. Marian models use the loader of BART, because
        CTranslate2's own loader assumes a start token in the last row of the table with a vector of zeros. That is only
        true of models of the Marian project.
        """

        def get_model_spec(self, model: PreTrainedModel) -> Any:
            encoder = model.get_encoder()
            model.config.normalize_before = hasattr(encoder, "layer_norm")
            model.config.normalize_embedding = hasattr(encoder, "layernorm_embedding")
            spec = super().get_model_spec(model)
            if not getattr(model.config, "scale_decoder_outputs", model.config.model_type != "mt5"):
                spec.decoder.scale_outputs = 1.0  # in the T5 family only T5 and UMT5 with tied tables scale outputs
            return spec

        def get_vocabulary(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[str]:
            """Add a placeholder for each row of the table beyond the tokenizer's tokens; none is ever generated."""
            tokens: list[str] = super().get_vocabulary(model, tokenizer)[: model.config.vocab_size]
            return tokens + [f"madeupword{place}" for place in range(len(tokens), model.config.vocab_size)]

        def set_position_encodings(self, spec: Any, module: Any) -> None:
            super().set_position_encodings(spec, module)
            if hasattr(module, "weights"):  # computed positions begin after the padding token
                spec.encodings = module.weights[module.padding_idx + 1 :]

        def set_config(self, config: Any, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
            super().set_config(config, model, tokenizer)
            config.bos_token = config.bos_token or config.eos_token  # required by CTranslate2, but opus-mt has none
            start = settings_of(model).decoder_start_token_id
            config.decoder_start_token = tokenizer.convert_ids_to_tokens(start)

    return Loader()
