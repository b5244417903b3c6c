"""The Hub that tests use does what the real client expects of the real one, uploads included."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.support.hub_server import HubServer

CLIENT = """
import json, sys
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError
api, folder = HfApi(), sys.argv[1]
said = {"user": api.whoami()["name"]}

def refused(act):
    try:
        act()
    except HfHubHTTPError as error:
        return error.response.status_code

def commit(repository="user/new", **more):
    return api.create_commit(repository, [CommitOperationAdd("a.txt", b"changed")], commit_message="change", **more)

api.create_repo("user/new", private=True)
said["again"] = str(api.create_repo("user/new", exist_ok=True)).endswith("/user/new")
said["twice"] = refused(lambda: api.create_repo("user/new"))
said["foreign"] = refused(lambda: api.create_repo("other/new", exist_ok=True))
first = api.upload_folder(repo_id="user/new", folder_path=folder, commit_message="first", commit_description="words")
said["same"] = api.upload_folder(repo_id="user/new", folder_path=folder, commit_message="again").oid == first.oid
said["request"] = commit(create_pr=True).pr_revision
said["proposed"] = open(hf_hub_download("user/new", "a.txt", revision="refs/pr/1")).read()
api.create_commit("user/new", [CommitOperationDelete("sub/")], commit_message="less", parent_commit=first.oid)
said["late"] = refused(lambda: commit(parent_commit=first.oid))
said["theirs"] = refused(lambda: commit("other/public"))
said["to them"] = commit("other/public", create_pr=True).pr_url.rsplit("/", 1)[-1]
said["files"] = api.list_repo_files("user/new")
said["log"] = [each.title for each in api.list_repo_commits("user/new")]
said["weights"] = open(hf_hub_download("user/new", "model.safetensors"), "rb").read().decode()
print(json.dumps(said))
"""


def test_the_client_uploads_and_downloads(hub: HubServer, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    files = {"README.md": "---\nlicense: mit\n---\n", "a.txt": "as it was", "sub/b.txt": "b", "model.safetensors": "w"}
    for name, content in files.items():
        (folder / name).write_text(content, "utf-8")
    hub.add_model("other/public", {"a.txt": b"theirs"})
    hub.fail("PUT /lfs/", 500)
    environment = {**os.environ, **hub.environment(tmp_path / "home", hub.token)}
    command = [sys.executable, "-c", CLIENT, str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout) == {
        "user": "user",
        "again": True,
        "twice": 409,
        "foreign": 403,
        "same": True,
        "request": "refs/pr/1",
        "proposed": "changed",
        "late": 412,
        "theirs": 403,
        "to them": "1",
        "files": [".gitattributes", "README.md", "a.txt", "model.safetensors"],
        "log": ["less", "first", "initial commit"],
        "weights": "w",
    }
    pushed = hub.repositories["user/new"]
    assert pushed.private and pushed.files["a.txt"] == b"as it was"
    assert [each.description for each in pushed.log()] == ["", "words", ""]
    assert [each.status for each in hub.find("PUT /lfs/")] == [500, 200]
