"""The command line: each command parses, calls one function, prints. Heavy modules load inside the commands."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from kit.terminal import (
    exit_code_of,
    input_lines,
    located,
    print_answers,
    print_distillation,
    print_estimates,
    print_record,
    print_study,
    print_table,
    quiet_libraries,
    summary,
)

app = typer.Typer(
    name="kit",
    help="Transfer learning on a labelled budget, with numbers that can be trusted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class EngineOption(StrEnum):
    """Where the cells of a study run."""

    local = "local"
    ray = "ray"
    inline = "inline"


RecipePath = Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe, a YAML file.")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder, e.g. runs/finetune-...")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a recipe key, e.g. train.epochs=2. Repeatable."),
]
StudyFolder = Annotated[Path, typer.Argument(metavar="STUDY", help="A study's folder, e.g. runs/study-sentiment")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the full traceback of errors.")] = False,
) -> None:
    if debug:
        os.environ["KIT_DEBUG"] = "1"


@app.command()
def finetune(
    recipe: RecipePath,
    overrides: Overrides = None,
    force: Annotated[bool, typer.Option("--force", help="Repeat a run that is finished.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run a recipe: fit the method on the labelled budget, test it, write a Record."""
    from kit.recipe import load_recipe

    loaded = load_recipe(recipe, overrides or [])
    quiet_libraries()
    from kit.finetune import finetune as run

    with located(recipe, overrides):
        record = run(loaded, force=force)
    if os.environ.get("RANK", "0") == "0":
        print_record(record, as_json)


@app.command()
def distill(
    recipe: Annotated[Path | None, typer.Argument(metavar="[RECIPE]", help="The recipe; or give --teacher.")] = None,
    teacher: Annotated[
        list[str] | None, typer.Option("--teacher", help="A run's folder, or a checkpoint with a head. Repeatable.")
    ] = None,
    student: Annotated[
        str | None,
        typer.Option("--student", help="layers:0,2,5, layers:3, width:192, cnn, bilstm, or a checkpoint."),
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="How many seeds; the verdict is over all.")] = 1,
    controls: Annotated[
        bool, typer.Option("--controls/--no-controls", help="Train the same student without a teacher too.")
    ] = True,
    overrides: Overrides = None,
    force: Annotated[bool, typer.Option("--force", help="Repeat a student that is finished.")] = False,
    as_json: AsJson = False,
) -> None:
    """Distil a small student from a teacher, and compare it with both its teacher and its control."""
    from kit.errors import RecipeError
    from kit.recipe import load_recipe
    from kit.recipe.load import override_recipe

    given = list(overrides or [])
    if recipe is None and not teacher:
        raise RecipeError(
            "nothing to distil", "kit distill RECIPE, or kit distill --teacher runs/<id> --student layers:3"
        )
    given += [f"distill.student={json.dumps(student)}"] if student else []
    if recipe is None:
        quiet_libraries()
        from kit.distill import recipe_of

        loaded = override_recipe(recipe_of(teacher or []), given)
    else:
        given += [f"distill.teacher={json.dumps(teacher)}"] if teacher else []
        loaded = load_recipe(recipe, given)
        quiet_libraries()
    from kit.distill import distill as run

    with located(recipe, given):
        done = run(loaded, seeds=seeds, controls=controls, force=force)
    if os.environ.get("RANK", "0") == "0":
        print_distillation(done, as_json)


@app.command()
def evaluate(run: RunFolder, as_json: AsJson = False) -> None:
    """Load a run's model afresh, answer its test examples again, compare with the Record."""
    quiet_libraries()
    from kit.evaluate import evaluate as run_evaluation
    from kit.measurement.intervals import shown

    found = run_evaluation(run)
    if as_json:
        metrics = {name: [e.value, e.low, e.high] for name, e in found.metrics.items()}
        typer.echo(
            json.dumps({"id": found.record.id, "metrics": metrics, "largest_difference": found.largest_difference})
        )
        return
    rows = [(name, shown(name, estimate)) for name, estimate in found.metrics.items()]
    print_table(["metric", "value [95 % interval]"], rows)
    count = found.record.content["data"]["sizes"]["test"]
    typer.echo(
        f"same answers as the Record on all {count} test examples "
        f"(largest logit difference {found.largest_difference:.1g})"
    )


