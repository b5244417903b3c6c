"""Commands about recipes, which train nothing."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Annotated

import typer

from kit.cli.errors import located, options_for_keys
from kit.cli.options import (
    Checkpoint,
    Header,
    LabelColumns,
    LabelNames,
    LabelSeparator,
    Languages,
    MaxBytes,
    MultiLabel,
    NoHeader,
    Overrides,
    RecipePath,
    Separator,
    TaskName,
    TestFiles,
    TextColumns,
)
from kit.cli.tables import print_table
from kit.errors import RecipeError
from kit.runtime.console import echo, echo_json
from kit.runtime.quiet_libraries import quiet_libraries

# Options of `kit new` for the keys of the recipe that it writes.
OPTION_OF_KEY = {
    "task": "--task",
    "data.source": "--train",
    "data.test": "--test",
    "data.text": "--text",
    "data.label": "--label",
    "data.multi_label": "--multi-label",
    "data.label_separator": "--label-separator",
    "data.labels": "--labels",
    "data.languages": "--languages",
    "data.header": "--header",
    "data.separator": "--separator",
    "data.max_bytes": "--max-bytes",
    "model.checkpoint": "--checkpoint",
}


def new(  # noqa: PLR0913, PLR0917
    path: Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe file to write.")],
    train: Annotated[list[str], typer.Option("--train", help="File(s) with labelled examples. Repeatable.")],
    test: TestFiles = None,
    text: TextColumns = None,
    label: LabelColumns = None,
    multi_label: MultiLabel = False,
    label_separator: LabelSeparator = None,
    labels: LabelNames = None,
    languages: Languages = None,
    task: TaskName = None,
    header: Header = "auto",
    no_header: NoHeader = False,
    separator: Separator = None,
    max_bytes: MaxBytes = None,
    checkpoint: Checkpoint = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing recipe.")] = False,
) -> None:
    """Write a recipe for your own data."""
    from kit.data.label_words import in_line
    from kit.recipe.setting import with_options
    from kit.workflows.new import new as new_recipe

    with options_for_keys(OPTION_OF_KEY):
        recipe = new_recipe(
            path,
            train,
            test or [],
            force=force,
            warn=lambda note: echo(f"data: {with_options(note, OPTION_OF_KEY)}"),
            text=text,
            label=label,
            multi_label=multi_label or label_separator is not None,
            label_separator=label_separator,
            labels=names_in(labels),
            languages=names_in(languages),
            task=task,
            header=header_of(header, no_header),
            separator=separator,
            max_bytes=max_bytes,
            checkpoint=checkpoint,
        )
    columns = f"text {recipe.data.text}, label {in_line(recipe.data.label_columns)}"
    echo(f"wrote {path}: {columns if languages is None else f'translations, {languages}'}")
    echo(f"next: kit check {path}")


def header_of(header: str, no_header: bool) -> str | list[str]:
    """Return the value of `data.header` for --header and --no-header.

    Raises RecipeError if they contradict each other.
    """
    if no_header and header not in ("auto", "none"):
        raise RecipeError(f"--no-header contradicts --header {header}", "use one of them")
    if no_header:
        return "none"
    return header if header in ("auto", "first", "none") else names_in(header) or []


def names_in(text: str | None) -> list[str] | None:
    """Return comma-separated names, where quotes keep a comma inside a name; None for no text."""
    if text is None:
        return None
    return [name.strip() for name in next(csv.reader([text], skipinitialspace=True), [])]


def check(recipe: RecipePath, overrides: Overrides = None) -> None:
    """Validate a recipe and preview its run, without training."""
    from kit.recipe import load_recipe

    loaded = load_recipe(recipe, overrides or [])
    quiet_libraries()
    from kit.workflows.check import check as preview

    with located(recipe, overrides):
        plan = preview(loaded)
    print_table(["plan", str(recipe)], plan.rows)
    for warning in plan.warnings:
        echo(f"data: {warning}")


def schema() -> None:
    """Print the JSON Schema of recipes, for completion in editors."""
    from kit.recipe.load import recipe_schema

    echo_json(recipe_schema(), indent=2)
