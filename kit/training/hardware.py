"""What the machine computes well: device, number format, threads.

Knows torch and the processor. Knows nothing of models or recipes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch

from kit.errors import RecipeError
from kit.runtime.distributed import on_cpu
from kit.runtime.versions import usable_cores

Precision = Literal["auto", "fp32", "bf16"]


@dataclass(frozen=True)
class Hardware:
    """What a run computes on.

    device: `cuda`, `mps` or `cpu`. bf16: whether training computes in bfloat16. threads: of this process, on a CPU.
    """

    device: str
    bf16: bool
    threads: int

    @property
    def precision(self) -> str:
        """`bf16` or `fp32`, for people."""
        return "bf16" if self.bf16 else "fp32"

    @property
    def words(self) -> str:
        """What it is, for people."""
        return f"{self.device}, {self.threads} threads" if self.device == "cpu" else self.device


def set_up_hardware(precision: Precision) -> Hardware:
    """Choose device and number format, and set the number of threads.

    Raises RecipeError if bf16 is asked for where the processor does not compute in it: there it is emulated,
    hundreds of times slower than fp32.
    """
    device = "cpu"
    if not on_cpu():
        if torch.cuda.is_available():
            device = "cuda"
        elif torch.backends.mps.is_available():
            device = "mps"
    capable = computes_bf16(device)
    if precision == "bf16" and not capable:
        raise RecipeError(
            f"this {device} does not compute in bfloat16",
            "set `train.precision: auto` or `fp32`",
            key="train.precision",
        )
    threads = torch.get_num_threads()
    launched = "LOCAL_WORLD_SIZE" in os.environ or "ACCELERATE_MIXED_PRECISION" in os.environ
    if device == "cpu" and (launched or "OMP_NUM_THREADS" not in os.environ):
        # Launchers set one thread a process, and torch alone would start as many in each as there are cores.
        threads = max(1, usable_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
        torch.set_num_threads(threads)
    return Hardware(device, capable and precision != "fp32", threads)


@contextmanager
def coarse_float32(device: str) -> Iterator[None]:
    """For steps of training: on a GPU what autocast leaves in float32 is multiplied in TF32, 10 bits of fraction."""
    if device != "cuda":
        yield
        return
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def computes_bf16(device: str) -> bool:
    """Whether matrix products in bfloat16 run in hardware there."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device == "cpu":
        # torch's own checks read the instruction set; AVX2 machines pass neither.
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return False


def require_compiler() -> None:
    """Raise RecipeError where torch finds nothing to compile its code with."""
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler as error:
        raise RecipeError(
            "torch needs a C++ compiler for that, and finds none",
            "install one (Debian: apt install g++), or leave the key out",
            key="train.compile",
        ) from error