@app.command()
def predict(
    run: RunFolder,
    texts: Annotated[
        list[str] | None,
        typer.Argument(help="Texts; or one file, as for --file; or nothing to read standard input."),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", help="A text or JSON object a line; or CSV, TSV, Parquet.")
    ] = None,
) -> None:
    """Answer texts with a run's model, one JSON line each."""
    quiet_libraries()
    from kit.errors import DataError
    from kit.predict import is_table, named_file, read_texts, table_texts
    from kit.predict import predict as run_prediction
    from kit.record import Record

    columns = Record.read(run).content["data"]["text_columns"]
    if file is None and texts and len(texts) == 1 and (named := named_file(texts[0])):
        file, texts = named, None
    if file is None and texts:
        stream = [tuple(texts)] if len(columns) == 2 and len(texts) == 2 else list(texts)
        print_answers(run_prediction(run, stream))
        return
    if file is not None and texts:
        raise DataError("texts and --file exclude each other", "give one of them")
    if file is None and sys.stdin.isatty():
        raise DataError("no text given", 'kit predict RUN "a text", kit predict RUN --file texts.txt, or pipe texts in')
    if file is not None and is_table(file):
        print_answers(run_prediction(run, table_texts(file, columns)))
        return
    with input_lines(file) as lines:
        print_answers(run_prediction(run, read_texts(lines, columns, str(file or "standard input"))))


@app.command()
def new(
    path: Annotated[Path, typer.Argument(metavar="RECIPE", help="Where to write the recipe.")],
    train: Annotated[list[str], typer.Option("--train", help="File(s) with labelled examples. Repeatable.")],
    test: Annotated[
        list[str] | None, typer.Option("--test", help="File(s) to test on; split off if absent. Repeatable.")
    ] = None,
    text: Annotated[
        list[str] | None,
        typer.Option("--text", help="Column with the text; twice for text pairs. Guessed if absent."),
    ] = None,
    label: Annotated[str | None, typer.Option("--label", help="Column with the label. Guessed if absent.")] = None,
    multi_label: Annotated[
        bool, typer.Option("--multi-label", help="An example can have several labels, or none.")
    ] = False,
    checkpoint: Annotated[str | None, typer.Option("--checkpoint", help="Pretrained weights to start from.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a recipe that is there.")] = False,
) -> None:
    """Write a recipe for your own data."""
    from kit.new import new_recipe

    recipe = new_recipe(
        path,
        train,
        test or [],
        text=text,
        label=label,
        multi_label=multi_label,
        checkpoint=checkpoint,
        force=force,
    )
    typer.echo(f"wrote {path}: text {recipe.data.text}, label {recipe.data.label}")
    typer.echo(f"next: kit check {path}")


@app.command()
def check(recipe: RecipePath, overrides: Overrides = None) -> None:
    """Validate a recipe and print what a run would do. Trains nothing."""
    from kit.recipe import load_recipe

    loaded = load_recipe(recipe, overrides or [])
    quiet_libraries()
    from kit.check import check as preview

    with located(recipe, overrides):
        found = preview(loaded)
    print_table(["plan", str(recipe)], found.rows)
    for warning in found.warnings:
        typer.echo(f"data: {warning}")


