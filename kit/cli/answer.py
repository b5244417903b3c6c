"""Command that answers from a data file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kit.cli.errors import located, options_for_keys
from kit.cli.options import (
    AsJson,
    Checkpoint,
    Engine,
    EngineOption,
    Header,
    LabelColumns,
    LabelCost,
    LabelNames,
    LabelSeparator,
    MaxBytes,
    MaxLatencyMs,
    MaxSizeMb,
    MetricTarget,
    MultiLabel,
    NoHeader,
    Separator,
    TaskName,
    TestFiles,
    TextColumns,
    Workers,
)
from kit.cli.recipes import OPTION_OF_KEY, header_of, names_in
from kit.cli.study_output import print_by_labels
from kit.runtime.console import echo, echo_json
from kit.runtime.quiet_libraries import quiet_libraries

if TYPE_CHECKING:
    from kit.workflows.answer import Answer

_OPTION_OF_KEY = OPTION_OF_KEY | {"data.source": "FILE"}


def answer(  # noqa: PLR0913, PLR0917
    file: Annotated[list[str], typer.Argument(metavar="FILE", help="File(s) with labelled examples, or a recipe.")],
    target: MetricTarget = None,
    max_latency_ms: MaxLatencyMs = None,
    max_size_mb: MaxSizeMb = None,
    label_cost: LabelCost = None,
    minutes: Annotated[float, typer.Option("--minutes", help="Time after which no training starts.")] = 30.0,
    recipe: Annotated[
        Path | None,
        typer.Option("--recipe", metavar="RECIPE", help="Recipe to write or to use. Default: NAME.yaml for NAME.csv."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Plan again and replace the recipe. Finished runs are kept.")
    ] = False,
    test: TestFiles = None,
    text: TextColumns = None,
    label: LabelColumns = None,
    multi_label: MultiLabel = False,
    label_separator: LabelSeparator = None,
    labels: LabelNames = None,
    task: TaskName = None,
    header: Header = "auto",
    no_header: NoHeader = False,
    separator: Separator = None,
    max_bytes: MaxBytes = None,
    checkpoint: Checkpoint = None,
    engine: Engine = EngineOption.local,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Choose a model and a number of labels for your data, in the time there is.

    Writes a recipe, compares models in a study, and prints the choice, how sure it is and what it costs. Starting it
    again continues. Exit code 1 if nothing meets the target and the limits.
    """
    quiet_libraries()
    from kit.recipe.setting import with_options
    from kit.workflows.answer import answer as run

    with _placed(file, recipe):
        done = run(
            file,
            target=target,
            label_cost=label_cost,
            max_latency_ms=max_latency_ms,
            max_size_mb=max_size_mb,
            minutes=minutes,
            recipe=recipe,
            force=force,
            test=test or [],
            engine=engine.value,
            workers=workers,
            say=lambda line: echo(with_options(line, _OPTION_OF_KEY), err=as_json),
            text=text,
            label=label,
            multi_label=multi_label or label_separator is not None,
            label_separator=label_separator,
            labels=names_in(labels),
            task=task,
            header=header_of(header, no_header),
            separator=separator,
            max_bytes=max_bytes,
            checkpoint=checkpoint,
        )
    if as_json:
        echo_json(_content(done))
    else:
        print_by_labels(done.advice)
        for line in done.lines:
            echo(line)
    if done.choice is None:
        raise typer.Exit(1)


@contextmanager
def _placed(file: list[str], recipe: Path | None) -> Iterator[None]:
    """Add the line of a key to an error; without a recipe, replace the key by its option."""
    from kit.workflows.answer_recipe import recipe_path

    path = recipe_path(file, recipe)
    if path.is_file():
        with located(path, None):
            yield
    else:
        with options_for_keys(_OPTION_OF_KEY):
            yield


def _content(done: Answer) -> dict[str, Any]:
    """Return an answer as plain data."""
    return {
        "recipe": str(done.recipe),
        "folder": str(done.study.folder),
        "choice": done.choice and asdict(done.choice),
        "sure": done.sure,
        "claim": done.claim,
        "ended": done.ended,
        "advice": asdict(done.advice),
        "look": asdict(done.look),
        "plan": done.plan and {"too_large": dict(done.plan.too_large), "without_time": list(done.plan.without_time)},
        "open": [asdict(cell) for cell in done.study.open],
        "failed": [{**asdict(outcome.cell), "error": outcome.error} for outcome in done.study.failed],
        "report": str(done.report),
        "export": done.export,
        "lines": list(done.lines),
    }
