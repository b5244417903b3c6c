"""Commands that train: one run, a teacher with its student and control, or steps of compression."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kit.cli.errors import located
from kit.cli.options import AsJson, Overrides, RecipePath
from kit.cli.tables import print_compression, print_distillation, print_record
from kit.runtime.quiet_libraries import quiet_libraries

if TYPE_CHECKING:
    from kit.recipe import Recipe


def finetune(
    recipe: RecipePath,
    overrides: Overrides = None,
    force: Annotated[bool, typer.Option("--force", help="Repeat a finished run.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run a recipe: fit the method on the labelled budget, test it, write a Record."""
    from kit.recipe import load_recipe

    loaded = load_recipe(recipe, overrides or [])
    _note_earlier(loaded)
    quiet_libraries()
    from kit.runs.execute import finetune as run

    with located(recipe, overrides):
        record = run(loaded, force=force)
    if os.environ.get("RANK", "0") == "0":
        print_record(record, as_json)


def distill(
    recipe: Annotated[Path | None, typer.Argument(metavar="[RECIPE]", help="The recipe; or give --teacher.")] = None,
    teacher: Annotated[
        list[str] | None, typer.Option("--teacher", help="A run's folder, or a checkpoint with a head. Repeatable.")
    ] = None,
    student: Annotated[
        str | None,
        typer.Option("--student", help="layers:0,1, layers:3, width:192, cnn, bilstm, or a checkpoint."),
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Number of seeds; the verdict is over all of them.")] = 1,
    controls: Annotated[
        bool, typer.Option("--controls/--no-controls", help="Also train the same student without a teacher.")
    ] = True,
    overrides: Overrides = None,
    force: Annotated[bool, typer.Option("--force", help="Repeat a finished student.")] = False,
    as_json: AsJson = False,
) -> None:
    """Distil a small student from a teacher, and compare it with both its teacher and its control."""
    from kit.errors import RecipeError
    from kit.recipe import load_recipe
    from kit.recipe.load import override_recipe

    settings = list(overrides or [])
    if recipe is None and not teacher:
        raise RecipeError(
            "nothing to distil", "kit distill RECIPE, or kit distill --teacher runs/<id> --student layers:0,1"
        )
    if not all(name.strip() for name in teacher or []):
        raise RecipeError("--teacher is empty", "name a run's folder, or a checkpoint with a head")
    settings += [f"distill.student={json.dumps(student)}"] if student is not None else []
    if recipe is None:
        quiet_libraries()
        from kit.runs.derived_recipes import distillation_recipe

        loaded = override_recipe(distillation_recipe(teacher or []), settings)
    else:
        settings += [f"distill.teacher={json.dumps(teacher)}"] if teacher else []
        loaded = load_recipe(recipe, settings)
        quiet_libraries()
    _note_earlier(loaded)
    from kit.workflows.distill import distill as run

    with located(recipe, settings):
        done = run(loaded, seeds=seeds, controls=controls, force=force)
    if os.environ.get("RANK", "0") == "0":
        print_distillation(done, as_json)


def compress(
    target: Annotated[Path, typer.Argument(metavar="RECIPE|RUN", help="A recipe, or the folder of a finished run.")],
    steps: Annotated[
        str | None, typer.Option("--steps", help="Techniques in order. Default for a run: vocabulary,int8-onnx.")
    ] = None,
    overrides: Overrides = None,
    force: Annotated[bool, typer.Option("--force", help="Repeat finished steps.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a finished run smaller and faster, step by step; a step that costs too much is undone."""
    from kit.errors import RecipeError
    from kit.recipe import load_recipe
    from kit.recipe.load import override_recipe

    settings = list(overrides or [])
    if steps is not None:
        if any(override.startswith("compress.steps=") for override in settings):
            raise RecipeError("--steps and --set compress.steps both set the steps", "use one of them")
        if not steps.replace(",", "").strip():
            raise RecipeError(f"--steps {steps!r} names no technique", "name some in order, as in vocabulary,int8-onnx")
        settings.insert(0, f"compress.steps=[{steps}]")
    if target.is_dir():
        foreign = [override for override in settings if not override.startswith("compress.")]
        if foreign:
            raise RecipeError(
                f"--set {foreign[0]}: only compress.steps and compress.gate can be set for a finished run",
                "its data and training cannot change; use a recipe to train another run",
            )
        quiet_libraries()
        from kit.runs.derived_recipes import compression_recipe

        recipe, loaded = None, override_recipe(compression_recipe(target), settings)
    else:
        recipe, loaded = target, load_recipe(target, settings)
        quiet_libraries()
    _note_earlier(loaded)
    from kit.workflows.compress import compress as run

    with located(recipe, settings):
        done = run(loaded, force=force)
    if os.environ.get("RANK", "0") == "0":
        print_compression(done, as_json)


def _note_earlier(recipe: Recipe) -> None:
    """Let a command that is stopped while loading report the saved work of earlier starts."""
    from kit.runtime.leftovers import saved_in
    from kit.runtime.signals import note_earlier

    note_earlier(lambda: saved_in(Path(recipe.runs)))
