"""Launches that shard the model: results of one process, sharded checkpoints, refusals."""

from __future__ import annotations

import os
import signal
from importlib.util import find_spec
from pathlib import Path

import pytest

from kit import Recipe, finetune
from kit.errors import LaunchError
from kit.recipe import load_recipe
from kit.runtime.distributed import meet
from kit.runtime.files import CHECKPOINT_SEAL, write_atomically
from kit.training.interfaces import Fitting
from tests.e2e.test_processes import (
    alone,
    record_of,
    same_answers,
    saved,
    together,
    uneven,
    wait_for,
    write,
    written_translation,
)
from tests.support.launches import launched

__all__ = ["uneven", "write"]  # fixtures

# As accelerate launch sets them for recipes/accelerate/fsdp2.yaml, deepspeed-zero2.yaml and deepspeed-zero3.yaml.
FSDP = {
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_VERSION": "2",
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    "FSDP_RESHARD_AFTER_FORWARD": "true",
    "FSDP_STATE_DICT_TYPE": "SHARDED_STATE_DICT",
    "FSDP_OFFLOAD_PARAMS": "false",
}
ZERO2 = {
    "ACCELERATE_USE_DEEPSPEED": "true",
    "ACCELERATE_DEEPSPEED_ZERO_STAGE": "2",
    "ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE": "none",
    "ACCELERATE_DEEPSPEED_OFFLOAD_PARAM_DEVICE": "none",
    "DS_ACCELERATOR": "cpu",
}
ZERO3 = {**ZERO2, "ACCELERATE_DEEPSPEED_ZERO_STAGE": "3"}


LAUNCHES = {"fsdp2": FSDP}
if find_spec("deepspeed"):  # an optional package, for GPUs
    LAUNCHES |= {"zero2": ZERO2, "zero3": ZERO3}


@pytest.mark.parametrize("launch", LAUNCHES.values(), ids=LAUNCHES)
def test_a_sharded_launch_trains_like_one_process(launch, write, start, kit_forked) -> None:
    """With gradient accumulation, trained embeddings and averaged weights; bf16 of the launch is ignored."""
    settings = {"batch_size": 80, "average": 2, "freeze_embeddings": False}
    one, two = write("one", **settings), write("two", **settings)
    alone(kit_forked, "finetune", one)
    printed = together(start, "finetune", two, **launch, ACCELERATE_MIXED_PRECISION="bf16")
    assert "accuracy" in printed[0] and printed[1] == "", "one process prints the Record"
    by_one, by_two = record_of(one), record_of(two)
    assert by_one.id == by_two.id
    plans = [record.to_dict()["training"]["plan"] for record in (by_one, by_two)]
    assert plans[1] == {**plans[0], "device_batch": 40}
    histories = [record.to_dict()["training"]["history"] for record in (by_one, by_two)]
    assert [entry["step"] for entry in histories[0]] == [entry["step"] for entry in histories[1]]
    for entry_of_one, entry_of_two in zip(*histories, strict=True):
        for name in {"loss", "grad_norm", "validation_loss", "train_loss"} & entry_of_one.keys():
            assert entry_of_one[name] == pytest.approx(entry_of_two[name], rel=2e-3), (name, entry_of_one["step"])
    same_answers(by_one, by_two)
    assert by_one.metrics["accuracy"].value == by_two.metrics["accuracy"].value
    again = kit_forked("evaluate", by_two.folder)
    assert again.code == 0, again.err


def test_a_sharded_launch_continues_a_sharded_checkpoint(write, start, kit_forked) -> None:
    steps = {"epochs": 12, "evaluations": 4, "learning_rate": 1e-4}  # 72, a checkpoint every 18
    whole, recipe = write("whole", **steps), write("stopped", **steps)
    alone(kit_forked, "finetune", whole)
    launch = launched(start, 2, "finetune", recipe, **FSDP)
    wait_for(lambda: saved(recipe) > 0, launch)
    launch.processes[-1].send_signal(signal.SIGTERM)
    results = launch.results()
    assert [item.code for item in results] == [143] * 2, results
    errors = [line for item in results for line in item.err.splitlines() if "error" in line]
    assert len(errors) == 1 and errors[0].startswith("error: stopped by SIGTERM after step ")
    runs = recipe.with_name(f"{recipe.stem}-runs")
    half = _elements_by_process(next(runs.glob(".*.partial/checkpoints/checkpoint-*/optimizer_0")))
    assert len(half) == 2 and min(half) > 0.45 * sum(half), "each process has half of the optimizer's state"
    refused = kit_forked("finetune", recipe)
    assert refused.code == 2
    assert "begun on shards of the model (FSDP), and this launch trains whole models" in refused.err
    together(start, "finetune", recipe, **FSDP)
    record = record_of(recipe)
    assert record.to_dict()["training"]["notes"][0].startswith("continued from step")
    same_answers(record_of(whole), record)


