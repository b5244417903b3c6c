"""The request: a recipe understood. Its data are loaded, its checkpoint is found, its defaults are filled in.

Calls each stage before training once, for every verb that needs it. Writes nothing but caches.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kit.recipe import DataSection, ModelSection, Recipe
from kit.record import FORMAT

if TYPE_CHECKING:
    from kit.data import Cleaned, Prepared
    from kit.models.checkpoint import Checkpoint
    from kit.tasks import Task


@dataclass(frozen=True)
class Request:
    """What a run is made from.

    recipe: resolved, see `kit.recipe.resolve`. checkpoint: None for methods that start from none.
    """

    recipe: Recipe
    task: Task
    data: Prepared
    checkpoint: Checkpoint | None

    @property
    def id(self) -> str:
        """The run's id: readable, and ending in a hash of the resolved recipe, the data and the checkpoint's files."""
        checkpoint, data = self.checkpoint, self.data
        content = {
            "format": FORMAT,
            "request": _without_locations(self.recipe.request()),
            "data": data.fingerprints,
            "checkpoint": checkpoint and [checkpoint.sha256, checkpoint.tokenizer_sha256],
        }
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]
        parts = [
            self.recipe.method,
            *([checkpoint.short_name] if checkpoint else []),
            str(len(data.train) + len(data.validation)),
            f"s{self.recipe.train.seed}",
            digest,
        ]
        return "-".join(parts)


@dataclass
class Shared:
    """What the cells of a study have in common, made once: cleaned splits, checkpoints with the hash of their files."""

    _splits: dict[str, Cleaned] = field(default_factory=dict)
    _checkpoints: dict[str, Checkpoint] = field(default_factory=dict)

    def cleaned(self, data: DataSection) -> Cleaned:
        """The splits of a data section, whatever its budget. Raises DataError."""
        from kit.data import clean

        key = data.model_dump_json(exclude={"budget", "validation", "sampling", "max_length"})
        if key not in self._splits:
            self._splits[key] = clean(data)
        return self._splits[key]

    def checkpoint(self, model: ModelSection) -> Checkpoint:
        """The checkpoint that a model section names. Raises ModelError."""
        from kit.models.checkpoint import resolve_checkpoint

        key = model.model_dump_json(exclude={"pooling"})
        if key not in self._checkpoints:
            self._checkpoints[key] = resolve_checkpoint(model)
        return self._checkpoints[key]


def understand(recipe: Recipe, shared: Shared | None = None) -> Request:
    """Load and audit the data, draw the budget, find the checkpoint, fill in the defaults.

    Raises KitError for whatever would keep the run from starting.
    """
    from kit.data import prepare
    from kit.methods import METHODS
    from kit.recipe.resolve import Facts, resolve
    from kit.tasks import check_task, task_for
    from kit.training.progress import check_trackers

    shared = shared or Shared()
    check_task(recipe)
    check_trackers(recipe.train)
    method = METHODS[recipe.method]
    data = prepare(recipe.data, recipe.train.seed, shared.cleaned(recipe.data))
    checkpoint = shared.checkpoint(recipe.model) if method.needs_checkpoint else None
    task = task_for(recipe, data.labels)
    facts = Facts(
        text=data.splits.text_columns,
        label=data.splits.label_column,
        labels=data.labels,
        train=len(data.train),
        validation=len(data.validation),
        pooling=method.pooling(checkpoint.folder, recipe.model.pooling) if checkpoint else None,
    )
    return Request(resolve(recipe, facts), task, data, checkpoint)


def _without_locations(request: dict[str, Any]) -> dict[str, Any]:
    """Where data and weights lie and how many to take does not matter once their content is in the id."""
    for section, keys in {
        "data": ("source", "test", "revision", "budget", "validation"),
        "model": ("checkpoint", "revision"),
    }.items():
        for key in keys:
            request.get(section, {}).pop(key, None)
    return request
