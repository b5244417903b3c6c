"""Several processes: the results of one, one writer, one error, and deaths of processes."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from kit import Recipe
from kit.records.record import Record
from tests.conftest import REPOSITORY
from tests.support.launches import Launch, launched
from tests.support.processes import ACCELERATE

# Losses and predictions of the same steps differ only by the order of sums.
ROUNDING = 2e-4


@pytest.fixture(scope="module")
def uneven(reviews: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the reviews with an odd number of test examples."""
    folder = tmp_path_factory.mktemp("uneven")
    shutil.copy(reviews / "train.csv", folder)
    pd.read_csv(reviews / "test.csv").head(41).to_csv(folder / "test.csv", index=False)
    return folder


@pytest.fixture
def write(uneven: Path, tiny_checkpoint: Path, tmp_path: Path):
    """Return a function that writes a recipe without dropout, whose steps are the same on two processes."""

    def written(name: str = "recipe", method: str = "finetune", **train: object) -> Path:
        recipe = Recipe(
            task="classification",
            method=method,
            runs=str(tmp_path / f"{name}-runs"),
            data={"source": str(uneven), "text": "text", "label": "label", "budget": 106, "max_length": 32},
            model={"checkpoint": str(tiny_checkpoint)},
            train={
                "epochs": 4, "learning_rate": 3e-3, "evaluations": 4, "refit": False, "dropout": 0.0, "batch_size": 16,
                "precision": "fp32", "contrastive": 0.0, "label_names": False, "checkpoint_seconds": 0,
                "report_to": [], **train,
            },
        )  # fmt: skip
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(recipe.model_dump(mode="json", exclude_defaults=True)), "utf-8")
        return path

    return written


def record_of(recipe: Path) -> Record:
    (folder,) = [path.parent for path in recipe.with_name(f"{recipe.stem}-runs").glob("*/record.json")]
    return Record.load(folder)


def alone(kit_forked, *arguments: object, **environment: str) -> None:
    done = kit_forked(*arguments, **environment)
    assert done.code == 0, done.err


def saved(recipe: Path) -> int:
    """Return the last saved step of the unfinished run, 0 if there is none."""
    runs = recipe.with_name(f"{recipe.stem}-runs")
    states = runs.glob(".*.partial/checkpoints/checkpoint-*/files.json")
    return max((int(state.parent.name.rpartition("-")[2]) for state in states), default=0)


def wait_for(reached: Callable[[], bool], launch: Launch) -> None:
    while not reached():
        for process in launch.processes:
            assert process.poll() is None, process.communicate()[1]
        time.sleep(0.002)


def together(start, *arguments: object, count: int = 2, **environment: str) -> list[str]:
    """Run a command in several processes and return their outputs."""
    results = launched(start, count, *arguments, **environment).results()
    assert [item.code for item in results] == [0] * count, "\n".join(item.err for item in results)
    return [item.out for item in results]


def same_answers(by_one: Record, by_two: Record, tolerance: float = ROUNDING) -> None:
    """Check that two classifiers have the same outputs, one per test example."""
    entry_of_one, entry_of_two = by_one.predictions(), by_two.predictions()
    assert len(set(entry_of_two.ids.tolist())) == len(entry_of_two.ids) == len(entry_of_one.ids)
    assert entry_of_one.ids.tolist() == entry_of_two.ids.tolist()
    assert np.abs(entry_of_one.outputs - entry_of_two.outputs).max() < tolerance


def test_two_processes_train_like_one(write, start, kit_forked) -> None:
    one, two = write("one"), write("two", report_to=["tensorboard"])
    alone(kit_forked, "finetune", one)
    printed = together(start, "finetune", two)
    assert "accuracy" in printed[0] and printed[1] == "", "one process prints the Record"
    assert [path.suffix for path in record_of(two).folder.parent.iterdir() if path.name != ".locks"] == [""]
    by_one, by_two = record_of(one), record_of(two)
    assert by_one.id == by_two.id
    assert len(list((by_two.folder / "logs").glob("events*"))) == 1, "one process writes for TensorBoard"
    plans = [record.to_dict()["training"]["plan"] for record in (by_one, by_two)]
    assert plans[0]["device_batch"] == 16 and plans[1] == {**plans[0], "device_batch": 8}
    histories = [record.to_dict()["training"]["history"] for record in (by_one, by_two)]
    assert [entry["step"] for entry in histories[0]] == [entry["step"] for entry in histories[1]]
    for entry_of_one, entry_of_two in zip(*histories, strict=True):
        for name in {"loss", "grad_norm", "validation_loss", "train_loss"} & entry_of_one.keys():
            assert entry_of_one[name] == pytest.approx(entry_of_two[name], rel=2e-3), (name, entry_of_one["step"])
    same_answers(by_one, by_two)
    assert np.ptp(by_two.predictions().outputs) > 100 * ROUNDING, "the model has learnt something that can differ"


