"""The trainer on the tiny real checkpoint: gradients, resume, NaN, out of memory, expected trajectory."""

from __future__ import annotations

import errno
import os
import shutil
import signal
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.utils._python_dispatch import TorchDispatchMode

from kit.data.encode import encode
from kit.errors import OutputError, RecipeError, TrainingError
from kit.methods.classification.encoder import LabelWatch, lessons_of
from kit.models.architectures.layers import find_layers
from kit.models.checkpoints.checkpoint import resolve_checkpoint
from kit.models.checkpoints.loading import Head, build_classifier, load_tokenizer
from kit.models.inference import predict_logits
from kit.recipe.sections.model import ModelSection
from kit.recipe.sections.training import TrainSection
from kit.runs.write_record import quick_collection
from kit.runtime.signals import NOTHING_SAVED, Stopped, stoppable
from kit.tasks.classification import Classification
from kit.training import trainer as trainer_module
from kit.training.arguments import arguments_of
from kit.training.averaging import averaged_steps
from kit.training.hardware import Hardware
from kit.training.interfaces import SECOND_TRAINING, Fitting, Split
from kit.training.model_sharding import Whole
from kit.training.objective import LabelObjective
from kit.training.padding_free import PaddingFree
from kit.training.plan import make_plan
from kit.training.progress import Progress
from kit.training.recovery import Resumption, StopBetweenSteps, find_checkpoint
from kit.training.trainer import fit_model

LABELS = ("negative", "positive")
TASK = Classification("classification", LABELS, False, False, "accuracy")
FP32 = Hardware("cpu", False, 2)
SECTION = TrainSection(
    batch_size=16, epochs=3, learning_rate=1e-3, contrastive=0.5, evaluations=4, checkpoint_seconds=0, report_to=[]
)


def changed(**values) -> TrainSection:
    return SECTION.model_copy(update=values)


@pytest.fixture(scope="module")
def parts(tiny_checkpoint, reviews):
    import pandas as pd

    checkpoint = resolve_checkpoint(ModelSection(checkpoint=str(tiny_checkpoint)))
    tokenizer = load_tokenizer(checkpoint.folder)
    frame = pd.read_csv(reviews / "train.csv")
    encoded = encode([(text,) for text in frame.text], tokenizer, 32)
    targets = (frame.label == "positive").to_numpy().astype(np.int64)
    split = lambda a, b: Split(encoded.take(np.arange(a, b)), targets[a:b])  # noqa: E731
    return checkpoint, tokenizer, split(0, 90), split(90, 120)


@pytest.fixture(scope="module", autouse=True)
def _quick(parts):
    """As when Records are made: every training collects garbage twice."""
    with quick_collection():
        yield


def build(parts, dropout=0.1):
    torch.manual_seed(0)
    return build_classifier(parts[0], Head(LABELS, False), "pretrained", dropout=dropout)


def fitting_of(parts, folder, model=None, section=None, hardware=FP32, rate_shares=None, **plan_changes):
    _, tokenizer, train_split, validation = parts
    section = section or SECTION
    plan = replace(make_plan(section, len(train_split.targets)), **plan_changes)
    model = model if model is not None else build(parts)
    torch.manual_seed(1)
    return Fitting(
        model,
        LabelObjective(TASK, plan.contrastive),
        lessons_of(train_split, tokenizer),
        LabelWatch(TASK, tokenizer, train_split, validation),
        section,
        plan,
        hardware,
        folder / "work",
        folder / "logs",
        Progress(quiet=True),
        rate_shares or {},
    )


def train(parts, folder, *settings, **changes):
    fitting = fitting_of(parts, folder, *settings, **changes)
    return fitting.model, fit_model(fitting)


def test_history_has_both_losses_and_metrics_by_step(parts, tmp_path) -> None:
    _, done = train(parts, tmp_path)
    assert done.plan.steps == 18
    assert [e.step for e in done.evaluations] == [0, 6, 12, 18]
    assert done.evaluations[-1].train_loss < done.evaluations[0].train_loss
    assert all(0 <= e.validation_metric <= 1 for e in done.evaluations)
    assert done.samples_per_second > 0
    assert done.diagnosis.line


def test_the_same_seed_gives_the_same_losses(parts, tmp_path) -> None:
    first, second = train(parts, tmp_path / "a")[1], train(parts, tmp_path / "b")[1]
    assert first.evaluations == second.evaluations


