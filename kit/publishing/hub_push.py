"""Push of a verified folder to the Hub, as one commit of a model repository.

The token is that of the login or of HF_TOKEN. A push can be repeated: kit first checks whether the Hub already has the
content, also after a lost response.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.errors import ExportError, RecipeError, first_line
from kit.publishing.remote import State, find_state, find_written, send
from kit.runtime.hub_client import is_offline, page
from kit.runtime.names import regular_files


@dataclass(frozen=True)
class Target:
    """Repository to push to.

    Attributes:
        name: Id of the repository, `user/name`.
        private: Whether a new repository is private.
        revision: Branch; None for the main branch.
        message: First line of the commit message; None for the default.
        pull_request: Whether to open a pull request with the commit.
        overwrite: Whether to replace files that kit did not push, also in a repository that kit did not create.
    """

    name: str
    private: bool = True
    revision: str | None = None
    message: str | None = None
    pull_request: bool = False
    overwrite: bool = False


@dataclass(frozen=True)
class Pushed:
    """Result of a push: id of the commit, and address of the commit or of the pull request."""

    commit: str
    address: str


@dataclass(frozen=True)
class _Change:
    """Change that a commit makes.

    Attributes:
        before: Content of the repository before the commit.
        files: Local files by their path in the repository.
        deleted: Paths to delete.
    """

    before: State
    files: dict[str, Path]
    deleted: tuple[str, ...]

    def missing(self, state: State) -> str | None:
        """Return the first path whose content is not as the commit leaves it; None if all are."""
        kept = {name: digest for name, digest in self.before.files.items() if name not in self.files}
        for name in self.deleted:
            del kept[name]
        wrong = (name for name, path in self.files.items() if not state.has(name, path))
        others = {name: digest for name, digest in state.files.items() if name not in self.files}
        return next(wrong, None) or next(
            (name for name in sorted(kept | others) if kept.get(name) != others.get(name)), None
        )


def require_target(target: Target) -> None:
    """Check a target before anything is computed.

    Raises:
        RecipeError: The name is invalid, kit is offline, or the user is not logged in.
        ExportError: The token is read-only, or kit may not write to the repository.
    """
    from huggingface_hub import get_token
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(target.name)
    except HFValidationError as error:
        raise RecipeError(f"--push: {first_line(error)}", "use a name such as user/name") from error
    if "/" not in target.name:
        raise RecipeError(f"--push: {target.name} has no owner", "use a name such as user/name")
    if is_offline():
        raise RecipeError("--push: HF_HUB_OFFLINE is set, so kit cannot reach the Hub", "unset it")
    if get_token() is None:
        raise RecipeError("--push: you are not logged in to the Hub", "run `hf auth login`, or set HF_TOKEN")
    if _login(target).get("auth", {}).get("accessToken", {}).get("role") == "read":
        raise ExportError(
            "--push: your token is read-only", "use a token with write access: `hf auth login`, or HF_TOKEN"
        )
    state = find_state(target.name, target.revision)
    if state is not None:
        _deletable(target, state)


def push(folder: Path, target: Target, about: str) -> Pushed:
    """Commit a folder to a repository, which is created if it does not exist.

    The commit deletes older files of kit. Files of other people are kept, unless the target overwrites them.

    Args:
        folder: Folder to push.
        target: Repository, branch and options.
        about: First line of the commit message if the target has no message.

    Returns:
        The new commit, or an earlier one with the same content.

    Raises:
        ExportError: The Hub refuses the push, or does not have the content afterwards.
    """
    from huggingface_hub import HfApi

    api, branch = HfApi(), target.revision
    send(target.name, lambda: api.create_repo(target.name, private=target.private, exist_ok=True))
    if branch is not None and not branch.startswith("refs/") and not target.pull_request:
        send(target.name, lambda: api.create_branch(target.name, branch=branch, exist_ok=True))
    before = find_state(target.name, branch)
    if before is None:
        raise ExportError(f"--push: the Hub does not show {target.name}", "run the same command again")
    files = regular_files(folder, ExportError)
    deleted = tuple(sorted(_deletable(target, before) - set(files)))
    change = _Change(before, files, deleted)
    earlier = _find_earlier(target, change)
    if earlier is not None:
        return earlier
    try:
        pushed = _commit(target, change, target.message or about)
    except ExportError:
        with suppress(ExportError):
            earlier = _find_earlier(target, change)
        if earlier is None:
            raise
        return earlier  # the commit was made, only its response was lost
    state = find_state(target.name, pushed.commit)
    wrong = change.missing(state) if state is not None else next(iter(files))
    if wrong is not None:
        raise ExportError(f"--push: the Hub does not have {wrong} as it was sent", "run the same command again")
    return pushed


def _deletable(target: Target, state: State) -> set[str]:
    """Return the paths that a push may delete.

    Raise ExportError if kit may not write to the repository.
    """
    if target.overwrite:
        return set(state.files)
    written = find_written(target.name, state)
    if written is None and not target.pull_request:
        raise ExportError(
            f"--push: {target.name} exists on the Hub and was not created by kit",
            "choose another name, open a pull request with --pr, or replace its files with --overwrite",
        )
    return (written or set()) & set(state.files)


def _commit(target: Target, change: _Change, message: str) -> Pushed:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    api = HfApi()
    changed = [(name, path) for name, path in change.files.items() if not change.before.has(name, path)]
    additions = [CommitOperationAdd(name, str(path)) for name, path in changed]
    send(
        target.name,
        lambda: api.preupload_lfs_files(
            target.name,
            additions,
            revision=target.revision,
            create_pr=target.pull_request,
            free_memory=False,
        ),
        retry=False,
    )
    commit: Any = send(
        target.name,
        lambda: api.create_commit(
            target.name,
            [*additions, *(CommitOperationDelete(name) for name in change.deleted)],
            commit_message=message,
            revision=target.revision,
            parent_commit=change.before.commit,  # refuses the commit if the branch has changed since
            create_pr=target.pull_request,
        ),
        repeat_broken=not target.pull_request,
    )
    return Pushed(str(commit.oid), str(commit.pr_url or commit.commit_url))


def _find_earlier(target: Target, change: _Change) -> Pushed | None:
    """Return an earlier push with the same content, on the branch or in a pull request.

    The result is None if there is none.
    """
    states = [(target.revision, f"{page(target.name)}/commit/{{}}")]
    if target.pull_request:
        states += _pull_requests(target)
    for revision, address in states:
        state = find_state(target.name, revision)
        if state is not None and change.missing(state) is None:
            return Pushed(state.commit, address.format(state.commit))
    return None


def _pull_requests(target: Target) -> Iterator[tuple[str | None, str]]:
    """Yield the git reference and the address of each open pull request of the user."""
    from huggingface_hub import HfApi

    discussions = send(
        target.name,
        lambda: list(
            HfApi().get_repo_discussions(
                target.name, author=_login(target)["name"], discussion_type="pull_request", discussion_status="open"
            )
        ),
    )
    for discussion in discussions:
        yield discussion.git_reference, f"{page(target.name)}/discussions/{discussion.num}"


def _login(target: Target) -> dict[str, Any]:
    """Return the token's account and permissions."""
    from huggingface_hub import whoami

    return send(target.name, lambda: whoami(cache=True))
