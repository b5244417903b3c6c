"""The command line: its commands, and the exit of a command."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from kit.cli import answer, publishing, recipes, records, studies, training
from kit.cli.errors import exit_code_of
from kit.runtime.characters import require_utf8
from kit.runtime.leftovers import remove_leftovers

app = typer.Typer(
    name="kit",
    help="Transfer learning on a labelled budget, with numbers that can be trusted.",
    epilog="Exit codes: 0 ok, 1 failure while running, 2 bad input, 130 Ctrl-C, 143 SIGTERM (saved first).",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _command in (
    training.finetune,
    training.distill,
    training.compress,
    records.bench,
    publishing.export,
    records.evaluate,
    records.predict,
    answer.answer,
    recipes.new,
    recipes.check,
    studies.study,
    studies.report,
    studies.advise,
    recipes.schema,
):
    app.command()(_command)
app.command("list")(records.list_runs)


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the full traceback of errors.")] = False,
) -> None:
    if debug:
        os.environ["KIT_DEBUG"] = "1"
    remove_leftovers()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit: 0 ok, 1 failure while running, 2 bad input, 130 Ctrl-C, 143 SIGTERM."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if "--debug" in arguments:  # accepted anywhere, because users add it after an error
        arguments = ["--debug", *[argument for argument in arguments if argument != "--debug"]]
    sys.exit(exit_code_of(lambda: _run(arguments)))


def _run(arguments: list[str]) -> None:
    if arguments[:1] != ["predict"] and arguments[:2] != [
        "--debug",
        "predict",
    ]:  # predict checks all arguments except its texts
        require_utf8(arguments)
    app(arguments, standalone_mode=True)
