"""Pushing to a Hub: the real client over real HTTP, pulled by others; what is refused, and what breaks on the way."""

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
    """The command line, `push FOLDER TARGET`, or `pull NAME TEXTS`: in one process, which has imported all once.

    An adapter is proven in this process too: another format is in one that is started anew.
    """
    from kit.cli.app import main
    from kit.publishing import verify

    whole = verify.subprocess
    verify.subprocess = SimpleNamespace(run=prove) if "adapter" in " ".join(arguments) else whole
    try:
        {"push": push_folder, "pull": pull}.get(arguments[0], lambda _: main(arguments))(arguments[1:])
    finally:
        verify.subprocess = whole


@contextmanager
def without_kit() -> Iterator[None]:
    """What is imported meanwhile cannot import kit."""
    ours = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == "kit"}
    sys.modules["kit"] = None
    try:
        yield
    finally:
        sys.modules.update(ours)


def prove(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
    """Run the program that answers for the proof. command: as it would be started."""
    before = sys.argv
    sys.argv = command[1:]
    try:
        with without_kit():
            runpy.run_path(command[1], run_name="__main__")
    finally:
        sys.argv = before
    return subprocess.CompletedProcess(command, 0, "", "")


def pull(arguments: list[str]) -> None:
    """What users of a model do who have no kit. arguments: a name on the Hub, texts as JSON."""
    from transformers import pipeline

    with without_kit():
        classify = pipeline("text-classification", arguments[0], truncation=True, trust_remote_code=True)
        sys.stdout.write(json.dumps([each["label"] for each in classify(json.loads(arguments[1]))]))


def push_folder(arguments: list[str]) -> None:
    """What `kit export --push` does once the folder is proven. arguments: the folder, the target's keys as JSON."""
    from huggingface_hub import constants

    from kit.cli.errors import exit_code_of
    from kit.publishing.hub_push import Target, push, require_target
    from kit.runtime.quiet_libraries import quiet_libraries

    quiet_libraries()
    folder, keys = arguments
    target = Target(**json.loads(keys))
    constants.HF_HUB_OFFLINE = os.environ["HF_HUB_OFFLINE"] == "1"  # as it is read once, when that is imported

    def push_it() -> None:
        require_target(target)
        done = push(Path(folder), target, "as it was exported")
        sys.stdout.write(f"{done.commit} {done.address}\n")

    try:
        sys.exit(exit_code_of(push_it))
    finally:
        constants.HF_HUB_OFFLINE = False


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
    with KitShell(environment, "tests.publishing.test_push:act") as shell:
        yield shell


@pytest.fixture(scope="module")
def pushing(kit: KitShell) -> Callable[..., Result]:
    """Pushes a folder to a target, given as JSON."""
    return partial(kit, "push")


@pytest.fixture(scope="module")
def exported(kit: KitShell, hub: HubServer, home: Path, tiny_run: Path) -> Path:
    """The folder of the first push, which the Hub refused when all had been proven, and took without a second proof."""
    command = ("export", tiny_run, "--to", home / "first" / "exported", "--push", NAME, "--with-code", "--no-speed")
    hub.fail("POST .*/commit/", status=503, times=None)
    said = error_of(kit(*command), 1)
    assert said == ["--push: the Hub refused user/opinions: 503 Service Unavailable", "wait, and start again"]
    assert [path.name for path in (home / "first").iterdir()] == ["exported"]
    hub.heal()
    done = kit(*command)
    assert done.code == 0, done.err
    found, pushing = done.err.strip().splitlines()
    assert found == f"found the folder again that was proven for {tiny_run.name}" and pushing.startswith("pushing ")
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
    exported: Path, hub: HubServer, tiny_run: Path, kit: KitShell
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

    pulled = kit("pull", NAME, json.dumps(TEXTS))
    assert json.loads(pulled.out) == [each["label"] for each in predict(tiny_run, TEXTS)]


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


def test_offline_is_said_to_be_so(pushing: Callable[..., Result], home: Path) -> None:
    said = error_of(pushing(home, json.dumps({"name": NAME}), HF_HUB_OFFLINE="1"), 2)
    assert said == ["--push: HF_HUB_OFFLINE is set, so that the Hub is not asked", "unset it"]


def test_repositories_of_others_are_replaced_or_proposed_to(
    hub: HubServer, pushing: Callable[..., Result], folder: Path
) -> None:
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


def test_branches_and_who_may_see_a_repository(hub: HubServer, pushing: Callable[..., Result], folder: Path) -> None:
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
def test_a_push_that_fails_can_be_repeated(
    case: str, hub: HubServer, pushing: Callable[..., Result], folder: Path
) -> None:
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


def test_the_hub_is_left_alone_for_as_long_as_it_asks(
    hub: HubServer, pushing: Callable[..., Result], folder: Path
) -> None:
    wanted = json.dumps({"name": "user/faulty"})
    hub.repositories.pop("user/faulty", None)
    for status in (429, 503):
        hub.fail("GET /api/models/user/faulty", status=status, headers={"Retry-After": "2"})
        began = time.monotonic()
        assert pushing(folder, wanted).code == 0
        assert 2 <= time.monotonic() - began < 8
    hub.fail("GET /api/models/user/faulty", status=429, headers={"Retry-After": "3600"}, times=None)
    asked = len(hub.find("GET /api/models/user/faulty"))
    said = error_of(pushing(folder, wanted), 1)
    assert said == ["--push: the Hub refused user/faulty: 429 Too Many Requests", "wait 3,600 s, and start again"]
    assert len(hub.find("GET /api/models/user/faulty")) == asked + 1


def test_a_push_has_no_bars_of_the_client(hub: HubServer, pushing: Callable[..., Result], folder: Path) -> None:
    """With a variable that makes the client show them where nobody watches, too."""
    hub.large.clear()
    done = pushing(folder, json.dumps({"name": "user/quiet"}), TQDM_POSITION="-1")
    assert done.code == 0 and hub.find("PUT /lfs/")
    assert done.err == ""


def test_what_others_change_meanwhile_is_kept(hub: HubServer, pushing: Callable[..., Result], folder: Path) -> None:
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


@pytest.fixture(scope="module")
def adapter(adapted: Path, exported: Path, hub: HubServer, kit: KitShell, home: Path) -> Path:
    """The exported adapter, whose base is found though it was changed, pushed where people put a picture meanwhile."""
    hub.repositories["org/base"].commit({"config.json": b"{}"}, "a base that nobody can use any more")
    hub.repositories[NAME].commit({"picture.png": b"drawn by hand"})
    out = home / "adapter"
    target = ("--to", out, "--push", NAME, "--revision", "main", "--message", "an adapter")
    done = kit("export", adapted, "--format", " adapter, adapter,", *target)  # with its speed, which is not measured
    assert done.code == 0, done.err
    return out


def test_a_second_push_leaves_none_of_kits_older_files(
    adapter: Path, hub: HubServer, pushing: Callable[..., Result]
) -> None:
    repository = hub.repositories[NAME]
    assert [each.message for each in repository.log()][:2] == ["an adapter", "Update"]
    assert content_of(repository) == {**files_of(adapter), "picture.png": b"drawn by hand"}
    assert "adapter_model.safetensors" in repository.files and "model.safetensors" not in repository.files
    commit = head(hub, NAME)
    again = pushing(adapter, json.dumps({"name": NAME}))
    assert again.out == f"{commit} {hub.url}/{NAME}/commit/{commit}\n" and head(hub, NAME) == commit
    whole = pushing(adapter, json.dumps({"name": NAME, "overwrite": True}))
    assert whole.code == 0 and content_of(repository) == files_of(adapter)


def test_an_adapter_alone_finds_its_base_on_the_hub(
    adapter: Path, hub: HubServer, kit: KitShell, pushing: Callable[..., Result]
) -> None:
    used = next(iter(hub.repositories["org/base"].commits))
    said = error_of(kit("predict", adapter, "a text"), 2)
    assert said[0] == f"{adapter} is an adapter alone, which kit does not answer with"
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
