"""The compression steps that a Record is the result of."""

from __future__ import annotations

from kit.recipe.sections.compression import Step
from kit.records.record import Record
from kit.runtime.file_types import RECORD_FILE


def chain_steps(record: Record) -> list[Step]:
    """Return the compression steps from the trained run to this one; empty for a trained run.

    The recipe of a Record contains all of them. Earlier versions of kit wrote the last step alone: the steps before it
    are in the Records that the run was compressed from.
    """
    compression = record.content.settings.compression
    if compression is None:
        return []
    steps = list(record.recipe.compress.steps)
    source = record.folder.parent / compression.source
    if len(steps) == 1 and source != record.folder and (source / RECORD_FILE).is_file():
        return chain_steps(Record.read(source)) + steps
    return steps
