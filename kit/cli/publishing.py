"""Command that exports and publishes a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kit.cli.options import AsJson
from kit.runtime.console import echo, echo_json
from kit.runtime.quiet_libraries import quiet_libraries


def export(  # noqa: PLR0913, PLR0917
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.")],
    to: Annotated[Path | None, typer.Option("--to", help="Folder to write.")] = None,
    formats: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="Comma-separated: safetensors, onnx, int8-onnx, float16, adapter, ... Default: the run's own.",
        ),
    ] = None,
    push: Annotated[str | None, typer.Option("--push", metavar="USER/NAME", help="Repository on the Hub.")] = None,
    private: Annotated[bool, typer.Option("--private/--public", help="Visibility of a new repository.")] = True,
    revision: Annotated[str | None, typer.Option("--revision", help="Branch to push to.")] = None,
    message: Annotated[str | None, typer.Option("--message", help="Commit message.")] = None,
    pull_request: Annotated[bool, typer.Option("--pr", help="Propose the commit as a pull request.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a folder or repository that kit did not create.")
    ] = False,
    with_code: Annotated[
        bool,
        typer.Option(
            "--with-code",
            help="Include the code that transformers needs for kit's own architectures (trust_remote_code).",
        ),
    ] = False,
    speed: Annotated[bool, typer.Option("--speed/--no-speed", help="Measure speed for the model card.")] = True,
    as_json: AsJson = False,
) -> None:
    """Export a run's model with verified predictions and a model card; push it to the Hub."""
    quiet_libraries()
    from kit.errors import RecipeError
    from kit.publishing.hub_push import Target
    from kit.workflows.export import export as run_export

    names = [name.strip() for name in (formats or "").split(",") if name.strip()]
    if formats is not None and not names:
        raise RecipeError("--format is empty", "omit it, or name formats: --format onnx,int8-onnx")
    if push is None and (revision or message or pull_request):
        raise RecipeError("--revision, --message and --pr belong to a push", "add --push user/name")
    target = (
        None
        if push is None
        else Target(push, private, revision, message=message, pull_request=pull_request, overwrite=overwrite)
    )
    done = run_export(
        run,
        formats=names,
        to=to,
        target=target,
        overwrite=overwrite,
        with_code=with_code,
        speed=speed,
        say=lambda line: echo(line, err=True),
    )
    if not as_json:
        for line in done.lines:
            echo(line)
        return
    result = {
        "record": done.record.id,
        "folder": done.folder and str(done.folder),
        "size_bytes": done.size_bytes,
        "proofs": {name: proof.line for name, proof in done.proofs.items()},
        "commit": done.pushed and done.pushed.commit,
        "address": done.pushed and done.pushed.address,
    }
    echo_json(result)
