"""The trainer on the tiny checkpoint: gradients, losses, memory, precision and GPU settings."""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from kit.errors import RecipeError, TrainingError
from kit.models.architectures.layers import find_layers
from kit.models.inference import predict_logits
from kit.training import trainer as trainer_module
from kit.training.arguments import arguments_of
from kit.training.fit import build_trainer
from kit.training.hardware import Hardware
from kit.training.model_sharding import TrainedModel
from kit.training.padding_free import PaddingFree
from kit.training.recovery import StopBetweenSteps
from tests.support.training import (
    TASK,
    build,
    changed,
    fitting_of,
    train,
)

pytestmark = pytest.mark.usefixtures("quick_collections")


def test_evaluations_have_losses_and_metrics_by_step(data, tmp_path) -> None:
    _, training = train(data, tmp_path)
    assert training.plan.steps == 18
    assert [e.step for e in training.evaluations] == [0, 6, 12, 18]
    assert training.evaluations[-1].train_loss < training.evaluations[0].train_loss
    assert all(0 <= e.validation_metric <= 1 for e in training.evaluations)
    assert training.samples_per_second > 0
    assert training.diagnosis.line


def test_the_same_seed_gives_the_same_losses(data, tmp_path) -> None:
    first, second = train(data, tmp_path / "a")[1], train(data, tmp_path / "b")[1]
    assert first.evaluations == second.evaluations


def test_accumulation_gives_the_same_gradients_as_one_batch(data, tmp_path) -> None:
    """Clipping and Adam hide a wrong scale of gradients, so the test compares their logged norm."""
    norms = {}
    for accumulation in (1, 4):
        section = changed(accumulation=accumulation, evaluations=1, epochs=1, contrastive=0.0)
        _, training = train(data, tmp_path / str(accumulation), build(data, dropout=0.0), section)
        norms[accumulation] = next(entry["grad_norm"] for entry in training.history if "grad_norm" in entry)
    assert norms[4] == pytest.approx(norms[1], rel=1e-3)


def test_small_passes_give_the_same_gradients_as_one_pass(data, tmp_path, monkeypatch) -> None:
    norms, sizes = {}, {}
    section = changed(batch_size=45, evaluations=1, epochs=1, contrastive=0.0)
    for tokens in (10_000, 64):
        for passes in (trainer_module._PASS_TOKENS, trainer_module._PASS_TOKENS_BF16):
            monkeypatch.setitem(passes, "cpu", tokens)
        model = build(data, dropout=0.0)
        batches: list[int] = []
        model.register_forward_pre_hook(
            lambda module, args, inputs, batches=batches: (
                batches.append(len(inputs["input_ids"])) if module.training else None
            ),
            with_kwargs=True,
        )
        _, training = train(data, tmp_path / str(tokens), model, section)
        norms[tokens] = next(entry["grad_norm"] for entry in training.history if "grad_norm" in entry)
        sizes[tokens] = batches
    assert sizes == {10_000: [45, 45], 64: [23, 22, 23, 22]}
    assert norms[64] == pytest.approx(norms[10_000], rel=1e-3)


def test_compiled_and_padding_free_steps_learn_the_same(data, tmp_path, monkeypatch) -> None:
    """The code is traced for any shape in several passes, but not compiled, which takes a minute."""
    from torch._dynamo.utils import counters

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    monkeypatch.setitem(trainer_module._PASS_TOKENS, "cpu", 512)
    models, traced, computed = {}, {}, {}
    free, both = ("padding_free",), ("compile", "padding_free")
    for settings in ((), free, both):
        counters.clear()
        model = build(data, dropout=0.0)
        tokens: list[int] = []

        def count(_, inputs, tokens=tokens) -> None:
            if torch.is_grad_enabled():
                tokens.append(inputs[0].shape[:2].numel())

        if "compile" not in settings:  # a hook would be traced
            find_layers(model).blocks[0].register_forward_pre_hook(count)
        section = changed(**dict.fromkeys(settings, True), batch_size=45, epochs=2, evaluations=1)
        models[settings], _ = train(data, tmp_path / "-".join(settings), model, section)
        traced[settings], computed[settings] = counters["frames"]["ok"], sum(tokens)
    assert traced[()] == traced[free] == 0 < traced[both]
    assert computed[free] == 2 * data[2].encoded.lengths.sum() < computed[()]
    for model in models.values():
        for ours, theirs in zip(model.parameters(), models[()].parameters(), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)


