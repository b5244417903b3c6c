"""Checkpoints and data sets from a Hub on this machine, with the real client and commands."""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.hub_server import HubServer
from tests.support.kit_shell import KitShell, Result

MARK = "MARK"  # names the file that the code of a checkpoint writes when it runs
CODE = b"""
import os
from pathlib import Path
from transformers import BertConfig, BertForSequenceClassification
Path(os.environ["MARK"]).touch()
class OwnConfig(BertConfig):
    model_type = "tiny_own"
class OwnClassifier(BertForSequenceClassification):
    config_class = OwnConfig
"""
OWN = {"AutoConfig": "modeling_own.OwnConfig", "AutoModelForSequenceClassification": "modeling_own.OwnClassifier"}
_INT = {"dtype": "I32", "shape": [4]}


def safetensors(header: object, length: int | None = None) -> bytes:
    """Return a file with 16 bytes of data and this header, of which length and content may be false."""
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + bytes(16)


def act(arguments: list[str]) -> None:
    """Run a command, or `offline NAME ...`, which resolves checkpoints in offline mode."""
    from huggingface_hub import constants

    from kit.cli.app import main
    from kit.errors import ModelError
    from kit.models.checkpoints.checkpoint import resolve_checkpoint
    from kit.recipe import ModelSection

    if arguments[0] != "offline":
        main(arguments)
    constants.HF_HUB_OFFLINE = True
    try:
        for name in arguments[1:]:
            sys.stdout.write(f"{resolve_checkpoint(ModelSection(checkpoint=name)).sha256}\n")
    except ModelError as error:
        sys.stdout.write(str(error))
    finally:
        constants.HF_HUB_OFFLINE = False


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def hub(tiny_checkpoint: Path, reviews: Path) -> Iterator[HubServer]:
    """Yield a Hub with a valid checkpoint and data set, and many invalid checkpoints."""
    good = {str(path.relative_to(tiny_checkpoint)): path.read_bytes() for path in tiny_checkpoint.rglob("*.*")}
    weightless = {path: content for path, content in good.items() if path != "model.safetensors"}
    index = json.dumps({"weight_map": {"a": "../../a.safetensors"}}).encode()
    own = json.dumps({**json.loads(good["config.json"]), "model_type": "tiny_own", "auto_map": OWN}).encode()
    entry = {**_INT, "data_offsets": [0, 16]}
    bad = {
        "shards": {**weightless, "model.safetensors.index.json": index},
        "pickle": {**weightless, "pytorch_model.bin": b"no pickle will ever read this"},
        "up": {**good, "../../../evil.json": b"{}"},
        "root": {**good, "/evil.json": b"{}"},
        "long": {**good, "model.safetensors": safetensors({"a": entry}, length=2**40)},
        "beyond": {**good, "model.safetensors": safetensors({"a": {**_INT, "data_offsets": [0, 1600]}})},
        "overlapping": {**good, "model.safetensors": safetensors({"a": entry, "b": {**_INT, "data_offsets": [8, 24]}})},
        "own": {**good, "config.json": own, "modeling_own.py": CODE},
    }
    with HubServer() as server:
        server.add_model("user/tiny", good)
        server.add_model("user/light", good)
        server.add_model("user/gated", good, gated=True)
        server.add_model("user/private", good, private=True)
        server.add_dataset("user/reviews", reviews)
        server.add_dataset("user/gated", reviews, gated=True)
        for name, files in bad.items():
            server.add_model(f"user/{name}", files)
        yield server


@pytest.fixture(scope="module")
def kit(hub: HubServer, home: Path) -> Iterator[KitShell]:
    with KitShell(
        {**hub.environment(home / "cache"), MARK: str(home / "mark")}, "tests.e2e.test_from_hub:act"
    ) as shell:
        yield shell


@pytest.fixture(scope="module")
def recipe(home: Path) -> Path:
    """Return a recipe with a checkpoint and a data set on the Hub that trains in a second."""
    path = home / "recipe.yaml"
    path.write_text(
        f"task: classification\nruns: {home / 'runs'}\n"
        "data: {source: user/reviews, text: text, label: label, budget: 60, max_length: 32}\n"
        "model: {checkpoint: user/tiny}\ntrain: {epochs: 1, evaluations: 1, refit: false}\n",
        "utf-8",
    )
    return path


@pytest.fixture(scope="module")
def run(kit: KitShell, recipe: Path, hub: HubServer) -> Path:
    """Return the run of the recipe. Tests keep its sources on main, except README files."""
    done = kit("finetune", recipe)
    assert done.code == 0, done.err
    return folder_of(done)


def folder_of(done: Result) -> Path:
    return Path(next(line.split()[1] for line in done.out.splitlines() if line.strip().startswith("folder ")))


def first(hub: HubServer, repository: str) -> str:
    """Return the id of a repository's first commit."""
    return next(iter(hub.repositories[repository].commits))


