"""Hardware of a run: device, number format and threads."""

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
    """Hardware that a run uses.

    Attributes:
        device: `cuda`, `mps` or `cpu`.
        bf16: Train in bfloat16.
        threads: CPU threads of this process.
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
        """Device in words, with the number of threads on a CPU."""
        return f"{self.device}, {self.threads} threads" if self.device == "cpu" else self.device


def set_up_hardware(precision: Precision) -> Hardware:
    """Choose device and number format, and set the number of threads.

    Raises:
        RecipeError: The precision is bf16, but the hardware only emulates it, hundreds of times slower than fp32.
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
        # Launchers set one thread per process; without that setting, torch starts a thread per core in every process.
        threads = max(1, usable_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
        torch.set_num_threads(threads)
    return Hardware(device, capable and precision != "fp32", threads)


@contextmanager
def coarse_float32(device: str) -> Iterator[None]:
    """Multiply float32 matrices in TF32 (10 bits of fraction) on a GPU, for training steps."""
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
    """Return whether the device has hardware for matrix products in bfloat16."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device == "cpu":
        # torch's own checks read the instruction set; AVX2 machines pass neither.
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return False


def require_compiler() -> None:
    """Raise RecipeError if torch cannot find a C++ compiler."""
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler as error:
        raise RecipeError(
            "torch needs a C++ compiler for this and cannot find one",
            "install one (Debian: apt install g++), or leave the key out",
            key="train.compile",
        ) from error
