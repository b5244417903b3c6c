"""Which of a run's data changed since it was made."""

from __future__ import annotations

from typing import Any

from kit.data.prepare import Prepared


def changed_data(recorded: dict[str, Any], now: Prepared) -> str:
    """Return the name of the source that no longer gives the same examples; empty if all give them.

    Args:
        recorded: What the Record says of its data: `fingerprints`, and `audit` with the numbers of rows.
        now: The same data as they are read today.
    """
    before, splits = recorded["fingerprints"], now.splits
    test = before["test"] != now.fingerprints["test"]
    train = any(before[name] != now.fingerprints[name] for name in ("train", "validation"))
    if not splits.test_source:
        return splits.train_source if test or train else ""
    if test and train and _explained_by_test(recorded.get("audit", {}), now):
        train = False
    named = [("the training examples", splits.train_source, train), ("the test examples", splits.test_source, test)]
    return " and ".join(f"{what} ({source})" for what, source, changed in named if changed)


def _explained_by_test(audit: dict[str, Any], now: Prepared) -> bool:
    """Return whether the training examples differ because other ones of them are in test now, and are dropped."""
    leaked = audit.get("leaked_exact", 0) + audit.get("leaked_normalised", 0)
    return audit.get("rows_train") == now.audit.rows_train and leaked != now.audit.leaked
