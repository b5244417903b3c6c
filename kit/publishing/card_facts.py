"""Facts that a model card needs beside the Record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from kit.publishing.reproduce import Reproduction
from kit.records.content import RecordedSettings


@dataclass(frozen=True)
class CardFormat:
    """One format in the exported folder.

    Attributes:
        name: Name of the format.
        folder: Folder of its files, relative to the exported folder.
        loader: Library or class that loads it.
        arguments: Arguments of the loader.
        packages: Python packages that the loader needs.
        proof: Result of the check that it predicts the same in a new process.
    """

    name: str
    folder: str
    loader: str
    arguments: dict[str, Any]
    packages: str
    proof: str


@dataclass(frozen=True)
class CardFacts:
    """Facts of an export; None or empty where they are not known.

    Attributes:
        name: `user/name` on the Hub, or the name of the folder.
        recipe: Recipe of the run, without local paths.
        history: How the model was distilled and compressed, one line each.
        formats: Exported formats; the first one lies at the top of the folder.
        vocabulary: Notes on the tokens that were removed, if the vocabulary was trimmed.
        cut: Share of the test texts that are truncated; None for models without a tokenizer.
        speeds: Rows of the table of speeds, the header first.
        speed_notes: Sentences below the table of speeds.
        checkpoint: Checkpoint that training started from.
        base: Hub id of the base model.
        licence: Licence of the base model.
        dataset: Hub id of the data.
        data_licence: Licence of the data.
        languages: Language codes of the texts.
        reproduction: Recipes and commands that repeat the run.
        chosen: The study that chose the model, and the models that it was compared with, one line each.
    """

    name: str
    recipe: dict[str, Any]
    history: Sequence[str]
    formats: Sequence[CardFormat]
    vocabulary: RecordedSettings | None = None
    cut: float | None = None
    speeds: Sequence[Sequence[str]] = ()
    speed_notes: Sequence[str] = ()
    checkpoint: str | None = None
    base: str | None = None
    licence: str | None = None
    dataset: str | None = None
    data_licence: str | None = None
    languages: Sequence[str] = field(default_factory=tuple)
    reproduction: Reproduction | None = None
    chosen: Sequence[str] = ()
