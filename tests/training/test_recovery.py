"""Checkpoints of training runs: resuming, damaged files, full disks and signals."""

from __future__ import annotations

import errno
import os
import shutil
import signal
from dataclasses import replace

import pytest
import torch

from kit.errors import OutputError
from kit.runtime.signals import NOTHING_SAVED, Stopped, stoppable
from kit.training import trainer as trainer_module
from kit.training.fit import fit_model
from kit.training.interfaces import SECOND_TRAINING
from kit.training.plan import make_plan
from kit.training.recovery import Resumption, StopBetweenSteps, find_checkpoint
from tests.support.training import (
    SECTION,
    KilledError,
    changed,
    die_at_save,
    fitting_of,
    train,
)

pytestmark = pytest.mark.usefixtures("quick_collections")


def test_a_killed_run_resumes_to_the_same_result(data, tmp_path, monkeypatch) -> None:
    whole_model, whole = train(data, tmp_path / "whole")
    die_at_save(monkeypatch, 2)
    with pytest.raises(KilledError):
        train(data, tmp_path / "killed")
    monkeypatch.undo()
    model, resumed = train(data, tmp_path / "killed")
    assert resumed.notes == ["continued from step 12 of an interrupted run"]
    assert resumed.evaluations == whole.evaluations
    assert 0 < resumed.earlier_seconds < resumed.seconds
    logged = [[(entry["step"], *sorted(entry)) for entry in run.history] for run in (resumed, whole)]
    assert logged[0] == logged[1]
    for name, tensor in whole_model.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name]), name


def test_an_incomplete_checkpoint_is_deleted(data, tmp_path) -> None:
    plan = make_plan(SECTION, 90)
    broken = tmp_path / "checkpoint-10"
    broken.mkdir(parents=True)
    (broken / "model.safetensors").write_bytes(b"half")
    problem = "checkpoint-10 cannot be continued: it was not written to its end"
    assert find_checkpoint(tmp_path, plan) == Resumption(None, plan, (problem,))
    assert not broken.exists()


@pytest.fixture(scope="module")
def two_checkpoints(data, tmp_path_factory):
    """The working folder of a run with averaging that was killed after its second checkpoint."""
    folder = tmp_path_factory.mktemp("two")
    with pytest.MonkeyPatch.context() as patched, pytest.raises(KilledError):
        die_at_save(patched, 2)
        train(data, folder, section=changed(average=3))
    return folder / "work"


_DAMAGES = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "emptied": lambda path: path.write_bytes(b""),
    "removed": lambda path: path.unlink(),
    "changed": lambda path: path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:]),
}


@pytest.mark.parametrize("damage", _DAMAGES)
def test_a_damaged_file_leads_to_the_previous_checkpoint(two_checkpoints, tmp_path, damage) -> None:
    plan = make_plan(changed(average=3), 90)
    whole = find_checkpoint(two_checkpoints, plan)
    assert whole.checkpoint == two_checkpoints / "checkpoint-12" and whole.problems == ()
    names = {path.name for path in whole.checkpoint.iterdir()}
    assert {"model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"} < names
    for name in [*sorted(names), "../weights-12.safetensors"]:
        work = shutil.copytree(two_checkpoints, tmp_path / name.strip("./"))
        _DAMAGES[damage](work / "checkpoint-12" / name)
        resumption = find_checkpoint(work, plan)
        assert resumption.checkpoint == work / "checkpoint-6", name
        assert resumption.problems[0].startswith("checkpoint-12 cannot be continued: "), name
        assert not (work / "checkpoint-12").exists()


def test_a_run_with_damaged_checkpoints_ends_with_the_same_weights(data, two_checkpoints, tmp_path) -> None:
    whole, _ = train(data, tmp_path / "whole", section=changed(average=3))
    for damaged, last in (
        ([12], "continued from step 6 of an interrupted run"),
        ([6, 12], "no checkpoint is whole: training starts from step 0"),
    ):
        folder = tmp_path / str(len(damaged))
        shutil.copytree(two_checkpoints, folder / "work")
        for step in damaged:
            (folder / "work" / f"checkpoint-{step}" / "optimizer.pt").unlink()
        model, resumed = train(data, folder, section=changed(average=3))
        assert resumed.notes[0] == "checkpoint-12 cannot be continued: optimizer.pt is missing"
        assert resumed.notes[-1] == last
        for name, tensor in whole.state_dict().items():
            assert torch.equal(tensor, model.state_dict()[name]), name


def test_a_run_interrupted_after_its_last_step_is_not_trained(data, tmp_path, monkeypatch) -> None:
    section = changed(checkpoint_seconds=3_600)
    model, training = train(data, tmp_path, section=section)
    (last,) = (tmp_path / "work").glob("checkpoint-*")
    assert last.name == "checkpoint-18" and not (last / "optimizer.pt").exists(), "no step is left"
    monkeypatch.setattr(trainer_module.KitTrainer, "training_step", None)
    again, resumed = train(data, tmp_path, section=section)
    assert resumed.notes == ["continued from step 18 of an interrupted run"]
    assert resumed.evaluations == training.evaluations
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name


