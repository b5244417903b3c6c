"""Commands about Records that are there."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from kit.commands.options import AsJson, RunFolder, TrustRemoteCode
from kit.terminal import input_lines, print_answers, print_bench, print_table, quiet_libraries, summary, warn


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
    from kit.evaluate import evaluate as run_evaluation
    from kit.measurement.intervals import shown

    found = run_evaluation(run, trust_remote_code=trust_remote_code, comet=comet)
    if as_json:
        metrics = {name: [e.value, e.low, e.high] for name, e in found.metrics.items()}
        typer.echo(
            json.dumps({"id": found.record.id, "metrics": metrics, "largest_difference": found.largest_difference})
        )
        return
    rows = [(name, shown(name, estimate)) for name, estimate in found.metrics.items()]
    print_table(["metric", "value [95 % interval]"], rows)
    count = found.record.content["data"]["sizes"]["test"]
    logits = (
        ""
        if found.record.content["task"] == "translation"
        else (f" (largest logit difference {found.largest_difference:.1g})")
    )
    typer.echo(f"same answers as the Record on all {count} test examples{logits}")


def predict(
    run: RunFolder,
    texts: Annotated[
        list[str] | None,
        typer.Argument(help="Texts; or one file, as for --file; or nothing to read standard input."),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", help="A text or JSON object a line; or CSV, TSV, Parquet.")
    ] = None,
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Answer texts with a run's model, one JSON line each."""
    quiet_libraries()
    from kit.errors import DataError
    from kit.predict import is_table, named_file, read_texts, table_texts
    from kit.predict import predict as run_prediction
    from kit.served import columns_of

    answers = partial(run_prediction, run, trust_remote_code=trust_remote_code, tell=warn)
    columns = columns_of(run)
    if file is None and texts and len(texts) == 1 and (named := named_file(texts[0])):
        file, texts = named, None
    if texts == ["-"]:  # as other commands call standard input
        texts = None
    if file is None and texts:
        stream = [tuple(texts)] if len(columns) == 2 and len(texts) == 2 else list(texts)
        print_answers(answers(stream))
        return
    if file is not None and texts:
        raise DataError("texts and --file exclude each other", "give one of them")
    if file is None and sys.stdin.isatty():
        raise DataError("no text given", 'kit predict RUN "a text", kit predict RUN --file texts.txt, or pipe texts in')
    if file is not None and is_table(file):
        print_answers(answers(table_texts(file, columns)))
        return
    with input_lines(file) as lines:
        rows = read_texts(lines, columns, str(file or "standard input"))
        print_answers(answers(rows))


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
    from kit.bench import bench as run

    found = run(folders, texts=texts, rounds=rounds, compiled=compiled)
    if as_json:
        typer.echo(json.dumps([asdict(subject) for subject in found]))
        return
    print_bench(found)


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
                record.how,
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
