import pytest
import torch

from kit.errors import RecipeError
from kit.provenance import usable_cores
from kit.training.hardware import computes_bf16, set_up_hardware


@pytest.fixture
def _threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("_threads")
def test_threads_are_the_users_or_all_cores_shared_among_processes(monkeypatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    for name in ("LOCAL_WORLD_SIZE", "ACCELERATE_MIXED_PRECISION", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    torch.set_num_threads(1)
    assert set_up_hardware("auto").threads == usable_cores()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)
    assert set_up_hardware("auto").threads == 1
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")  # a launcher's one thread is nobody's wish
    assert set_up_hardware("auto").threads == max(1, usable_cores() // 2)


@pytest.mark.skipif(computes_bf16("cpu"), reason="this processor computes in bfloat16")
def test_bf16_is_refused_where_it_would_be_emulated(monkeypatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    with pytest.raises(RecipeError, match=r"train\.precision: this cpu does not compute in bfloat16"):
        set_up_hardware("bf16")