def test_a_batch_smaller_than_the_processes_trains_like_one(write, start, kit_forked) -> None:
    """The epochs of teacher (106 examples) and student (141) end with a batch of one example."""
    settings = [
        "--set",
        "distill.student={layers: 1}",
        "--set",
        "distill.losses.hidden=1.0",
        "--set",
        "distill.pool=35",
    ]
    settings += ["--set", "data.validation=0"]
    records = []
    for name in ("one", "three"):
        recipe = write(name, epochs=2, batch_size=35)
        if name == "one":
            alone(kit_forked, "distill", recipe, "--no-controls", *settings)
        else:
            together(start, "distill", recipe, "--no-controls", *settings, count=3)
        runs = recipe.with_name(f"{name}-runs")
        records.append([Record.load(next(runs.glob(f"{kind}-*"))) for kind in ("finetune", "distill")])
    assert records[0][0].id == records[1][0].id  # a student's id depends on its teacher's rounded weights
    for by_one, by_three in zip(*records, strict=True):
        same_answers(by_one, by_three)
    assert [record.to_dict()["training"]["plan"]["steps"] for record in records[0]] == [8, 60]


def test_distillation_and_compression_train_like_one_process(write, start, kit_forked, tmp_path: Path) -> None:
    """Distillation from outputs and layers, pruning with recovery, and quantization-aware training."""
    caches = {name: tmp_path / f"cache-{name}" for name in ("one", "two")}
    steps = "{prune: {heads: 0.5, neurons: 0.25, epochs: 1}},{int8-torch: {aware: 1.0}}"
    settings = [
        "--set",
        "distill.student={layers: 1}",
        "--set",
        "distill.losses.hidden=1.0",
        "--set",
        "distill.pool=40",
    ]
    records: dict[str, list[Record]] = {}
    for name, run in (("one", alone), ("two", together)):
        runner = kit_forked if name == "one" else start
        recipe, environment = write(name, epochs=2), {"KIT_CACHE": str(caches[name])}
        run(runner, "distill", recipe, "--no-controls", *settings, **environment)
        runs = tmp_path / f"{name}-runs"
        (student,) = runs.glob("distill-*")
        run(runner, "compress", student, "--steps", steps, "--set", "compress.gate.retained=null", **environment)
        kinds = ("finetune", "distill", "prune", "int8-torch")
        records[name] = [Record.load(next(iter(runs.glob(f"{kind}-*")))) for kind in kinds]
        assert len(list(runs.glob("*/record.json"))) == 4
    for by_one, by_two in zip(*records.values(), strict=True):
        assert by_one.id.rpartition("-")[0] == by_two.id.rpartition("-")[0]
        same_answers(by_one, by_two, tolerance=0.02)
    kept = [sorted(file.name.split(".")[:2] for file in cache.glob("teachers/*/*.npy")) for cache in caches.values()]
    assert kept[0] == kept[1], "every shard of the teacher's outputs once"
    answered = [
        record.to_dict()["settings"]["teacher_answers_computed"] for record in (by[1] for by in records.values())
    ]
    assert answered[0] == answered[1] == [{"texts": 135, "of": 135}]


def written_translation(recipe: Recipe, path: Path) -> Path:
    """Write the recipe of a translation without dropout, with its runs beside it, and return the path."""
    train = recipe.train.model_copy(update={"precision": "fp32", "dropout": 0.0})
    section = recipe.translation.model_copy(update={"decoder_dropout": 0.0})
    update = {"runs": str(path.with_name(f"{path.stem}-runs")), "train": train, "translation": section}
    content = recipe.model_copy(update=update).model_dump(mode="json", exclude_defaults=True)
    path.write_text(yaml.safe_dump(content), "utf-8")
    return path


def test_a_translator_of_two_processes_trains_like_one(warm_recipe: Recipe, start, kit_forked, tmp_path: Path) -> None:
    records = []
    for name in ("one", "two"):
        path = written_translation(warm_recipe, tmp_path / f"{name}.yaml")
        alone(kit_forked, "finetune", path) if name == "one" else together(start, "finetune", path)
        records.append(record_of(path))
    by_one, by_two = records
    losses = [[entry["validation_loss"] for entry in item.to_dict()["training"]["evaluations"]] for item in records]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4) and losses[0][-1] < losses[0][0]
    answers = [item.predictions() for item in records]
    assert len(set(answers[1].ids.tolist())) == 20 and answers[0].ids.tolist() == answers[1].ids.tolist()
    assert np.mean(answers[0].outputs == answers[1].outputs) >= 0.9  # rounding may decide between two words
    assert by_one.metrics["chrf"].value == pytest.approx(by_two.metrics["chrf"].value, abs=2.0)


STOPPED = {signal.SIGINT: "error: interrupted after step ", signal.SIGTERM: "error: stopped by SIGTERM after step "}
LONG = {"epochs": 24, "evaluations": 6, "learning_rate": 1e-4}  # 144 steps, a checkpoint every 24


@pytest.fixture
def uninterrupted(write, kit_forked) -> np.ndarray:
    """Return the outputs of the long run on the test examples."""
    recipe = write("whole", **LONG)
    alone(kit_forked, "finetune", recipe)
    return record_of(recipe).predictions().outputs


