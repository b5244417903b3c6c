"""The sections of single methods, `lora`, `probe` and `tfidf`, and the names of all methods."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field

from kit.recipe.section import Name, Section

MethodName = Literal["finetune", "lora", "probe", "scratch", "tfidf", "distill", "student"]
METHODS: tuple[MethodName, ...] = get_args(MethodName)
ENCODER_METHODS = METHODS
NEURAL_METHODS = tuple(method for method in METHODS if method != "tfidf")
TRAINED_METHODS = tuple(method for method in NEURAL_METHODS if method != "probe")  # by gradient steps


class LoraSection(Section):
    """Low-rank adapters (Hu et al. 2021, arXiv:2106.09685), for method lora."""

    r: Annotated[int, Field(ge=1)] = 16
    """Rank of the update matrices."""
    alpha: Annotated[float, Field(gt=0)] = 32
    """Scale of the update, which is multiplied by alpha / r."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout on the input of the adapters."""
    targets: list[Name] | Name = "all-linear"
    """Names of the modules that get an adapter."""
    load: Literal["float32", "int8", "nf4"] = "float32"
    """Precision of the frozen weights while adapters are trained. 8 and 4 bits (bitsandbytes) take a quarter and an
    eighth of the memory (QLoRA, Dettmers et al. 2023, arXiv:2305.14314). The adapters are merged into the unquantized
    weights."""


class LinearSection(Section):
    """Regularization of a linear model."""

    C: Annotated[float, Field(gt=0)] | None = None
    """Inverse regularization strength; by default chosen on the validation examples."""


class ProbeSection(LinearSection):
    """Linear model (logistic regression, or ridge regression for numbers) on frozen embeddings.

    For method probe and for `train.head: probe`.
    """


class TfidfSection(LinearSection):
    """TF-IDF and a linear model (logistic regression, or ridge regression for numbers), for method tfidf."""

    analyzer: Literal["auto", "word", "mixed", "char"] = "auto"
    """Features. `word`: words. `mixed`: words, and sequences of up to three characters for emoji and for scripts
    without spaces (Chinese, Japanese, Thai, ...). `char`: sequences of up to four characters within words. `auto`:
    `mixed` if the training texts have words that no spaces separate, otherwise `word`."""
    ngrams: Annotated[int, Field(ge=1, le=5)] = 2
    """Maximum number of words in a feature."""
    max_features: Annotated[int, Field(ge=10)] = 200_000
    """Maximum number of features; the most frequent ones are kept."""
