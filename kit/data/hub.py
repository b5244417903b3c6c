"""Data sets from the Hub, through the `datasets` library.

Knows the Hub and its errors. Knows nothing of recipes' other keys, splits to use or labels.
"""

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
from kit.runtime.hub_client import page, patiently, refusal

if TYPE_CHECKING:
    from datasets import Dataset

_TIMEOUT_S = 10.0
_COMMIT = re.compile(r"[0-9a-f]{40}")


def load_hub(name: str, config: str | None, revision: str | None) -> tuple[dict[str, Callable[[], Table]], str | None]:
    """The splits of a data set, each read when called, and the commit they come from, where that is known.

    Where the Hub cannot be reached, a copy that was loaded before is used. Raises DataError if there is none, if there
    is no such data set, configuration or revision, or if it needs code to be read.
    """
    commit, reachable = _find_commit(name, revision)
    loaded = _load(name, config, commit or revision, reachable)
    splits: dict[str, Callable[[], Table]] = {str(split): partial(to_table, data) for split, data in loaded.items()}
    found = commit or _cached_commit(loaded)
    if revision and _COMMIT.fullmatch(revision) and found not in (None, revision):
        raise DataError(
            f"cannot reach the Hub, and the copy of {name} on this machine is {found}",
            "connect to the Hub, or drop data.revision",
            key="data.revision",
        )
    return splits, found


def _find_commit(name: str, revision: str | None) -> tuple[str | None, bool]:
    """The commit that a revision stands for, and whether the Hub answered. One request: no retries when offline."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        return patiently(lambda: HfApi().dataset_info(name, revision=revision, timeout=_TIMEOUT_S).sha), True
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
        # Which class an unreachable Hub raises depends on the HTTP library beneath, which changed twice.
        logging.getLogger(__name__).debug("the Hub did not answer: %s", error)
        return None, False


def _load(name: str, config: str | None, revision: str | None, reachable: bool) -> dict[str, Dataset]:
    import datasets
    from datasets.exceptions import DatasetNotFoundError, DatasetsError

    try:
        with _quiet(), _offline(not reachable):
            loaded: dict[str, Dataset] = patiently(lambda: datasets.load_dataset(name, config, revision=revision))
            return loaded
    except DatasetNotFoundError as error:
        if "gated" in str(error):  # whose description all may read
            raise _gated(name) from error
        raise DataError(f"{first_line(error)}", "check the spelling", key="data.source") from error
    except ConnectionError as error:
        raise DataError(
            f"{name} is not here, and the Hub, where it may be a data set, cannot be reached",
            "check the path; for a data set of the Hub, the network and its id",
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
    """The columns of text, numbers, classes, lists of these, and translations; images and the like are left behind."""
    features = data.features.to_dict()
    plain = [name for name, feature in features.items() if _is_plain(feature) or _is_translation(name, feature)]
    columns = data.select_columns(plain).with_format(None).to_dict()
    for name in plain:
        if _has_short_floats(features[name]):
            columns[name] = [shortest_float(value) for value in columns[name]]
    return Table.of(name_classes(columns, features))


def _has_short_floats(feature: Any) -> bool:
    """Return whether a column holds floats of 32 or 16 bits, or lists of them."""
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
    """Whether a column holds `{"en": ..., "de": ...}`, by its type or, as a struct of texts, by its name."""
    if not isinstance(feature, dict):
        return False
    if feature.get("_type") == "Translation":
        return True
    return name == "translation" and all(isinstance(part, dict) and _is_plain(part) for part in feature.values())


def _cached_commit(loaded: dict[str, Dataset]) -> str | None:
    """The commit in the path of the cached files, where `datasets` puts it."""
    for data in loaded.values():
        for file in data.cache_files:
            commit = Path(file["filename"]).parent.name
            if _COMMIT.fullmatch(commit):
                return commit
    return None


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars and no warnings from the libraries while a data set is loaded."""
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
    """Look only among the data sets loaded before, instead of asking an unreachable Hub for 24 seconds."""
    import datasets

    before = datasets.config.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = before or offline
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE = before