def test_accumulation_gives_the_same_gradients_as_one_batch(parts, tmp_path) -> None:
    """Clipping and Adam hide a gradient that is scaled wrongly: compare its norm, which transformers logs."""
    norms = {}
    for accumulation in (1, 4):
        section = changed(accumulation=accumulation, evaluations=1, epochs=1, contrastive=0.0)
        _, done = train(parts, tmp_path / str(accumulation), build(parts, dropout=0.0), section)
        norms[accumulation] = next(entry["grad_norm"] for entry in done.history if "grad_norm" in entry)
    assert norms[4] == pytest.approx(norms[1], rel=1e-3)


def test_passes_of_few_tokens_give_the_same_gradients_as_one(parts, tmp_path, monkeypatch) -> None:
    norms, sizes = {}, {}
    section = changed(batch_size=45, evaluations=1, epochs=1, contrastive=0.0)
    for tokens in (10_000, 64):
        for passes in (trainer_module._PASS_TOKENS, trainer_module._PASS_TOKENS_BF16):
            monkeypatch.setitem(passes, "cpu", tokens)
        model = build(parts, dropout=0.0)
        seen: list[int] = []
        model.register_forward_pre_hook(
            lambda module, args, inputs, seen=seen: seen.append(len(inputs["input_ids"])) if module.training else None,
            with_kwargs=True,
        )
        _, done = train(parts, tmp_path / str(tokens), model, section)
        norms[tokens] = next(entry["grad_norm"] for entry in done.history if "grad_norm" in entry)
        sizes[tokens] = seen
    assert sizes == {10_000: [45, 45], 64: [23, 22, 23, 22]}
    assert norms[64] == pytest.approx(norms[10_000], rel=1e-3)


def test_compiled_steps_and_those_without_padding_learn_the_same(parts, tmp_path, monkeypatch) -> None:
    """Traced for any shape, in several passes; the code that is made of it is not, for that takes a minute."""
    from torch._dynamo.utils import counters

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    monkeypatch.setitem(trainer_module._PASS_TOKENS, "cpu", 512)
    models, traced, computed = {}, {}, {}
    free, both = ("padding_free",), ("compile", "padding_free")
    for ways in ((), free, both):
        counters.clear()
        model = build(parts, dropout=0.0)
        tokens: list[int] = []

        def count(_, inputs, tokens=tokens) -> None:
            if torch.is_grad_enabled():
                tokens.append(inputs[0].shape[:2].numel())

        if "compile" not in ways:  # which would trace it
            find_layers(model).blocks[0].register_forward_pre_hook(count)
        section = changed(**dict.fromkeys(ways, True), batch_size=45, epochs=2, evaluations=1)
        models[ways], _ = train(parts, tmp_path / "-".join(ways), model, section)
        traced[ways], computed[ways] = counters["frames"]["ok"], sum(tokens)
    assert traced[()] == traced[free] == 0 < traced[both]
    assert computed[free] == 2 * parts[2].encoded.lengths.sum() < computed[()]
    for model in models.values():
        for ours, theirs in zip(model.parameters(), models[()].parameters(), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)


def test_compiling_without_a_compiler_is_refused_before_training(parts, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("CXX", str(tmp_path / "no-compiler"))
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", (None, str(tmp_path / "no-compiler")))
    with pytest.raises(RecipeError, match=r"train\.compile: torch needs a C\+\+ compiler"):
        train(parts, tmp_path, section=changed(compile=True))


def test_parts_of_a_model_have_a_share_of_the_rate(parts, tmp_path) -> None:
    """Adam moves a weight by about its rate, whatever its gradient: a hundredth of the rate, a hundredth of the way."""
    before = {name: weights.detach().clone() for name, weights in build(parts).named_parameters()}
    moved = {}
    for share in (1.0, 0.01):
        section = changed(weight_decay=0.0, contrastive=0.0, evaluations=1, epochs=1)
        model, _ = train(parts, tmp_path / str(share), section=section, rate_shares={"encoder.": share})
        moved[share] = {name: float((w - before[name]).abs().mean()) for name, w in model.named_parameters()}
    slow = [name for name in before if name.startswith("encoder.") and moved[1.0][name] > 0]
    assert len(slow) > 10 and len(slow) < len(before)
    for name in slow:
        assert moved[0.01][name] < 0.05 * moved[1.0][name]
    head = next(name for name in before if "classifier" in name and "weight" in name)
    assert moved[0.01][head] > 0.5 * moved[1.0][head]


class _KilledError(Exception):
    pass


def _die_at_save(monkeypatch, count) -> None:
    """Make the trainer die right after it has saved its `count`-th checkpoint."""
    saves = []
    original = trainer_module.KitTrainer._save_checkpoint

    def save_then_die(self, *args, **kwargs):
        original(self, *args, **kwargs)
        saves.append(self.state.global_step)
        if len(saves) == count:
            raise _KilledError

    monkeypatch.setattr(trainer_module.KitTrainer, "_save_checkpoint", save_then_die)


def test_a_killed_run_ends_as_an_uninterrupted_one(parts, tmp_path, monkeypatch) -> None:
    whole_model, whole = train(parts, tmp_path / "whole")
    _die_at_save(monkeypatch, 2)
    with pytest.raises(_KilledError):
        train(parts, tmp_path / "killed")
    monkeypatch.undo()
    model, resumed = train(parts, tmp_path / "killed")
    assert resumed.notes == ["continued from step 12 of an interrupted run"]
    assert resumed.evaluations == whole.evaluations
    assert 0 < resumed.earlier_seconds < resumed.seconds
    logged = [[(entry["step"], *sorted(entry)) for entry in run.history] for run in (resumed, whole)]
    assert logged[0] == logged[1]
    for name, tensor in whole_model.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name]), name


