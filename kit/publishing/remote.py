"""Requests to a model repository on the Hub, and messages for failed requests."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from kit.errors import ExportError, first_line
from kit.publishing.manifest import written_files
from kit.runtime.file_types import MANIFEST_FILE
from kit.runtime.files import file_sha256
from kit.runtime.hub_client import is_broken, patiently, refusal, status_of

T = TypeVar("T")
HUB_FILE = ".gitattributes"  # the Hub creates this file, and changes it when it stores a large file
_TIMEOUT_FACTOR = 6  # times HF_HUB_DOWNLOAD_TIMEOUT (10 s by default): commits take longer than downloads


@dataclass(frozen=True)
class State:
    """Content of a repository at one commit.

    Attributes:
        commit: Id of the commit.
        files: Hash of each file by path (sha256 for large files, otherwise the git id), without `.gitattributes`.
    """

    commit: str
    files: dict[str, str]

    def has(self, name: str, path: Path) -> bool:
        """Return whether the repository has a file with the content of a local file."""
        digest = self.files.get(name)
        return digest is not None and digest == (file_sha256(path) if len(digest) == 64 else _git_id(path))


def find_state(name: str, revision: str | None) -> State | None:
    """Return the content of a repository at a revision.

    A revision that does not exist stands for the head of the main branch. None if the repository does not exist.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError
    from huggingface_hub.hf_api import RepoFile

    def request_state() -> State | None:
        api = HfApi()
        try:
            info = api.model_info(name, revision=revision)
        except RevisionNotFoundError:
            info = api.model_info(name)
        except RepositoryNotFoundError as error:
            if status_of(error) == 401:
                raise
            return None
        entries = api.list_repo_tree(name, recursive=True, revision=info.sha)
        files = [entry for entry in entries if isinstance(entry, RepoFile) and entry.path != HUB_FILE]
        return State(str(info.sha), {file.path: file.lfs.sha256 if file.lfs else file.blob_id for file in files})

    return send(name, request_state)


def find_written(name: str, state: State) -> set[str] | None:
    """Return the paths that kit wrote to a repository.

    The result is None if kit did not create the repository.
    """
    from huggingface_hub import hf_hub_download

    if not state.files:
        return set()  # created by a push that was interrupted
    if MANIFEST_FILE not in state.files:
        return None
    manifest = send(name, lambda: hf_hub_download(name, MANIFEST_FILE, revision=state.commit))
    return written_files(Path(manifest).parent)


def send(name: str, request: Callable[[], T], *, repeat_broken: bool = True, retry: bool = True) -> T:
    """Return the response of the Hub, with retries where they may help.

    Args:
        name: Repository, for messages.
        request: Call of the Hub client.
        repeat_broken: Whether the request may be repeated after its response was lost.
        retry: False for requests that the client itself repeats.

    Raises:
        ExportError: The request failed.
    """
    from huggingface_hub import get_session

    def limited() -> T:
        get_session().timeout = _time_limit_s()  # the client has no limit by default
        with _progress_bars_off():
            return request()

    try:
        return patiently(limited, broken=repeat_broken) if retry else limited()
    except Exception as error:  # the class for a broken connection depends on the HTTP library
        message, hint = _message_and_hint(error, name)
        raise ExportError(f"--push: {message}", hint) from error


@contextmanager
def _progress_bars_off() -> Iterator[None]:
    """Turn off the progress bars of the client, as kit reports what it pushes."""
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    if are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


def _message_and_hint(error: Exception, name: str) -> tuple[str, str]:
    status = status_of(error)
    if type(error) is ValueError and status == 400:  # the client found an error in the metadata of the card
        return f"the Hub refused {name}: {' '.join(str(error).split())[:300]}", ""
    if status is not None:
        message, hint = refusal(error, name)
        if status == 403:
            hint = "your token has no write access to this repository: use a token that has, or another name"
        if status in (409, 412):
            hint = "the repository was changed in the meantime: run the same command again"
        return message, hint
    if is_broken(error):
        return f"the connection to the Hub failed: {first_line(_root(error))}", "run the same command again"
    return f"{name} was not pushed: {first_line(error)}", ""


def _root(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _time_limit_s() -> float:
    from huggingface_hub import constants

    return float(_TIMEOUT_FACTOR * constants.HF_HUB_DOWNLOAD_TIMEOUT)


def _git_id(path: Path) -> str:
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
