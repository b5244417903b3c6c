"""Commands about studies."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kit.cli.errors import located
from kit.cli.options import (
    AsJson,
    Engine,
    EngineOption,
    LabelCost,
    MaxLatencyMs,
    MaxSizeMb,
    MetricTarget,
    Overrides,
    RecipePath,
    StudyFolder,
    Workers,
)
from kit.cli.study_output import (
    print_by_labels,
    print_estimates,
    print_speed_changes,
    print_study,
    print_without_weights,
)
from kit.runtime.console import echo, echo_json
from kit.runtime.quiet_libraries import quiet_libraries

if TYPE_CHECKING:
    from kit.recipe import Recipe


def study(  # noqa: PLR0913, PLR0917
    recipe: RecipePath,
    overrides: Overrides = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the cells with estimated times, without running them.")
    ] = False,
    engine: Engine = EngineOption.local,
    address: Annotated[
        str | None, typer.Option("--address", help="Address of a Ray cluster, e.g. auto. Default: start one here.")
    ] = None,
    workers: Workers = None,
    storage: Annotated[
        str | None,
        typer.Option(
            "--storage",
            help="Folder, s3://, gs:// or other fsspec URL for Records, if nodes cannot access `runs`.",
        ),
    ] = None,
    again: Annotated[
        bool, typer.Option("--time-again", help="Run no cell: measure the speed of all models again.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run a recipe's study: checkpoints x methods x budgets x seeds. Starting it again continues it."""
    from kit.errors import TrainingError
    from kit.recipe import load_recipe
    from kit.runtime.signals import note_earlier

    loaded = load_recipe(recipe, overrides or [])
    note_earlier(lambda: _saved_by_earlier_starts(loaded, f"study-{recipe.stem}"))
    quiet_libraries()
    if dry_run:
        from kit.studies.plan import estimate, plan_study
        from kit.workflows.study import finished_cells

        with located(recipe, overrides):
            plan = plan_study(loaded, weights=False)
            estimated = estimate(plan)
        print_estimates(estimated, finished_cells(plan, f"study-{recipe.stem}"), workers or 1)
        print_without_weights(plan)
        return
    from kit.studies.engines.choice import Place
    from kit.studies.record_storage import Storage
    from kit.workflows.study import study as run
    from kit.workflows.study import time_again

    arguments = [str(recipe), *(part for override in overrides or [] for part in ("--set", override))]
    with located(recipe, overrides):
        if again:
            place = Place(engine.value, address, workers, None if storage is None else Storage(storage))
            changes = time_again(loaded, place, name=f"study-{recipe.stem}", arguments=arguments)
            print_speed_changes(changes, as_json)
            return
        done = run(
            loaded,
            name=f"study-{recipe.stem}",
            engine=engine.value,
            address=address,
            workers=workers,
            storage=storage,
            arguments=arguments,
        )
    print_study(done, as_json)
    if done.failed:
        raise TrainingError(
            f"{len(done.failed)} of the study's cells failed, the others finished", "the same command runs them again"
        )


def _saved_by_earlier_starts(recipe: Recipe, name: str) -> str:
    """Return the saved work of earlier starts of a study, in words; empty if there is none."""
    from kit.runtime.leftovers import saved_in

    runs = Path(recipe.runs)
    cells = len(list((runs / (recipe.study.name or name) / "cells").glob("*.json")))
    ended = f"{cells} ended cell{'s' if cells > 1 else ''} of the study" if cells else ""
    return ", ".join(filter(None, (ended, saved_in(runs))))


def report(study: StudyFolder) -> None:
    """Write the findings of a study: one HTML page, Markdown, CSV, and charts as PNG."""
    quiet_libraries()
    from kit.reporting.write import write_report
    from kit.studies.analyse import analyse

    findings = analyse(study)
    paths = write_report(study, findings)
    for sentence in (*findings.answer, *findings.notes):
        echo(sentence)
    echo("wrote " + ", ".join(str(path) for path in paths))


def advise(
    study: StudyFolder,
    target: MetricTarget = None,
    label_cost: LabelCost = None,
    max_latency_ms: MaxLatencyMs = None,
    max_size_mb: MaxSizeMb = None,
    as_json: AsJson = False,
) -> None:
    """Advise on checkpoint, method and number of labels; exit code 1 if nothing meets the target and limits."""
    quiet_libraries()
    from kit.workflows.advise import advise as run

    advice = run(study, target=target, label_cost=label_cost, max_latency_ms=max_latency_ms, max_size_mb=max_size_mb)
    if as_json:
        echo_json(asdict(advice))
    else:
        for line in advice.lines:
            echo(line)
        print_by_labels(advice)
    if advice.choice is None:
        raise typer.Exit(1)
