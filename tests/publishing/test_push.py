"""Pushes to a Hub server on this machine with the real client: content, refusals and broken connections."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub import ModelCard

from tests.support.hub_repositories import Repository, User
from tests.support.hub_server import HubServer
from tests.support.kit_shell import KitShell, Result

NAME = "user/opinions"
READER = "hf_token_that_only_reads"
TEXTS = ["a gripping, funny film", "so dull that i left", "日本 😀", "   "]


def act(arguments: list[str]) -> None:
    """Run a kit command, `push FOLDER TARGET`, or `pull NAME TEXTS`, in a process that has imported all libraries.

    Adapters are verified in this process too, other formats in a new one.
    """
    from kit.cli.app import main
    from kit.publishing import verify
    from kit.runtime import hub_client

    hub_client._WAITS_S = (0.1, 0.2, 0.4)
    original = verify.subprocess
    verify.subprocess = SimpleNamespace(run=run_check) if "adapter" in " ".join(arguments) else original
    try:
        {"push": push_folder, "pull": pull}.get(arguments[0], lambda _: main(arguments))(arguments[1:])
    finally:
        verify.subprocess = original


@contextmanager
def without_kit() -> Iterator[None]:
    """Prevent imports of kit."""
    modules = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == "kit"}
    sys.modules["kit"] = None
    try:
        yield
    finally:
        sys.modules.update(modules)


def run_check(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
    """Run the standalone check in this process. command: The command that would start it."""
    before = sys.argv
    sys.argv = command[1:]
    try:
        with without_kit():
            runpy.run_path(command[1], run_name="__main__")
    finally:
        sys.argv = before
    return subprocess.CompletedProcess(command, 0, "", "")


def pull(arguments: list[str]) -> None:
    """Predict with a model from the Hub without kit. arguments: Name on the Hub, texts as JSON."""
    from transformers import pipeline

    with without_kit():
        classify = pipeline("text-classification", arguments[0], truncation=True, trust_remote_code=True)
        sys.stdout.write(json.dumps([prediction["label"] for prediction in classify(json.loads(arguments[1]))]))


def push_folder(arguments: list[str]) -> None:
    """Push a folder as `kit export --push` does. arguments: The folder, the fields of the target as JSON."""
    from huggingface_hub import constants

    from kit.cli.errors import exit_code_of
    from kit.publishing.hub_push import Target, push, require_target
    from kit.runtime.quiet_libraries import quiet_libraries

    quiet_libraries()
    folder, keys = arguments
    target = Target(**json.loads(keys))
    constants.HF_HUB_OFFLINE = (
        os.environ["HF_HUB_OFFLINE"] == "1"
    )  # the client reads the variable only when it is imported

    def push_folder_to_target() -> None:
        require_target(target)
        pushed = push(Path(folder), target, "exported by kit")
        sys.stdout.write(f"{pushed.commit} {pushed.address}\n")

    try:
        sys.exit(exit_code_of(push_folder_to_target))
    finally:
        constants.HF_HUB_OFFLINE = False


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def environment(hub: HubServer, home: Path) -> dict[str, str]:
    """Settings of the client; a download times out after one second instead of ten."""
    hub.tokens[READER] = User("user", "read")
    return {**hub.environment(home / "cache", hub.token), "HF_HUB_DOWNLOAD_TIMEOUT": "1"}


@pytest.fixture(scope="module")
def kit(environment: dict[str, str]) -> Iterator[KitShell]:
    with KitShell(environment, "tests.publishing.test_push:act") as shell:
        yield shell


@pytest.fixture(scope="module")
def pushing(kit: KitShell) -> Callable[..., Result]:
    """Function that pushes a folder to a target, as JSON."""
    return partial(kit, "push")


@pytest.fixture(scope="module")
def exported(kit: KitShell, hub: HubServer, home: Path, tiny_run: Path) -> Path:
    """Folder of the first push; the Hub refused it once, and the second push reused the verified folder."""
    command = ("export", tiny_run, "--to", home / "first" / "exported", "--push", NAME, "--with-code", "--no-speed")
    hub.fail("POST .*/commit/", status=503, times=None)
    error = error_of(kit(*command), 1)
    assert error == ["--push: the Hub refused user/opinions: 503 Service Unavailable", "wait, and start again"]
    assert [path.name for path in (home / "first").iterdir()] == ["exported"]
    hub.heal()
    done = kit(*command)
    assert done.code == 0, done.err
    reused, pushing = done.err.strip().splitlines()
    assert reused == f"reusing the verified folder of {tiny_run.name}" and pushing.startswith("pushing ")
    assert f"to {hub.url}/{NAME}/commit/{head(hub, NAME)}" in done.out
    assert hub.token not in done.out + done.err and "Traceback" not in done.err
    return home / "first" / "exported"


@pytest.fixture
def folder(exported: Path, tmp_path: Path) -> Path:
    """A copy to push."""
    return Path(shutil.copytree(exported, tmp_path / "folder"))


@pytest.fixture(autouse=True)
def _healed(hub: HubServer) -> Iterator[None]:
    yield
    hub.heal()


def error_of(done: Result, code: int) -> list[str]:
    """Return the lines of the error: message and hint, or the message alone."""
    assert done.code == code, done.out + done.err
    assert "Traceback" not in done.out + done.err
    lines = done.err[done.err.index("error: ") + len("error: ") :].strip().splitlines()
    assert len(lines) <= 2
    return [line.strip() for line in lines]


def head(hub: HubServer, name: str) -> str:
    return hub.repositories[name].refs["main"]


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def content_of(repository: Repository, revision: str = "main") -> dict[str, bytes]:
    return {path: content for path, content in repository.at(revision).files.items() if path != ".gitattributes"}


def test_first_push_is_one_commit_of_a_private_repository(
    exported: Path, hub: HubServer, tiny_run: Path, kit: KitShell
) -> None:
    repository = hub.repositories[NAME]
    assert repository.private
    assert [commit.message for commit in repository.log()] == [f"{tiny_run.name}, exported by kit", "initial commit"]
    assert content_of(repository) == files_of(exported)
    assert not any(hub.token.encode() in content for content in repository.files.values())
    card = ModelCard(repository.files["README.md"].decode())
    assert {result.metric_type for result in card.data.eval_results} >= {"accuracy", "f1"}
    assert card.data.model_name == NAME and f'pipeline("text-classification", "{NAME}"' in card.text

    from kit import predict

    pulled = kit("pull", NAME, json.dumps(TEXTS))
    assert json.loads(pulled.out) == [prediction["label"] for prediction in predict(tiny_run, TEXTS)]


REFUSED = {
    "no token": (2, ["--push: you are not logged in to the Hub", "run `hf auth login`, or set HF_TOKEN"]),
    "an unknown token": (1, ["--push: the Hub does not accept your token", "log in with a token that is valid: "]),
    "a read-only token": (1, ["--push: your token is read-only", "use a token with write access"]),
    "no owner": (2, ["--push: opinions has no owner", "use a name such as user/name"]),
    "no name": (2, ["--push: Repo id must ", "use a name such as user/name"]),
    "a repository of others": (
        1,
        [
            "--push: user/mine exists on the Hub and was not created by kit",
            "choose another name, open a pull request with --pr, or replace its files with --overwrite",
        ],
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_push_is_refused_before_any_work(case: str, hub: HubServer, kit: KitShell, tiny_run: Path) -> None:
    hub.add_model("user/mine", {"README.md": b"# Years of work"})
    name = {"no owner": "opinions", "no name": "user/a/b", "a repository of others": "user/mine"}.get(case, NAME)
    token = {"no token": "", "an unknown token": "hf_of_nobody", "a read-only token": READER}.get(case, hub.token)
    done = kit("export", tiny_run, "--push", name, "--no-speed", HF_TOKEN=token)
    code, words = REFUSED[case]
    for line, expected in zip(error_of(done, code), words, strict=True):
        assert line.startswith(expected)
    assert "new process" not in done.err and not any(token in done.err + done.out for token in (READER, hub.token))


def test_push_offline_is_refused(pushing: Callable[..., Result], home: Path) -> None:
    error = error_of(pushing(home, json.dumps({"name": NAME}), HF_HUB_OFFLINE="1"), 2)
    assert error == ["--push: HF_HUB_OFFLINE is set, so kit cannot reach the Hub", "unset it"]


def test_repositories_of_others_need_overwrite_or_a_pull_request(
    hub: HubServer, pushing: Callable[..., Result], folder: Path
) -> None:
    foreign = hub.add_model("other/theirs", {"README.md": b"# Years of work", "thesis.txt": b"more of it"})
    mine = hub.add_model("user/mine", {"README.md": b"# Years of work", "thesis.txt": b"more of it"})
    over = pushing(folder, json.dumps({"name": "user/mine", "overwrite": True}))
    assert over.code == 0 and content_of(mine) == files_of(folder)
    wanted = json.dumps({"name": "other/theirs", "pull_request": True, "message": "kit was here"})
    hub.fail("POST .*/commit/", drop="response")
    proposed = pushing(folder, wanted)
    assert proposed.out.split()[1] == f"{hub.url}/other/theirs/discussions/1", proposed.err
    assert content_of(foreign)["README.md"] == b"# Years of work"
    assert content_of(foreign, "refs/pr/1") == {**files_of(folder), "thesis.txt": b"more of it"}
    assert foreign.at("refs/pr/1").message == "kit was here"
    assert pushing(folder, wanted).out == proposed.out and len(foreign.pull_requests) == 1
    denied = pushing(folder, json.dumps({"name": "other/theirs", "overwrite": True}))
    error = error_of(denied, 1)
    assert error[0].startswith("--push: the Hub refused other/theirs: 403 Forbidden, Authorization error")
    assert error[1] == "your token has no write access to this repository: use a token that has, or another name"
    nowhere = pushing(folder, json.dumps({"name": "other/new"}))
    assert "403 Forbidden, You don't have the rights to create a model under this namespace" in error_of(nowhere, 1)[0]


def test_push_to_a_branch_of_a_public_repository(hub: HubServer, pushing: Callable[..., Result], folder: Path) -> None:
    target = {"name": "user/branches", "private": False, "revision": "v1", "message": "first version"}
    for _ in range(2):
        done = pushing(folder, json.dumps(target))
        assert done.code == 0, done.err
    repository = hub.repositories["user/branches"]
    assert not repository.private and content_of(repository) == {}
    assert content_of(repository, "v1") == files_of(folder)
    assert [commit.message for commit in repository.log("v1")] == ["first version", "initial commit"]
    unknown = pushing(folder, json.dumps({**target, "revision": "v2", "pull_request": True}))
    assert "the Hub refused user/branches: 404 Not Found, Invalid rev id: v2" in error_of(unknown, 1)[0]


SUCCESS = ""  # the push succeeds in spite of the fault
CHANGED = "the repository was changed in the meantime: run the same command again"
FAULTS = {
    "busy at first": ("GET /api/whoami-v2", {"status": 503}, SUCCESS),
    "busy twice": ("POST .*/commit/", {"status": 503, "times": 2}, SUCCESS),
    "metadata check lost": ("POST /api/validate-yaml", {"drop": "response"}, SUCCESS),
    "commit interrupted": ("POST .*/commit/", {"drop": "request"}, SUCCESS),
    "commit response lost": ("POST .*/commit/", {"drop": "response"}, SUCCESS),
    "response too late": ("POST .*/commit/", {"delay_s": 7.0}, SUCCESS),
    "upload interrupted": ("PUT /lfs/", {"drop": "request"}, SUCCESS),
    "upload response lost": ("PUT /lfs/", {"drop": "response"}, SUCCESS),
    "token refused": ("POST /api/repos/create", {"status": 401}, "the Hub does not accept your token"),
    "metadata refused": (
        "POST /api/validate-yaml",
        {"status": 400},
        "the Hub refused user/faulty: Invalid metadata in",
    ),
    "upload refused": ("PUT /lfs/", {"status": 403}, "the Hub refused user/faulty: 403 Forbidden"),
    "conflict": ("POST .*/commit/", {"status": 409}, "the Hub refused user/faulty: 409 Conflict"),
    "changed in the meantime": (
        "POST .*/commit/",
        {"status": 412},
        "the Hub refused user/faulty: 412 Precondition Failed",
    ),
    "broken every time": (
        "GET /api/models/",
        {"drop": "response", "times": 4},
        "the connection to the Hub failed",
    ),
}


@pytest.mark.parametrize("case", FAULTS)
def test_failed_push_can_be_repeated(case: str, hub: HubServer, pushing: Callable[..., Result], folder: Path) -> None:
    hub.repositories.pop("user/faulty", None)
    hub.large.clear()
    match, fault, words = FAULTS[case]
    hub.fail(match, **fault)
    wanted = json.dumps({"name": "user/faulty"})
    done = pushing(folder, wanted)
    if words:
        error = error_of(done, 1)
        assert error[0].startswith(f"--push: {words}")
        assert fault.get("status") not in (409, 412) or error[1] == CHANGED
        hub.heal()
        done = pushing(folder, wanted)
    assert done.code == 0, done.err
    repository = hub.repositories["user/faulty"]
    assert content_of(repository) == files_of(folder)
    assert [commit.message for commit in repository.log()] == ["exported by kit", "initial commit"]
    assert done.out.split()[0] == head(hub, "user/faulty")


def test_push_waits_as_long_as_the_hub_requests(hub: HubServer, pushing: Callable[..., Result], folder: Path) -> None:
    wanted = json.dumps({"name": "user/faulty"})
    hub.repositories.pop("user/faulty", None)
    for status in (429, 503):
        hub.fail("GET /api/models/user/faulty", status=status, headers={"Retry-After": "2"})
        began = time.monotonic()
        assert pushing(folder, wanted).code == 0
        assert 2 <= time.monotonic() - began < 8
    hub.fail("GET /api/models/user/faulty", status=429, headers={"Retry-After": "3600"}, times=None)
    requests_before = len(hub.find("GET /api/models/user/faulty"))
    error = error_of(pushing(folder, wanted), 1)
    assert error == ["--push: the Hub refused user/faulty: 429 Too Many Requests", "wait 3,600 s, and start again"]
    assert len(hub.find("GET /api/models/user/faulty")) == requests_before + 1


def test_push_shows_no_progress_bars_of_the_client(
    hub: HubServer, pushing: Callable[..., Result], folder: Path
) -> None:
    """TQDM_POSITION makes the client show progress bars without a terminal."""
    hub.large.clear()
    done = pushing(folder, json.dumps({"name": "user/quiet"}), TQDM_POSITION="-1")
    assert done.code == 0 and hub.find("PUT /lfs/")
    assert done.err == ""


def test_commit_of_others_in_the_meantime_is_kept(hub: HubServer, pushing: Callable[..., Result], folder: Path) -> None:
    """Another commit is made between the check and the push, while the Hub is busy."""
    import threading

    target = json.dumps({"name": "user/raced"})
    assert pushing(folder, target).code == 0
    repository = hub.repositories["user/raced"]
    (folder / "README.md").write_text("---\nlicense: mit\n---\nmine", "utf-8")
    hub.fail("POST .*/commit/", status=503, delay_s=1.5)
    other = threading.Timer(0.7, lambda: repository.commit({"README.md": b"theirs"}, "between"))
    requests_before = len(hub.requests)
    threading.Thread(target=lambda: _when_committing(hub, requests_before, other), daemon=True).start()
    error = error_of(pushing(folder, target), 1)
    assert "412 Precondition Failed, A commit has happened since" in error[0] and error[1] == CHANGED
    assert repository.files["README.md"] == b"theirs"


def _when_committing(hub: HubServer, requests_before: int, timer) -> None:
    while not any("/commit/" in request.line for request in hub.requests[requests_before:]):
        time.sleep(0.02)
    timer.start()


@pytest.fixture(scope="module")
def adapted(kit: KitShell, hub: HubServer, home: Path, tiny_checkpoint: Path, reviews: Path) -> Path:
    """A LoRA run whose checkpoint and data are on the Hub; the model has a native head."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    base = home / "base"
    AutoModelForSequenceClassification.from_pretrained(tiny_checkpoint).base_model.save_pretrained(base)
    AutoTokenizer.from_pretrained(tiny_checkpoint).save_pretrained(base)
    card = b"---\nlicense: apache-2.0\nlanguage: [en]\n---\n# Base\n"
    hub.add_model("org/base", {**files_of(base), "README.md": card})
    hub.add_dataset("org/reviews", {**files_of(reviews), "README.md": b"---\nlicense: cc-by-4.0\n---\n# Reviews\n"})
    recipe = home / "lora.yaml"
    recipe.write_text(
        f"task: classification\nmethod: lora\nruns: {home / 'runs'}\n"
        "data: {source: org/reviews, text: text, label: label, budget: 60, max_length: 32}\n"
        "model: {checkpoint: org/base, pooling: native}\ntrain: {epochs: 1, evaluations: 1, refit: false}\n",
        "utf-8",
    )
    done = kit("finetune", recipe)
    assert done.code == 0, done.err
    return next(path.parent for path in home.glob("runs/*/record.json"))


