"""Rows of the summary table of a Record."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kit.records.checks import recipe_of_record


def origin_rows(folder: Path, content: Mapping[str, Any], method: str) -> list[tuple[str, str]]:
    """Return the rows on the method, the data and the source of a model.

    Args:
        folder: Folder of the Record.
        content: Content of record.json.
        method: Method in words, see `Record.how`.
    """
    settings = content.get("settings", {})
    sizes = content["data"]["sizes"]
    rows = [
        ("run", str(content["id"])),
        ("method", method),
        ("checkpoint", str((content["checkpoint"] or {}).get("name", "-"))),
        ("data", str(content["data"]["description"])),
        ("labels bought", f"{sizes['budget']} ({sizes['train']} train, {sizes['validation']} validation)"),
        ("test examples", str(sizes["test"])),
    ]
    if "teachers" in settings:
        rows += [
            ("teacher", ", ".join(teacher["record"] or teacher["name"] for teacher in settings["teachers"])),
            ("student", recipe_of_record(folder, content).distill.student.words),
            ("distilled on", f"{settings['transfer_set']['texts']} texts"),
        ]
    if "compression" in settings:
        rows.append(("compressed from", settings["compression"]["source"]))
    return rows


def training_rows(training: dict[str, Any] | None) -> list[tuple[str, str]]:
    """Return the rows on a training run; none for a method without training steps."""
    if training is None:
        return []
    plan = training["plan"]
    epochs = f"{plan['epochs']:g} epoch{'' if plan['epochs'] == 1 else 's'}"
    settings = f"{plan['steps']} steps, {epochs}, rate {plan['learning_rate']:g}"
    return [
        ("training", f"{settings}, {training['precision']}"),
        ("speed", f"{training['samples_per_second']:.1f} samples/s"),
        ("diagnosis", training["diagnosis"]["line"]),
    ]
