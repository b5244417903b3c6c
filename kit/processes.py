"""The processes of one launch: how they meet, what they agree on, and which of them tells an error.

A launcher (accelerate launch, torchrun) starts them, and says in the environment how many there are and where to meet.

Knows launchers, devices and process groups. Knows nothing of what is computed.
"""

from __future__ import annotations

import os
import re
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from kit.errors import KitError, LaunchError, TrainingError

if TYPE_CHECKING:
    from accelerate import PartialState

LIMIT = "KIT_TIMEOUT_SECONDS"
# Processes wait for each other while one downloads a checkpoint, or writes a graph: the limit is for those that hang.
_LIMIT_SECONDS = 1_800
_ASKING_SECONDS = 5
_LOST = re.compile(r"gloo/|NCCL|Connection (closed|reset) by peer|Broken pipe|[Tt]imed out|wait timeout")


def meet(device: str) -> PartialState:
    """The processes of this launch, from here on together; alone if none was launched.

    device: `cuda`, `mps` or `cpu`, as kit computes on it. Waiting for one another ends with an error after half an
    hour, or the seconds that KIT_TIMEOUT_SECONDS says. Raises LaunchError for more processes than GPUs, and for
    launches that shard the model.
    """
    from accelerate import PartialState

    _refuse_shards()
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


def _refuse_shards() -> None:
    """Raise LaunchError for FSDP and DeepSpeed: what they would change has not been proven, and fails without a word.

    Each process answers a share of the texts with a whole model, and the first one saves it: sharded, its parts would
    wait for each other for ever. A batch is learnt in several backward passes: DeepSpeed takes a step after each.
    """
    for variable, name in (("ACCELERATE_USE_FSDP", "FSDP"), ("ACCELERATE_USE_DEEPSPEED", "DeepSpeed")):
        if os.environ.get(variable, "").lower() in ("1", "true"):
            raise LaunchError(
                f"this launch shards the model ({name}), and every process of kit works with a whole one",
                "use accelerate_config.yaml (DDP); a smaller train.batch_size or method lora takes less memory",
            )


def _require_devices(device: str) -> None:
    """Raise LaunchError if a launch started more processes on this machine than it has devices for."""
    import torch

    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if here == 1 or on_cpu():
        return
    seen = {"cuda": torch.cuda.device_count(), "mps": 1}.get(device, 0)
    if here > seen:
        raise LaunchError(
            f"{here} processes were launched on this machine, one for each GPU; GPUs that can be seen: {seen}",
            f"accelerate launch --num_processes {max(1, seen)}; for processes on a CPU set ACCELERATE_USE_CPU=true",
        )


def on_cpu() -> bool:
    """Whether the launch asks for a CPU, whatever else there is."""
    return os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true")


def any_says(yes: bool) -> bool:
    """Whether any process says yes. All have to ask; the answer is on the CPU, so that no GPU's work is waited for."""
    from accelerate import PartialState

    if PartialState().num_processes == 1:
        return yes
    import torch

    said = torch.tensor([int(yes)])
    torch.distributed.all_reduce(said, torch.distributed.ReduceOp.MAX, group=_cpu_group())
    return bool(said.item())


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
    return TrainingError(
        f"another process of this launch ended, or was silent for {limit_seconds():.0f} seconds",
        "its own error, or the launcher's words on it, say why; the same command continues from the last checkpoint",
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
