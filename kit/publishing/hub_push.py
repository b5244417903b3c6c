"""The push: a verified folder becomes one commit of a repository on the Hub.

Through huggingface_hub alone. The token is that of the login or of HF_TOKEN; it is never shown. A push can be repeated:
before it sends anything, and after an answer was lost, it looks whether the Hub has all of it already.

Knows the Hub's changes. Knows nothing of how the folder was made.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.errors import ExportError, RecipeError, first_line
from kit.publishing.remote import State, asked, find_state, find_written
from kit.runtime.hub_client import is_offline, page
from kit.runtime.names import regular_files


@dataclass(frozen=True)
class Target:
    """Where to push.

    revision: a branch. pull_request: propose the commit instead of making it. overwrite: a repository that kit did not
    make, and files that it did not put there.
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


@dataclass(frozen=True)
class _Change:
    """What the commit is to do. before: what is there. ours: files by their path there. gone: paths to delete."""

    before: State
    ours: dict[str, Path]
    gone: tuple[str, ...]

    def missing(self, state: State) -> str | None:
        """The first path that is not as it is to be after the commit; None if all are."""
        kept = {name: each for name, each in self.before.files.items() if name not in self.ours}
        for name in self.gone:
            del kept[name]
        wrong = (name for name, path in self.ours.items() if not state.has(name, path))
        others = {name: each for name, each in state.files.items() if name not in self.ours}
        return next(wrong, None) or next(
            (name for name in sorted(kept | others) if kept.get(name) != others.get(name)), None
        )


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
    if is_offline():
        raise RecipeError("--push: HF_HUB_OFFLINE is set, so that the Hub is not asked", "unset it")
    if get_token() is None:
        raise RecipeError("--push: you are not logged in to the Hub", "`hf auth login`, or set HF_TOKEN")
    if _login(target).get("auth", {}).get("accessToken", {}).get("role") == "read":
        raise ExportError("--push: your token only reads", "take one with write access: `hf auth login`, or HF_TOKEN")
    there = find_state(target.name, target.revision)
    if there is not None:
        _writable(target, there)


def push(folder: Path, target: Target, about: str) -> Pushed:
    """Make the repository if it is not there, and of the folder one commit that leaves none of kit's older files.

    about: first line of the commit if the target has no message. Files that people put beside kit's are left alone,
    unless the target says otherwise. Raises ExportError, in words, for what the Hub refuses, and if it does not have
    what was sent.
    """
    from huggingface_hub import HfApi

    api, branch = HfApi(), target.revision
    asked(target.name, lambda: api.create_repo(target.name, private=target.private, exist_ok=True))
    if branch is not None and not branch.startswith("refs/") and not target.pull_request:
        asked(target.name, lambda: api.create_branch(target.name, branch=branch, exist_ok=True))
    before = find_state(target.name, branch)
    if before is None:
        raise ExportError(f"--push: the Hub does not show {target.name}", "start the same command again")
    ours = regular_files(folder, ExportError)
    gone = tuple(sorted(_writable(target, before) - set(ours)))
    change = _Change(before, ours, gone)
    found = _find(target, change)
    if found is not None:
        return found
    try:
        made = _commit(target, change, target.message or about)
    except ExportError:
        with suppress(ExportError):
            found = _find(target, change)
        if found is None:
            raise
        return found  # the answer alone was lost
    state = find_state(target.name, made.commit)
    wrong = change.missing(state) if state is not None else next(iter(ours))
    if wrong is not None:
        raise ExportError(f"--push: the Hub does not have {wrong} as it was sent", "start the same command again")
    return made


def _writable(target: Target, there: State) -> set[str]:
    """Paths that a push may delete. Raises ExportError for a repository that is not kit's to write to."""
    if target.overwrite:
        return set(there.files)
    written = find_written(target.name, there)
    if written is None and not target.pull_request:
        raise ExportError(
            f"--push: {target.name} is on the Hub already and was not made by kit",
            "choose another name, propose it with --pr, or replace its files with --overwrite",
        )
    return (written or set()) & set(there.files)


def _commit(target: Target, change: _Change, message: str) -> Pushed:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    api = HfApi()
    sent = [(name, path) for name, path in change.ours.items() if not change.before.has(name, path)]
    additions = [CommitOperationAdd(name, str(path)) for name, path in sent]
    asked(
        target.name,
        lambda: api.preupload_lfs_files(
            target.name,
            additions,
            revision=target.revision,
            create_pr=target.pull_request,
            free_memory=False,
        ),
        patient=False,
    )
    done: Any = asked(
        target.name,
        lambda: api.create_commit(
            target.name,
            [*additions, *(CommitOperationDelete(name) for name in change.gone)],
            commit_message=message,
            revision=target.revision,
            parent_commit=change.before.commit,  # nobody's change in between is lost, and none of ours made twice
            create_pr=target.pull_request,
        ),
        twice=not target.pull_request,
    )
    return Pushed(str(done.oid), str(done.pr_url or done.commit_url))


def _find(target: Target, change: _Change) -> Pushed | None:
    """The push, if the Hub has it already: on the branch, or proposed."""
    states = [(target.revision, f"{page(target.name)}/commit/{{}}")]
    if target.pull_request:
        states += _proposed(target)
    for revision, address in states:
        state = find_state(target.name, revision)
        if state is not None and change.missing(state) is None:
            return Pushed(state.commit, address.format(state.commit))
    return None


def _proposed(target: Target) -> Iterator[tuple[str | None, str]]:
    """Ref and address of each open pull request of the user."""
    from huggingface_hub import HfApi

    found = asked(
        target.name,
        lambda: list(
            HfApi().get_repo_discussions(
                target.name, author=_login(target)["name"], discussion_type="pull_request", discussion_status="open"
            )
        ),
    )
    for each in found:
        yield each.git_reference, f"{page(target.name)}/discussions/{each.num}"


def _login(target: Target) -> dict[str, Any]:
    """Who the token belongs to, and what it may."""
    from huggingface_hub import whoami

    return asked(target.name, lambda: whoami(cache=True))