def test_a_half_written_checkpoint_is_thrown_away(parts, tmp_path) -> None:
    plan = make_plan(SECTION, 90)
    broken = tmp_path / "checkpoint-10"
    broken.mkdir(parents=True)
    (broken / "model.safetensors").write_bytes(b"half")
    problem = "checkpoint-10 cannot be continued: it was not written to its end"
    assert find_checkpoint(tmp_path, plan) == Resumption(None, plan, (problem,))
    assert not broken.exists()


@pytest.fixture(scope="module")
def two_checkpoints(parts, tmp_path_factory):
    """The working folder of a run with averaging that was killed after its second checkpoint."""
    folder = tmp_path_factory.mktemp("two")
    with pytest.MonkeyPatch.context() as patched, pytest.raises(_KilledError):
        _die_at_save(patched, 2)
        train(parts, folder, section=changed(average=3))
    return folder / "work"


_DAMAGES = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "emptied": lambda path: path.write_bytes(b""),
    "removed": lambda path: path.unlink(),
    "changed": lambda path: path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:]),
}


@pytest.mark.parametrize("damage", _DAMAGES)
def test_any_damaged_file_leads_to_the_checkpoint_before(two_checkpoints, tmp_path, damage) -> None:
    plan = make_plan(changed(average=3), 90)
    whole = find_checkpoint(two_checkpoints, plan)
    assert whole.checkpoint == two_checkpoints / "checkpoint-12" and whole.problems == ()
    names = {path.name for path in whole.checkpoint.iterdir()}
    assert {"model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"} < names
    for name in [*sorted(names), "../weights-12.safetensors"]:
        work = shutil.copytree(two_checkpoints, tmp_path / name.strip("./"))
        _DAMAGES[damage](work / "checkpoint-12" / name)
        found = find_checkpoint(work, plan)
        assert found.checkpoint == work / "checkpoint-6", name
        assert found.problems[0].startswith("checkpoint-12 cannot be continued: "), name
        assert not (work / "checkpoint-12").exists()


def test_a_run_with_a_damaged_checkpoint_ends_as_an_undisturbed_one(parts, two_checkpoints, tmp_path) -> None:
    whole, _ = train(parts, tmp_path / "whole", section=changed(average=3))
    for damaged, last in (
        ([12], "continued from step 6 of an interrupted run"),
        ([6, 12], "no checkpoint is whole: training starts from step 0"),
    ):
        folder = tmp_path / str(len(damaged))
        shutil.copytree(two_checkpoints, folder / "work")
        for step in damaged:
            (folder / "work" / f"checkpoint-{step}" / "optimizer.pt").unlink()
        model, resumed = train(parts, folder, section=changed(average=3))
        assert resumed.notes[0] == "checkpoint-12 cannot be continued: optimizer.pt is missing"
        assert resumed.notes[-1] == last
        for name, tensor in whole.state_dict().items():
            assert torch.equal(tensor, model.state_dict()[name]), name


def test_a_run_interrupted_after_its_last_step_trains_no_more(parts, tmp_path, monkeypatch) -> None:
    section = changed(checkpoint_seconds=3_600)
    model, done = train(parts, tmp_path, section=section)
    (last,) = (tmp_path / "work").glob("checkpoint-*")
    assert last.name == "checkpoint-18" and not (last / "optimizer.pt").exists(), "nothing is left to be trained"
    monkeypatch.setattr(trainer_module.KitTrainer, "training_step", None)
    again, resumed = train(parts, tmp_path, section=section)
    assert resumed.notes == ["continued from step 18 of an interrupted run"]
    assert resumed.evaluations == done.evaluations
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name


