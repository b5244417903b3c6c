"""Changes of a run's data since the run was created."""

from __future__ import annotations

from typing import Any

from kit.data.prepare import Prepared


def changed_data(recorded: dict[str, Any], now: Prepared) -> str:
    """Return the names of the sources whose examples changed; empty if none changed.

    Args:
        recorded: Data section of the Record: `fingerprints`, and `audit` with the numbers of rows.
        now: The same data, read again.
    """
    before, splits = recorded["fingerprints"], now.splits
    test = before["test"] != now.fingerprints["test"]
    train = any(before[name] != now.fingerprints[name] for name in ("train", "validation"))
    if not splits.test_source:
        return splits.train_source if test or train else ""
    if test and train and _explained_by_test(recorded.get("audit", {}), now):
        train = False
    named = [("the training examples", splits.train_source, train), ("the test examples", splits.test_source, test)]
    return " and ".join(f"{split} ({source})" for split, source, changed in named if changed)


def _explained_by_test(audit: dict[str, Any], now: Prepared) -> bool:
    """Return whether training examples changed only because the audit drops other texts that are in test."""
    leaked = audit.get("leaked_exact", 0) + audit.get("leaked_normalised", 0)
    return audit.get("rows_train") == now.audit.rows_train and leaked != now.audit.leaked
