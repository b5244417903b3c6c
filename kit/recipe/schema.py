"""The recipe: everything a user can ask for, with its defaults; what depends on data or method is in `resolve.py`.

Knows types, ranges and defaults. Knows nothing of YAML, files or libraries: `load.py` reads YAML into
this schema and turns its complaints into errors with file and line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, StringConstraints, ValidationInfo, field_validator, model_validator

from kit.recipe.compressing import CompressSection
from kit.recipe.distilling import DistillSection
from kit.recipe.draft import Draft
from kit.recipe.section import Name, Section, refuse
from kit.recipe.training import TrainSection
from kit.recipe.translating import SCORES, TRANSLATING, TranslationSection

TaskName = Literal["classification", "sentiment", "translation"]
MethodName = Literal["finetune", "lora", "probe", "scratch", "tfidf", "distill", "student"]
MetricName = Literal["accuracy", "macro_f1", "mcc", "exact_match", "bleu", "chrf"]
Scalar = str | int | float | bool
# Label names in data are often numbers, and nobody puts those in quotes.
LabelName = Annotated[str, Field(coerce_numbers_to_str=True)]

_Seed = Annotated[int, Field(ge=0, lt=2**32)]  # as `train.seed`

# Held out unless `data.validation` says otherwise: this share of the budget, and no more examples than this.
VALIDATION_SHARE, VALIDATION_MOST = 0.1, 500


class DataSection(Section):
    """Which examples there are, and how many labels may be looked at."""

    source: Name | Annotated[list[Name], Field(min_length=1)]
    """A data set id on the Hub, a path, glob or list of paths, a folder with train/test files, or
    `package:file` for a file inside an installed Python package."""
    test: Name | list[Name] | None = None
    """File(s) that hold the test examples, in the same forms as `source`."""
    train_split: Name = "train"
    """Name of the split that labels are bought from, where the source has named splits."""
    test_split: Name = "test"
    """Name of the split to test on, where the source has named splits."""
    test_size: Annotated[float, Field(gt=0)] = 0.2
    """Test examples split off (stratified, seeded) where the source has a single split: a share below 1, or
    a count."""
    split_seed: Annotated[int, Field(ge=0)] = 0
    """Seed of that split. It is not `train.seed`: every seed of a study meets the same test examples."""
    config: Name | None = None
    """Configuration name of a Hub data set that has several."""
    revision: Name | None = None
    """Revision (branch, tag or commit) of a Hub data set."""
    header: Literal["auto", "first", "none"] | Annotated[list[Name], Field(min_length=1)] = "auto"
    """Header of CSV and TSV files. `auto` detects whether there is one, and asks where that is unclear. `first`: the
    first line is the header. `none`: the first line is an example, and columns are named `column 1`, `column 2`. A
    list: the names of the columns of a file without a header."""
    separator: Name | None = None
    """Character between the columns of CSV and TSV files (`tab` for a tab). Detected if absent."""
    max_bytes: Annotated[int, Field(ge=1)] | None = None
    """Size that a compressed file (.gz, Parquet) may unpack to; by default 1 GB, and 100 times the size of the file."""
    where: dict[str, Scalar] = {}
    """Keep only the rows in which each of these columns has this value."""
    languages: Annotated[list[Name], Field(min_length=2, max_length=2)] | None = None
    """Source and target language of parallel text, for task translation (`[en, de]`)."""
    text: Name | Annotated[list[Name], Field(min_length=1, max_length=2)] | None = None
    """Column with the text, or two columns for text pairs. Guessed from the column names if absent."""
    label: Name | Annotated[list[Name], Field(min_length=2)] | None = None
    """Column with the label, or with the translation; or a list of columns, one per label, that hold 0 or 1 (then an
    example can have several labels). Guessed from names and content if absent."""
    labels: Annotated[list[LabelName], Field(min_length=2)] | None = None
    """Label names in order (lowest first for sentiment); by default those in the data, sorted. They name the places of
    0/1 vectors."""
    label_map: dict[str, LabelName | None] = {}
    """New names of labels, for training and test data: `{old: new}`. Two labels with the same new name are one. null
    means no label: `{NA: null}`. With `normalise_labels`, an entry is for every writing of the old name."""
    normalise_labels: bool = False
    """Read labels that differ only in case, spaces, Unicode form, number format, invisible characters or quotes around
    them as one label, in training and test data; its name is the one in `labels`, or the most frequent."""
    multi_label: bool = False
    """An example can have several labels or none: a list, or a string split at `label_separator`."""
    label_separator: Name | None = None
    """What separates the labels of one example in a multi-label text file; found from the data if absent."""
    budget: Annotated[int, Field(ge=2)] | None = None
    """Labelled examples the run may look at, validation included. All, if absent."""
    sampling: Literal["proportional", "balanced"] = "proportional"
    """Classes in the budget: in the proportions of the data, or as many of each as there are to be had."""
    validation: Annotated[float, Field(ge=0, lt=0.9)] | None = None
    """Share of the budget that is kept out of training to select and to diagnose on; by default a tenth, but no more
    than 500 examples, since a label is worth more in training."""
    max_length: Annotated[int, Field(ge=4, le=8192)] = 128
    """Longest text in tokens; longer ones are cut, and the share of those is reported."""

    later_keys: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "header": ("auto",),
        "separator": (None,),
        "max_bytes": (None,),
        "label_map": ({},),
        "normalise_labels": (False,),
    }

    @property
    def language_pair(self) -> tuple[str, str]:
        """Of source and target. Only parallel text has one."""
        assert self.languages is not None
        return self.languages[0], self.languages[1]

    @property
    def label_columns(self) -> tuple[str, ...]:
        """Columns that the recipe names for the label; empty if they are to be guessed."""
        return (self.label,) if isinstance(self.label, str) else tuple(self.label or ())

    @field_validator("label_map")
    @classmethod
    def _new_names(cls, label_map: dict[str, str | None]) -> dict[str, str | None]:
        empty = [old for old, new in label_map.items() if new is not None and not new.strip()]
        if empty:
            raise ValueError(f"the new name of {empty[0]!r} is empty: write a name, or null for no label")
        return label_map

    @model_validator(mode="before")
    @classmethod
    def _several_columns(cls, content: Any) -> Any:
        """One column per label means that an example can have several."""
        if isinstance(content, dict) and isinstance(content.get("label"), list) and "multi_label" not in content:
            return {**content, "multi_label": True}
        return content

    @field_validator("label")
    @classmethod
    def _distinct_label_columns(cls, label: str | list[str] | None) -> str | list[str] | None:
        if isinstance(label, list) and len(set(label)) != len(label):
            raise ValueError("columns must be distinct")
        return label

    @field_validator("labels")
    @classmethod
    def _distinct(cls, labels: list[str] | None) -> list[str] | None:
        if labels is not None and len(set(labels)) != len(labels):
            raise ValueError("label names must be distinct")
        return labels

    @field_validator("header")
    @classmethod
    def _distinct_columns(cls, header: str | list[str]) -> str | list[str]:
        if isinstance(header, list) and len(set(header)) != len(header):
            raise ValueError("names of columns must be distinct")
        return header

    @field_validator("label", "labels", mode="before")
    @classmethod
    def _several_names(cls, names: object, field: ValidationInfo) -> object:
        if isinstance(names, (list, tuple)) and len(names) == 1:
            if field.field_name == "label":
                raise ValueError(f"a list is for one 0/1 column per label; write a single column as label: {names[0]}")
            raise ValueError(
                "one label that holds or not is a task with the two labels 0 and 1: leave data.labels and "
                "data.multi_label out"
            )
        return names

    @field_validator("label_separator")
    @classmethod
    def _with_escapes(cls, separator: str | None) -> str | None:
        return {"tab": "\t", "\\t": "\t", "\\n": "\n"}.get(separator or "", separator)

    @field_validator("separator")
    @classmethod
    def _one_character(cls, separator: str | None) -> str | None:
        separator = {"tab": "\t", "\\t": "\t"}.get(separator or "", separator)
        if separator is not None and (len(separator) != 1 or separator in '"\r\n'):
            raise ValueError(f"a separator is one character, and not a quote or a line end; got {separator!r}")
        return separator

    @field_validator("languages")
    @classmethod
    def _named(cls, languages: list[str] | None) -> list[str] | None:
        for name in languages or []:
            if not re.fullmatch(r"[A-Za-z]{2,}([-_][A-Za-z0-9]+)*", name):
                raise ValueError(f"{name!r} is no language as data sets call them: en, pt-BR, zh_Hans, english")
        return languages

    @field_validator("test_size")
    @classmethod
    def _share_or_count(cls, size: float) -> float:
        if size > 1 and size != int(size):
            raise ValueError(f"a count of test examples must be a whole number, got {size:g}")
        return size


class ModelSection(Section):
    """Which pretrained weights to start from."""

    checkpoint: Name | None = None
    """A model id on the Hub, a local folder, or `package:folder` inside an installed Python package."""
    revision: Name | None = None
    """Revision (branch, tag or commit) of a Hub checkpoint."""
    pooling: Literal["auto", "mean", "cls", "native"] = "auto"
    """How token vectors become one text vector: `auto` takes what the checkpoint declares, and the
    architecture's own classification head (`native`) where it declares nothing."""
    allow_pickle: bool = False
    """Accept weights in pickle files, which can run code when they are loaded."""
    trust_remote_code: bool = False
    """Run a checkpoint's own Python files where transformers lacks its classes: read them first, and pin `revision`."""


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


