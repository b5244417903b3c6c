"""The processes of one launch: meeting, agreement, sharding settings and error reports.

A launcher (accelerate launch, torchrun) starts the processes and passes their number and meeting point in the
environment.
"""

from __future__ import annotations

import os
import re
from datetime import timedelta
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from kit.errors import KitError, LaunchError, TrainingError

if TYPE_CHECKING:
    from accelerate import PartialState

LIMIT = "KIT_TIMEOUT_SECONDS"
# Processes wait for each other while one downloads a checkpoint or writes a graph: the limit is for hanging processes.
_LIMIT_SECONDS = 1_800
_ASKING_SECONDS = 5
_NOT_UNDER_FSDP = {
    "fsdp_offload_params": "torch supports it on GPUs only, and kit is not tested with it",
    "fsdp_activation_checkpointing": "it fails for translators with a decoding cache",
}
_OWN = {
    "ACCELERATE_MIXED_PRECISION": "no",
    "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "auto",
    "ACCELERATE_GRADIENT_CLIPPING": "auto",
    "ACCELERATE_DEEPSPEED_ZERO3_INIT": "false",
    "ACCELERATE_DEEPSPEED_ZERO3_SAVE_16BIT_MODEL": "true",
    "FSDP_CPU_RAM_EFFICIENT_LOADING": "false",
    "FSDP_STATE_DICT_TYPE": "SHARDED_STATE_DICT",
}
_SILENT = re.compile(r"[Tt]imed out|wait timeout")
_LOST = re.compile(rf"gloo/|NCCL|Connection (closed|reset) by peer|Broken pipe|{_SILENT.pattern}")


def meet(device: str) -> PartialState:
    """Connect the processes of this launch and return their state; a single process if none was launched.

    Waiting for another process raises an error after half an hour, or after KIT_TIMEOUT_SECONDS.

    Args:
        device: `cuda`, `mps` or `cpu`: the device that kit computes on.

    Raises:
        LaunchError: For more processes than GPUs, and for a kind of sharding that kit does not support.
    """
    from accelerate import PartialState

    _set_up_shards()
    _require_devices(device)
    return PartialState(cpu=device == "cpu", timeout=timedelta(seconds=limit_seconds()))


def limit_seconds() -> float:
    """Return the seconds that a process waits for another.

    Raises LaunchError if the variable is not a number.
    """
    text = os.environ.get(LIMIT, str(_LIMIT_SECONDS))
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise LaunchError(f"{LIMIT}={text} is not a number of seconds", f"unset it, or set it to {_LIMIT_SECONDS}")
    return seconds


def sharded_by() -> str | None:
    """Return how this launch shards the model: `FSDP`, `ZeRO-2` or `ZeRO-3`.

    The result is None if it does not.
    """
    if _is_set("ACCELERATE_USE_FSDP"):
        return "FSDP"
    if _is_set("ACCELERATE_USE_DEEPSPEED"):
        return f"ZeRO-{os.environ.get('ACCELERATE_DEEPSPEED_ZERO_STAGE', '2')}"
    return None


def _set_up_shards() -> None:
    """Set the launch variables that kit decides for sharded models.

    Raises LaunchError for untested settings.

    The recipe sets precision, clipping and accumulation. Every process loads the whole model, so that no process is
    without weights, and each process writes its own checkpoint shard.
    """
    kind = sharded_by()
    if kind is None:
        return
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        raise LaunchError(
            f"this launch shards the model ({kind}) but has only one process",
            "accelerate launch --num_processes 2, or use accelerate_config.yaml",
        )
    if kind == "FSDP":
        _require_fsdp2()
    else:
        _require_zero(kind)
    os.environ |= _OWN


def _require_fsdp2() -> None:
    if os.environ.get("FSDP_VERSION", "1") != "2":
        raise LaunchError("this launch shards the model by FSDP of version 1", "set `fsdp_version: 2` in its file")
    for key, reason in _NOT_UNDER_FSDP.items():
        if _is_set(key.upper()):
            raise LaunchError(f"{key}: {reason}", f"set `{key}: false` in the launch's file")


