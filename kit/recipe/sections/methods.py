"""Names of the methods, and the sections that a single method has: `lora`, `probe` and `tfidf`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from kit.recipe.section import Name, Section

MethodName = Literal["finetune", "lora", "probe", "scratch", "tfidf", "distill", "student"]


class LoraSection(Section):
    """Low-rank adapters (Hu et al. 2021, arXiv:2106.09685), used when `method` is lora."""

    r: Annotated[int, Field(ge=1)] = 16
    """Rank of the update matrices."""
    alpha: Annotated[float, Field(gt=0)] = 32
    """The update is scaled by alpha / r."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout on the adapter's input."""
    targets: list[Name] | Name = "all-linear"
    """Names of the modules that get an adapter."""
    load: Literal["float32", "int8", "nf4"] = "float32"
    """How the frozen weights are held while adapters are trained: in 8 or 4 bits (by bitsandbytes) they take a quarter
    or an eighth of the memory (QLoRA, Dettmers et al. 2023, arXiv:2305.14314). The adapters are merged into the weights
    as they were before rounding."""


class LinearSection(Section):
    """Regularisation of a logistic regression."""

    C: Annotated[float, Field(gt=0)] | None = None
    """Inverse regularisation strength; by default chosen on the validation examples."""


class ProbeSection(LinearSection):
    """Logistic regression on frozen embeddings, used when `method` is probe and for `train.head: probe`."""


class TfidfSection(LinearSection):
    """TF-IDF and logistic regression, used when `method` is tfidf."""

    later_keys = {"analyzer": ("auto", "word")}

    analyzer: Literal["auto", "word", "mixed", "char"] = "auto"
    """What is counted: `word`; `mixed`, words where spaces separate them, and runs of up to three characters in scripts
    without spaces (Chinese, Japanese, Thai, ...) and emoji; `char`, runs of up to four characters within words. `auto`
    takes `mixed` where the training texts have words that no spaces separate, and `word` otherwise."""
    ngrams: Annotated[int, Field(ge=1, le=5)] = 2
    """Longest run of words that is a feature."""
    max_features: Annotated[int, Field(ge=10)] = 200_000
    """Most frequent features to keep."""
