"""The Hub's answers, one function an endpoint, as huggingface_hub 2.4 asks for them.

Knows the shapes of requests and answers. Knows nothing of sockets or of what may go wrong on them.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote

import yaml

from tests.support.hub_repositories import GITATTRIBUTES, LARGE, File, HubError, Kind, Repository, User, missing

if TYPE_CHECKING:
    from tests.support.hub_server import HubServer


@dataclass
class Request:
    """What a client sent, and the status it got: 0 if the connection was dropped before an answer."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    status: int = 0

    @property
    def line(self) -> str:
        """`POST /api/repos/create`: what faults are matched against."""
        return f"{self.method} {self.path}"


@dataclass
class Answer:
    """What goes back."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, value: object, status: int = 200, **headers: str) -> Answer:
        """A JSON body; `X_Name` in `headers` is sent as `X-Name`."""
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        return cls(json.dumps(value).encode(), status, {"Content-Type": "application/json", **named})


Part = dict[str, str]


def answer(hub: HubServer, request: Request) -> Answer:
    """What the Hub says, refusals included."""
    try:
        user = _user(hub, request)
        for method, pattern, act in ROUTES:
            found = re.fullmatch(pattern, request.path)
            if found and method == request.method.replace("HEAD", "GET"):
                return act(hub, request, user, {key: unquote(part or "") for key, part in found.groupdict().items()})
        raise HubError(404, "", "Sorry, we can't find the page you are looking for.")
    except HubError as error:
        said = {"X_Error_Code": error.code, "X_Error_Message": error.message}
        return Answer.of({"error": error.message}, error.status, **{name: text for name, text in said.items() if text})


def _user(hub: HubServer, request: Request) -> User | None:
    token = request.headers.get("authorization", "").removeprefix("Bearer ")
    if token and token not in hub.tokens:
        raise HubError(401, "", "Invalid credentials in Authorization header")
    return hub.tokens.get(token)


def _repository(hub: HubServer, part: Part, user: User | None, **access: bool) -> Repository:
    """The one that a path names. Raises HubError if it is not there or `user` lacks the access."""
    kind = part.get("kind", "").strip("/") or "models"
    repository = hub.repositories.get(part["repo"] if kind == "models" else f"{kind}/{part['repo']}")
    if repository is None:
        raise missing(user)
    repository.allow(user, **access)
    return repository


def _whoami(hub: HubServer, request: Request, user: User | None, part: Part) -> Answer:
    if user is None:
        raise HubError(401, "", "Invalid username or password.")
    orgs = [{"type": "org", "name": name, "roleInOrg": "write"} for name in user.orgs]
    token = {"displayName": "tests", "role": user.role}
    return Answer.of({"type": "user", "name": user.name, "orgs": orgs, "auth": {"accessToken": token}})


def _create(hub: HubServer, request: Request, user: User | None, part: Part) -> Answer:
    if user is None:
        raise HubError(401, "", "Invalid username or password.")
    wanted = json.loads(request.body)
    kind: Kind = wanted.get("type") or "model"
    repository = Repository(f"{wanted.get('organization') or user.name}/{wanted['name']}", kind)
    repository.private = wanted.get("visibility") == "private" or bool(wanted.get("private"))
    if not user.writes(repository.id):
        raise HubError(403, "", f"You don't have the rights to create a {kind} under this namespace")
    url = f"{hub.url}/{repository.path}"
    if repository.path in hub.repositories:
        return Answer.of({"error": f"You already created this {kind} repo", "url": url}, 409)
    repository.commit({".gitattributes": GITATTRIBUTES}, "initial commit", author=user.name)
    hub.repositories[repository.path] = repository
    return Answer.of({"url": url, "name": repository.id, "id": "0" * 24})


def _validate(hub: HubServer, request: Request, user: User | None, part: Part) -> Answer:
    content = json.loads(request.body)["content"]
    errors = [] if content.startswith("---") else [{"message": "no metadata"}]
    return Answer.of({"errors": [], "warnings": errors})


def _info(hub: HubServer, request: Request, user: User | None, part: Part) -> Answer:
    repository = _repository(hub, part, user)
    commit = repository.at(part["revision"] or "main")
    return Answer.of(
        {
            "_id": "0" * 24,
            "id": repository.id,
            "sha": commit.oid,
            "private": repository.private,
            "gated": "manual" if repository.gated else False,
            "tags": [],
            "siblings": [{"rfilename": path} for path in commit.entries],
            **_card_data(commit.files.get("README.md", b"").decode()),
        }
    )


def _card_data(card: str) -> dict[str, Any]:
    """The metadata in front of a card, if there are any."""
    parts = card.split("---\n", maxsplit=2)
    return {"cardData": yaml.safe_load(parts[1])} if len(parts) == 3 and not parts[0] else {}


def _described(path: str, file: File) -> dict[str, Any]:
    large = {"lfs": {"oid": file.sha256, "size": len(file.content), "pointerSize": 134}} if file.large else {}
    return {"type": "file", "path": path, "size": len(file.content), "oid": file.blob, **large}


def _folders(paths: Iterable[str]) -> set[str]:
    return {"/".join(path.split("/")[:depth]) for path in paths for depth in range(1, path.count("/") + 1)}


def _folder(path: str) -> dict[str, Any]:
    return {"type": "directory", "path": path, "size": 0, "oid": "0" * 40}


def _tree(hub: HubServer, request: Request, user: User | None, part: Part) -> Answer:
    entries = _repository(hub, part, user).at(part["revision"]).entries
    root, every = part["path"], request.query.get("recursive", "").lower() == "true"
    if root and root not in _folders(entries):
        raise HubError(404, "EntryNotFound", f"{root} does not exist")
    prefix = f"{root}/" if root else ""

    def listed(path: str) -> bool:
        return path.startswith(prefix) and (every or "/" not in path[len(prefix) :])

    folders = [_folder(path) for path in sorted(_folders(entries)) if listed(path) and path != root]
    return Answer.of(folders + [_described(path, file) for path, file in entries.items() if listed(path)])


def _paths_info(hub: HubServer, request: Request, user: User | None, part: Part) -> Answer:
    entries = _repository(hub, part, user).at(part["revision"]).entries
    form = request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
    asked = parse_qs(request.body.decode())["paths"] if form else json.loads(request.body)["paths"]
    files = [_described(path, entries[path]) for path in asked if path in entries]
    return Answer.of(files + [_folder(path) for path in asked if path in _folders(entries)])


def _refs(hub: HubServer, request: Request, user: User | None, part: Part) -> Answer:
    refs = _repository(hub, part, user).refs
    pulls = [_ref(name, oid) for name, oid in refs.items() if name.startswith("refs/pr/")]
    branches = [_ref(name, oid) for name, oid in refs.items() if not name.startswith("refs/")]
    asked = {"pullRequests": pulls} if request.query.get("include_prs") else {}
    return Answer.of({"branches": branches, "converts": [], "tags": [], **asked})


def _ref(name: str, oid: str) -> dict[str, str]:
    return {"name": name, "ref": name if name.startswith("refs/") else f"refs/heads/{name}", "targetCommit": oid}


def _commits(hub: HubServer, request: Request, user: User | None, part: Part) -> Answer:
    return Answer.of(
        [
            {
                "id": commit.oid,
                "title": commit.message,
                "message": commit.description,
                "authors": [{"user": commit.author}],
                "date": "2025-01-01T00:00:00.000Z",
            }
            for commit in _repository(hub, part, user).log(part["revision"])
        ]
    )


def _discussions(hub: HubServer, request: Request, user: User | None, part: Part) -> Answer:
    """Pull requests, all of them open, which is all the discussion there is."""
    repository = _repository(hub, part, user)
    found = [
        {
            "num": number,
            "title": commit.message,
            "author": {"name": commit.author},
            "createdAt": "2025-01-01T00:00:00.000Z",
            "status": "open",
            "repo": {"name": repository.id, "type": repository.kind},
            "isPullRequest": True,
        }
        for number, commit in enumerate(repository.pull_requests, start=1)
        if request.query.get("author") in (None, commit.author)
    ]
    return Answer.of({"discussions": found, "count": len(found), "start": 0})


def _branch(hub: HubServer, request: Request, user: User | None, part: Part) -> Answer:
    repository = _repository(hub, part, user, write=True)
    if part["branch"] in repository.refs:
        raise HubError(409, "", f"Reference already exists: refs/heads/{part['branch']}")
    start = json.loads(request.body or b"{}").get("startingPoint") or "main"
    repository.refs[part["branch"]] = repository.at(start).oid
    return Answer.of({})


def _auth_check(hub: HubServer, request: Request, user: User | None, part: Part) -> Answer:
    _repository(hub, part, user, content=True, write=bool(part["write"]))
    return Answer.of({})


def _preupload(hub: HubServer, request: Request, user: User | None, part: Part) -> Answer:
    pull_request = "create_pr" in request.query
    repository = _repository(hub, part, user, content=pull_request, write=not pull_request)
    entries = repository.at(part["revision"]).entries
    files = []
    for file in json.loads(request.body)["files"]:
        path, known = file["path"], entries.get(file["path"])
        large = path.endswith(LARGE) or file["size"] > 10_000_000
        oid = {"oid": known.etag} if known else {}
        files.append({"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False, **oid})
    return Answer.of({"files": files})


def _lfs_batch(hub: HubServer, request: Request, user: User | None, part: Part) -> Answer:
    if user is None:
        raise HubError(401, "", "Invalid username or password.")
    _repository(hub, part, user)
    objects = []
    for wanted in json.loads(request.body)["objects"]:
        upload = {"href": f"{hub.storage_url}/lfs/{wanted['oid']}", "header": {}}
        verify = {"href": f"{hub.url}/lfs/{wanted['oid']}/verify", "header": {}}
        actions = {} if wanted["oid"] in hub.large else {"actions": {"upload": upload, "verify": verify}}
        objects.append({"oid": wanted["oid"], "size": wanted["size"], **actions})
    return Answer.of({"transfer": "basic", "objects": objects})


def _refuse_token(request: Request) -> None:
    """The storage of large files is not the Hub: a token that arrives there was given away."""
    if "authorization" in request.headers:
        raise HubError(400, "", "Only one auth mechanism allowed")


def _lfs_put(hub: HubServer, request: Request, user: User | None, part: Part) -> Answer:
    _refuse_token(request)
    if hashlib.sha256(request.body).hexdigest() != part["oid"]:
        raise HubError(400, "", "the content does not match its sha256")
    hub.large[part["oid"]] = request.body
    return Answer()


def _lfs_verify(hub: HubServer, request: Request, user: User | None, part: Part) -> Answer:
    if len(hub.large.get(part["oid"], b"")) != json.loads(request.body)["size"]:
        raise HubError(404, "", "the object was not uploaded")
    return Answer()


def _commit(hub: HubServer, request: Request, user: User | None, part: Part) -> Answer:
    pull_request = "create_pr" in request.query
    if user is None:
        raise HubError(401, "", "Invalid username or password.")
    repository = _repository(hub, part, user, content=pull_request, write=not pull_request)
    header: dict[str, str] = {}
    files: dict[str, bytes] = {}
    delete: list[str] = []
    for line in request.body.splitlines():
        key, value = (entry := json.loads(line))["key"], entry["value"]
        if key == "header":
            header = value
        elif key == "file":
            files[value["path"]] = base64.b64decode(value["content"])
        elif key == "lfsFile":
            if value["oid"] not in hub.large:
                raise HubError(400, "", f"{value['path']}: no object {value['oid']} was uploaded")
            files[value["path"]] = hub.large[value["oid"]]
        else:
            delete.append(value["path"].rstrip("/") + ("/" if key == "deletedFolder" else ""))
    made = repository.commit(
        files,
        header["summary"],
        revision=part["revision"],
        description=header.get("description", ""),
        author=user.name,
        delete=delete,
        parent=header.get("parentCommit"),
        as_pull_request=pull_request,
    )
    url = f"{hub.url}/{repository.path}"
    opened = {"pullRequestUrl": f"{url}/discussions/{len(repository.pull_requests)}"} if pull_request else {}
    return Answer.of({"success": True, "commitUrl": f"{url}/commit/{made.oid}", "commitOid": made.oid, **opened})


def _resolve(hub: HubServer, request: Request, user: User | None, part: Part) -> Answer:
    repository = _repository(hub, part, user, content=True)
    commit = repository.at(part["revision"])
    told = {"X-Repo-Commit": commit.oid}
    file = commit.entries.get(part["path"])
    if file is None:
        said = {"X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found"}
        return Answer(b"Entry not found", 404, {**told, **said})
    if not file.large:
        return _ranged(file.content, request, {**told, "ETag": f'"{file.blob}"'})
    hub.large[file.sha256] = file.content
    linked = {"X-Linked-Etag": f'"{file.sha256}"', "X-Linked-Size": str(len(file.content))}
    return Answer(b"", 302, {**told, **linked, "Location": f"{hub.storage_url}/lfs/{file.sha256}"})


def _lfs_get(hub: HubServer, request: Request, user: User | None, part: Part) -> Answer:
    _refuse_token(request)
    if part["oid"] not in hub.large:
        raise HubError(404, "", "no such object")
    return _ranged(hub.large[part["oid"]], request, {"ETag": f'"{part["oid"]}"'})


def _ranged(content: bytes, request: Request, headers: Mapping[str, str]) -> Answer:
    """The content, or the range of it that was asked for."""
    headers = {"Accept-Ranges": "bytes", "Content-Type": "application/octet-stream", **headers}
    asked = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("range", ""))
    if asked is None:
        return Answer(content, 200, headers)
    first = int(asked[1]) if asked[1] else len(content) - int(asked[2])
    last = min(int(asked[2]) if asked[1] and asked[2] else len(content) - 1, len(content) - 1)
    if first > last:
        return Answer(b"", 416, {**headers, "Content-Range": f"bytes */{len(content)}"})
    return Answer(content[first : last + 1], 206, {**headers, "Content-Range": f"bytes {first}-{last}/{len(content)}"})


_ID = r"(?P<repo>[\w.\-]+/[\w.\-]+)"
_API = rf"/api/(?P<kind>models|datasets)/{_ID}"
_PLAIN = rf"/(?P<kind>datasets/)?{_ID}"
_REVISION = "(?P<revision>[^/]+)"
ROUTES: list[tuple[str, str, Callable[[Any, Request, User | None, Part], Answer]]] = [
    ("GET", "/api/whoami-v2", _whoami),
    ("POST", "/api/repos/create", _create),
    ("POST", "/api/validate-yaml", _validate),
    ("GET", rf"{_API}(/revision/{_REVISION})?", _info),
    ("GET", rf"{_API}/tree/{_REVISION}(/(?P<path>.+))?", _tree),
    ("POST", rf"{_API}/paths-info/{_REVISION}", _paths_info),
    ("GET", rf"{_API}/refs", _refs),
    ("GET", rf"{_API}/commits/{_REVISION}", _commits),
    ("GET", rf"{_API}/discussions", _discussions),
    ("POST", rf"{_API}/branch/(?P<branch>[^/]+)", _branch),
    ("GET", rf"{_API}/auth-check(?P<write>/write)?", _auth_check),
    ("POST", rf"{_API}/preupload/{_REVISION}", _preupload),
    ("POST", rf"{_API}/commit/{_REVISION}", _commit),
    ("POST", rf"{_PLAIN}\.git/info/lfs/objects/batch", _lfs_batch),
    ("GET", "/lfs/(?P<oid>[0-9a-f]{64})", _lfs_get),
    ("PUT", "/lfs/(?P<oid>[0-9a-f]{64})", _lfs_put),
    ("POST", "/lfs/(?P<oid>[0-9a-f]{64})/verify", _lfs_verify),
    ("GET", rf"{_PLAIN}/resolve/{_REVISION}/(?P<path>.+)", _resolve),
]
