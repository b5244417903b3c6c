"""A Hub on this machine for tests: what huggingface_hub, transformers and datasets ask of the real one.

    with HubServer() as hub:
        hub.add_model("user/tiny", {"config.json": b"{}"})
        hub.fail("POST /api/models/user/tiny/commit/", status=503, times=2)
        ...run something with hub.environment(tmp_path)...
        hub.repositories["user/tiny"].files, hub.requests

Its clients read HF_ENDPOINT when they are imported: run them in a process of their own with `hub.environment(...)`.
"""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Literal
from urllib.parse import parse_qsl, urlsplit

from tests.support.hub_repositories import GITATTRIBUTES, Repository, User
from tests.support.hub_routes import Answer, Request, answer

TOKEN = "hf_token_of_user"


@dataclass
class Fault:
    """What goes wrong with requests whose line matches; see HubServer.fail."""

    match: str
    status: int | None
    times: int | None
    drop: Literal["request", "response"] | None
    delay_s: float
    after: int
    headers: dict[str, str]

    def strikes(self, line: str) -> bool:
        """Whether it applies to this request; counts it if so."""
        if self.times == 0 or not re.search(self.match, line):
            return False
        if self.after > 0:
            self.after -= 1
            return False
        if self.times is not None:
            self.times -= 1
        return True


class HubServer:
    """The Hub's state and its answers. `repositories` is by `user/name` for models, `datasets/user/name` for data sets.

    requests: every request in the order of arrival. tokens: users by token; `hub.token` is a write token of `user`.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.requests: list[Request] = []
        self.tokens: dict[str, User] = {TOKEN: User("user")}
        self.token = TOKEN
        self.large: dict[str, bytes] = {}
        self._faults: list[Fault] = []
        self._lock = threading.RLock()
        self._server = self._listening(0)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        # Large files lie on another host, as those of the Hub do: clients must not send their token there.
        self.storage_url = f"http://localhost:{self._server.server_port}"

    def __enter__(self) -> HubServer:
        self._serve()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop()

    def _listening(self, port: int) -> ThreadingHTTPServer:
        server = ThreadingHTTPServer(("127.0.0.1", port), type("Handler", (_Handler,), {"hub": self}))
        server.daemon_threads = True
        return server

    def _start(self, port: int) -> None:
        self._server = self._listening(port)
        self._serve()

    def _serve(self) -> None:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def _stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def environment(self, home: Path, token: str | None = None) -> dict[str, str]:
        """Variables for a process that shall use this Hub, keep its cache in `home`, and be logged in with `token`."""
        return {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_TOKEN": token or "",
        }

    def add_model(
        self, name: str, files: Mapping[str, bytes] | Path, *, private: bool = False, gated: bool = False
    ) -> Repository:
        """A model with one commit. files: content by path, or a folder to take all files of."""
        return self._add(Repository(name, "model", private, gated), files)

    def add_dataset(
        self, name: str, files: Mapping[str, bytes] | Path, *, private: bool = False, gated: bool = False
    ) -> Repository:
        """The same for a data set; its key in `repositories` begins with `datasets/`."""
        return self._add(Repository(name, "dataset", private, gated), files)

    def fail(
        self,
        match: str,
        status: int | None = None,
        *,
        times: int | None = 1,
        drop: Literal["request", "response"] | None = None,
        delay_s: float = 0.0,
        after: int = 0,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Let the next `times` requests (None: all) whose `METHOD /path` matches go wrong, the first `after` excepted.

        status: answered instead of doing what was asked. drop: `request` closes the connection half way through the
        request, which has no effect; `response` does what was asked and closes half way through the answer.
        delay_s: wait before answering. headers: sent with `status`, e.g. Retry-After or X-Error-Code.
        """
        self._faults.append(Fault(match, status, times, drop, delay_s, after, dict(headers or {})))

    def heal(self) -> None:
        """End all faults."""
        self._faults.clear()

    @contextmanager
    def gone(self) -> Iterator[None]:
        """Nobody listens for a while, and connections that are open are cut."""
        self._stop()
        cut = Fault("", None, None, "request", 0.0, 0, {})
        self._faults.insert(0, cut)
        try:
            yield
        finally:
            self._faults.remove(cut)
            self._start(self._server.server_port)

    def find(self, pattern: str) -> list[Request]:
        """Requests so far whose line matches."""
        return [request for request in self.requests if re.search(pattern, request.line)]

    def _add(self, repository: Repository, files: Mapping[str, bytes] | Path) -> Repository:
        if isinstance(files, Path):
            files = {str(path.relative_to(files)): path.read_bytes() for path in files.rglob("*") if path.is_file()}
        repository.commit({".gitattributes": GITATTRIBUTES, **files}, "initial commit")
        self.repositories[repository.path] = repository
        return repository

    def fault(self, line: str) -> Fault | None:
        """What goes wrong with this request, if anything."""
        with self._lock:
            return next((fault for fault in self._faults if fault.strikes(line)), None)

    def answer(self, request: Request) -> Answer:
        """What the Hub says to a request that arrived whole."""
        with self._lock:
            return answer(self, request)

    def log(self, request: Request) -> None:
        """Keep a request."""
        with self._lock:
            self.requests.append(request)


class _Handler(BaseHTTPRequestHandler):
    """One connection. Reads requests, lets faults strike, writes answers."""

    hub: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        place = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        query = dict(parse_qsl(place.query, keep_blank_values=True))
        request = Request(self.command, place.path, query, headers, b"")
        fault = self.hub.fault(request.line)
        self.hub.log(request)
        if fault and fault.drop == "request":
            self.rfile.read(int(headers.get("content-length", 0)) // 2)
            self._hang_up()
        else:
            self._reply(request, fault)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self.do_GET()

    def do_PUT(self) -> None:
        self.do_GET()

    def _reply(self, request: Request, fault: Fault | None) -> None:
        request.body = self._body(request.headers)
        if fault and fault.delay_s:
            time.sleep(fault.delay_s)
        if fault and fault.status:
            reply = Answer.of({"error": f"status {fault.status} as ordered"}, fault.status)
            reply.headers.update(fault.headers)
        else:
            reply = self.hub.answer(request)
        request.status = reply.status
        self._send(reply, whole=not (fault and fault.drop == "response"))

    def _body(self, headers: Mapping[str, str]) -> bytes:
        if headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(headers.get("content-length", 0)))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _send(self, reply: Answer, whole: bool) -> None:
        try:
            self.send_response(reply.status)
            for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(reply.body if whole else reply.body[: len(reply.body) // 2])
            if not whole:
                self._hang_up()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the client did not wait

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)
