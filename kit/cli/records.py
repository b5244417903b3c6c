"""Commands about finished runs."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kit.cli.bench_output import print_bench
from kit.cli.options import AsJson, RunFolder, TrustRemoteCode
from kit.cli.tables import print_table, summary
from kit.runtime.console import echo, echo_json
from kit.runtime.quiet_libraries import quiet_libraries

if TYPE_CHECKING:
    from kit.records.record import Record


def evaluate(
    run: RunFolder,
    comet: Annotated[
        Path | None,
        typer.Option(help="A checkpoint of COMET (.ckpt), to score translations with its own command as well."),
    ] = None,
    per_class: Annotated[
        bool,
        typer.Option(
            "--per-class", help="Also print precision, recall and F1 of each class, and the most frequent confusions."
        ),
    ] = False,
    trust_remote_code: TrustRemoteCode = False,
    as_json: AsJson = False,
) -> None:
    """Load a run's model again, predict its test examples, and compare with the Record."""
    quiet_libraries()
    from kit.cli.class_output import classes_json, print_classes
    from kit.workflows.evaluate import evaluate as run_evaluation

    evaluation = run_evaluation(run, trust_remote_code=trust_remote_code, comet=comet, per_class=per_class)
    if as_json:
        metrics = {name: [e.value, e.low, e.high] for name, e in evaluation.metrics.items()}
        content = {"id": evaluation.record.id, "metrics": metrics, "largest_difference": evaluation.largest_difference}
        echo_json(content | (classes_json(evaluation) if per_class else {}))
        return
    baselines = evaluation.record.baselines
    rows = [(name, baselines.beside(name, estimate)) for name, estimate in evaluation.metrics.items()]
    print_table(["metric", "value [95 % interval]"], rows)
    if per_class:
        print_classes(evaluation)
    for note in evaluation.record.class_notes(evaluation.metrics):
        echo(note)
    count = evaluation.record.content.data.sizes.test
    writes_text = evaluation.record.recipe.rules.writes_text
    difference = "" if writes_text else f" (largest difference {evaluation.largest_difference:.1g})"
    echo(f"same predictions as the Record on all {count} test examples{difference}")


def predict(  # noqa: PLR0913, PLR0917
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, or of an exported model.")],
    texts: Annotated[
        list[str] | None,
        typer.Argument(help="Texts, or files as for --file; none (or -) reads standard input."),
    ] = None,
    file: Annotated[
        list[Path] | None,
        typer.Option("--file", help="CSV, TSV, JSON, JSON lines, Parquet or one text per line. Repeatable."),
    ] = None,
    input_format: Annotated[
        str | None,
        typer.Option("--format", help="Input format, if not detected: text, json, csv, tsv, parquet."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write a table: .csv, .jsonl or .parquet. Default: print JSON lines.")
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option("--keep", help="Input column to keep in the table: NAME, NAME=NEW_NAME, or all. Repeatable."),
    ] = None,
    min_confidence: Annotated[
        float | None,
        typer.Option("--min-confidence", help="Leave texts undecided whose score is lower than this, e.g. 0.8."),
    ] = None,
    coverage: Annotated[
        float | None,
        typer.Option(
            "--coverage",
            help="Leave as many texts undecided as it takes for this share of the decided ones to be right, e.g. 0.95.",
        ),
    ] = None,
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Predict texts with a run's model: one JSON object per line, or a table (--out), in the order of the input."""
    quiet_libraries()
    from kit.cli.prediction import Request, run_prediction

    run_prediction(
        Request(
            run,
            texts or [],
            file or [],
            format=input_format,
            out=out,
            keep=keep or [],
            trust_remote_code=trust_remote_code,
            min_confidence=min_confidence,
            coverage=coverage,
        )
    )


def bench(
    folders: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Runs, or folders with saved models.")],
    texts: Annotated[
        Path | None, typer.Option("--texts", help="A file with one text per line. Default: the first run's test texts.")
    ] = None,
    rounds: Annotated[int, typer.Option("--rounds", min=3, help="Rounds in which every model has a turn.")] = 5,
    compiled: Annotated[
        bool, typer.Option("--compile", help="Also measure PyTorch models with torch.compile.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Measure speed, memory and size of models in turns, each in its own process, against the first."""
    quiet_libraries()
    from kit.workflows.bench import bench as run

    evaluation = run(folders, texts=texts, rounds=rounds, compiled=compiled)
    if as_json:
        echo_json([asdict(subject) for subject in evaluation])
        return
    print_bench(evaluation)


def _listed(record: Record) -> list[tuple[str, ...]]:
    """Return the rows of a Record in `kit list`: one, and a second for the other metric on unbalanced classes."""
    from kit.measurement.intervals import shown

    baselines = record.baselines
    run_columns = (
        record.id,
        record.how,
        record.content.checkpoint_name or "-",
        str(record.content.data.sizes.budget),
    )
    rows: list[tuple[str, ...]] = []
    for name in record.shown_metrics:
        rows.append(
            (
                *(run_columns if not rows else [""] * len(run_columns)),
                name,
                shown(name, record.metrics[name]),
                baselines.words(name) or "-",
                "" if rows else f"{record.content.seconds.total:.0f} s",
            )
        )
    return rows


def list_runs(
    runs: Annotated[Path, typer.Argument(help="Folder with runs.")] = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """List the finished runs."""
    from kit.errors import RecordError
    from kit.records.record import list_records

    if not runs.is_dir():
        raise RecordError(f"there is no folder {runs}", "`kit finetune RECIPE` makes the first run")
    records, problems = list_records(runs)
    if as_json:
        echo_json([summary(record) for record in records])
    else:
        columns = ["run", "method", "checkpoint", "budget", "metric", "value [95 % interval]"]
        rows = [row for record in records for row in _listed(record)]
        print_table([*columns, "baselines", "time"], rows)
        notes = Counter(note for record in records for note in record.class_notes(record.shown_metrics))
        for note, count in notes.items():
            echo(f"{count} run{'' if count == 1 else 's'}: {note}")
    for problem in problems:
        echo(f"left out: {problem}", err=True)