@app.command()
def study(
    recipe: RecipePath,
    overrides: Overrides = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the cells with an estimated time, and run none.")
    ] = False,
    engine: Annotated[
        EngineOption, typer.Option("--engine", help="Where cells run: workers here, a Ray cluster, or this process.")
    ] = EngineOption.local,
    address: Annotated[
        str | None, typer.Option("--address", help="Ray cluster, e.g. auto; without it one is started here.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, help="Cells at once here; by default one a GPU, or one."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run a recipe's study: checkpoints x methods x budgets x seeds. Start it again and it continues."""
    from kit.errors import TrainingError
    from kit.recipe import load_recipe

    loaded = load_recipe(recipe, overrides or [])
    quiet_libraries()
    if dry_run:
        from kit.study import finished_cells
        from kit.study_plan import estimate_seconds, plan_study

        with located(recipe, overrides):
            plan = plan_study(loaded)
            seconds = estimate_seconds(plan)
        print_estimates(seconds, finished_cells(plan, f"study-{recipe.stem}"), workers or 1)
        return
    from kit.study import study as run

    with located(recipe, overrides):
        done = run(loaded, name=f"study-{recipe.stem}", engine=engine.value, address=address, workers=workers)
    print_study(done, as_json)
    if done.failed:
        raise TrainingError(
            f"{len(done.failed)} of the study's cells failed, the others finished", "the same command tries them again"
        )


@app.command()
def report(study: StudyFolder) -> None:
    """Write what a study found: one HTML page, Markdown, CSV, and its charts as PNG."""
    quiet_libraries()
    from kit.analyse import analyse
    from kit.report import write_report

    findings = analyse(study)
    paths = write_report(study, findings)
    for sentence in (*findings.answer, *findings.notes):
        typer.echo(sentence)
    typer.echo("wrote " + ", ".join(str(path) for path in paths))


@app.command()
def advise(
    study: StudyFolder,
    target: Annotated[
        float | None, typer.Option("--target", help="Least value of the main metric, e.g. 0.85; without it, the best.")
    ] = None,
    label_cost: Annotated[float | None, typer.Option("--label-cost", min=0, help="Cost of one label.")] = None,
    max_latency_ms: Annotated[
        float | None, typer.Option("--max-latency-ms", min=0, help="Longest time for one text (median).")
    ] = None,
    max_size_mb: Annotated[float | None, typer.Option("--max-size-mb", min=0, help="Largest saved model.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say which checkpoint, method and number of labels to choose, how sure that is, and what to measure next."""
    quiet_libraries()
    from kit.analyse import analyse
    from kit.analysis.advice import Wish
    from kit.analysis.advice import advise as run

    limit = None if max_size_mb is None else 1e6 * max_size_mb
    advice = run(analyse(study), Wish(target, label_cost, max_latency_ms, limit))
    if as_json:
        typer.echo(json.dumps(asdict(advice)))
        return
    for line in advice.lines:
        typer.echo(line)


@app.command()
def schema() -> None:
    """Print the JSON Schema of recipes, for completion in editors."""
    from kit.recipe.load import recipe_schema

    typer.echo(json.dumps(recipe_schema(), indent=2))


@app.command("list")
def list_runs(
    runs: Annotated[Path, typer.Argument(help="Folder with runs.")] = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Show the runs so far."""
    from kit.errors import RecordError
    from kit.measurement.intervals import shown
    from kit.record import list_records

    if not runs.is_dir():
        raise RecordError(f"there is no folder {runs}", "`kit finetune RECIPE` makes the first run")
    records, problems = list_records(runs)
    if as_json:
        typer.echo(json.dumps([summary(record) for record in records]))
    else:
        rows = [
            (
                record.id,
                str(record.content["method"]),
                str((record.content["checkpoint"] or {}).get("name", "-")),
                str(record.content["data"]["sizes"]["budget"]),
                record.main_metric,
                shown(record.main_metric, record.metrics[record.main_metric]),
                f"{record.content['seconds']['total']:.0f} s",
            )
            for record in records
        ]
        print_table(["run", "method", "checkpoint", "budget", "metric", "value [95 % interval]", "time"], rows)
    for problem in problems:
        typer.echo(f"left out: {problem}", err=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit: 0 ok, 1 failure while running, 2 bad input."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if "--debug" in arguments:  # accepted anywhere, because it is added after something went wrong
        arguments = ["--debug", *[argument for argument in arguments if argument != "--debug"]]
    sys.exit(exit_code_of(lambda: app(arguments, standalone_mode=True)))


if __name__ == "__main__":
    main()
