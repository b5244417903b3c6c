"""The push: a verified folder becomes one commit of a repository on the Hub.

Through huggingface_hub alone. The token is that of the login or of HF_TOKEN; it is never shown.

Knows the Hub. Knows nothing of how the folder was made.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from kit.errors import ExportError, RecipeError, first_line
from kit.files import file_sha256
from kit.hub import patiently, refusal, status_of
from kit.publishing.manifest import MANIFEST_FILE

T = TypeVar("T")
_KEPT = ".gitattributes"  # which the Hub writes itself


@dataclass(frozen=True)
class Target:
    """Where to push.

    revision: a branch. pull_request: propose the commit instead of making it. overwrite: a repository that kit did not
    make.
    """

    name: str
    private: bool = True
    revision: str | None = None
    message: str | None = None
    pull_request: bool = False
    overwrite: bool = False


@dataclass(frozen=True)
class Pushed:
    """What came of it. commit: its id. address: of the commit, or of the pull request."""

    commit: str
    address: str


def require_target(target: Target) -> None:
    """Raise RecipeError without a login, ExportError if the repository is not kit's to write to: before any work."""
    from huggingface_hub import get_token
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(target.name)
    except HFValidationError as error:
        raise RecipeError(f"--push: {first_line(error)}", "name it as user/name") from error
    if "/" not in target.name:
        raise RecipeError(f"--push: {target.name} does not say whose it is", "name it as user/name")
    if get_token() is None:
        raise RecipeError("--push: you are not logged in to the Hub", "`hf auth login`, or set HF_TOKEN")
    if _files(target) is not None and not target.overwrite and not target.pull_request and not _is_ours(target):
        raise ExportError(
            f"--push: {target.name} is on the Hub already and was not made by kit",
            "choose another name, propose it with --pr, or replace its files with --overwrite",
        )


def push(folder: Path, target: Target, about: str) -> Pushed:
    """Make the repository if it is not there, and of the folder one commit that leaves just its files.

    about: first line of the commit if the target has no message. A push that was broken off can be repeated: what the
    Hub has already is not sent again. Raises ExportError, in words, for what the Hub refuses, and if it does not have
    what was sent.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    api = HfApi()
    _asked(target, lambda: api.create_repo(target.name, private=target.private, exist_ok=True))
    if target.revision is not None:
        branch = target.revision
        _asked(target, lambda: api.create_branch(target.name, branch=branch, exist_ok=True))
    there = _files(target) or []
    ours = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}

    def commit() -> Any:
        operations: list[Any] = [CommitOperationAdd(name, str(path)) for name, path in ours.items()]
        operations += [CommitOperationDelete(name) for name in there if name not in ours and name != _KEPT]
        return api.create_commit(
            target.name,
            operations,
            commit_message=target.message or about,
            revision=target.revision,
            create_pr=target.pull_request,
        )

    done = _asked(target, commit, twice=not target.pull_request)
    _require_arrived(target, done.oid, ours)
    return Pushed(str(done.oid), str(done.pr_url or done.commit_url))


def _require_arrived(target: Target, commit: str, files: dict[str, Path]) -> None:
    """Raise ExportError unless the commit has every file, of the same content where the Hub tells its sha256."""
    from huggingface_hub import HfApi

    info = _asked(target, lambda: HfApi().model_info(target.name, revision=commit, files_metadata=True))
    there = {each.rfilename: each for each in info.siblings or []}
    for name, path in files.items():
        found = there.get(name)
        large = getattr(found, "lfs", None)
        if found is None or (large is not None and large["sha256"] != file_sha256(path)):
            raise ExportError(f"--push: the Hub does not have {name} as it was sent", "push again")


def _files(target: Target) -> list[str] | None:
    """Files of the repository's branch, None if there is no such repository."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    def ask() -> list[str] | None:
        try:
            return HfApi().list_repo_files(target.name, revision=target.revision)
        except RevisionNotFoundError:
            return HfApi().list_repo_files(target.name)
        except RepositoryNotFoundError as error:
            if status_of(error) == 401:
                raise
            return None

    return _asked(target, ask)


def _is_ours(target: Target) -> bool:
    """Whether kit made the repository: it has a manifest of kit, or nothing yet."""
    from huggingface_hub import hf_hub_download

    files = _files(target) or []
    if not set(files) - {_KEPT}:
        return True  # made by a push that was broken off
    if MANIFEST_FILE not in files:
        return False
    path = _asked(target, lambda: hf_hub_download(target.name, MANIFEST_FILE, revision=target.revision))
    try:
        return bool(json.loads(Path(path).read_text("utf-8")).get("made_by") == "kit")
    except (ValueError, AttributeError):
        return False


def _asked(target: Target, ask: Callable[[], T], *, twice: bool = True) -> T:
    """What the Hub answers, asked again where that may help. Raises ExportError with one clear line.

    twice: whether it does no harm to ask for it once more where the answer was lost.
    """
    try:
        return patiently(ask, broken=twice)
    except Exception as error:  # which class a broken connection raises depends on the HTTP library beneath
        status = status_of(error)
        if status is None:
            message, hint = f"the Hub cannot be reached: {first_line(error)}", "start the same command again"
        else:
            message, hint = refusal(error, target.name)
        if status == 403:
            hint = "your token may not write there: take one with write access, or another name"
        if status in (409, 412):
            hint = "somebody else changed it meanwhile: start the same command again"
        raise ExportError(f"--push: {message}", hint) from error
