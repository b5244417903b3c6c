"""Commands about recipes, which train nothing."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Annotated

import typer

from kit.cli.errors import located, options_for_keys
from kit.cli.options import Overrides, RecipePath
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
    test: Annotated[
        list[str] | None,
        typer.Option("--test", help="File(s) with test examples; split off from --train if absent. Repeatable."),
    ] = None,
    text: Annotated[
        list[str] | None,
        typer.Option("--text", help="Column with the text; twice for text pairs. Detected if absent."),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(
            "--label", help="Column with the label; several for one 0/1 column per label. Detected if absent."
        ),
    ] = None,
    multi_label: Annotated[
        bool, typer.Option("--multi-label", help="An example can have several labels, or none.")
    ] = False,
    label_separator: Annotated[
        str | None,
        typer.Option(
            "--label-separator",
            metavar="MARK",
            help="Separator of labels in one cell. Detected if absent.",
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option("--labels", metavar="A,B,...", help="Label names in order, for 0/1 vectors or ordered labels."),
    ] = None,
    languages: Annotated[
        str | None,
        typer.Option("--languages", metavar="FROM,TO", help="Languages, if the examples are translations, e.g. en,de."),
    ] = None,
    task: Annotated[str | None, typer.Option("--task", help="Task of the recipe. Detected if absent.")] = None,
    header: Annotated[
        str,
        typer.Option("--header", help="Header of CSV or TSV files: first (line), none, or column names: text,label."),
    ] = "auto",
    no_header: Annotated[bool, typer.Option("--no-header", help="The same as --header none.")] = False,
    separator: Annotated[
        str | None, typer.Option("--separator", help="Character between columns (tab for a tab). Detected if absent.")
    ] = None,
    max_bytes: Annotated[
        int | None, typer.Option("--max-bytes", help="Size that a compressed file may unpack to; 1 GB by default.")
    ] = None,
    checkpoint: Annotated[str | None, typer.Option("--checkpoint", help="Pretrained weights to start from.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing recipe.")] = False,
) -> None:
    """Write a recipe for your own data."""
    from kit.data.label_words import in_line
    from kit.recipe.setting import with_options
    from kit.workflows.new import new as new_recipe

    if no_header and header not in ("auto", "none"):
        raise RecipeError(f"--no-header contradicts --header {header}", "use one of them")
    with options_for_keys(OPTION_OF_KEY):
        recipe = new_recipe(
            path,
            train,
            test or [],
            text=text,
            label=label,
            multi_label=multi_label or label_separator is not None,
            label_separator=label_separator,
            labels=None if labels is None else _names(labels),
            languages=None if languages is None else [name.strip() for name in languages.split(",")],
            task=task,
            header=_header("none" if no_header else header),
            separator=separator,
            max_bytes=max_bytes,
            checkpoint=checkpoint,
            force=force,
            warn=lambda note: echo(f"data: {with_options(note, OPTION_OF_KEY)}"),
        )
    columns = f"text {recipe.data.text}, label {in_line(recipe.data.label_columns)}"
    echo(f"wrote {path}: {columns if languages is None else f'translations, {languages}'}")
    echo(f"next: kit check {path}")


def _header(value: str) -> str | list[str]:
    """Return the value of `data.header` for a `--header` option."""
    return value if value in ("auto", "first", "none") else _names(value)


def _names(text: str) -> list[str]:
    """Return comma-separated names; quotes keep a comma inside a name."""
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
