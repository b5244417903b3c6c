"""Opening lines of a study: cells that the report leaves out, warnings about the data, and the size of the grid."""

from __future__ import annotations

from pathlib import Path

from kit.errors import RecordError
from kit.scheduling.grid import SEEDS as FEW_SEEDS
from kit.scheduling.ledger import Ledger
from kit.study_plan import Plan


def dropped_cells(folder: Path, plan: Plan) -> list[str]:
    """Return how many finished cells of the earlier study in a folder the report will leave out or run again."""
    try:
        earlier = Ledger.load(folder)
    except RecordError:
        return []  # there was none, or one that could not be read either
    before = [cell for cell, key in earlier.cells.items() if (ended := earlier.outcome(cell, key)) and not ended.error]
    gone = sum(cell not in plan.cells for cell in before)
    changed = sum(cell in plan.cells and plan.cells[cell] != earlier.cells[cell] for cell in before)
    lines = []
    if gone:
        lines.append(
            f"{gone} finished cell{'s' if gone > 1 else ''} of the study that was in {folder} "
            f"{'are' if gone > 1 else 'is'} not part of this one: its report leaves them out. Their Records stay; "
            "`study.name` gives a study a folder of its own"
        )
    if changed:
        lines.append(f"{changed} cells finished before with other data, settings or weights, and are run again")
    return lines


def opening_lines(plan: Plan, folder: Path, finished: int) -> list[str]:
    """Return the warnings about the data, the size of the grid, and a warning if there are few seeds.

    Args:
        plan: The study.
        folder: Folder of its results.
        finished: Number of cells that were finished before.
    """
    cells = plan.cells
    seeds: dict[int, set[int]] = {}
    for cell in cells:
        seeds.setdefault(cell.budget, set()).add(cell.seed)
    fewest = min(map(len, seeds.values()))
    lines = [f"data: {warning}" for warning in plan.facts["warnings"]]
    lines.append(
        f"{len(cells)} cells: {len({cell.series for cell in cells})} series, {len(seeds)} budgets; "
        f"{finished} of them finished before; results in {folder}"
    )
    if fewest < FEW_SEEDS:
        lines.append(_few_seeds_line(fewest))
    return lines


def _few_seeds_line(fewest: int) -> str:
    advice = f"(study.seeds; {FEW_SEEDS} or more are usual)"
    if fewest == 1:
        return f"only 1 seed per cell: intervals do not include seed variance and are too narrow {advice}"
    return f"only {fewest} seeds per cell: intervals are wide, and small differences are not detected {advice}"