def error_of(done: Result) -> str:
    """Return the error with its hint, after checking that it is a foreseen one."""
    assert done.code == 2, done.out + done.err
    assert "Traceback" not in done.out + done.err
    return done.err[done.err.index("error: ") :].removeprefix("error: ")


def test_a_record_has_the_commits_of_its_sources(run: Path, hub: HubServer) -> None:
    record = json.loads((run / "record.json").read_text("utf-8"))
    assert record["checkpoint"]["revision"] == first(hub, "user/tiny")
    assert record["data"]["revision"] == first(hub, "datasets/user/reviews")
    assert record["recipe"]["model"]["trust_remote_code"] is False


def test_a_dry_run_downloads_no_weights(kit: KitShell, recipe: Path, hub: HubServer) -> None:
    options = ("model.checkpoint=user/light", "study.methods=[finetune]", "study.budgets=[60]", "study.seeds=1")
    done = kit("study", recipe, "--dry-run", *[part for option in options for part in ("--set", option)])
    assert done.code == 0, done.err
    assert "1 checkpoint without weights on this machine (user/light)" in done.out
    requested = [request.path for request in hub.requests if "user/light" in request.path]
    assert any("config.json" in path for path in requested)
    assert not any("safetensors" in path for path in requested)


def test_the_same_content_is_the_same_run(run: Path, hub: HubServer, kit: KitShell, recipe: Path) -> None:
    hub.repositories["user/tiny"].commit({"README.md": b"# More words"})
    hub.repositories["datasets/user/reviews"].commit({"README.md": b"---\nlicense: mit\n---\n# More words"})
    again = kit("finetune", recipe)
    assert f"found the finished run {run.name}" in again.err
    assert folder_of(again) == run


def test_a_pinned_run_does_not_follow_main(run: Path, hub: HubServer, kit: KitShell, recipe: Path) -> None:
    tiny = hub.repositories["user/tiny"]
    tiny.refs["v1"] = first(hub, "user/tiny")
    config = tiny.files["config.json"]
    tiny.commit({"config.json": json.dumps({**json.loads(config), "hidden_dropout_prob": 0.3}).encode()})
    for revision in ("v1", first(hub, "user/tiny")):
        pinned = kit("finetune", recipe, "--set", f"model.revision={revision}")
        assert f"found the finished run {run.name}" in pinned.err
    plan = kit("check", recipe)
    assert plan.code == 0 and run.name not in plan.out
    tiny.commit({"config.json": config})


NOT_READ = "is neither a local folder nor a model on the Hub that you can read"
DAMAGED = "/model.safetensors is truncated or damaged: "
REFUSED = {
    "model.checkpoint=user/gated": [
        "model.checkpoint: user/gated is gated on the Hub",
        "accept its terms at HUB/user/gated, then log in with `hf auth login`",
    ],
    "model.checkpoint=user/none": [f"user/none {NOT_READ}", "check the spelling; for a private model, `hf auth login`"],
    "model.checkpoint=user/private": [f"user/private {NOT_READ}", "for a private model, `hf auth login`"],
    "model.revision=v9": ["model.revision: user/tiny has no revision v9 on the Hub"],
    "data.source=user/gated": [
        "data.source: the data set user/gated is gated on the Hub",
        "accept its terms at HUB/datasets/user/gated, then log in with `hf auth login`",
    ],
    "data.source=user/none": ["user/none is neither a local path nor a data set on the Hub that you can read"],
    "model.checkpoint=user/pickle": [
        "user/pickle holds its weights in a pickle (pytorch_model.bin), which can run code",
        "convert them to safetensors, or trust the file with `model.allow_pickle: true`",
    ],
    "model.checkpoint=user/own": [
        "model.checkpoint: user/own needs to run its own code (modeling_own.OwnClassifier)",
        "trust the files with `model.trust_remote_code: true` once you have read them",
    ],
    "model.checkpoint=user/shards": ["user/shards/model.safetensors.index.json names files outside its folder"],
    "model.checkpoint=user/up": ["user/up cannot be downloaded: Invalid filename '../../../evil.json'"],
    "model.checkpoint=user/root": ["user/root cannot be downloaded: Invalid filename '/evil.json'"],
    "model.checkpoint=user/long": [f"user/long{DAMAGED}"],
    "model.checkpoint=user/beyond": [f"user/beyond{DAMAGED}"],
    "model.checkpoint=user/overlapping": [f"user/overlapping{DAMAGED}"],
}


@pytest.mark.parametrize("setting", REFUSED)
def test_unusable_repositories_are_refused(
    setting: str, hub: HubServer, kit: KitShell, recipe: Path, home: Path, reviews: Path
) -> None:
    lines = error_of(kit("finetune", recipe, "--set", f"data.source={reviews}", "--set", setting)).splitlines()
    for line, expected in zip(lines, REFUSED[setting], strict=False):
        assert expected.replace("HUB", hub.url) in line
    assert len(REFUSED[setting]) <= len(lines) <= 2
    assert not (home / "mark").exists()
    assert not list(home.rglob("evil.json")) and not Path("/evil.json").exists()


