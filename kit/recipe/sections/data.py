"""The `data` section: examples, their columns and labels, and the labelled budget."""

from __future__ import annotations

import re
from enum import Enum
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PrivateAttr, ValidationInfo, field_validator, model_validator

from kit.recipe.section import NOT_IN_ID, InId, Name, Section

Scalar = str | int | float | bool
# Label names in data are often numbers, which recipes list without quotes.
LabelName = Annotated[str, Field(coerce_numbers_to_str=True)]

# Default of `data.validation`.
VALIDATION_SHARE, MAX_VALIDATION_EXAMPLES = 0.1, 500

# Locations and forms of the data: ids have the hash of the examples, cells of a study that of all data.
_BY_CONTENT = InId(unless=("examples", "data"))


class TargetKind(Enum):
    """Kind of targets that the label column of the data holds."""

    LABELS = "labels"
    NUMBERS = "numbers"
    REFERENCES = "references"


class DataSection(Section):
    """Examples, their columns and labels, and the labelled budget."""

    source: Annotated[Name | Annotated[list[Name], Field(min_length=1)], _BY_CONTENT]
    """Data set id on the Hub; path, glob or list of paths; folder with train and test files; `package:file` for a file
    inside an installed Python package; or `demo:ratings` or `demo:translation`, which need no download."""
    test: Annotated[Name | list[Name] | None, _BY_CONTENT] = None
    """File(s) with the test examples, in the same forms as `source`."""
    train_split: Name = "train"
    """Name of the training split, if the source has named splits."""
    test_split: Name = "test"
    """Name of the test split, if the source has named splits."""
    test_size: Annotated[float, Field(gt=0)] = 0.2
    """Size of the test split if the source has a single split: a share below 1, or a number of examples. The split is
    stratified and seeded."""
    split_seed: Annotated[int, Field(ge=0)] = 0
    """Seed of that split. It is independent of `train.seed`, so that every seed of a study has the same test
    examples."""
    config: Name | None = None
    """Configuration name of a Hub data set with several configurations."""
    revision: Annotated[Name | None, _BY_CONTENT] = None
    """Revision (branch, tag or commit) of a Hub data set."""
    header: Annotated[Literal["auto", "first", "none"] | Annotated[list[Name], Field(min_length=1)], _BY_CONTENT] = (
        "auto"
    )
    """Header of CSV and TSV files. `auto`: detect whether the file has a header, and stop if that is unclear. `first`:
    the first line is the header. `none`: the first line is an example, and the columns are named `column 1`,
    `column 2`. A list: column names of a file without a header."""
    separator: Annotated[Name | None, _BY_CONTENT] = None
    """Column separator of CSV and TSV files (`tab` for a tab); by default detected."""
    max_bytes: Annotated[Annotated[int, Field(ge=1)] | None, NOT_IN_ID] = None
    """Maximum unpacked size of a compressed file (.gz, Parquet); by default 1 GB, and at most 100 times the file
    size."""
    where: dict[str, Scalar] = {}
    """Keep only the rows in which each of these columns has this value."""
    languages: Annotated[list[Name], Field(min_length=2, max_length=2)] | None = None
    """Source and target language of parallel text, for task translation (`[en, de]`)."""
    text: Name | Annotated[list[Name], Field(min_length=1, max_length=2)] | None = None
    """Text column, or two columns for text pairs; by default guessed from the column names."""
    label: Name | Annotated[list[Name], Field(min_length=2)] | None = None
    """Column with the label, or with the translation; or a list of columns, one per label, with the values 0 and 1, so
    that an example can have several labels. By default guessed from column names and content."""
    labels: Annotated[list[LabelName], Field(min_length=2)] | None = None
    """Label names in order (lowest first for sentiment); by default the labels in the data, sorted. They also name the
    positions of 0/1 vectors."""
    label_map: dict[str, LabelName | None] = {}
    """New label names, for training and test data: `{old: new}`. Labels with the same new name are merged. null means
    no label: `{NA: null}`. With `normalise_labels`, an entry applies to every writing of the old name."""
    normalise_labels: bool = False
    """Merge labels that differ only in case, spaces, Unicode form, number format, invisible characters or quotes around
    them, in training and test data. The merged label has the name that is in `labels`, or the most frequent name."""
    multi_label: bool = False
    """Allow several labels or none per example: a list, or a string that is split at `label_separator`."""
    label_separator: Name | None = None
    """Separator between the labels of an example in a multi-label text file; by default detected."""
    budget: Annotated[Annotated[int, Field(ge=2)] | None, InId(unless=("examples", "budget"))] = None
    """Number of labelled examples that the run may use, validation examples included; by default all."""
    sampling: Literal["proportional", "balanced"] = "proportional"
    """Classes in the budget: in the proportions of the data, or equally many examples per class as far as the data has
    them."""
    validation: Annotated[Annotated[float, Field(ge=0, lt=0.9)] | None, InId(unless=("examples",))] = None
    """Share of the budget that is held out of training for selection and diagnosis; by default a tenth, and at most 500
    examples, because further labels are worth more in training."""
    max_length: Annotated[int, Field(ge=4, le=8192)] = 128
    """Maximum text length in tokens. Longer texts are truncated, and the share of truncated texts is reported."""

    @property
    def language_pair(self) -> tuple[str, str]:
        """Source and target language of parallel text."""
        assert self.languages is not None
        return self.languages[0], self.languages[1]

    _targets: TargetKind | None = PrivateAttr(None)

    @property
    def targets(self) -> TargetKind:
        """Kind of targets in the label column: that of the recipe's task."""
        return self._targets or (TargetKind.LABELS if self.languages is None else TargetKind.REFERENCES)

    def with_targets(self, targets: TargetKind) -> Self:
        """Return the section for a task with this kind of targets."""
        section = self.model_copy()
        section._targets = targets
        return section

    @property
    def label_columns(self) -> tuple[str, ...]:
        """Label columns that the recipe names; empty if they are guessed from the data."""
        return (self.label,) if isinstance(self.label, str) else tuple(self.label or ())

    @model_validator(mode="before")
    @classmethod
    def _multi_label_of_columns(cls, content: Any) -> Any:
        """Set `multi_label` for one column per label."""
        if isinstance(content, dict) and isinstance(content.get("label"), list) and "multi_label" not in content:
            return {**content, "multi_label": True}
        return content

    @field_validator("label", "labels", "header")
    @classmethod
    def _distinct(cls, names: str | list[str] | None, field: ValidationInfo) -> str | list[str] | None:
        if isinstance(names, list) and len(set(names)) != len(names):
            kinds = {"label": "columns", "labels": "label names", "header": "column names"}
            raise ValueError(f"{kinds[str(field.field_name)]} must be distinct")
        return names

    @field_validator("label", "labels", mode="before")
    @classmethod
    def _several_names(cls, names: object, field: ValidationInfo) -> object:
        if isinstance(names, (list, tuple)) and len(names) == 1:
            if field.field_name == "label":
                raise ValueError(f"a list is for one 0/1 column per label; write a single column as label: {names[0]}")
            raise ValueError(
                "a single label that is present or absent is a task with the two labels 0 and 1: leave data.labels and "
                "data.multi_label out"
            )
        return names

    @field_validator("label_map")
    @classmethod
    def _new_names(cls, label_map: dict[str, str | None]) -> dict[str, str | None]:
        empty = [old for old, new in label_map.items() if new is not None and not new.strip()]
        if empty:
            raise ValueError(f"the new name of {empty[0]!r} is empty: write a name, or null for no label")
        return label_map

    @field_validator("label_separator")
    @classmethod
    def _with_escapes(cls, separator: str | None) -> str | None:
        return {"tab": "\t", "\\t": "\t", "\\n": "\n"}.get(separator or "", separator)

    @field_validator("separator")
    @classmethod
    def _one_character(cls, separator: str | None) -> str | None:
        separator = {"tab": "\t", "\\t": "\t"}.get(separator or "", separator)
        if separator is not None and (len(separator) != 1 or separator in '"\r\n'):
            raise ValueError(f"a separator is a single character other than a quote or a line break, got {separator!r}")
        return separator

    @field_validator("languages")
    @classmethod
    def _language_names(cls, languages: list[str] | None) -> list[str] | None:
        for name in languages or []:
            if not re.fullmatch(r"[A-Za-z]{2,}([-_][A-Za-z0-9]+)*", name):
                raise ValueError(f"{name!r} is not a language code or name such as en, pt-BR, zh_Hans or english")
        return languages

    @field_validator("test_size")
    @classmethod
    def _share_or_count(cls, size: float) -> float:
        if size > 1 and size != int(size):
            raise ValueError(f"a count of test examples must be a whole number, got {size:g}")
        return size