def _require_zero(kind: str) -> None:
    if kind not in ("ZeRO-2", "ZeRO-3"):
        raise LaunchError(f"this launch uses DeepSpeed {kind}; kit supports ZeRO-2 and ZeRO-3", "set `zero_stage: 2`")
    if "ACCELERATE_DEEPSPEED_CONFIG_FILE" in os.environ:
        raise LaunchError(
            "deepspeed_config_file: the recipe sets batches, precision and clipping; such a file would override them",
            f"use recipes/accelerate/deepspeed-{kind.lower().replace('-', '')}.yaml",
        )
    for key in ("offload_optimizer_device", "offload_param_device"):
        if os.environ.get(f"ACCELERATE_DEEPSPEED_{key.upper()}", "none") != "none":
            raise LaunchError(f"{key}: kit is not tested with it", f"set `{key}: none` in the launch's file")
    if find_spec("deepspeed") is None:
        raise LaunchError("this launch shards the model by DeepSpeed, which is not installed", "pip install deepspeed")


def _require_devices(device: str) -> None:
    """Raise LaunchError if a launch started more processes on this machine than it has devices for."""
    import torch

    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if here == 1 or on_cpu():
        return
    visible = {"cuda": torch.cuda.device_count(), "mps": 1}.get(device, 0)
    if here > visible:
        fewer = f"accelerate launch --num_processes {max(1, visible)}"
        if visible < 2 and sharded_by():  # sharding needs at least two processes
            fewer += " --config_file accelerate_config.yaml"
        raise LaunchError(
            f"{here} processes were launched on this machine, one per GPU; visible GPUs: {visible}",
            f"{fewer}; for processes on a CPU set ACCELERATE_USE_CPU=true",
        )


def on_cpu() -> bool:
    """Return whether the launch requests a CPU, even if there is a GPU."""
    return _is_set("ACCELERATE_USE_CPU")


def _is_set(variable: str) -> bool:
    return os.environ.get(variable, "").lower() in ("1", "true")


def any_process(yes: bool) -> bool:
    """Return whether the value is true in any process. Every process must call this."""
    return bool(largest(int(yes)))


def largest(number: int) -> int:
    """Return the largest number of all processes.

    Every process must call this; the exchange waits for no GPU.
    """
    from accelerate import PartialState

    if PartialState().num_processes == 1:
        return number
    import torch

    maximum = torch.tensor([number])
    torch.distributed.all_reduce(maximum, torch.distributed.ReduceOp.MAX, group=_cpu_group())
    return int(maximum.item())


@cache
def _cpu_group() -> Any:
    """Return a process group for CPU tensors; None if the default group is one."""
    import torch

    if torch.distributed.get_backend() == "gloo":
        return None
    return torch.distributed.new_group(backend="gloo", timeout=timedelta(seconds=limit_seconds()))


def lost_process(error: Exception) -> KitError | None:
    """Return a TrainingError if an error means that another process ended or became silent; None otherwise."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or not _LOST.search(str(error)):
        return None
    silent = _SILENT.search(str(error))
    return TrainingError(
        f"another process of this launch {f'was silent for {limit_seconds():.0f} seconds' if silent else 'ended'}",
        "see its error, or the launcher's message, for the reason; the same command continues from the last checkpoint",
    )


def is_first_failure() -> bool:
    """Return whether this process is the first of its launch to fail, so that it reports its error.

    The processes count failures in the launch's store, which the launcher keeps open whichever process dies. If the
    store cannot be reached, every process reports its error.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return True
    from torch.distributed import DistError, TCPStore  # type: ignore[attr-defined]

    try:
        store = TCPStore(
            os.environ["MASTER_ADDR"],
            int(os.environ["MASTER_PORT"]),
            is_master=False,
            timeout=timedelta(seconds=_ASKING_SECONDS),
        )
        return int(store.add(f"kit/told/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", 1)) == 1
    except (KeyError, ValueError, DistError):
        return True
