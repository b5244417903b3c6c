"""Pushing to a Hub: the real client over real HTTP, pulled by others; what is refused, and what breaks on the way."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from tests.hub_repositories import Repository, User
from tests.hub_server import HubServer
from tests.kit_shell import KitShell, Result

NAME = "user/opinions"
READER = "hf_token_that_only_reads"
TEXTS = ["a gripping, funny film", "so dull that i left", "日本 😀", "   "]
PULL = """
import json, sys
sys.modules["kit"] = None
from transformers import pipeline
classify = pipeline("text-classification", sys.argv[1], truncation=True, trust_remote_code=True)
print(json.dumps([each["label"] for each in classify(json.loads(sys.argv[2]))]))
"""


def push_folder(arguments: list[str]) -> None:
    """What `kit export --push` does once the folder is proven. arguments: the folder, the target's keys as JSON."""
    from kit.publishing.hub import Target, push, require_target
    from kit.terminal import exit_code_of, quiet_libraries

    quiet_libraries()
    folder, keys = arguments
    target = Target(**json.loads(keys))

    def act() -> None:
        require_target(target)
        done = push(Path(folder), target, "as it was exported")
        sys.stdout.write(f"{done.commit} {done.address}\n")

    sys.exit(exit_code_of(act))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def environment(hub: HubServer, home: Path) -> dict[str, str]:
    """A second of silence, in place of ten, is what a download is given."""
    hub.tokens[READER] = User("user", "read")
    return {**hub.environment(home / "cache", hub.token), "HF_HUB_DOWNLOAD_TIMEOUT": "1"}


@pytest.fixture(scope="module")
def kit(environment: dict[str, str]) -> Iterator[KitShell]:
    with KitShell(environment) as shell:
        yield shell


@pytest.fixture(scope="module")
def pushing(environment: dict[str, str]) -> Iterator[KitShell]:
    with KitShell(environment, "tests.test_push:push_folder") as shell:
        yield shell


@pytest.fixture(scope="module")
def exported(kit: KitShell, hub: HubServer, home: Path, tiny_run: Path) -> Path:
    """The folder of the first push, which the Hub refused when all had been proven, and took when asked again."""
    command = ("export", tiny_run, "--to", home / "first" / "exported", "--push", NAME, "--no-speed")
    hub.fail("POST .*/commit/", status=503, times=None)
    said = error_of(kit(*command), 1)
    assert said == ["--push: the Hub refused user/opinions: 503 Service Unavailable", "wait, and start again"]
    assert not list(home.glob("first/*")) and not list(home.glob("first/.*"))
    hub.heal()
    done = kit(*command)
    assert done.code == 0, done.err
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
    """The error and its hint: two lines, one where there is nothing to do."""
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


def test_the_first_push_is_one_commit_of_a_private_repository(
    exported: Path, hub: HubServer, tiny_run: Path, environment: dict[str, str]
) -> None:
    repository = hub.repositories[NAME]
    assert repository.private
    assert [commit.message for commit in repository.log()] == [f"{tiny_run.name}, exported by kit", "initial commit"]
    assert content_of(repository) == files_of(exported)
    assert not any(hub.token.encode() in content for content in repository.files.values())
    card = ModelCard(repository.files["README.md"].decode())
    assert {each.metric_type for each in card.data.eval_results} >= {"accuracy", "f1"}
    assert card.data.model_name == NAME and f'pipeline("text-classification", "{NAME}"' in card.text

    from kit import predict

    command = [sys.executable, "-c", PULL, NAME, json.dumps(TEXTS)]
    pulled = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=200
    )
    assert pulled.returncode == 0, pulled.stderr[-2000:]
    assert json.loads(pulled.stdout.splitlines()[-1]) == [each["label"] for each in predict(tiny_run, TEXTS)]


def test_a_second_push_leaves_none_of_kits_older_files(
    exported: Path, hub: HubServer, kit: KitShell, pushing: KitShell, home: Path, tiny_run: Path
) -> None:
    repository = hub.repositories[NAME]
    repository.commit({"picture.png": b"drawn by hand"})
    before = len(list(repository.log()))
    command = ("export", tiny_run, "--format", "onnx", "--to", home / "onnx", "--no-speed", "--push", NAME)
    done = kit(*command, "--revision", "main", "--message", "a graph")
    assert done.code == 0, done.err
    assert len(list(repository.log())) == before + 1 and repository.at("main").message == "a graph"
    assert content_of(repository) == {**files_of(home / "onnx"), "picture.png": b"drawn by hand"}
    assert "model.onnx" in repository.files and "model.safetensors" not in repository.files
    commit = head(hub, NAME)
    again = pushing(home / "onnx", json.dumps({"name": NAME}))
    assert again.out == f"{commit} {hub.url}/{NAME}/commit/{commit}\n" and head(hub, NAME) == commit
    whole = pushing(home / "onnx", json.dumps({"name": NAME, "overwrite": True}))
    assert whole.code == 0 and content_of(repository) == files_of(home / "onnx")


