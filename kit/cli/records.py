"""Commands about Records that are there."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kit.cli.options import AsJson, RunFolder, TrustRemoteCode
from kit.cli.tables import print_bench, print_table, summary
from kit.measurement.units import shown_value
from kit.runtime.console import echo, echo_json
from kit.runtime.quiet_libraries import quiet_libraries

if TYPE_CHECKING:
    from kit.records.record import Record


def evaluate(
    run: RunFolder,
    comet: Annotated[
        Path | None,
        typer.Option(help="A checkpoint of COMET (.ckpt): score translations with it too, by its own command."),
    ] = None,
    trust_remote_code: TrustRemoteCode = False,
    as_json: AsJson = False,
) -> None:
    """Load a run's model afresh, answer its test examples again, compare with the Record."""
    quiet_libraries()
    from kit.workflows.evaluate import evaluate as run_evaluation

    found = run_evaluation(run, trust_remote_code=trust_remote_code, comet=comet)
    if as_json:
        metrics = {name: [e.value, e.low, e.high] for name, e in found.metrics.items()}
        echo_json({"id": found.record.id, "metrics": metrics, "largest_difference": found.largest_difference})
        return
    baselines = found.record.baselines
    rows = [(name, baselines.beside(name, estimate)) for name, estimate in found.metrics.items()]
    print_table(["metric", "value [95 % interval]"], rows)
    for note in found.record.class_notes(found.metrics):
        echo(note)
    count = found.record.content["data"]["sizes"]["test"]
    logits = (
        ""
        if found.record.content["task"] == "translation"
        else (f" (largest logit difference {found.largest_difference:.1g})")
    )
    echo(f"same answers as the Record on all {count} test examples{logits}")


def predict(
    run: RunFolder,
    texts: Annotated[
        list[str] | None,
        typer.Argument(help="Texts; or files, as for --file; or nothing (or -) to read standard input."),
    ] = None,
    file: Annotated[
        list[Path] | None,
        typer.Option("--file", help="CSV, TSV, JSON, JSON lines, Parquet or one text per line; may be repeated."),
    ] = None,
    input_format: Annotated[
        str | None,
        typer.Option("--format", help="Of the input, if its name does not tell: text, json, csv, tsv, parquet."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write a table: .csv, .jsonl or .parquet. Default: JSON lines here.")
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(
            "--keep", help="A column of the input for the table: its name, NAME=NEW_NAME, or all; repeatable."
        ),
    ] = None,
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Predict texts with a run's model: one JSON object per line, or a table (--out), in the order of the input."""
    quiet_libraries()
    from kit.cli.prediction import Request, run_prediction

    run_prediction(Request(run, texts or [], file or [], input_format, out, keep or [], trust_remote_code))


def bench(
    folders: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Runs, or folders with saved models.")],
    texts: Annotated[
        Path | None, typer.Option("--texts", help="A file with one text a line; else the first run's test texts.")
    ] = None,
    rounds: Annotated[int, typer.Option("--rounds", min=3, help="In each round every model takes its turn.")] = 5,
    compiled: Annotated[bool, typer.Option("--compile", help="Measure models of torch by torch.compile too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Measure speed, memory and size of models in turns, each in a process of its own, against the first."""
    quiet_libraries()
    from kit.workflows.bench import bench as run

    found = run(folders, texts=texts, rounds=rounds, compiled=compiled)
    if as_json:
        echo_json([asdict(subject) for subject in found])
        return
    print_bench(found)


def _listed(record: Record) -> list[tuple[str, ...]]:
    """Return a Record as rows of `kit list`: one, and on unbalanced classes another one for the second metric."""
    from kit.measurement.intervals import shown

    baselines = record.baselines
    about = (
        record.id,
        record.how,
        str((record.content["checkpoint"] or {}).get("name", "-")),
        str(record.content["data"]["sizes"]["budget"]),
    )
    rows: list[tuple[str, ...]] = []
    for name in record.shown_metrics:
        scores = [values.get(name) for values in (baselines.chance, baselines.majority)]
        rows.append(
            (
                *(about if not rows else [""] * len(about)),
                name,
                shown(name, record.metrics[name]),
                *("-" if value is None else shown_value(name, value) for value in scores),
                "" if rows else f"{record.content['seconds']['total']:.0f} s",
            )
        )
    return rows


def list_runs(
    runs: Annotated[Path, typer.Argument(help="Folder with runs.")] = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Show the runs so far."""
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
        print_table([*columns, "chance", "majority", "time"], rows)
        notes = Counter(note for record in records for note in record.class_notes(record.shown_metrics))
        for note, count in notes.items():
            echo(f"{count} run{'' if count == 1 else 's'}: {note}")
    for problem in problems:
        echo(f"left out: {problem}", err=True)