@pytest.fixture(scope="module")
def adapter(adapted: Path, exported: Path, hub: HubServer, kit: KitShell, home: Path) -> Path:
    """An exported adapter, pushed after the base on the Hub was changed and a picture was added to the repository."""
    hub.repositories["org/base"].commit({"config.json": b"{}"}, "a base that nobody can use any more")
    hub.repositories[NAME].commit({"picture.png": b"drawn by hand"})
    out = home / "adapter"
    target = ("--to", out, "--push", NAME, "--revision", "main", "--message", "an adapter")
    done = kit(
        "export", adapted, "--format", " adapter, adapter,", *target
    )  # speed is requested, but adapters are not measured
    assert done.code == 0, done.err
    return out


def test_second_push_deletes_older_files_of_kit(adapter: Path, hub: HubServer, pushing: Callable[..., Result]) -> None:
    repository = hub.repositories[NAME]
    assert [commit.message for commit in repository.log()][:2] == ["an adapter", "Update"]
    assert content_of(repository) == {**files_of(adapter), "picture.png": b"drawn by hand"}
    assert "adapter_model.safetensors" in repository.files and "model.safetensors" not in repository.files
    commit = head(hub, NAME)
    again = pushing(adapter, json.dumps({"name": NAME}))
    assert again.out == f"{commit} {hub.url}/{NAME}/commit/{commit}\n" and head(hub, NAME) == commit
    whole = pushing(adapter, json.dumps({"name": NAME, "overwrite": True}))
    assert whole.code == 0 and content_of(repository) == files_of(adapter)


def test_exported_adapter_refers_to_its_base_on_the_hub(
    adapter: Path, hub: HubServer, kit: KitShell, pushing: Callable[..., Result]
) -> None:
    used = next(iter(hub.repositories["org/base"].commits))
    error = error_of(kit("predict", adapter, "a text"), 2)
    assert error[0] == f"{adapter} is an adapter without its base model, which kit cannot predict with"
    proposed = pushing(adapter, json.dumps({"name": "user/adapter", "pull_request": True, "private": False}))
    assert proposed.code == 0, proposed.err
    repository = hub.repositories["user/adapter"]
    assert not repository.private and content_of(repository) == {}
    files = content_of(repository, "refs/pr/1")
    assert "adapter_model.safetensors" in files and "model.safetensors" not in files
    config = json.loads(files["adapter_config.json"])
    assert (config["base_model_name_or_path"], config["revision"]) == ("org/base", used)
    card = ModelCard(files["README.md"].decode())
    assert card.data.base_model == "org/base" and card.data.datasets == ["org/reviews"]
    assert card.data.license == "apache-2.0" and card.data.language == ["en"]
    assert "licence: cc\\-by\\-4.0" in card.text and card.data.eval_results[0].dataset_type == "org/reviews"