# Compared unless a study says otherwise: all but `student`, which is the control of `kit distill`.
_COMPARED: tuple[MethodName, ...] = ("finetune", "lora", "probe", "scratch", "tfidf", "distill")


class StudySection(Section):
    """The grid of `kit study`: checkpoints x methods x budgets x seeds."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] | None = None
    """Name of the study's folder in `runs`; by default `study-` and the name of the recipe file."""
    checkpoints: Annotated[list[Name], Field(min_length=1)] | None = None
    """Pretrained weights to compare; by default `model.checkpoint` alone."""
    methods: Annotated[list[MethodName], Field(min_length=1)] = list(_COMPARED)
    """Methods to compare; of those named by default, translation leaves out what cannot translate. The keys of `train`
    whose defaults depend on the method (learning_rate, epochs, head, contrastive, dropout, freeze_embeddings, average)
    hold for the recipe's own method; the others keep their defaults."""
    budgets: Annotated[list[Annotated[int, Field(ge=2)] | Literal["all"]], Field(min_length=1)] | None = None
    """Labelled examples, or `all`; by default five budgets that double up to `data.budget`."""
    seeds: Annotated[int, Field(ge=1)] | Annotated[list[_Seed], Field(min_length=1)] | None = None
    """How many seeds (0, 1, ...) each cell gets, or which; by default 10 at budgets up to 64, 5 above."""
    keep_models: bool = True
    """Keep the weights of every cell, which a large grid may have no room for."""
    gpus: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of a GPU that a cell needs on a Ray cluster; by default a quarter, a half or all of one, by its weights."""
    max_minutes: Annotated[float, Field(gt=0)] | None = None
    """Start no cell after this time. Cells are run seed by seed, so what is there by then is a whole, coarser study;
    the next start continues."""


class Recipe(Section):
    """One run: the task, the data, the model and how it is trained."""

    task: TaskName
    """What is learnt: classification, sentiment (classification with ordered labels) or translation."""
    method: MethodName = "finetune"
    """How it is learnt."""
    metric: MetricName | None = None
    """The main metric; by default accuracy, for multi-label macro_f1, for translation bleu."""
    runs: Name = "runs"
    """Folder that Records are written to."""
    data: DataSection
    model: ModelSection = ModelSection()
    train: TrainSection = TrainSection()
    lora: LoraSection = LoraSection()
    probe: ProbeSection = ProbeSection()
    tfidf: TfidfSection = TfidfSection()
    distill: DistillSection = DistillSection()
    compress: CompressSection = CompressSection()
    translation: TranslationSection = TranslationSection()
    study: StudySection = StudySection()

    @classmethod
    def load(cls, path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
        """Return the recipe in a YAML file, with `key=value` overrides applied; both are validated together.

        Args:
            path: YAML file.
            overrides: Such as `train.epochs=2` or `data.text=[premise, hypothesis]`. The values are YAML; the last
                override of a key counts.

        Raises:
            RecipeError: With every problem: file and line (or override), key and nearest valid key.
        """
        return Draft.from_file(cls, Path(path), overrides).validated()

    @property
    def main_metric(self) -> str:
        """Name of the metric that runs are compared by."""
        if self.task == "translation":
            return self.metric or "bleu"
        return self.metric or ("macro_f1" if self.data.multi_label else "accuracy")

    def request(self) -> dict[str, Any]:
        """The parts of a resolved recipe that decide the result, as plain data: what a Record's id is made from.

        Sections of other methods, where Records go and who is told about progress are left out.
        """
        foreign = {"lora", "tfidf"} - {self.method}
        if self.method not in ("distill", "student"):
            foreign.add("distill")
        if self.method == "tfidf":
            foreign |= {"model", "train", "probe"}
        content = self.model_dump(mode="json", exclude={"runs", "study", "compress"} | foreign)
        content = self.without_later_keys(content)
        content["seed"] = self.train.seed
        content["data"]["label_separator"] = self.data.label_separator or ","  # the default of older Records
        if self.task != "translation":  # which older Records know nothing of
            del content["translation"], content["data"]["languages"]
            if "distill" in content:
                del content["distill"]["losses"]["sequence"]
        if "train" in content:
            del content["train"]["report_to"], content["train"]["checkpoint_seconds"]
            if content["train"]["average"] in (None, 1):  # which older Records know nothing of
                del content["train"]["average"]
            if not content["train"]["padding_free"]:
                del content["train"]["padding_free"]
        if self.method == "student":  # of the rest, only how long it trains depends on it: `train.epochs` says that
            content["distill"] = {"student": content["distill"]["student"]}
        if self.method == "probe":  # nothing is trained by gradients
            content["train"] = {"label_names": self.train.label_names}
        return content

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        """Raise ValueError with one line per contradiction between keys."""
        of_task = _contradictions_of_translation if self.task == "translation" else _contradictions_of_labels
        refuse(of_task(self) | _contradictions(self))
        return self

    @property
    def _needs_checkpoint(self) -> bool:
        """True unless training starts from something else than `model.checkpoint`."""
        if self.method == "distill":
            return self.distill.teacher is None
        if self.method == "student":
            return self.distill.student.checkpoint is None
        return self.method != "tfidf" and (self.method, self.task) != ("scratch", "translation")


def _contradictions(recipe: Recipe) -> dict[str, bool]:
    """Return messages about keys that contradict each other for any task, each with whether it applies."""
    data, model, train = recipe.data, recipe.model, recipe.train
    average = train.average or 1
    return {
        f"model.checkpoint is required for method {recipe.method}": (
            model.checkpoint is None and recipe._needs_checkpoint
        ),
        "data.label: several columns need data.multi_label: true": (
            isinstance(data.label, list) and not data.multi_label
        ),
        "train.accumulation cannot exceed train.batch_size": (
            train.batch_size is not None and train.accumulation > train.batch_size
        ),
        "train.average: the mean of the last weights is none of them; use train.select: last": (
            average > 1 and train.select == "best"
        ),
        f"train.average: training pauses {train.evaluations} times; raise train.evaluations": (
            average > train.evaluations
        ),
        "train.refit: true keeps no validation examples to select the best weights on; use train.select: last": (
            bool(train.refit) and train.select == "best"
        ),
        "train.padding_free: distill.losses of tokens look at texts with what fills them up; leave it out": (
            train.padding_free and recipe.method == "distill" and bool(recipe.distill.losses.of_tokens)
        ),
        "model.pooling: native has no text vectors for method probe; use mean or cls": (
            recipe.method == "probe" and model.pooling == "native"
        ),
        "train.head: probe needs model.pooling auto, mean or cls: a native head has no such start": (
            train.head == "probe" and model.pooling == "native"
        ),
    }


def _contradictions_of_labels(recipe: Recipe) -> dict[str, bool]:
    """Return messages about keys that contradict classification, each with whether it applies."""
    metric, multi_label = recipe.metric, recipe.data.multi_label
    return {
        "data.languages: only task translation has them": recipe.data.languages is not None,
        f"metric {metric} is for task translation": metric in SCORES,
        "distill.losses.sequence: only a translator writes; use logits": recipe.distill.losses.sequence is not None,
        "metric exact_match is for data.multi_label; accuracy is the same for one label": (
            metric == "exact_match" and not multi_label
        ),
        f"metric {metric} is for one label an example; use macro_f1 or exact_match": (
            metric in ("accuracy", "mcc") and multi_label
        ),
        "task: sentiment has one label an example; use task: classification": (
            multi_label and recipe.task == "sentiment"
        ),
    }


def _contradictions_of_translation(recipe: Recipe) -> dict[str, bool]:
    """Return messages about keys that contradict translation, each with whether it applies."""
    data, train, metric = recipe.data, recipe.train, recipe.metric
    losses = recipe.distill.losses
    untaught = (["mse"] if losses.mse else []) + losses.of_tokens
    return {
        "task: translation needs data.languages, source and target ([en, de])": data.languages is None,
        f"metric {metric} is of labels; translations have bleu and chrf": metric not in (None, *SCORES),
        f"method {recipe.method} cannot translate; {', '.join(TRANSLATING)} can": recipe.method not in TRANSLATING,
        "data.multi_label: a translation is no label": data.multi_label,
        "data.labels: a translation is no label": data.labels is not None,
        "data.sampling: translations have no classes to balance": data.sampling == "balanced",
        "train.refit: a translator is trained once; leave it out": bool(train.refit),
        "lora.load: of a translator only float32; leave it out": recipe.lora.load != "float32",
        "distill.losses: a translator learns what its teacher writes (sequence, logits) and references (labels): not "
        f"{', '.join(untaught)}": bool(untaught),
        "distill.losses: the student must learn something of the teacher's; give a weight to sequence or logits": (
            losses.sequence == 0 and not losses.logits
        ),
        "distill.temperature is for distill.losses.logits, which has no weight": (
            recipe.distill.temperature is not None and not losses.logits
        ),
        "model.pooling: a translator does not pool; leave it out": recipe.model.pooling not in ("auto", "native"),
        "train.head: probe is of classification; leave it out": train.head == "probe",
        "compress.steps: a translator cannot learn its rounding; leave aware out": any(
            getattr(step, "aware", 0.0) for step in recipe.compress.steps
        ),
        "compress.steps: calibration: static is of classifiers; leave it out": any(
            getattr(step, "calibration", "") == "static" for step in recipe.compress.steps
        ),
        "compress.gate.worst_class: a translation has no classes; leave it out": (
            recipe.compress.gate.worst_class is not None
        ),
        "train.padding_free: it is for encoders alone; leave it out": train.padding_free,
        "train.contrastive: it compares labels; leave it out": bool(train.contrastive),
    }