def test_compiling_without_a_compiler_is_refused_before_training(data, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("CXX", str(tmp_path / "no-compiler"))
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", (None, str(tmp_path / "no-compiler")))
    with pytest.raises(RecipeError, match=r"train\.compile: torch needs a C\+\+ compiler"):
        train(data, tmp_path, section=changed(compile=True))


def test_parameters_can_have_a_share_of_the_learning_rate(data, tmp_path) -> None:
    """Adam moves a weight by about its rate, so a hundredth of the rate moves it a hundredth as far."""
    before = {name: weights.detach().clone() for name, weights in build(data).named_parameters()}
    moved = {}
    for share in (1.0, 0.01):
        section = changed(weight_decay=0.0, contrastive=0.0, evaluations=1, epochs=1)
        model, _ = train(data, tmp_path / str(share), section=section, rate_shares={"encoder.": share})
        moved[share] = {name: float((w - before[name]).abs().mean()) for name, w in model.named_parameters()}
    slow = [name for name in before if name.startswith("encoder.") and moved[1.0][name] > 0]
    assert len(slow) > 10 and len(slow) < len(before)
    for name in slow:
        assert moved[0.01][name] < 0.05 * moved[1.0][name]
    head = next(name for name in before if "classifier" in name and "weight" in name)
    assert moved[0.01][head] > 0.5 * moved[1.0][head]


def test_a_loss_that_is_not_finite_stops_with_advice(data, tmp_path) -> None:
    model = build(data)
    with torch.no_grad():
        model.classifier.weight.fill_(float("nan"))
    with pytest.raises(TrainingError, match="no longer a number") as caught:
        train(data, tmp_path, model)
    assert "lower `train.learning_rate`" in caught.value.hint


def test_out_of_memory_halves_the_pass_with_the_same_losses(data, tmp_path, monkeypatch) -> None:
    """The model raises torch's error: a machine without a GPU cannot run out of GPU memory on demand."""
    _, expected = train(data, tmp_path / "enough", build(data, dropout=0.0), changed(contrastive=0.0))
    model = build(data, dropout=0.0)
    forward = model.forward

    def short_of_memory(*args, **inputs):
        if model.training and len(inputs["input_ids"]) > 8:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(*args, **inputs)

    monkeypatch.setattr(model, "forward", short_of_memory)
    _, training = train(data, tmp_path / "short", model, changed(contrastive=0.0))
    assert training.notes == ["out of memory: batch 8 x accumulation 2 from here"]
    assert (training.plan.device_batch, training.plan.steps) == (8, expected.plan.steps)
    losses = [[e.validation_loss for e in run.evaluations] for run in (training, expected)]
    assert losses[0] == pytest.approx(losses[1], abs=0.02)


def test_out_of_memory_with_one_example_is_an_error(data, tmp_path, monkeypatch) -> None:
    model = build(data)

    def never(*args, **inputs):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(model, "forward", never)
    with pytest.raises(TrainingError, match="out of memory with a single example"):
        train(data, tmp_path, model, changed(batch_size=2))  # a single example does not fit


def test_the_best_weights_can_be_selected(data, tmp_path) -> None:
    section = changed(evaluations=6, select="best")
    _, tokenizer, _, validation = data
    model, training = train(data, tmp_path, build(data, dropout=0.0), section)
    trained = [e for e in training.evaluations if e.step > 0]
    best = min(e.validation_loss for e in trained)
    logits = predict_logits(model, validation.encoded, tokenizer)
    assert TASK.scores(logits, validation.targets)["log_loss"] == pytest.approx(best, abs=1e-5)
    shutil.rmtree(tmp_path / "work")


def test_bf16_gives_losses_similar_to_fp32(data, tmp_path) -> None:
    """Processors without bfloat16 emulate it, which is slow but gives the same results."""
    section = changed(epochs=1)
    losses = {}
    for bf16 in (False, True):
        hardware = Hardware("cpu", bf16, 2)
        model, training = train(data, tmp_path / str(bf16), build(data, dropout=0.0), section, hardware)
        fresh = build(data)
        fresh.load_state_dict(model.state_dict())
        answers = [predict_logits(network, data[3].encoded, data[1]) for network in (model, fresh)]
        assert np.abs(answers[0] - answers[1]).max() < 1e-6, "a trained model predicts in float32"
        losses[bf16] = [e.validation_loss for e in training.evaluations]
        assert training.precision == hardware.precision
    assert losses[True] == pytest.approx(losses[False], abs=0.03)
    assert losses[True] != losses[False]


def test_a_gpu_process_copies_asynchronously_and_uses_one_device(data, tmp_path, monkeypatch) -> None:
    """On a machine with two GPUs, transformers would split twice the batch over both."""
    fitting = fitting_of(data, tmp_path)
    assert not arguments_of(fitting).accelerator_config.non_blocking
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    arguments = arguments_of(replace(fitting, hardware=Hardware("cuda", True, 1)))
    assert arguments.dataloader_pin_memory
    assert arguments.accelerator_config.non_blocking
    assert (arguments.n_gpu, arguments.train_batch_size) == (1, fitting.plan.device_batch)
    monkeypatch.undo()
    trainer = build_trainer(fitting, TrainedModel(fitting.model, fitting.objective), StopBetweenSteps(lambda: 0))
    for wanted in (False, True):  # kit's own loader follows this setting
        trainer.accelerator.dataloader_config.non_blocking = wanted
        assert trainer.get_train_dataloader()._non_blocking is wanted


class _Reads(TorchDispatchMode):
    """Count operations that make the host wait for a GPU: reads of values, and shapes that depend on values."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        by_mask = func is torch.ops.aten.index.Tensor and any(i is not None and i.dtype == torch.bool for i in args[1])
        read = (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default)
        self.count += by_mask or func in read
        return func(*args, **(kwargs or {}))


def test_a_step_reads_only_the_mask_on_the_host(data, tmp_path, monkeypatch) -> None:
    """The one read is by transformers, to check whether a batch is padded."""
    step, reads = trainer_module.KitTrainer.training_step, []

    def counted(*args, **kwargs):
        with _Reads() as operations:
            loss = step(*args, **kwargs)
        reads.append(operations.count)
        return loss

    monkeypatch.setattr(trainer_module.KitTrainer, "training_step", counted)
    train(data, tmp_path / "padded", section=changed(epochs=1))
    assert set(reads) == {1}
    # Without padding, nothing is read. Attention on jagged tensors reads their offsets, but only on a CPU.
    reads.clear()
    monkeypatch.setattr(PaddingFree, "_require_same_outputs", lambda *_: None)
    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", lambda query, *_, **__: query)
    train(data, tmp_path / "free", section=changed(epochs=1, padding_free=True))
    assert set(reads) == {0}