def test_any_number_of_processes_continues_after_a_signal(write, start, kit_forked, uninterrupted) -> None:
    recipe = write("stopped", **LONG)
    for count, number in ((1, signal.SIGINT), (2, signal.SIGTERM), (3, signal.SIGTERM)):  # 3 do not divide 16
        before = saved(recipe)
        launch = launched(start, count, "finetune", recipe)
        wait_for(lambda before=before: saved(recipe) > before, launch)
        launch.processes[-1].send_signal(number)
        results = launch.results()
        assert [item.code for item in results] == [128 + number] * count, results
        errors = [line for item in results for line in item.err.splitlines() if "error" in line]
        assert len(errors) == 1 and errors[0].startswith(STOPPED[number]) and errors[0].endswith("of 144")
    alone(kit_forked, "finetune", recipe)
    record = record_of(recipe)
    assert "saved by 3 processes, on 1 process" in record.to_dict()["training"]["notes"][0]
    assert np.abs(record.predictions().outputs - uninterrupted).max() < ROUNDING


def test_a_killed_process_ends_the_others_with_one_error(write, start) -> None:
    recipe = write("killed", **LONG)
    launch = launched(start, 2, "finetune", recipe)
    wait_for(lambda: saved(recipe) > 0, launch)
    launch.processes[1].send_signal(signal.SIGKILL)
    began = time.monotonic()
    first, second = launch.results()
    assert time.monotonic() - began < 20
    assert (first.code, second.code) == (1, -signal.SIGKILL)
    assert "error: another process of this launch ended" in first.err and "Traceback" not in first.err
    assert saved(recipe) > 0, "its checkpoint remains, to be continued"


def test_a_silent_process_ends_the_others_after_the_limit(write, start) -> None:
    recipe = write("silent", **LONG)
    launch = launched(start, 2, "finetune", recipe, KIT_TIMEOUT_SECONDS="3")
    wait_for(lambda: saved(recipe) > 0, launch)
    launch.processes[1].send_signal(signal.SIGSTOP)
    assert launch.processes[0].wait(60) == 1
    assert "was silent for 3 seconds" in launch.processes[0].communicate()[1]
    launch.processes[1].send_signal(signal.SIGKILL)
    launch.results()


def test_an_error_of_any_process_is_printed_once(write, start, tmp_path: Path) -> None:
    recipe = write()
    wrong = launched(start, 2, "finetune", recipe, "--set", "data.label=lable").results()
    assert wrong[0].code == 2, "the first process reads the data; the other finds it gone"
    assert "".join(item.err for item in wrong).count("error: ") == 1
    own = launched(start, 2, "finetune", recipe, ranks=[{"KIT_TIMEOUT_SECONDS": "5"}, {"KIT_TIMEOUT_SECONDS": "soon"}])
    first, second = own.results()
    assert (first.code, second.code) == (1, 2) and "error: " not in first.err
    assert "error: KIT_TIMEOUT_SECONDS=soon is not a number of seconds" in second.err


def test_more_processes_than_gpus_are_refused(write, kit_forked) -> None:
    launch = {"LOCAL_WORLD_SIZE": "4", "WORLD_SIZE": "4", "RANK": "0", "LOCAL_RANK": "0", "ACCELERATE_USE_CPU": ""}
    refused = kit_forked("finetune", write(), CUDA_VISIBLE_DEVICES="", **launch)
    assert refused.code == 2
    assert "error: 4 processes were launched on this machine, one per GPU; visible GPUs: 0" in refused.err
    assert "accelerate launch --num_processes 1" in refused.err


CONFIGS = sorted([REPOSITORY / "accelerate_config.yaml", *(REPOSITORY / "recipes" / "accelerate").glob("*.yaml")])


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_accelerate_reads_the_shipped_configurations(path: Path) -> None:
    from accelerate.commands.config.config_args import load_config_from_file

    config = load_config_from_file(str(path))
    assert config.num_processes >= 1 and config.compute_environment == "LOCAL_MACHINE"
    assert path.name == "accelerate_config.yaml" or "\n# Run: " in path.read_text("utf-8")
    assert len(CONFIGS) == 6


def test_launches_on_two_machines_meet(write, start, tmp_path: Path) -> None:
    """Launch by accelerate with the file for two machines, both on this machine."""
    recipe = write("apart", epochs=1, evaluations=1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    options = ("--config_file", REPOSITORY / "recipes" / "accelerate" / "two-machines.yaml", "--num_processes", "2")
    machines = [
        start(
            "launch", "--machine_rank", rank, *options, "--main_process_port", port, "-m", "kit.finetune", recipe,
            "--json", program=ACCELERATE, ACCELERATE_USE_CPU="true", OMP_NUM_THREADS="1",
        )
        for rank in range(2)
    ]  # fmt: skip
    ends = [machine.communicate() for machine in machines]
    assert [machine.wait() for machine in machines] == [0, 0], "\n".join(err[-2000:] for _, err in ends)
    assert json.loads(ends[0][0].strip().splitlines()[-1])["id"] == record_of(recipe).id and ends[1][0] == ""
    same = write("near", epochs=1, evaluations=1)
    together(start, "finetune", same)
    same_answers(record_of(same), record_of(recipe))
