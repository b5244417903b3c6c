"""Repositories as the Hub keeps them, in memory: files, commits, branches, pull requests and who may see them.

Knows git's idea of a commit and the Hub's rules of access. Knows nothing of HTTP.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["model", "dataset"]
GITATTRIBUTES = b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"
LARGE = (".safetensors", ".bin", ".onnx", ".parquet", ".arrow", ".pt", ".gz", ".zip", ".png")


class HubError(Exception):
    """A refusal, as the Hub words it: status, X-Error-Code (may be empty) and X-Error-Message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


@dataclass(frozen=True)
class User:
    """Whom a token belongs to. role: `write` or `read`, of the token. orgs: organisations it may write to."""

    name: str
    role: str = "write"
    orgs: tuple[str, ...] = ()

    def writes(self, repository: str) -> bool:
        """Whether the token may write to `namespace/name`."""
        return self.role == "write" and repository.split("/", maxsplit=1)[0] in (self.name, *self.orgs)

    def belongs(self, repository: str) -> bool:
        """Whether the user owns `namespace/name`, and so may read it even if it is private or gated."""
        return repository.split("/", maxsplit=1)[0] in (self.name, *self.orgs)


@dataclass(frozen=True)
class File:
    """Content and the ids that the Hub gives it: of a git blob, or the sha256 of what lies in large storage."""

    content: bytes
    large: bool

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def blob(self) -> str:
        return hashlib.sha1(b"blob %d\0" % len(self.content) + self.content).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 if self.large else self.blob


@dataclass(frozen=True)
class Commit:
    """A state of the files, and what its author said about it."""

    oid: str
    parent: str | None
    message: str
    description: str
    author: str
    entries: Mapping[str, File]

    @property
    def files(self) -> dict[str, bytes]:
        """Content by path."""
        return {path: file.content for path, file in self.entries.items()}


@dataclass
class Repository:
    """One model or data set. refs: commit by ref (`main`, another branch, `refs/pr/1`).

    gated: who is neither owner nor in `granted` may see the list of files, and not read them.
    pull_requests: their commits, in order; the first is refs/pr/1.
    """

    id: str
    kind: Kind = "model"
    private: bool = False
    gated: bool = False
    granted: set[str] = field(default_factory=set)
    commits: dict[str, Commit] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    pull_requests: list[Commit] = field(default_factory=list)

    @property
    def path(self) -> str:
        """`user/name`, or `datasets/user/name`: how the Hub addresses it."""
        return self.id if self.kind == "model" else f"{self.kind}s/{self.id}"

    @property
    def files(self) -> dict[str, bytes]:
        """What is on main: content by path."""
        return self.at("main").files

    def at(self, revision: str) -> Commit:
        """The commit of a branch, a ref or an id. Raises HubError if there is none."""
        commit = self.commits.get(self.refs.get(revision.removeprefix("refs/heads/"), revision))
        if commit is None:
            raise HubError(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return commit

    def log(self, revision: str = "main") -> Iterator[Commit]:
        """Commits, newest first."""
        commit: Commit | None = self.at(revision)
        while commit is not None:
            yield commit
            commit = self.commits[commit.parent] if commit.parent else None

    def commit(
        self,
        files: Mapping[str, bytes] | None = None,
        message: str = "Update",
        *,
        revision: str = "main",
        description: str = "",
        author: str = "user",
        delete: Iterable[str] = (),
        parent: str | None = None,
        as_pull_request: bool = False,
    ) -> Commit:
        """Change files on a branch, or in a new pull request against it. delete: paths, or folders that end with `/`.

        Raises HubError if `parent` is given and the branch has moved on.
        """
        head = self.at(revision) if self.refs else None
        if head is not None and parent not in (None, head.oid):
            raise HubError(412, "", "A commit has happened since. Please refresh and try again.")
        gone = tuple(delete)
        entries = {} if head is None else dict(head.entries)
        for path in list(entries):
            if path in gone or any(folder.endswith("/") and path.startswith(folder) for folder in gone):
                del entries[path]
        entries.update({path: File(content, path.endswith(LARGE)) for path, content in (files or {}).items()})
        # The number of commits makes ids differ; nothing random goes in, so that they are the same in every process.
        seed = [self.path, str(len(self.commits)), message, *(f"{p}:{f.etag}" for p, f in sorted(entries.items()))]
        oid = hashlib.sha1("\n".join(seed).encode()).hexdigest()
        made = Commit(oid, head.oid if head else None, message, description, author, entries)
        self.commits[oid] = made
        if as_pull_request:
            self.pull_requests.append(made)
            self.refs[f"refs/pr/{len(self.pull_requests)}"] = oid
        else:
            self.refs[revision] = oid
        return made

    def allow(self, user: User | None, *, content: bool = False, write: bool = False) -> None:
        """Raise HubError as the Hub does if `user` may not see the repository, read its files, or write to it."""
        owner = user is not None and user.belongs(self.id)
        if self.private and not owner:
            raise missing(user)
        if content and self.gated and not owner and (user is None or user.name not in self.granted):
            raise HubError(
                401 if user is None else 403,
                "GatedRepo",
                f"Access to {self.kind} {self.id} is restricted and you are not in the authorized list. Visit "
                f"https://huggingface.co/{self.path} to ask for access.",
            )
        if write and (user is None or not user.writes(self.id)):
            raise HubError(
                401 if user is None else 403,
                "",
                "Invalid username or password."
                if user is None
                else "Authorization error: you don't have write access; pass `create_pr=1` to open a pull request.",
            )


def missing(user: User | None) -> HubError:
    """What is said of a repository that is not there, or that is nobody's business: 401 to those without a token."""
    if user is None:
        return HubError(401, "RepoNotFound", "Invalid username or password.")
    return HubError(404, "RepoNotFound", "Repository not found")