def test_files_that_could_run_stay_on_the_hub(hub: HubServer, kit: KitShell, recipe: Path, reviews: Path) -> None:
    for name in ("pickle", "own"):
        kit("finetune", recipe, "--set", f"data.source={reviews}", "--set", f"model.checkpoint=user/{name}")
    assert hub.find("/user/own/resolve/") and not hub.find(r"GET .*\.(py|bin)$")


def test_code_of_a_teacher_is_not_run_and_its_key_is_named(
    hub: HubServer, kit: KitShell, recipe: Path, reviews: Path, home: Path
) -> None:
    arguments = ("--set", f"data.source={reviews}", "--set", "method=distill", "--set", "distill.teacher=user/own")
    lines = error_of(kit("finetune", recipe, *arguments)).splitlines()
    assert lines[0].endswith("distill.teacher: user/own needs to run its own code (modeling_own.OwnClassifier)")
    assert lines[1:] == ["  use a checkpoint whose class is part of transformers"]
    assert not (home / "mark").exists()


def test_a_valid_token_opens_private_repositories(hub: HubServer, kit: KitShell, recipe: Path, run: Path) -> None:
    arguments = ("finetune", recipe, "--set", "model.checkpoint=user/private")
    assert "the Hub does not accept your token" in error_of(kit(*arguments, HF_TOKEN="hf_of_nobody"))
    opened = kit("check", *arguments[1:], HF_TOKEN=hub.token)
    assert opened.code == 0, opened.err
    assert "user/private" in opened.out


def test_requests_to_a_busy_hub_are_repeated(hub: HubServer, kit: KitShell, recipe: Path, run: Path) -> None:
    hub.fail("GET /api/models/user/tiny/revision/", 503, times=2)
    hub.fail("GET /api/datasets/user/reviews", 429, times=1)
    done = kit("finetune", recipe)
    assert f"found the finished run {run.name}" in done.err


def test_a_broken_hub_is_one_line(hub: HubServer, kit: KitShell, recipe: Path, reviews: Path) -> None:
    hub.add_model("user/new", {"config.json": b"{}"})
    arguments = ("finetune", recipe, "--set", f"data.source={reviews}", "--set", "model.checkpoint=user/new")
    hub.fail("/api/models/user/new/", 503, times=None)
    assert error_of(kit(*arguments)).splitlines()[0].endswith("the Hub refused user/new: 503 Service Unavailable")
    hub.heal()
    hub.fail("/api/models/user/new/", drop="request", times=None)
    assert "user/new is not a local folder, and the Hub cannot be reached" in error_of(kit(*arguments))
    hub.heal()


def test_code_runs_only_if_the_recipe_trusts_it(
    hub: HubServer, kit: KitShell, recipe: Path, run: Path, home: Path
) -> None:
    mark, trust = home / "mark", ("--set", "model.checkpoint=user/own", "--set", "model.trust_remote_code=true")
    plan = kit("check", recipe, *trust)
    assert "runs modeling_own.OwnClassifier (model.trust_remote_code)" in plan.out
    done = kit("finetune", recipe, *trust)
    assert done.code == 0, done.err
    assert mark.exists()
    record = json.loads((folder_of(done) / "record.json").read_text("utf-8"))
    assert record["recipe"]["model"]["trust_remote_code"] is True
    mark.unlink()
    taught = ("--set", "method=distill", "--set", f"distill.teacher={folder_of(done)}")
    assert "distill.teacher: " in error_of(kit("finetune", recipe, *taught)) and not mark.exists()
    lines = error_of(kit("predict", folder_of(done), "a fine film"))
    assert "needs to run its own code (modeling_own.OwnClassifier)" in lines and "--trust-remote-code" in lines
    assert not mark.exists()
    answer = kit("predict", folder_of(done), "--trust-remote-code", "a fine film")
    assert json.loads(answer.out)["label"] in ("negative", "positive")


def test_without_a_network_downloaded_files_are_used(hub: HubServer, kit: KitShell, run: Path, recipe: Path) -> None:
    with hub.gone():
        assert f"found the finished run {run.name}" in kit("finetune", recipe).err
        cold = error_of(kit("finetune", recipe, "--set", "model.checkpoint=user/other"))
        assert "user/other is not a local folder, and the Hub cannot be reached\n  connect to the Hub, or" in cold
        cold = error_of(kit("finetune", recipe, "--set", "data.source=user/other"))
        assert "there is no file user/other, and the Hub, where it may be a data set, cannot be reached" in cold


def test_offline_mode_sends_no_requests(hub: HubServer, kit: KitShell, run: Path) -> None:
    requests_before = len(hub.requests)
    sha256, *cold = kit("offline", "user/tiny", "user/other").out.splitlines()
    assert sha256 == json.loads((run / "record.json").read_text("utf-8"))["checkpoint"]["sha256"]
    assert "user/other is not a local folder, and the Hub cannot be reached" in cold[0]
    assert cold[1].startswith("  unset HF_HUB_OFFLINE to download it, or name a local folder")
    assert len(hub.requests) == requests_before