REFUSED = {
    "no token": (2, ["--push: you are not logged in to the Hub", "`hf auth login`, or set HF_TOKEN"]),
    "a token of nobody": (1, ["--push: the Hub does not accept your token", "log in with a token that is valid: "]),
    "a token that reads": (1, ["--push: your token only reads", "take one with write access"]),
    "no owner": (2, ["--push: opinions does not say whose it is", "name it as user/name"]),
    "no name": (2, ["--push: Repo id must ", "name it as user/name"]),
    "a repository of others": (
        1,
        [
            "--push: user/mine is on the Hub already and was not made by kit",
            "choose another name, propose it with --pr, or replace its files with --overwrite",
        ],
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_pushed_is_refused_before_any_work(
    case: str, hub: HubServer, kit: KitShell, tiny_run: Path
) -> None:
    hub.add_model("user/mine", {"README.md": b"# Years of work"})
    name = {"no owner": "opinions", "no name": "user/a/b", "a repository of others": "user/mine"}.get(case, NAME)
    token = {"no token": "", "a token of nobody": "hf_of_nobody", "a token that reads": READER}.get(case, hub.token)
    done = kit("export", tiny_run, "--push", name, "--no-speed", HF_TOKEN=token)
    code, words = REFUSED[case]
    for line, expected in zip(error_of(done, code), words, strict=True):
        assert line.startswith(expected)
    assert "fresh process" not in done.err and not any(each in done.err + done.out for each in (READER, hub.token))


def test_offline_is_said_to_be_so(environment: dict[str, str], home: Path) -> None:
    with KitShell({**environment, "HF_HUB_OFFLINE": "1"}, "tests.test_push:push_folder") as shell:
        said = error_of(shell(home, json.dumps({"name": NAME})), 2)
    assert said == ["--push: HF_HUB_OFFLINE is set, so that the Hub is not asked", "unset it"]


def test_repositories_of_others_are_replaced_or_proposed_to(hub: HubServer, pushing: KitShell, folder: Path) -> None:
    theirs = hub.add_model("other/theirs", {"README.md": b"# Years of work", "thesis.txt": b"more of it"})
    mine = hub.add_model("user/mine", {"README.md": b"# Years of work", "thesis.txt": b"more of it"})
    over = pushing(folder, json.dumps({"name": "user/mine", "overwrite": True}))
    assert over.code == 0 and content_of(mine) == files_of(folder)
    wanted = json.dumps({"name": "other/theirs", "pull_request": True, "message": "kit was here"})
    hub.fail("POST .*/commit/", drop="response")
    proposed = pushing(folder, wanted)
    assert proposed.out.split()[1] == f"{hub.url}/other/theirs/discussions/1", proposed.err
    assert content_of(theirs)["README.md"] == b"# Years of work"
    assert content_of(theirs, "refs/pr/1") == {**files_of(folder), "thesis.txt": b"more of it"}
    assert theirs.at("refs/pr/1").message == "kit was here"
    assert pushing(folder, wanted).out == proposed.out and len(theirs.pull_requests) == 1
    denied = pushing(folder, json.dumps({"name": "other/theirs", "overwrite": True}))
    said = error_of(denied, 1)
    assert said[0].startswith("--push: the Hub refused other/theirs: 403 Forbidden, Authorization error")
    assert said[1] == "your token may not write there: take one with write access, or another name"
    nowhere = pushing(folder, json.dumps({"name": "other/new"}))
    assert "403 Forbidden, You don't have the rights to create a model under this namespace" in error_of(nowhere, 1)[0]


def test_branches_and_who_may_see_a_repository(hub: HubServer, pushing: KitShell, folder: Path) -> None:
    target = {"name": "user/branches", "private": False, "revision": "v1", "message": "first version"}
    for _ in range(2):
        done = pushing(folder, json.dumps(target))
        assert done.code == 0, done.err
    repository = hub.repositories["user/branches"]
    assert not repository.private and content_of(repository) == {}
    assert content_of(repository, "v1") == files_of(folder)
    assert [each.message for each in repository.log("v1")] == ["first version", "initial commit"]
    unknown = pushing(folder, json.dumps({**target, "revision": "v2", "pull_request": True}))
    assert "the Hub refused user/branches: 404 Not Found, Invalid rev id: v2" in error_of(unknown, 1)[0]


RIGHT = ""  # the push comes through all the same
CHANGED = "somebody else changed it meanwhile: start the same command again"
FAULTS = {
    "busy at first": ("GET /api/whoami-v2", {"status": 503}, RIGHT),
    "busy twice": ("POST .*/commit/", {"status": 503, "times": 2}, RIGHT),
    "metadata not looked at": ("POST /api/validate-yaml", {"drop": "response"}, RIGHT),
    "commit broken off": ("POST .*/commit/", {"drop": "request"}, RIGHT),
    "answer to commit lost": ("POST .*/commit/", {"drop": "response"}, RIGHT),
    "no answer in time": ("POST .*/commit/", {"delay_s": 7.0}, RIGHT),
    "upload broken off": ("PUT /lfs/", {"drop": "request"}, RIGHT),
    "answer to upload lost": ("PUT /lfs/", {"drop": "response"}, RIGHT),
    "nothing may be created": ("POST /api/repos/create", {"status": 401}, "the Hub does not accept your token"),
    "metadata refused": (
        "POST /api/validate-yaml",
        {"status": 400},
        "the Hub refused user/faulty: Invalid metadata in",
    ),
    "upload refused": ("PUT /lfs/", {"status": 403}, "the Hub refused user/faulty: 403 Forbidden"),
    "conflict": ("POST .*/commit/", {"status": 409}, "the Hub refused user/faulty: 409 Conflict"),
    "changed meanwhile": ("POST .*/commit/", {"status": 412}, "the Hub refused user/faulty: 412 Precondition Failed"),
    "broken again and again": (
        "GET /api/models/",
        {"drop": "response", "times": 4},
        "the connection to the Hub failed",
    ),
}


@pytest.mark.parametrize("case", FAULTS)
def test_a_push_that_fails_can_be_repeated(case: str, hub: HubServer, pushing: KitShell, folder: Path) -> None:
    hub.repositories.pop("user/faulty", None)
    hub.large.clear()
    match, fault, words = FAULTS[case]
    hub.fail(match, **fault)
    wanted = json.dumps({"name": "user/faulty"})
    done = pushing(folder, wanted)
    if words:
        said = error_of(done, 1)
        assert said[0].startswith(f"--push: {words}")
        assert fault.get("status") not in (409, 412) or said[1] == CHANGED
        hub.heal()
        done = pushing(folder, wanted)
    assert done.code == 0, done.err
    repository = hub.repositories["user/faulty"]
    assert content_of(repository) == files_of(folder)
    assert [each.message for each in repository.log()] == ["as it was exported", "initial commit"]
    assert done.out.split()[0] == head(hub, "user/faulty")


def test_what_others_change_meanwhile_is_kept(hub: HubServer, pushing: KitShell, folder: Path) -> None:
    """Another push comes between looking and committing: here in the time that the Hub takes to say that it is busy."""
    import threading

    target = json.dumps({"name": "user/raced"})
    assert pushing(folder, target).code == 0
    repository = hub.repositories["user/raced"]
    (folder / "README.md").write_text("---\nlicense: mit\n---\nmine", "utf-8")
    hub.fail("POST .*/commit/", status=503, delay_s=1.5)
    other = threading.Timer(0.7, lambda: repository.commit({"README.md": b"theirs"}, "between"))
    asked = len(hub.requests)
    threading.Thread(target=lambda: _when_committing(hub, asked, other), daemon=True).start()
    said = error_of(pushing(folder, target), 1)
    assert "412 Precondition Failed, A commit has happened since" in said[0] and said[1] == CHANGED
    assert repository.files["README.md"] == b"theirs"


def _when_committing(hub: HubServer, asked: int, then) -> None:
    import time

    while not any("/commit/" in each.line for each in hub.requests[asked:]):
        time.sleep(0.02)
    then.start()


@pytest.fixture(scope="module")
def adapted(kit: KitShell, hub: HubServer, home: Path, tiny_checkpoint: Path, reviews: Path) -> Path:
    """A run of LoRA whose checkpoint, with a head of its own, and data are on the Hub."""
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


def test_an_adapter_alone_finds_its_base_on_the_hub(adapted: Path, hub: HubServer, kit: KitShell, home: Path) -> None:
    used = hub.repositories["org/base"].refs["main"]
    hub.repositories["org/base"].commit({"config.json": b"{}"}, "a base that nobody can use any more")
    out = home / "adapter"
    target = ("--to", out, "--push", "user/adapter", "--pr", "--public")
    done = kit("export", adapted, "--format", " adapter, adapter,", *target)  # with its speed, which is not measured
    assert done.code == 0, done.err
    said = error_of(kit("predict", out, "a text"), 2)
    assert said[0] == f"{out} is an adapter alone, which kit does not answer with"
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
