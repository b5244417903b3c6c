"""The adaptive order of a study: rounds of cells that can still change the choice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from kit.analysis.advice_options import Wish
from kit.analysis.sequential import Look
from kit.recipe import Recipe
from kit.studies.engines.choice import EngineName
from kit.studies.work import Study


@dataclass(frozen=True)
class Rounds:
    """A study that was run in rounds.

    Attributes:
        study: Its cells; cells that no round needed are in `study.open`.
        look: What is certain, and what further time could change.
        ended: `sure` if the choice is sure and no open option can change it, `time` if the minutes were over,
            `complete` if no cell of the grid could make the choice sure.
    """

    study: Study
    look: Look
    ended: Literal["sure", "time", "complete"]


def run_in_rounds(
    recipe: Recipe,
    wish: Wish,
    *,
    name: str = "study",
    engine: EngineName = "local",
    workers: int | None = None,
    minutes: float | None = None,
    quiet: bool = False,
    arguments: Sequence[str] = (),
) -> Rounds:
    """Run a recipe's study in rounds until the choice is sure or the time is over.

    The first round measures one seed of the smallest, the middle and the largest budget of every variant. Then one
    model per series is timed, so that limits drop variants. Each further round adds seeds and budgets where the choice
    is open. A later start with more minutes continues from the Records and from the looks that were made.

    Args:
        recipe: Recipe with a `study` section.
        wish: Target and limits.
        name: Name of the study's folder in `runs`, unless the recipe sets one.
        engine: Place where cells run: workers on this machine (local), a Ray cluster (ray), or this process (inline).
        workers: Number of cells at once on this machine; None runs one per GPU, or one.
        minutes: Time after which no cell starts; None for no limit.
        quiet: Print no progress.
        arguments: Recipe file and overrides of the command line, for commands in the advice.

    Raises:
        KitError: For invalid input.
        WorkerError: If a worker must not run cells.
    """
    raise NotImplementedError
