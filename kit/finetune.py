"""The main verb: fit a recipe's method on its labelled budget.

accelerate launch -m kit.finetune recipes/sentiment.yaml      (the same as `kit finetune`, on 1..N processes)
"""

from __future__ import annotations

import sys

from kit.recipe import Recipe
from kit.record import Record
from kit.request import Shared
from kit.run import run


def finetune(
    recipe: Recipe,
    *,
    force: bool = False,
    quiet: bool = False,
    keep_model: bool = True,
    shared: Shared | None = None,
) -> Record:
    """Fit the recipe's method on its labelled budget, test it, and write a Record; see `kit.run.run`.

    Method distill first makes the teacher that the recipe does not name; its controls are left to `kit distill`.
    Raises KitError with what is wrong and what to do; BusyError if another process is making the same Record.
    """
    if recipe.method == "distill":
        from kit.distill import with_teacher

        recipe = with_teacher(recipe, quiet=quiet, shared=shared)
    return run(recipe, force=force, quiet=quiet, keep_model=keep_model, shared=shared)


if __name__ == "__main__":
    from kit.cli import main

    main(["finetune", *sys.argv[1:]])