def test_a_checkpoint_of_another_plan_is_not_continued(parts, tmp_path) -> None:
    train(parts, tmp_path)
    assert find_checkpoint(tmp_path / "work", make_plan(SECTION, 90)).checkpoint is not None
    assert find_checkpoint(tmp_path / "work", make_plan(changed(epochs=9), 90)).checkpoint is None


def test_a_loss_that_is_not_a_number_stops_with_advice(parts, tmp_path) -> None:
    model = build(parts)
    with torch.no_grad():
        model.classifier.weight.fill_(float("nan"))
    with pytest.raises(TrainingError, match="no longer a number") as caught:
        train(parts, tmp_path, model)
    assert "lower `train.learning_rate`" in caught.value.hint


def test_out_of_memory_halves_the_batch_and_ends_with_the_same_gradients(parts, tmp_path, monkeypatch) -> None:
    """A machine without a GPU cannot run out of its memory on demand: the model raises torch's own error instead."""
    _, expected = train(parts, tmp_path / "enough", build(parts, dropout=0.0), changed(contrastive=0.0))
    model = build(parts, dropout=0.0)
    forward = model.forward

    def short_of_memory(*args, **inputs):
        if model.training and len(inputs["input_ids"]) > 8:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(*args, **inputs)

    monkeypatch.setattr(model, "forward", short_of_memory)
    _, done = train(parts, tmp_path / "short", model, changed(contrastive=0.0))
    assert done.notes == ["out of memory: batch 8 x accumulation 2 from here"]
    assert (done.plan.device_batch, done.plan.steps) == (8, expected.plan.steps)
    losses = [[e.validation_loss for e in run.evaluations] for run in (done, expected)]
    assert losses[0] == pytest.approx(losses[1], abs=0.02)


def test_a_run_killed_after_running_out_of_memory_continues_with_small_passes(parts, tmp_path, monkeypatch) -> None:
    small = {"device_batch": 8, "accumulation": 2}
    whole_model, whole = train(parts, tmp_path / "whole", **small)
    _die_at_save(monkeypatch, 2)
    with pytest.raises(_KilledError):
        train(parts, tmp_path / "killed", **small)
    monkeypatch.undo()
    found = find_checkpoint(tmp_path / "killed" / "work", make_plan(SECTION, 90))
    assert found.checkpoint is not None
    assert (found.checkpoint.name, found.plan) == ("checkpoint-12", replace(make_plan(SECTION, 90), **small))
    model, resumed = train(parts, tmp_path / "killed")
    assert resumed.plan.device_batch == 8
    assert resumed.evaluations == whole.evaluations
    for name, tensor in whole_model.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name]), name


def test_out_of_memory_with_one_example_is_an_error(parts, tmp_path, monkeypatch) -> None:
    model = build(parts)

    def never(*args, **inputs):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(model, "forward", never)
    with pytest.raises(TrainingError, match="out of memory with a single example"):
        train(parts, tmp_path, model, changed(batch_size=2))  # no step is possible


def test_best_weights_are_kept_when_asked_for(parts, tmp_path) -> None:
    section = changed(evaluations=6, select="best")
    _, tokenizer, _, validation = parts
    model, done = train(parts, tmp_path, build(parts, dropout=0.0), section)
    trained = [e for e in done.evaluations if e.step > 0]
    best = min(e.validation_loss for e in trained)
    logits = predict_logits(model, validation.encoded, tokenizer)
    assert TASK.scores(logits, validation.targets)["log_loss"] == pytest.approx(best, abs=1e-5)
    shutil.rmtree(tmp_path / "work")


