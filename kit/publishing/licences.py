"""Sources: what is known of the checkpoint and the data that a model was made of, their licences first of all.

Knows the Hub, installed packages and cards in folders. Knows nothing of models.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, packages_distributions
from importlib.metadata import metadata as package_metadata
from pathlib import Path
from typing import Any

from kit.errors import ModelError
from kit.runtime.files import package_folders
from kit.runtime.hub_client import is_offline, patiently
from kit.runtime.names import plain_path

_CARD = "README.md"
_LONGEST = 60  # letters of a licence's name: some packages give its whole text


@dataclass(frozen=True)
class Source:
    """hub: id there, None if it is not from there. licence, languages: None and empty where nobody says."""

    hub: str | None
    licence: str | None
    languages: tuple[str, ...]


def checkpoint_source(checkpoint: dict[str, Any] | None) -> Source:
    """Of a checkpoint as Records describe it."""
    if checkpoint is None:
        return Source(None, None, ())
    name, revision = str(checkpoint["name"]), checkpoint["revision"]
    if revision is not None:
        from huggingface_hub import HfApi

        return _of_hub(name, lambda: HfApi().model_info(name, revision=revision))
    if ":" in name and not Path(name).is_dir():
        package, _, inner = name.partition(":")
        folders = package_folders(package)
        if not folders:
            return Source(None, None, ())
        return _of_folder(folders[0] / plain_path(inner, f"checkpoint {name}", ModelError), package)
    return _of_folder(Path(name).expanduser(), None)


def data_source(name: str, revision: str | None) -> Source:
    """Of a data set as recipes name it. revision: its commit, None if it is not from the Hub."""
    if revision is None:
        package = name.partition(":")[0]
        return Source(None, _package_licence(package) if ":" in name else None, ())
    from huggingface_hub import HfApi

    return _of_hub(name, lambda: HfApi().dataset_info(name, revision=revision))


def _of_hub(name: str, ask: Callable[[], Any]) -> Source:
    if is_offline():
        return Source(name, None, ())
    try:
        card = patiently(ask).card_data
    except Exception as error:  # a card without a licence is no reason not to export
        logging.getLogger(__name__).debug("the Hub does not tell of %s: %s", name, error)
        return Source(name, None, ())
    return Source(name, *_told(card.to_dict() if card is not None else {}))


def _of_folder(folder: Path, package: str | None) -> Source:
    from huggingface_hub import RepoCard

    licence: str | None = None
    languages: tuple[str, ...] = ()
    if (folder / _CARD).is_file():
        try:
            licence, languages = _told(RepoCard.load(folder / _CARD).data.to_dict())
        except ValueError as error:  # metadata that are no YAML
            logging.getLogger(__name__).debug("the card of %s cannot be read: %s", folder, error)
    return Source(None, licence or (_package_licence(package) if package else None), languages)


def _told(card: dict[str, Any]) -> tuple[str | None, tuple[str, ...]]:
    licence, languages = card.get("license"), card.get("language") or ()
    if isinstance(licence, list):
        licence = ", ".join(map(str, licence))
    return (str(licence) if licence else None), (
        (languages,) if isinstance(languages, str) else tuple(map(str, languages))
    )


def _package_licence(package: str) -> str | None:
    """What an installed package says of its own licence, in short."""
    names = packages_distributions().get(package, [package])
    try:
        told = package_metadata(names[0]).json
    except PackageNotFoundError:
        return None
    licence = told.get("license_expression") or told.get("license")
    return str(licence).splitlines()[0][:_LONGEST] if licence else None
