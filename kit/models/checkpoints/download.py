"""Download of checkpoints from the Hub: the files that are needed, and errors that explain a failure."""

from __future__ import annotations

from pathlib import Path

from kit.errors import ModelError, first_line
from kit.recipe import ModelSection
from kit.runtime.hub_client import TIMEOUT_S, is_offline, page, patiently, refusal, status_of
from kit.runtime.names import plain_name

_PATTERNS = ["*.json", "*.txt", "*.model", "*.spm", "*Pooling*/*"]
_WEIGHTS = "*.safetensors"
_PICKLE = "pytorch_model.bin"


def download(name: str, model: ModelSection, weights: bool) -> tuple[Path, str]:
    """Download a checkpoint and return its folder in the Hub's cache, and its commit.

    Files that can run code are not downloaded unless the recipe allows them. Without a network, an earlier download is
    used.

    Args:
        name: Id on the Hub.
        model: Section of the recipe.
        weights: False to leave out the weights.

    Raises:
        ModelError: If the checkpoint cannot be downloaded.
    """
    from huggingface_hub import snapshot_download

    for part in (model.revision or "main").split("/"):
        plain_name(part, "model.revision", ModelError, hint="name a branch, a tag or a commit")
    files = [_WEIGHTS, *(["*.bin"] if model.allow_pickle else [])] if weights else []
    patterns = [*_PATTERNS, *files, *(["*.py"] if model.trust_remote_code else [])]

    def fetch() -> Path:
        return Path(snapshot_download(name, revision=model.revision, allow_patterns=patterns))

    try:
        folder = patiently(fetch) if _is_reachable(name, model.revision) else fetch()
    except ValueError as error:
        raise ModelError(f"{name} cannot be downloaded: {first_line(error)}", key="model.checkpoint") from error
    except Exception as error:  # the class of connection errors depends on the HTTP library
        raise _explained(error, name, model.revision) from error
    if weights and not model.allow_pickle and not any(folder.glob("*.safetensors*")) and _has_pickle(name, folder.name):
        raise pickle_refused(name, _PICKLE)
    return folder, folder.name


def _is_reachable(name: str, revision: str | None) -> bool:
    """Return True if the Hub has a checkpoint; wait while the Hub is busy.

    `snapshot_download` itself tries once and then uses its cached copy, which may be of an older commit.
    """
    from huggingface_hub import HfApi

    try:
        patiently(lambda: HfApi().model_info(name, revision=revision or "main", timeout=TIMEOUT_S))
    except Exception:  # `fetch` raises the same error if there is no cached copy
        return False
    return True


def pickle_refused(name: str, file: str) -> ModelError:
    """Return the error for weights in a pickle that the recipe does not allow."""
    return ModelError(
        f"{name} holds its weights in a pickle ({file}), which can run code",
        "convert them to safetensors, or trust the file with `model.allow_pickle: true`",
        key="model.checkpoint",
    )


def _has_pickle(name: str, commit: str) -> bool:
    from huggingface_hub import HfApi

    try:
        return HfApi().file_exists(name, _PICKLE, revision=commit)
    except (OSError, RuntimeError):
        return False  # unknown without a network


def _explained(error: Exception, name: str, revision: str | None) -> ModelError:
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    if isinstance(error, GatedRepoError):
        return ModelError(
            f"{name} is gated on the Hub",
            f"accept its terms at {page(name)}, then log in with `hf auth login`",
            key="model.checkpoint",
        )
    if isinstance(error, RevisionNotFoundError):
        return ModelError(f"{name} has no revision {revision} on the Hub", key="model.revision")
    if isinstance(error, RepositoryNotFoundError):
        return ModelError(
            f"{name} is neither a local folder nor a model on the Hub that you can read",
            "check the spelling; for a private model, `hf auth login`",
            key="model.checkpoint",
        )
    if status_of(error) is not None:
        message, hint = refusal(error, name)
        return ModelError(message, hint, key="model.checkpoint")
    connect = "unset HF_HUB_OFFLINE to download it" if is_offline() else "connect to the Hub"
    return ModelError(
        f"{name} is not a local folder, and the Hub cannot be reached",
        f"{connect}, or name a local folder (recipes/sentiment.yaml uses one from a Python package)",
        key="model.checkpoint",
    )
