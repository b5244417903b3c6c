"""Changes of a run's data since the run was created."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from kit.data.prepare import Prepared


class RowCounts(Protocol):
    """Numbers of rows that an audit counted."""

    @property
    def rows_train(self) -> int | None:
        """Training rows as read; None if unknown."""

    @property
    def leaked(self) -> int:
        """Training rows whose text is in test."""


def changed_data(before: Mapping[str, str], audit: RowCounts, now: Prepared) -> str:
    """Return the names of the sources whose examples changed; empty if none changed.

    Args:
        before: Fingerprints of the splits in the Record.
        audit: Numbers of rows in the Record.
        now: The same data, read again.
    """
    splits = now.splits
    test = before["test"] != now.fingerprints["test"]
    train = any(before[name] != now.fingerprints[name] for name in ("train", "validation"))
    if not splits.test_source:
        return splits.train_source if test or train else ""
    if test and train and _explained_by_test(audit, now):
        train = False
    named = [("the training examples", splits.train_source, train), ("the test examples", splits.test_source, test)]
    return " and ".join(f"{split} ({source})" for split, source, changed in named if changed)


def _explained_by_test(audit: RowCounts, now: Prepared) -> bool:
    """Return whether training examples changed only because the audit drops other texts that are in test."""
    return audit.rows_train == now.audit.rows_train and audit.leaked != now.audit.leaked
