"""The command line: each command parses, calls one function, prints. Heavy modules load inside the commands."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kit.errors import KitError

if TYPE_CHECKING:
    from kit.record import Record

app = typer.Typer(
    name="kit",
    help="Transfer learning on a labelled budget, with numbers that can be trusted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

RecipePath = Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe, a YAML file.")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder, e.g. runs/finetune-...")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a recipe key, e.g. train.epochs=2. Repeatable."),
]
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
    _quiet_libraries()
    from kit.finetune import finetune as run

    with _located(recipe, overrides):
        record = run(loaded, force=force)
    if os.environ.get("RANK", "0") == "0":
        _show_record(record, as_json)


@app.command()
def evaluate(run: RunFolder, as_json: AsJson = False) -> None:
    """Load a run's model afresh, answer its test examples again, compare with the Record."""
    _quiet_libraries()
    from kit.evaluate import evaluate as run_evaluation

    found = run_evaluation(run)
    if as_json:
        metrics = {name: [e.value, e.low, e.high] for name, e in found.metrics.items()}
        typer.echo(
            json.dumps({"id": found.record.id, "metrics": metrics, "largest_difference": found.largest_difference})
        )
        return
    percent = {"log_loss", "mae", "mcc"}
    rows = [(name, estimate.format(percent=name not in percent)) for name, estimate in found.metrics.items()]
    _table(["metric", "value [95 % interval]"], rows)
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
        typer.Argument(help="Texts; or one file with a text a line; or nothing to read standard input."),
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", help="A file with one text (or JSON object) a line.")] = None,
) -> None:
    """Answer texts with a run's model, one JSON line each."""
    _quiet_libraries()
    from kit.errors import DataError
    from kit.predict import predict as run_prediction
    from kit.predict import read_texts
    from kit.record import Record

    columns = Record.read(run).content["data"]["text_columns"]
    if (
        file is None
        and texts
        and len(texts) == 1
        and texts[0].endswith((".txt", ".jsonl", ".json"))
        and Path(texts[0]).is_file()
    ):
        file = Path(texts[0])
    if file is None and texts:
        stream = [tuple(texts)] if len(columns) == 2 and len(texts) == 2 else list(texts)
        _print_answers(run_prediction(run, stream))
        return
    if file is None and sys.stdin.isatty():
        raise DataError("no text given", 'kit predict RUN "a text", kit predict RUN --file texts.txt, or pipe texts in')
    try:
        with _lines(file) as lines:
            _print_answers(run_prediction(run, read_texts(lines, columns, str(file or "standard input"))))
    except FileNotFoundError as error:
        raise DataError(f"there is no file {file}") from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{file or 'standard input'} is not UTF-8 (byte {error.start})", "convert it, e.g. with iconv"
        ) from error


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
    checkpoint: Annotated[str | None, typer.Option("--checkpoint", help="Pretrained weights to start from.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a recipe that is there.")] = False,
) -> None:
    """Write a recipe for your own data."""
    from kit.new import new_recipe

    recipe = new_recipe(path, train, test or [], text=text, label=label, checkpoint=checkpoint, force=force)
    typer.echo(f"wrote {path}: text {recipe.data.text}, label {recipe.data.label}")
    typer.echo(f"next: kit check {path}")


@app.command()
def check(recipe: RecipePath, overrides: Overrides = None) -> None:
    """Validate a recipe and print what a run would do. Trains nothing."""
    from kit.recipe import load_recipe

    loaded = load_recipe(recipe, overrides or [])
    _quiet_libraries()
    from kit.check import check as preview

    with _located(recipe, overrides):
        found = preview(loaded)
    _table(["plan", str(recipe)], found.rows)
    for warning in found.warnings:
        typer.echo(f"data: {warning}")


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
    from kit.record import list_records

    if not runs.is_dir():
        raise RecordError(f"there is no folder {runs}", "`kit finetune RECIPE` makes the first run")
    records, problems = list_records(runs)
    if as_json:
        typer.echo(json.dumps([_summary(record) for record in records]))
    else:
        rows = [
            (
                record.id,
                str(record.content["method"]),
                str((record.content["checkpoint"] or {}).get("name", "-")),
                str(record.content["data"]["sizes"]["budget"]),
                record.main_metric,
                record.metrics[record.main_metric].format(percent=True),
                f"{record.content['seconds']['total']:.0f} s",
            )
            for record in records
        ]
        _table(["run", "method", "checkpoint", "budget", "metric", "value [95 % interval]", "time"], rows)
    for problem in problems:
        typer.echo(f"left out: {problem}", err=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit: 0 ok, 1 failure while running, 2 bad input."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if "--debug" in arguments:  # accepted anywhere, because it is added after something went wrong
        arguments = ["--debug", *[argument for argument in arguments if argument != "--debug"]]
    sys.exit(_guard(lambda: app(arguments, standalone_mode=True)))


def _guard(command: Callable[[], object]) -> int:
    try:
        command()
    except KitError as error:
        if os.environ.get("KIT_DEBUG"):
            raise
        if os.environ.get("RANK", "0") == "0":
            typer.echo(f"error: {error}", err=True)
        return error.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        typer.echo("interrupted: the same command continues from the last checkpoint", err=True)
        return 130
    except Exception as error:
        if os.environ.get("KIT_DEBUG"):
            raise
        line = str(error).strip().splitlines()
        typer.echo(f"error: {type(error).__name__}: {line[0] if line else ''}", err=True)
        typer.echo("  this was not foreseen; `--debug` shows where it happened", err=True)
        return 1
    return 0


@contextmanager
def _located(recipe: Path, overrides: Sequence[str] | None) -> Iterator[None]:
    """Put the file and line (or the --set) of the key that an error speaks of before its message."""
    try:
        yield
    except KitError as error:
        key = re.match(
            r"((?:task|method|metric|runs|(?:data|model|train|lora|probe|tfidf)\.[a-z_.]+)): ", error.message
        )
        if key:
            from kit.recipe.load import locate

            error.message = f"{locate(recipe, overrides or (), key[1])}: {error.message}"
        raise


def _quiet_libraries() -> None:
    """Keep the libraries' notices off the terminal: what matters of them kit says itself."""
    import logging
    import warnings

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if not os.environ.get("KIT_DEBUG"):
        warnings.filterwarnings("ignore")
        logging.disable(logging.WARNING)


def _lines(file: Path | None):  # type: ignore[no-untyped-def]  # noqa: ANN202
    from contextlib import nullcontext

    if file is None:
        sys.stdin.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
        return nullcontext(sys.stdin)
    return file.open(encoding="utf-8")


def _print_answers(answers) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    for answer in answers:
        typer.echo(json.dumps(answer, ensure_ascii=False))


def _show_record(record: Record, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(_summary(record)))
    else:
        _table(["", ""], record.rows(), header=False)


def _summary(record: Record) -> dict[str, object]:
    content = record.content
    return {
        "id": record.id,
        "folder": str(record.folder),
        "method": content["method"],
        "checkpoint": (content["checkpoint"] or {}).get("name"),
        "budget": content["data"]["sizes"]["budget"],
        "main_metric": record.main_metric,
        "metrics": content["metrics"],
        "seconds": content["seconds"]["total"],
    }


def _table(columns: list[str], rows: Sequence[Sequence[str]], header: bool = True) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=box.SIMPLE_HEAD if header else box.SIMPLE, show_header=header, pad_edge=False)
    for row in rows:
        table.add_row(*[Text(cell) for cell in row])
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=200)
    console.print(table)


if __name__ == "__main__":
    main()
