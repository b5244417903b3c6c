"""Opening lines of a study: cells that the report leaves out, warnings about the data, and the size of the grid."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kit.analysis.curve import FEWEST_BUDGETS
from kit.analysis.wording import joined
from kit.errors import RecordError
from kit.studies.grid import SEEDS as FEW_SEEDS
from kit.studies.ledger import Ledger
from kit.studies.plan import Plan

_NOT_TRAINING = ("study", "runs")  # sections that do not affect the results of cells
_MOST_KEYS, _LONGEST = 3, 40  # settings to list, and characters of a value to show


def dropped_cells(folder: Path, plan: Plan) -> list[str]:
    """Return how many finished cells of the folder's earlier study the report will omit or run again, in words."""
    try:
        earlier = Ledger.load(folder)
    except RecordError:
        return []  # there was no study, or an unreadable one
    before = [cell for cell, key in earlier.cells.items() if (ended := earlier.outcome(cell, key)) and not ended.error]
    gone = sum(cell not in plan.cells for cell in before)
    changed = sum(cell in plan.cells and plan.cells[cell] != earlier.cells[cell] for cell in before)
    lines = []
    if gone:
        lines.append(
            f"{gone} finished cell{'s' if gone > 1 else ''} of the study that was in {folder} "
            f"{'are' if gone > 1 else 'is'} not part of this one: the report leaves them out. Their Records stay; "
            "`study.name` sets another folder"
        )
    if changed:
        cells = "1 cell" if changed == 1 else f"{changed} cells"
        differences, verb = _what_changed(earlier, plan), "is" if changed == 1 else "are"
        lines.append(f"{cells} finished before with {differences}, and {verb} trained again")
    return lines


def _what_changed(earlier: Ledger, plan: Plan) -> str:
    """Return the settings, data or weights of an earlier study's cells that have changed, in words."""
    before, now = (_flat(recipe.model_dump(mode="json")) for recipe in (earlier.recipe, plan.recipe))
    keys = [key for key in before | now if before.get(key) != now.get(key) and key.split(".")[0] not in _NOT_TRAINING]
    parts = [f"{key} {_shown(before.get(key))} (now {_shown(now.get(key))})" for key in keys[:_MOST_KEYS]]
    parts += [f"{len(keys) - _MOST_KEYS} more settings"] if len(keys) > _MOST_KEYS else []
    if earlier.content["data"].get("fingerprints") != plan.facts["fingerprints"]:
        parts.append("other data")
    return joined(parts) if parts else "other weights or an earlier version of kit"


def _flat(section: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the values of nested sections by dotted key."""
    values: dict[str, Any] = {}
    for name, value in section.items():
        values |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return values


def _shown(value: Any) -> str:
    """Return a setting as a recipe writes it, cut if it is long."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def opening_lines(plan: Plan, folder: Path, finished: int) -> list[str]:
    """Return the warnings about the data, the size of the grid, and a warning if seeds are few.

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
    if len(seeds) < FEWEST_BUDGETS:
        lines.append(
            f"fewer than {FEWEST_BUDGETS} budgets: the effect of more labels will not be predicted (study.budgets)"
        )
    return lines


def _few_seeds_line(fewest: int) -> str:
    advice = f"(study.seeds; {FEW_SEEDS} or more are usual)"
    cell = "per variant, checkpoint and budget"
    if fewest == 1:
        return f"only 1 seed {cell}: intervals do not include seed variance and are too narrow {advice}"
    return f"only {fewest} seeds {cell}: intervals are wide, and small differences are not detected {advice}"