def _elements_by_process(folder: Path) -> list[int]:
    """Return the elements of Adam's moments per process in a checkpoint."""
    from torch.distributed.checkpoint import FileSystemReader

    count: dict[str, int] = {}
    metadata = FileSystemReader(folder).read_metadata()
    for index, place in metadata.storage_data.items():
        if "exp_avg" in index.fqn:
            chunks = metadata.state_dict_metadata[index.fqn].chunks
            (size,) = [chunk.sizes.numel() for chunk in chunks if chunk.offsets == index.offset]
            count[place.relative_path] = count.get(place.relative_path, 0) + size
    return sorted(count.values())


def test_a_sharded_translator_keeps_its_tied_weights(warm_recipe: Recipe, start, kit_forked, tmp_path: Path) -> None:
    losses = []
    for name in ("one", "two"):
        path = written_translation(warm_recipe, tmp_path / f"{name}.yaml")
        alone(kit_forked, "finetune", path) if name == "one" else together(start, "finetune", path, **FSDP)
        losses.append([item["validation_loss"] for item in record_of(path).to_dict()["training"]["evaluations"]])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4) and losses[0][-1] < losses[0][0]


@pytest.mark.parametrize(
    ("launch", "message", "hint"),
    [
        ({**FSDP, "WORLD_SIZE": "1"}, "only one process", "num_processes 2"),
        ({**FSDP, "LOCAL_WORLD_SIZE": "2"}, "visible GPUs: 0", "1 --config_file accelerate_config.yaml; for"),
        ({**FSDP, "FSDP_VERSION": "1"}, "FSDP of version 1", "fsdp_version: 2"),
        ({**FSDP, "FSDP_OFFLOAD_PARAMS": "true"}, "fsdp_offload_params", "fsdp_offload_params: false"),
        ({**FSDP, "FSDP_ACTIVATION_CHECKPOINTING": "true"}, "fails for translators", "activation_checkpointing: false"),
        ({**ZERO2, "ACCELERATE_DEEPSPEED_ZERO_STAGE": "1"}, "ZeRO-1", "zero_stage: 2"),
        ({**ZERO2, "ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE": "cpu"}, "offload_optimizer_device", "none"),
        ({**ZERO3, "ACCELERATE_DEEPSPEED_CONFIG_FILE": "zero.json"}, "deepspeed_config_file", "deepspeed-zero3.yaml"),
    ],
)
def test_unsupported_sharded_launches_are_refused(launch, message, hint, monkeypatch) -> None:
    for variable, value in {"WORLD_SIZE": "2", **launch}.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setattr("kit.runtime.distributed._OWN", {})  # set only for accepted launches
    before = dict(os.environ)
    with pytest.raises(LaunchError, match=message) as caught:
        meet("cpu")
    assert hint in caught.value.hint and caught.value.exit_code == 2
    assert dict(os.environ) == before


def test_a_refused_launch_keeps_only_saved_checkpoints(recipe_file: Path, monkeypatch) -> None:
    refused = "kit.training.fit.fit_model"
    recipe = load_recipe(recipe_file)

    def refuse(fitting: Fitting) -> None:
        if kept:
            write_atomically(fitting.workdir / "checkpoint-3" / CHECKPOINT_SEAL, "{}")
        raise LaunchError("refused", "")

    monkeypatch.setattr(refused, refuse)
    for kept in (False, True):
        with pytest.raises(LaunchError):
            finetune(recipe, quiet=True)
        assert bool(list(Path(recipe.runs).glob(".*.partial"))) == kept
