"""Licences and languages of the checkpoint and the data, from the Hub, installed packages and cards in folders."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, packages_distributions
from importlib.metadata import metadata as package_metadata
from pathlib import Path
from typing import Any

from kit.data.demo import PREFIX, demo_set
from kit.errors import ModelError
from kit.publishing.manifest import CARD_FILE
from kit.records.content import RecordedCheckpoint
from kit.runtime.files import package_folders
from kit.runtime.hub_client import is_offline, patiently
from kit.runtime.names import plain_path

_MAX_CHARACTERS = 60  # of a licence name: some packages declare the whole text of their licence


@dataclass(frozen=True)
class Source:
    """Origin of a checkpoint or a data set.

    Attributes:
        hub: Id on the Hub; None for local sources.
        licence: None if undeclared.
        languages: Empty if undeclared.
    """

    hub: str | None
    licence: str | None
    languages: tuple[str, ...]


def checkpoint_source(checkpoint: RecordedCheckpoint | None) -> Source:
    """Return the source of a checkpoint as a Record describes it; None stands for no checkpoint."""
    if checkpoint is None:
        return Source(None, None, ())
    name, revision = checkpoint.name, checkpoint.revision
    if revision is not None:
        from huggingface_hub import HfApi

        return _hub_source(name, lambda: HfApi().model_info(name, revision=revision))
    if ":" in name and not Path(name).is_dir():
        package, _, inner = name.partition(":")
        folders = package_folders(package)
        if not folders:
            return Source(None, None, ())
        return _folder_source(folders[0] / plain_path(inner, f"checkpoint {name}", ModelError), package)
    return _folder_source(Path(name).expanduser(), None)


def data_source(name: str, revision: str | None) -> Source:
    """Return the source of a data set.

    Args:
        name: Name of the data in a recipe.
        revision: Commit on the Hub; None for data that are not from the Hub.
    """
    if revision is None:
        package = demo_set(name, "data.source").packages[0] if name.startswith(PREFIX) else name.partition(":")[0]
        return Source(None, _package_licence(package) if ":" in name else None, ())
    from huggingface_hub import HfApi

    return _hub_source(name, lambda: HfApi().dataset_info(name, revision=revision))


def _hub_source(name: str, request: Callable[[], Any]) -> Source:
    if is_offline():
        return Source(name, None, ())
    try:
        card = patiently(request).card_data
    except Exception as error:  # a missing licence must not prevent the export
        logging.getLogger(__name__).debug("cannot read the card of %s on the Hub: %s", name, error)
        return Source(name, None, ())
    return Source(name, *_declared(card.to_dict() if card is not None else {}))


def _folder_source(folder: Path, package: str | None) -> Source:
    from huggingface_hub import RepoCard

    licence: str | None = None
    languages: tuple[str, ...] = ()
    if (folder / CARD_FILE).is_file():
        try:
            licence, languages = _declared(RepoCard.load(folder / CARD_FILE).data.to_dict())
        except ValueError as error:  # the metadata are not YAML
            logging.getLogger(__name__).debug("cannot read the card of %s: %s", folder, error)
    return Source(None, licence or (_package_licence(package) if package else None), languages)


def _declared(card: dict[str, Any]) -> tuple[str | None, tuple[str, ...]]:
    """Return the licence and the languages in the metadata of a card."""
    licence, languages = card.get("license"), card.get("language") or ()
    if isinstance(licence, list):
        licence = ", ".join(map(str, licence))
    return (str(licence) if licence else None), (
        (languages,) if isinstance(languages, str) else tuple(map(str, languages))
    )


def _package_licence(package: str) -> str | None:
    """Return the licence that an installed package declares, shortened; None if there is none."""
    names = packages_distributions().get(package, [package])
    try:
        metadata = package_metadata(names[0]).json
    except PackageNotFoundError:
        return None
    licence = metadata.get("license_expression") or metadata.get("license")
    return str(licence).splitlines()[0][:_MAX_CHARACTERS] if licence else None
