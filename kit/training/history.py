"""History of a training run: losses and evaluations, read from the log of transformers' trainer.

A run that is resumed logs some steps again, so every function keeps one entry per step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kit.training.diagnosis import Evaluation

# Keys of an evaluation in the trainer's log.
EXAMPLES, PARTS = "validation_examples", "validation_parts"


def evaluation_entries(log_history: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the log entries of evaluations in the order of steps, the last one of each step."""
    entries = {
        int(entry["step"]): dict(entry) for entry in log_history if "validation_loss" in entry and "train_loss" in entry
    }
    return [entries[step] for step in sorted(entries)]


def evaluations_of(log_history: Sequence[dict[str, Any]], metric: str) -> list[Evaluation]:
    """Return the evaluations so far, including those before an interruption, one per step.

    Args:
        log_history: Log of the trainer.
        metric: Name of the metric that is logged beside the loss.
    """
    return [
        Evaluation(
            step=int(entry["step"]),
            train_loss=entry["train_loss"],
            train_metric=entry[f"train_{metric}"],
            validation_loss=entry["validation_loss"],
            validation_metric=entry[f"validation_{metric}"],
            validation_examples=entry.get(EXAMPLES, 0),
        )
        for entry in evaluation_entries(log_history)
    ]


def losses_by_step(log_history: Sequence[dict[str, Any]]) -> list[dict[str, float]]:
    """Return the logged numbers, one entry per step and kind of entry."""
    entries = {
        (entry["step"], *sorted(entry)): {k: v for k, v in entry.items() if k not in (EXAMPLES, PARTS)}
        for entry in log_history
        if "train_runtime" not in entry
    }
    return list(entries.values())