def test_the_last_weights_are_averaged_when_asked_for(parts, tmp_path, monkeypatch) -> None:
    """Of the evaluations at steps 0, 6, 12 and 18; the last one is of the mean."""
    plain, without = train(parts, tmp_path / "plain")
    saved = {}
    keep = trainer_module.Averaging.on_step_end

    def seen(self, args, state, control, **kwargs) -> None:
        saved[state.global_step] = {name: w.detach().clone() for name, w in self.model.named_parameters()}
        keep(self, args, state, control, **kwargs)

    monkeypatch.setattr(trainer_module.Averaging, "on_step_end", seen)
    model, done = train(parts, tmp_path / "mean", section=changed(average=2))
    for name, weights in model.named_parameters():
        assert torch.equal(saved[18][name], plain.state_dict()[name]), "training itself is the same"
        assert torch.allclose(weights, (saved[12][name] + saved[18][name]) / 2, atol=1e-7), name
    assert [e.step for e in done.evaluations] == [0, 6, 12, 18]
    assert done.evaluations[:-1] == without.evaluations[:-1] and done.evaluations[-1] != without.evaluations[-1]
    logits = predict_logits(model, parts[3].encoded, parts[1])
    assert TASK.scores(logits, parts[3].targets)["log_loss"] == pytest.approx(done.evaluations[-1].validation_loss)


@pytest.mark.parametrize("saves", [1, 2, 3])
def test_a_killed_run_ends_with_the_same_mean(saves, parts, tmp_path, monkeypatch) -> None:
    section = changed(average=3)
    whole, _ = train(parts, tmp_path / "whole", section=section)
    _die_at_save(monkeypatch, saves)
    with pytest.raises(_KilledError):
        train(parts, tmp_path / "killed", section=section)
    monkeypatch.undo()
    model, _ = train(parts, tmp_path / "killed", section=section)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name]), name


def test_frozen_weights_are_neither_kept_nor_averaged(parts, tmp_path) -> None:
    frozen = build(parts)
    frozen.get_input_embeddings().requires_grad_(False)
    before = frozen.get_input_embeddings().weight.clone()
    model, _ = train(parts, tmp_path, frozen, changed(average=2))
    assert torch.equal(model.get_input_embeddings().weight, before)
    kept = load_file(next((tmp_path / "work").glob("weights-18.safetensors")))
    assert (
        set(kept) == {name for name, part in model.named_parameters() if part.requires_grad} < set(model.state_dict())
    )


def test_the_averaged_steps_are_the_last_pauses() -> None:
    plan = replace(make_plan(SECTION, 90), steps=20, evaluate_every=6)
    assert [averaged_steps(plan, count) for count in (1, 2, 4, 9)] == [[20], [18, 20], [6, 12, 18, 20], [6, 12, 18, 20]]


def test_bf16_trains_much_like_fp32(parts, tmp_path) -> None:
    """Emulated where the processor lacks it, which is slow but the same arithmetic."""
    section = changed(epochs=1)
    losses = {}
    for bf16 in (False, True):
        hardware = Hardware("cpu", bf16, 2)
        model, done = train(parts, tmp_path / str(bf16), build(parts, dropout=0.0), section, hardware)
        fresh = build(parts)
        fresh.load_state_dict(model.state_dict())
        answers = [predict_logits(network, parts[3].encoded, parts[1]) for network in (model, fresh)]
        assert np.abs(answers[0] - answers[1]).max() < 1e-6, "a trained model answers in float32"
        losses[bf16] = [e.validation_loss for e in done.evaluations]
        assert done.precision == hardware.precision
    assert losses[True] == pytest.approx(losses[False], abs=0.03)
    assert losses[True] != losses[False]


def test_on_a_gpu_copies_do_not_wait_and_one_process_uses_one(parts, tmp_path, monkeypatch) -> None:
    """Of a machine with two GPUs, transformers would make one model over both, with twice the batch."""
    fitting = fitting_of(parts, tmp_path)
    assert not arguments_of(fitting).accelerator_config.non_blocking
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    arguments = arguments_of(replace(fitting, hardware=Hardware("cuda", True, 1)))
    assert arguments.dataloader_pin_memory
    assert arguments.accelerator_config.non_blocking
    assert (arguments.n_gpu, arguments.train_batch_size) == (1, fitting.plan.device_batch)
    monkeypatch.undo()
    trainer = trainer_module._build(fitting, Whole(fitting.model, fitting.objective), StopBetweenSteps(lambda: 0))
    for wanted in (False, True):  # the loader is kit's own, and copies as it is told
        trainer.accelerator.dataloader_config.non_blocking = wanted
        assert trainer.get_train_dataloader()._non_blocking is wanted


