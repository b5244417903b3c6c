"""Speed of a study's models in turns in this process, and their peak memory in new processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from kit.errors import TrainingError
from kit.measurement.sample import Text
from kit.measurement.speed import BATCH, Speed, batch_texts, latencies
from kit.models import model_process
from kit.models.loaded_models import LoadedModels
from kit.models.signature import compute_signature
from kit.recipe import Recipe
from kit.runtime.threads import thread_count
from kit.studies.error_words import error_words
from kit.training.hardware import set_up_hardware


@dataclass(frozen=True)
class Timing:
    """Speeds and the reasons for missing speeds and memories, by Record id."""

    speeds: dict[str, Speed]
    no_speed: dict[str, str]
    no_memory: dict[str, str]


def time_models(
    ids: Sequence[str],
    find: Callable[[str], Path],
    texts: list[Text],
    recipe: Recipe,
    memory: Mapping[str, int],
) -> Timing:
    """Measure saved models in one sitting, one model per compute signature.

    Args:
        ids: Ids of the Records.
        find: Function that returns the folder of a Record's model.
        texts: Test texts of the study.
        recipe: Recipe of the study.
        memory: Peak memories that were measured before, by id: they do not depend on the sitting.
    """
    hardware = set_up_hardware(recipe.train.precision)
    models = LoadedModels(recipe.model.trust_remote_code)
    groups, no_speed = _groups(ids, find, lambda folder: models.predict(folder, texts[:1]))
    predict = [partial(models.predict, folder) for folder in groups]
    speeds = latencies(predict, texts, hardware.words, recipe.rules.writes_text, throughput=True) if groups else []
    known = {folder: memory[name] for folder, group in groups.items() for name in group if name in memory}
    peaks = _peaks(list(groups), known, texts, recipe.model.trust_remote_code)
    measured: dict[str, Speed] = {}
    for group, speed, peak in zip(groups.values(), speeds, peaks, strict=True):
        peak_bytes = peak if isinstance(peak, int) else None
        for name in group:
            measured[name] = replace(speed, measured_on="" if name == group[0] else group[0], memory_bytes=peak_bytes)
    failed = {group[0]: peak for group, peak in zip(groups.values(), peaks, strict=True) if isinstance(peak, str)}
    return Timing(measured, no_speed, failed)


def _groups(
    ids: Sequence[str], find: Callable[[str], Path], try_out: Callable[[Path], object]
) -> tuple[dict[Path, list[str]], dict[str, str]]:
    """Return ids by the folder of a model with their computation, and reasons for others.

    Args:
        ids: Ids of the Records.
        find: Function that returns the folder of a Record's model.
        try_out: Function that loads the model in a folder and raises an error if it cannot be used.
    """
    folders: dict[str, Path] = {}
    groups: dict[Path, list[str]] = {}
    reasons: dict[str, str] = {}
    for run_id in ids:
        try:
            folder = find(run_id)
            signature = compute_signature(folder)
            if signature not in folders:
                try_out(folder)
            groups.setdefault(folders.setdefault(signature, folder), []).append(run_id)
        except Exception as error:
            reasons[run_id] = error_words(error)
    return groups, reasons


def _peaks(folders: Sequence[Path], known: Mapping[Path, int], texts: Sequence[Text], trusted: bool) -> list[int | str]:
    """Return the peak memory of each model in bytes, or the reason for none.

    Other processes do not change a peak, so as many models are measured at once as there are threads.
    """

    def peak(folder: Path) -> int | str:
        if folder in known:
            return known[folder]
        try:
            return model_process.peak_memory(folder, batch_texts(texts), BATCH, trusted=trusted)
        except TrainingError as error:
            return error.message

    with ThreadPoolExecutor(thread_count()) as threads:
        return list(threads.map(peak, folders))
