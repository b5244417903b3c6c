"""The Hub's side of loading, against a server on this machine that answers as the Hub does."""

import hashlib
import io
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

COMMIT = "a" * 40
SCRIPT = """
import json, sys
from kit.data.sources import load_splits
from kit.errors import DataError
from kit.recipe import DataSection
for section in json.loads(sys.argv[1]):
    try:
        splits = load_splits(DataSection(**section))
        found = [splits.labels, splits.revision, len(splits.train), splits.test.labels, splits.description]
    except DataError as error:
        found = [error.message, error.hint]
    print(json.dumps(found))
"""


def parquet(labels: list[int]) -> bytes:
    features = {
        "text": {"dtype": "string", "_type": "Value"},
        "label": {"names": ["bad", "good"], "_type": "ClassLabel"},
    }
    table = pa.table({"text": [f"text {i}" for i in range(len(labels))], "label": labels})
    buffer = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})}), buffer)
    return buffer.getvalue()


SEVERAL = b"""---
configs:
- {config_name: en, data_files: [{split: train, path: data/train*}, {split: test, path: data/test*}]}
- {config_name: de, data_files: [{split: train, path: data/test*}]}
---
"""
DATA = {"data/train-00000-of-00001.parquet": parquet([0, 1] * 10), "data/test-00000-of-00001.parquet": parquet([0, 1])}
REPOSITORIES = {
    "user/reviews": {"README.md": b"---\nlicense: mit\n---\n", **DATA},
    "user/several": {"README.md": SEVERAL, **DATA},
    "user/hidden": {"README.md": b"", **DATA, "data/test-00000-of-00001.parquet": parquet([-1, -1])},
    "user/script": {"README.md": b"", "script.py": b"import os"},
}


class Hub(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: object) -> None:
        pass

    def answer(self, code: int, body: bytes, **headers: str) -> None:
        self.send_response(code)
        for name, value in {"Content-Length": str(len(body)), "X-Repo-Commit": COMMIT, **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        found = re.match(r"(?:/api)?/datasets/(\w+/\w+)(?:/(resolve|revision|tree)/([^/?]+)/?([^?]*))?", self.path)
        files = REPOSITORIES.get(found[1]) if found else None
        if found is None or files is None:
            return self.answer(404, b"{}", X_Error_Code="RepoNotFound")
        if found[2] == "resolve":
            if found[4] not in files:
                return self.answer(404, b"{}", X_Error_Code="EntryNotFound")
            return self.answer(200, files[found[4]], ETag=f'"{hashlib.sha1(files[found[4]]).hexdigest()}"')
        if found[3] not in (None, "main", COMMIT):
            return self.answer(404, b"{}", X_Error_Code="RevisionNotFound")
        if found[2] == "tree":
            folder = Path(found[4])
            entries = [
                {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                for name, content in files.items()
                if Path(name).parent == folder
            ]
            if not found[4] and any("/" in name for name in files):
                entries.append({"type": "directory", "path": "data", "size": 0, "oid": "b" * 40})
            return self.answer(200, json.dumps(entries).encode())
        siblings = [{"rfilename": name} for name in files]
        return self.answer(200, json.dumps({"id": found[1], "sha": COMMIT, "siblings": siblings}).encode())


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, list[list[object]]]]:
    """What loading gives with the Hub in reach, and then with the same cache and no Hub."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = {
        **os.environ,
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        "HF_HOME": str(tmp_path_factory.mktemp("hub")),
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
    }

    def load(*sections: dict[str, str]) -> list[list[object]]:
        command = [sys.executable, "-c", SCRIPT, json.dumps(sections)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return [json.loads(line) for line in done.stdout.splitlines()]

    online = load(
        {"source": "user/reviews"},
        {"source": "user/several", "config": "en"},
        {"source": "user/several"},
        {"source": "user/several", "config": "fr"},
        {"source": "user/hidden"},
        {"source": "user/script"},
        {"source": "user/nothing"},
        {"source": "user/reviews", "revision": "v9"},
    )
    server.shutdown()
    server.server_close()
    offline = load(
        {"source": "user/reviews"}, {"source": "user/reviews", "revision": "c" * 40}, {"source": "user/other"}
    )
    yield {"online": online, "offline": offline}


READ = [
    ["bad", "good"], COMMIT, 20, [["bad"], ["good"]],
    "user/reviews, 20 training rows, test: split 'test' of user/reviews, 2 rows",
]  # fmt: skip


def test_class_names_and_the_commit_are_read(answers: dict[str, list[list[object]]]) -> None:
    assert answers["online"][0] == READ
    assert answers["online"][1][:4] == READ[:4]


def test_what_the_hub_refuses_is_said_in_one_line(answers: dict[str, list[list[object]]]) -> None:
    unnamed, unknown, hidden, script, nothing, revision = answers["online"][2:]
    assert unnamed == ["data.config: user/several has several (en, de)", "set data.config to one"]
    assert unknown[0] == "data.config: the data set user/several has no configuration fr (en, de)"
    assert hidden[0] == "data.test_split: no example of split 'test' of user/hidden has a label"
    assert script[0] == "data.source: the data set user/script is read by a script, which `datasets` does not run"
    assert nothing[0] == "data.source: user/nothing is neither a local path nor a data set on the Hub that you can read"
    assert revision[0] == "data.revision: the data set user/reviews has no revision v9"


def test_without_the_hub_a_copy_loaded_before_is_used(answers: dict[str, list[list[object]]]) -> None:
    cached, elsewhere, other = answers["offline"]
    assert cached == READ
    assert elsewhere[0] == (
        f"data.revision: cannot reach the Hub, and the copy of user/reviews on this machine is {COMMIT}"
    )
    assert other == [
        "data.source: cannot reach the Hub for data set 'user/other'",
        "check the network and the id, or set data.source to a local path",
    ]
