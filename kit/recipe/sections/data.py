"""The `data` section: examples, their columns and labels, and the labelled budget."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from kit.recipe.section import Name, Section

Scalar = str | int | float | bool
# Label names in data are often numbers, and nobody puts those in quotes.
LabelName = Annotated[str, Field(coerce_numbers_to_str=True)]

# Held out unless `data.validation` says otherwise: this share of the budget, and no more examples than this.
VALIDATION_SHARE, MAX_VALIDATION_EXAMPLES = 0.1, 500


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
    label_map: dict[str, LabelName] = {}
    """New names of labels, for training and test data: `{old: new}`. Two labels with the same new name are one."""
    normalise_labels: bool = False
    """Read labels that differ only in case, spaces, Unicode form, number format or invisible characters as one label,
    in training and test data; its name is the one in `labels`, or the most frequent."""
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
