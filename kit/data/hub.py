"""Data sets of the Hub, loaded with the `datasets` library."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.data.class_labels import name_classes
from kit.data.parquet import shortest_float
from kit.data.table import Table
from kit.errors import DataError, first_line
from kit.runtime.hub_client import TIMEOUT_S, page, patiently, refusal

if TYPE_CHECKING:
    from datasets import Dataset

_COMMIT = re.compile(r"[0-9a-f]{40}")


def load_hub(name: str, config: str | None, revision: str | None) -> tuple[dict[str, Callable[[], Table]], str | None]:
    """Load the splits of a data set; without a connection to the Hub, from the local cache.

    Args:
        name: Id of the data set.
        config: Name of the configuration. None: the only one.
        revision: Branch, tag or commit. None: the default branch.

    Returns:
        Functions that read a split, by name of the split, and the commit of the data; None if it is unknown.

    Raises:
        DataError: The data set, configuration or revision does not exist, is neither reachable nor cached, or needs a
            loading script.
    """
    commit, reachable = _find_commit(name, revision)
    loaded = _load(name, config, commit or revision, reachable=reachable)
    splits: dict[str, Callable[[], Table]] = {str(split): partial(to_table, data) for split, data in loaded.items()}
    loaded_commit = commit or _cached_commit(loaded)
    if revision and _COMMIT.fullmatch(revision) and loaded_commit not in (None, revision):
        raise DataError(
            f"cannot reach the Hub, and the copy of {name} on this machine is {loaded_commit}",
            "connect to the Hub, or drop data.revision",
            key="data.revision",
        )
    return splits, loaded_commit


def _find_commit(name: str, revision: str | None) -> tuple[str | None, bool]:
    """Return the commit of a revision, and True; (None, False), without retries, if the Hub cannot be reached."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        return patiently(lambda: HfApi().dataset_info(name, revision=revision, timeout=TIMEOUT_S).sha), True
    except GatedRepoError as error:
        raise _gated(name) from error
    except RevisionNotFoundError as error:
        raise DataError(f"the data set {name} has no revision {revision}", key="data.revision") from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise DataError(
            f"{name} is neither a local path nor a data set on the Hub that you can read",
            "check the spelling; for private data, `hf auth login`",
            key="data.source",
        ) from error
    except HfHubHTTPError as error:
        message, hint = refusal(error, name)
        raise DataError(f"{message}", hint, key="data.source") from error
    except Exception as error:
        # The class of this error depends on the HTTP library of huggingface_hub, which changed twice.
        logging.getLogger(__name__).debug("the Hub cannot be reached: %s", error)
        return None, False


def _load(name: str, config: str | None, revision: str | None, reachable: bool) -> dict[str, Dataset]:
    import datasets
    from datasets.exceptions import DatasetNotFoundError, DatasetsError

    try:
        with _quiet(), _offline(not reachable):
            loaded: dict[str, Dataset] = patiently(lambda: datasets.load_dataset(name, config, revision=revision))
            return loaded
    except DatasetNotFoundError as error:
        if "gated" in str(error):  # the description of a gated data set is public, so _find_commit does not raise
            raise _gated(name) from error
        raise DataError(first_line(error), "check the spelling", key="data.source") from error
    except ConnectionError as error:
        raise DataError(
            f"there is no file {name}, and the Hub, where it may be a data set, cannot be reached",
            "check the path; for a data set on the Hub, check the network and the id",
            key="data.source",
        ) from error
    except RuntimeError as error:
        if "scripts are no longer supported" not in str(error):
            raise
        raise DataError(
            f"the data set {name} is read by a script, which `datasets` does not run",
            "look for a copy in Parquet on the Hub (often data.revision: refs/convert/parquet), or use local files",
            key="data.source",
        ) from error
    except ValueError as error:
        if "config" not in str(error).lower():
            raise DataError(f"the data set {name} cannot be read: {first_line(error)}", key="data.source") from error
        raise DataError(
            f"{_configurations(name, config, str(error))}", "set data.config to one", key="data.config"
        ) from error
    except (DatasetsError, OSError) as error:
        raise DataError(f"the data set {name} cannot be read: {first_line(error)}", key="data.source") from error


def _gated(name: str) -> DataError:
    return DataError(
        f"the data set {name} is gated on the Hub",
        f"accept its terms at {page(name, 'datasets/')}, then log in with `hf auth login`",
        key="data.source",
    )


def _configurations(name: str, config: str | None, message: str) -> str:
    names = re.search(r"\[(.+?)\]", message, re.DOTALL)
    known = f" ({names[1].replace(chr(39), '')})" if names else ""
    return f"the data set {name} has no configuration {config}{known}" if config else f"{name} has several{known}"


def to_table(data: Dataset) -> Table:
    """Return the columns with texts, numbers, classes, lists of these, and translations; leave out images and audio."""
    features = data.features.to_dict()
    plain = [name for name, feature in features.items() if _is_plain(feature) or _is_translation(name, feature)]
    columns = data.select_columns(plain).with_format(None).to_dict()
    for name in plain:
        if _has_short_floats(features[name]):
            columns[name] = [shortest_float(value) for value in columns[name]]
    return Table.of(name_classes(columns, features))


def _has_short_floats(feature: Any) -> bool:
    """Return whether a column holds floats of 32 or 16 bits, or lists of such floats."""
    if isinstance(feature, list):
        return _has_short_floats(feature[0])
    inner = feature.get("feature")
    return feature.get("dtype") in ("float32", "float16") if inner is None else _has_short_floats(inner)


def _is_plain(feature: Any) -> bool:
    if isinstance(feature, list):
        return len(feature) == 1 and _is_plain(feature[0])
    if feature.get("_type") in ("List", "LargeList", "Sequence"):
        return _is_plain(feature["feature"])
    return feature.get("_type") in ("Value", "ClassLabel") and feature.get("dtype") not in ("binary", "large_binary")


def _is_translation(name: str, feature: Any) -> bool:
    """Return whether a column holds `{"en": ..., "de": ...}`: by its type or, for a struct of texts, by its name."""
    if not isinstance(feature, dict):
        return False
    if feature.get("_type") == "Translation":
        return True
    return name == "translation" and all(isinstance(part, dict) and _is_plain(part) for part in feature.values())


def _cached_commit(loaded: dict[str, Dataset]) -> str | None:
    """Return the commit from the path of the cached files; None if the path has no commit."""
    for data in loaded.values():
        for file in data.cache_files:
            commit = Path(file["filename"]).parent.name
            if _COMMIT.fullmatch(commit):
                return commit
    return None


@contextmanager
def _quiet() -> Iterator[None]:
    """Disable progress bars and warnings of the libraries while a data set is loaded."""
    import datasets
    from huggingface_hub.utils import logging as hub_logging
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    loggers = (datasets.logging, hub_logging)
    levels = [library.get_verbosity() for library in loggers]
    bars, hub_bars = datasets.are_progress_bars_disabled(), are_progress_bars_disabled()
    datasets.disable_progress_bars()
    disable_progress_bars()
    for library in loggers:
        library.set_verbosity_error()
    try:
        yield
    finally:
        for library, level in zip(loggers, levels, strict=True):
            library.set_verbosity(level)
        if not bars:
            datasets.enable_progress_bars()
        if not hub_bars:
            enable_progress_bars()


@contextmanager
def _offline(offline: bool) -> Iterator[None]:
    """Load only from the local cache if `offline`, instead of trying to reach the Hub for 24 seconds."""
    import datasets

    before = datasets.config.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = before or offline
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE = before
