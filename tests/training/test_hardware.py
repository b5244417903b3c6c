import pytest
import torch

from kit.errors import RecipeError
from kit.methods.encoders.probe import ProbePredictor
from kit.models.inference import full_float32
from kit.models.load import load_predictor
from kit.runtime.versions import usable_cores
from kit.training.hardware import coarse_float32, set_up_hardware


@pytest.fixture
def _threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("_threads")
def test_threads_are_set_by_the_user_or_shared_among_processes(monkeypatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    for name in ("LOCAL_WORLD_SIZE", "ACCELERATE_MIXED_PRECISION", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    torch.set_num_threads(1)
    assert set_up_hardware("auto").threads == usable_cores()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)
    assert set_up_hardware("auto").threads == 1
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")  # set by a launcher, not by the user
    assert set_up_hardware("auto").threads == max(1, usable_cores() // 2)


def test_bf16_is_refused_without_hardware_support(monkeypatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    monkeypatch.setattr("kit.training.hardware.computes_bf16", lambda device: False)
    with pytest.raises(RecipeError, match=r"train\.precision: this cpu does not compute in bfloat16"):
        set_up_hardware("bf16")


def test_a_gpu_uses_tf32_in_training_steps_only() -> None:
    precision = torch.get_float32_matmul_precision
    with coarse_float32("cpu"):
        assert precision() == "highest"
    with coarse_float32("cuda"):
        assert precision() == "high"
        with full_float32():  # an evaluation during training
            assert (precision(), torch.backends.cudnn.allow_tf32) == ("highest", False)
        assert (precision(), torch.backends.cudnn.allow_tf32) == ("high", True)
    assert precision() == "highest"


@pytest.mark.parametrize("kind", ["finetune", "probe", "scratch"])
def test_predictions_use_full_float32_in_any_process(kind, tiny_run, scratch_run) -> None:
    """With TF32, a probe's predictions in a run on a GPU differed from those of its saved model."""
    predictor = load_predictor((scratch_run if kind == "scratch" else tiny_run) / "model")
    if kind == "probe":
        predictor = ProbePredictor(predictor, "these weights")
    precisions = {}
    for name, module in predictor.model.named_modules():
        module.register_forward_hook(
            lambda *_, name=name: precisions.setdefault(name, set()).add(torch.get_float32_matmul_precision())
        )
    torch.set_float32_matmul_precision("high")
    try:
        predictor.outputs([("a gripping, funny film",), ("dull",)])
    finally:
        torch.set_float32_matmul_precision("highest")
    last = "classifier" if kind != "scratch" else "lm_head"
    assert last in precisions and set().union(*precisions.values()) == {"highest"}
