"""Command that exports and publishes a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kit.cli.options import AsJson, MaxLatencyMs, MaxSizeMb, MetricTarget
from kit.runtime.console import echo, echo_json
from kit.runtime.quiet_libraries import quiet_libraries

if TYPE_CHECKING:
    from kit.analysis.advice_options import Wish


def export(  # noqa: PLR0913, PLR0917
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run, or of a study.")],
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
    variant: Annotated[
        str | None, typer.Option("--variant", help="Of a study: the variant to export, as the report names it.")
    ] = None,
    budget: Annotated[
        int | None, typer.Option("--budget", min=1, help="Of a study: labels of the variant. Default: the most.")
    ] = None,
    metric_target: MetricTarget = None,
    max_latency_ms: MaxLatencyMs = None,
    max_size_mb: MaxSizeMb = None,
    as_json: AsJson = False,
) -> None:
    """Export a model with verified predictions and a model card, and push it to the Hub.

    Of a study, it is the model that `kit advise` chooses with the same options, or that of --variant.
    """
    quiet_libraries()
    from kit.analysis.advice_options import Wish
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
    wish = Wish(metric_target, max_latency_ms=max_latency_ms, max_size_bytes=max_size_mb and 1e6 * max_size_mb)
    run, chosen = _chosen(run, wish, variant, budget)
    done = run_export(
        run,
        formats=names,
        to=to,
        target=target,
        overwrite=overwrite,
        with_code=with_code,
        speed=speed,
        chosen=chosen,
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


def _chosen(folder: Path, wish: Wish, variant: str | None, budget: int | None) -> tuple[Path, tuple[str, ...]]:
    """Return the run to export and the lines on its choice; without a study, the folder."""
    from kit.analysis.advice_options import Wish
    from kit.errors import RecipeError
    from kit.studies.ledger import STUDY_FILE
    from kit.workflows.choose import choose_run

    if (folder / STUDY_FILE).is_file():
        choice = choose_run(folder, wish, variant=variant, budget=budget)
        for line in choice.lines:
            echo(line, err=True)
        return choice.run, choice.lines
    if wish != Wish() or variant is not None or budget is not None:
        raise RecipeError(
            f"{folder} is not a study, to which --variant, --budget, --target and the limits belong",
            "pass the folder of a study, such as runs/study-sentiment",
        )
    return folder, ()
