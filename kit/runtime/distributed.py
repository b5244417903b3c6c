"""The processes of one launch: how they meet, what they agree on, and which of them tells an error.

A launcher (accelerate launch, torchrun) starts them, and says in the environment how many there are and where to meet.

Knows launchers, devices and process groups. Knows nothing of what is computed.
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
# Processes wait for each other while one downloads a checkpoint, or writes a graph: the limit is for those that hang.
_LIMIT_SECONDS = 1_800
_ASKING_SECONDS = 5
_NOT_UNDER_FSDP = {
    "fsdp_offload_params": "torch does it on GPUs only, and kit has not been run so",
    "fsdp_activation_checkpointing": "it fails for translators that cache what they decode",
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
    """The processes of this launch, from here on together; alone if none was launched.

    device: `cuda`, `mps` or `cpu`, as kit computes on it. Waiting for one another ends with an error after half an
    hour, or the seconds that KIT_TIMEOUT_SECONDS says. Raises LaunchError for more processes than GPUs, and for
    launches that shard the model in a way that kit does not.
    """
    from accelerate import PartialState

    _set_up_shards()
    _require_devices(device)
    return PartialState(cpu=device == "cpu", timeout=timedelta(seconds=limit_seconds()))


def limit_seconds() -> float:
    """How long a process waits for another. Raises LaunchError if the environment says no number."""
    given = os.environ.get(LIMIT, str(_LIMIT_SECONDS))
    try:
        seconds = float(given)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise LaunchError(f"{LIMIT}={given} is no number of seconds", f"unset it, or set it to {_LIMIT_SECONDS}")
    return seconds


def sharded_by() -> str | None:
    """What this launch divides the model with: `FSDP`, `ZeRO-2` or `ZeRO-3`; None for whole models."""
    if _is_set("ACCELERATE_USE_FSDP"):
        return "FSDP"
    if _is_set("ACCELERATE_USE_DEEPSPEED"):
        return f"ZeRO-{os.environ.get('ACCELERATE_DEEPSPEED_ZERO_STAGE', '2')}"
    return None


def _set_up_shards() -> None:
    """Set what kit itself decides of a launch that shards the model. Raises LaunchError for what has not been proven.

    Precision, clipping and accumulation are the recipe's; every process loads the whole model, so none may be left
    without weights; and each writes its own part of a checkpoint.
    """
    kind = sharded_by()
    if kind is None:
        return
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        raise LaunchError(
            f"this launch shards the model ({kind}), and there is one process",
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
        raise LaunchError(f"this launch is of DeepSpeed {kind}; kit takes ZeRO-2 and ZeRO-3", "set `zero_stage: 2`")
    if "ACCELERATE_DEEPSPEED_CONFIG_FILE" in os.environ:
        raise LaunchError(
            "deepspeed_config_file: batches, precision and clipping are the recipe's, and such a file has its own",
            f"use recipes/accelerate/deepspeed-{kind.lower().replace('-', '')}.yaml",
        )
    for key in ("offload_optimizer_device", "offload_param_device"):
        if os.environ.get(f"ACCELERATE_DEEPSPEED_{key.upper()}", "none") != "none":
            raise LaunchError(f"{key}: kit has not been run so", f"set `{key}: none` in the launch's file")
    if find_spec("deepspeed") is None:
        raise LaunchError("this launch shards the model by DeepSpeed, which is not installed", "pip install deepspeed")


def _require_devices(device: str) -> None:
    """Raise LaunchError if a launch started more processes on this machine than it has devices for."""
    import torch

    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if here == 1 or on_cpu():
        return
    seen = {"cuda": torch.cuda.device_count(), "mps": 1}.get(device, 0)
    if here > seen:
        fewer = f"accelerate launch --num_processes {max(1, seen)}"
        if seen < 2 and sharded_by():  # which takes two processes at least
            fewer += " --config_file accelerate_config.yaml"
        raise LaunchError(
            f"{here} processes were launched on this machine, one for each GPU; GPUs that can be seen: {seen}",
            f"{fewer}; for processes on a CPU set ACCELERATE_USE_CPU=true",
        )


def on_cpu() -> bool:
    """Whether the launch asks for a CPU, whatever else there is."""
    return _is_set("ACCELERATE_USE_CPU")


def _is_set(variable: str) -> bool:
    return os.environ.get(variable, "").lower() in ("1", "true")


def any_says(yes: bool) -> bool:
    """Whether any process says yes. All have to ask."""
    return bool(largest(int(yes)))


def largest(number: int) -> int:
    """The largest of all processes' numbers. All have to ask; it is on the CPU, so that no GPU's work is waited for."""
    from accelerate import PartialState

    if PartialState().num_processes == 1:
        return number
    import torch

    said = torch.tensor([number])
    torch.distributed.all_reduce(said, torch.distributed.ReduceOp.MAX, group=_cpu_group())
    return int(said.item())


@cache
def _cpu_group() -> Any:
    """A group of all processes that speaks about what lies in memory; None if they have no other."""
    import torch

    if torch.distributed.get_backend() == "gloo":
        return None
    return torch.distributed.new_group(backend="gloo", timeout=timedelta(seconds=limit_seconds()))


def lost_process(error: Exception) -> KitError | None:
    """What an error says, if it is that another process of the launch is gone or silent; else None."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or not _LOST.search(str(error)):
        return None
    silent = _SILENT.search(str(error))
    return TrainingError(
        f"another process of this launch {f'was silent for {limit_seconds():.0f} seconds' if silent else 'ended'}",
        "its own error, or the launcher's words on it, say why; the same command continues from what it has kept",
    )


def first_to_tell() -> bool:
    """Whether no other process of this launch has had an error before: then this one tells its own.

    Asks where the processes met: a launcher keeps that open, whichever process dies. Where nobody does, each tells.
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
