"""COMET: the quality of translations as predicted by a trained model that also reads the source.

Rei et al. 2020, arXiv:2009.09025. The package unbabel-comet needs older libraries than kit, so kit runs its command
`comet-score`, in whatever environment that is installed.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kit.errors import ModelError, RecipeError
from kit.measurement.intervals import Estimate, percentile_interval, resample_weights
from kit.runtime.temporary import temporary_folder

COMMAND = "comet-score"
_RESAMPLES = 1_000


def require_comet(checkpoint: Path) -> None:
    """Raise ModelError if the command is missing, RecipeError if the path is not a checkpoint file."""
    if shutil.which(COMMAND) is None:
        raise ModelError(
            f"{COMMAND} is not installed",
            "pipx install unbabel-comet: in its own environment, because it needs older libraries than kit",
        )
    if checkpoint.suffix != ".ckpt" or not checkpoint.is_file():
        raise RecipeError(
            f"--comet {checkpoint} is not a checkpoint of COMET",
            "name its .ckpt file: checkpoints/model.ckpt in the folder printed by `hf download Unbabel/wmt22-comet-da`",
        )


def comet(sources: Sequence[str], translations: Sequence[str], references: Sequence[str], checkpoint: Path) -> Estimate:
    """Return the mean score of n translations with its bootstrap interval over sentences.

    Args:
        sources: Source texts.
        translations: Their translations.
        references: Their reference translations.
        checkpoint: COMET's .ckpt file.

    Raises:
        ModelError: If the command fails, with its message.
    """
    require_comet(checkpoint)
    with temporary_folder("comet") as folder:
        command = [COMMAND, "--model", str(checkpoint.resolve()), "--gpus", str(int(_on_gpu())), "--quiet"]
        for option, lines in (("-s", sources), ("-t", translations), ("-r", references)):
            path = folder / option.strip("-")
            path.write_text("".join(f"{' '.join(line.split())}\n" for line in lines), "utf-8")
            command += [option, str(path)]
        command += ["--only_system", "--to_json", str(folder / "scores.json")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            words = (done.stderr or done.stdout).strip().splitlines()
            raise ModelError(f"{COMMAND} failed: {words[-1] if words else f'exit code {done.returncode}'}")
        (rows,) = json.loads((folder / "scores.json").read_text("utf-8")).values()
    scores = np.array([row["COMET"] for row in rows], np.float64)
    if len(scores) != len(sources):
        raise ModelError(f"{COMMAND} gave {len(scores)} scores for {len(sources)} sentences")
    samples = [weights @ scores / len(scores) for weights in resample_weights(len(scores), _RESAMPLES, 0)]
    return Estimate(float(scores.mean()), *percentile_interval(np.concatenate(samples)))


def _on_gpu() -> bool:
    import torch

    return torch.cuda.is_available()