def test_a_checkpoint_of_another_plan_is_not_used(data, tmp_path) -> None:
    train(data, tmp_path)
    assert find_checkpoint(tmp_path / "work", make_plan(SECTION, 90)).checkpoint is not None
    assert find_checkpoint(tmp_path / "work", make_plan(changed(epochs=9), 90)).checkpoint is None


def test_a_killed_run_resumes_with_smaller_passes(data, tmp_path, monkeypatch) -> None:
    small = {"device_batch": 8, "accumulation": 2}
    whole_model, whole = train(data, tmp_path / "whole", **small)
    die_at_save(monkeypatch, 2)
    with pytest.raises(KilledError):
        train(data, tmp_path / "killed", **small)
    monkeypatch.undo()
    resumption = find_checkpoint(tmp_path / "killed" / "work", make_plan(SECTION, 90))
    assert resumption.checkpoint is not None
    assert (resumption.checkpoint.name, resumption.plan) == ("checkpoint-12", replace(make_plan(SECTION, 90), **small))
    model, resumed = train(data, tmp_path / "killed")
    assert resumed.plan.device_batch == 8
    assert resumed.evaluations == whole.evaluations
    for name, tensor in whole_model.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name]), name


def _full_disk(monkeypatch, fits) -> None:
    """Let checkpoints fail in the middle, as on a full disk, unless `fits(trainer)`."""
    original = trainer_module.KitTrainer._save_whole

    def save(self, *args, **kwargs):
        if fits(self):
            return original(self, *args, **kwargs)
        part = self.fitting.workdir / f"checkpoint-{self.state.global_step}"
        part.mkdir()
        (part / "model.safetensors").write_bytes(b"part")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(trainer_module.KitTrainer, "_save_whole", save)


def test_training_continues_without_checkpoints_on_a_full_disk(data, tmp_path, monkeypatch) -> None:
    _full_disk(monkeypatch, lambda trainer: not trainer.fitting.start_file.exists())
    fitting = fitting_of(data, tmp_path)
    lines: list[str] = []
    monkeypatch.setattr(fitting.progress, "say", lines.append)
    fit_model(fitting)
    assert [path.name for path in fitting.workdir.iterdir()] == ["checkpoint-18"], (
        "deleting the initial weights made room"
    )
    refused = [line for line in lines if "no checkpoint after step" in line]
    assert refused and all(line.endswith("the disk is full") for line in refused)


def test_a_final_checkpoint_on_a_full_disk_is_an_error(data, tmp_path, monkeypatch) -> None:
    _full_disk(monkeypatch, lambda trainer: trainer.state.global_step == 12)
    with pytest.raises(OutputError, match="the disk is full"):
        train(data, tmp_path)
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["checkpoint-12"]


@pytest.mark.parametrize(
    ("stage", "of_stage"), [("", ""), ("second training (refit)", " of the second training (refit)")]
)
def test_ctrl_c_on_a_full_disk_keeps_its_exit_code(data, tmp_path, monkeypatch, stage, of_stage) -> None:
    _full_disk(monkeypatch, lambda trainer: False)
    fitting = replace(fitting_of(data, tmp_path), stage=stage)
    with stoppable(), pytest.raises(Stopped) as caught:
        monkeypatch.setattr(StopBetweenSteps, "on_step_begin", lambda *_, **__: os.kill(os.getpid(), signal.SIGINT))
        fit_model(fitting)
    assert caught.value.exit_code == 130 and NOTHING_SAVED in str(caught.value)
    assert caught.value.message.startswith(f"interrupted after step 1 of 18{of_stage}, which could not be saved (")
    assert list(fitting.workdir.iterdir()) == []


def test_ctrl_c_in_a_script_saves_and_raises_keyboard_interrupt(data, tmp_path, monkeypatch) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt, match="after step 1 of 18"), monkeypatch.context() as patched:
            patched.setattr(StopBetweenSteps, "on_step_begin", lambda *_, **__: os.kill(os.getpid(), signal.SIGINT))
            train(data, tmp_path)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    _, resumed = train(data, tmp_path)
    assert resumed.notes == ["continued from step 1 of an interrupted run"]


def test_notes_name_the_stage_of_a_run_with_two_trainings(data, tmp_path, monkeypatch) -> None:
    for stage in ("first training", SECOND_TRAINING):
        folder = tmp_path / stage[:5]
        die_at_save(monkeypatch, 2 if stage == SECOND_TRAINING else 3)
        with pytest.raises(KilledError):
            train(data, folder)
        monkeypatch.undo()
    first = fit_model(replace(fitting_of(data, tmp_path / "first"), stage="first training"))
    second = fit_model(replace(fitting_of(data, tmp_path / "secon"), stage=SECOND_TRAINING))
    assert first.notes == ["first training: finished by an earlier start"]
    assert second.notes == ["second training (refit): continued from step 12 of an interrupted run"]
