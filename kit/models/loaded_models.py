"""Saved models that are used in turns, of which as many stay in memory as fit."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch

from kit.models.load import load_predictor
from kit.models.predictor import Predictor, Texts
from kit.runtime.files import folder_bytes

_MEMORY_SHARE = 0.25  # of the free memory, for the files of all loaded models


class LoadedModels:
    """Saved models, loaded at their first use; all are dropped if the next one does not fit.

    Args:
        trusted: Allow models to run their own code.
        limit: Maximum size in bytes of the files of all loaded models; None for a share of the free memory.
    """

    def __init__(self, trusted: bool = False, limit: float | None = None) -> None:
        self._trusted = trusted
        self._limit = _MEMORY_SHARE * _free_memory() if limit is None else limit
        self._loaded: dict[Path, Predictor] = {}

    def predict(self, folder: Path, texts: Texts) -> np.ndarray:
        """Return the outputs of the model saved in a folder, see `Predictor.outputs`."""
        if folder not in self._loaded:
            if sum(map(folder_bytes, [*self._loaded, folder])) > self._limit:
                self._loaded.clear()
            self._loaded[folder] = load_predictor(folder, self._trusted)
        return self._loaded[folder].outputs(texts)


def _free_memory() -> float:
    if torch.cuda.is_available():
        return float(torch.cuda.mem_get_info()[0])
    information = Path("/proc/meminfo")
    if information.is_file():
        for line in information.read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return 1_024.0 * int(line.split()[1])
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")) / 2