class _Reads(TorchDispatchMode):
    """Counts what makes the host wait for a GPU: values that Python reads, and shapes that depend on values."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        by_mask = func is torch.ops.aten.index.Tensor and any(i is not None and i.dtype == torch.bool for i in args[1])
        read = (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default)
        self.count += by_mask or func in read
        return func(*args, **(kwargs or {}))


def test_a_step_reads_no_more_than_the_mask(parts, tmp_path, monkeypatch) -> None:
    """Transformers' own look at whether a batch is padded; kit adds none."""
    step, reads = trainer_module.KitTrainer.training_step, []

    def counted(*args, **kwargs):
        with _Reads() as found:
            loss = step(*args, **kwargs)
        reads.append(found.count)
        return loss

    monkeypatch.setattr(trainer_module.KitTrainer, "training_step", counted)
    train(parts, tmp_path / "padded", section=changed(epochs=1))
    assert set(reads) == {1}
    # Without padding not even that. Attention over jagged tensors reads where they begin, but on a CPU alone.
    reads.clear()
    monkeypatch.setattr(PaddingFree, "_try", lambda *_: None)
    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", lambda query, *_, **__: query)
    train(parts, tmp_path / "free", section=changed(epochs=1, padding_free=True))
    assert set(reads) == {0}


def _full_disk(monkeypatch, fits) -> None:
    """Let checkpoints be written only where `fits(trainer)`, and else fail in the middle as on a full disk."""
    original = trainer_module.KitTrainer._save_whole

    def save(self, *args, **kwargs):
        if fits(self):
            return original(self, *args, **kwargs)
        part = self.fitting.workdir / f"checkpoint-{self.state.global_step}"
        part.mkdir()
        (part / "model.safetensors").write_bytes(b"part")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(trainer_module.KitTrainer, "_save_whole", save)


def test_training_goes_on_without_checkpoints_that_do_not_fit(parts, tmp_path, monkeypatch) -> None:
    _full_disk(monkeypatch, lambda trainer: not trainer.fitting.start_file.exists())
    fitting = fitting_of(parts, tmp_path)
    lines: list[str] = []
    monkeypatch.setattr(fitting.progress, "say", lines.append)
    fit_model(fitting)
    assert [path.name for path in fitting.workdir.iterdir()] == ["checkpoint-18"], "the start made room for it"
    refused = [line for line in lines if "no checkpoint after step" in line]
    assert refused and all(line.endswith("the disk is full") for line in refused)


def test_a_last_checkpoint_that_does_not_fit_is_an_error(parts, tmp_path, monkeypatch) -> None:
    _full_disk(monkeypatch, lambda trainer: trainer.state.global_step == 12)
    with pytest.raises(OutputError, match="the disk is full"):
        train(parts, tmp_path)
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["checkpoint-12"]


@pytest.mark.parametrize(
    ("stage", "of_stage"), [("", ""), ("second training (refit)", " of the second training (refit)")]
)
def test_ctrl_c_on_a_full_disk_keeps_its_exit_code(parts, tmp_path, monkeypatch, stage, of_stage) -> None:
    _full_disk(monkeypatch, lambda trainer: False)
    fitting = replace(fitting_of(parts, tmp_path), stage=stage)
    with stoppable(), pytest.raises(Stopped) as caught:
        monkeypatch.setattr(StopBetweenSteps, "on_step_begin", lambda *_, **__: os.kill(os.getpid(), signal.SIGINT))
        fit_model(fitting)
    assert caught.value.exit_code == 130 and NOTHING_SAVED in str(caught.value)
    assert caught.value.message.startswith(f"interrupted after step 1 of 18{of_stage}, which could not be saved (")
    assert list(fitting.workdir.iterdir()) == []


def test_ctrl_c_in_a_script_saves_and_raises_keyboard_interrupt(parts, tmp_path, monkeypatch) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt, match="after step 1 of 18"), monkeypatch.context() as patched:
            patched.setattr(StopBetweenSteps, "on_step_begin", lambda *_, **__: os.kill(os.getpid(), signal.SIGINT))
            train(parts, tmp_path)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    _, resumed = train(parts, tmp_path)
    assert resumed.notes == ["continued from step 1 of an interrupted run"]


def test_notes_name_the_training_of_a_run_with_two(parts, tmp_path, monkeypatch) -> None:
    for stage in ("first training", SECOND_TRAINING):
        folder = tmp_path / stage[:5]
        _die_at_save(monkeypatch, 2 if stage == SECOND_TRAINING else 3)
        with pytest.raises(_KilledError):
            train(parts, folder)
        monkeypatch.undo()
    first = fit_model(replace(fitting_of(parts, tmp_path / "first"), stage="first training"))
    second = fit_model(replace(fitting_of(parts, tmp_path / "secon"), stage=SECOND_TRAINING))
    assert first.notes == ["first training: finished by an earlier start"]
    assert second.notes == ["second training (refit): continued from step 12 of an interrupted run"]
