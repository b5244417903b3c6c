"""The repository on the Hub: what is in it, and words for what the Hub refuses or does not answer.

Knows huggingface_hub's requests that change nothing. Knows nothing of what is to be pushed.
"""

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
HUB_FILE = ".gitattributes"  # which the Hub writes itself, and changes when it stores a large file
_SILENCE = 6  # times what HF_HUB_DOWNLOAD_TIMEOUT allows a download (10 s): a commit takes the Hub longer


@dataclass(frozen=True)
class State:
    """What a repository has at one commit. files: the Hub's id of each by path, but for the Hub's own."""

    commit: str
    files: dict[str, str]

    def has(self, name: str, path: Path) -> bool:
        """Whether a file is there with the content of a local one."""
        found = self.files.get(name)
        return found is not None and found == (file_sha256(path) if len(found) == 64 else _git_id(path))


def find_state(name: str, revision: str | None) -> State | None:
    """What is there at a revision, at the head of main where there is no such revision; None without a repository."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError
    from huggingface_hub.hf_api import RepoFile

    def ask() -> State | None:
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
        files = [each for each in entries if isinstance(each, RepoFile) and each.path != HUB_FILE]
        return State(str(info.sha), {each.path: each.lfs.sha256 if each.lfs else each.blob_id for each in files})

    return asked(name, ask)


def find_written(name: str, state: State) -> set[str] | None:
    """Files of a repository that kit put there; None if somebody else made it."""
    from huggingface_hub import hf_hub_download

    if not state.files:
        return set()  # made by a push that was broken off
    if MANIFEST_FILE not in state.files:
        return None
    manifest = asked(name, lambda: hf_hub_download(name, MANIFEST_FILE, revision=state.commit))
    return written_files(Path(manifest).parent)


def asked(name: str, ask: Callable[[], T], *, twice: bool = True, patient: bool = True) -> T:
    """What the Hub answers, asked again where that may help. Raises ExportError with one clear line.

    twice: whether it does no harm to ask for it once more where the answer was lost. patient: False for what the client
    itself asks again.
    """
    from huggingface_hub import get_session

    def limited() -> T:
        get_session().timeout = _time_limit_s()  # the client's own is none: it would wait for a dead Hub forever
        with _without_bars():
            return ask()

    try:
        return patiently(limited, broken=twice) if patient else limited()
    except Exception as error:  # which class a broken connection raises depends on the HTTP library beneath
        message, hint = _words(error, name)
        raise ExportError(f"--push: {message}", hint) from error


@contextmanager
def _without_bars() -> Iterator[None]:
    """No progress bars of the client: kit says itself what it pushes."""
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    if are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


def _words(error: Exception, name: str) -> tuple[str, str]:
    status = status_of(error)
    if type(error) is ValueError and status == 400:  # the card's metadata: what is wrong with them is in its text
        return f"the Hub refused {name}: {' '.join(str(error).split())[:300]}", ""
    if status is not None:
        message, hint = refusal(error, name)
        if status == 403:
            hint = "your token may not write there: take one with write access, or another name"
        if status in (409, 412):
            hint = "somebody else changed it meanwhile: start the same command again"
        return message, hint
    if is_broken(error):
        return f"the connection to the Hub failed: {first_line(_root(error))}", "start the same command again"
    return f"{name} was not pushed: {first_line(error)}", ""


def _root(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _time_limit_s() -> float:
    from huggingface_hub import constants

    return float(_SILENCE * constants.HF_HUB_DOWNLOAD_TIMEOUT)


def _git_id(path: Path) -> str:
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
