"""Speed, size and memory of models, each in its own process, measured in turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.errors import MAKE_AGAIN, DataError, ModelError
from kit.measurement.intervals import Estimate
from kit.models.checkpoints.config_file import CONFIG_FILE
from kit.models.model_process import MeasuredTexts, ModelProcess
from kit.publishing.saved_model import find_served
from kit.records.record import Record, is_exported
from kit.runtime.file_types import MODEL_FOLDER, RECORD_FILE
from kit.runtime.names import regular_files

if TYPE_CHECKING:
    from kit.measurement.rounds import Times
    from kit.measurement.speed import LengthSpeed, Speed, Turn

_MODEL_FILES = (CONFIG_FILE, "tfidf.json", "adapter_config.json")  # a folder with a model has one of these
_RATE_TEXTS = 256
_BATCHES = (8, 32, 128)  # batch sizes to try, of which the fastest is used


@dataclass(frozen=True)
class Subject:
    """One measured model.

    Attributes:
        name: Id of the run, or name of the folder.
        backend: Library that runs the model.
        size_bytes: Size of all files of the model.
        load_seconds: Duration of loading the model.
        memory_bytes: Resident memory of the whole process.
        batch: Batch size with which the throughput was measured.
        p50_ms: Median milliseconds per text.
        p95_ms: 95th percentile of all predictions.
        p99_ms: 99th percentile of all predictions.
        texts_per_second: Throughput in batches.
        tokens_per_second: Generated tokens per second in batches, by the model's tokenizer; None for a classifier.
        joules: Energy for 1,000 texts in batches; None without codecarbon.
        speedups: Speedup over the first subject, per text and in batches; None for the first.
        interval_ms: 95 % interval of `p50_ms`.
        by_length: Median times of short, medium and long texts.
        warning: Reason to doubt the times; empty on an idle machine.
        measured_on: Subject that was timed instead, if it has the same arithmetic.
    """

    name: str
    backend: str
    size_bytes: int
    parameters: int
    load_seconds: float
    memory_bytes: int
    threads: int
    batch: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    texts_per_second: float
    tokens_per_second: float | None
    joules: float | None
    speedups: tuple[Estimate, Estimate] | None
    interval_ms: tuple[float, float]
    by_length: tuple[LengthSpeed, ...]
    warning: str = ""
    measured_on: str = ""


def bench(
    folders: Sequence[str | Path],
    *,
    texts: str | Path | Sequence[tuple[str, ...]] | None = None,
    rounds: int = 5,
    compiled: bool = False,
    energy: bool = True,
) -> list[Subject]:
    """Measure speed, memory and size of models in turns, each in its own process, compared with the first model.

    Args:
        folders: Runs, or folders with saved models.
        texts: A file with one text per line, or texts; None uses the test texts of the first run. A random sample with
            their length distribution is measured.
        rounds: Number of rounds, in each of which every model has its turn; intervals need at least three. Rounds in
            which the machine was busy are repeated.
        compiled: Also measure PyTorch models with torch.compile.
        energy: Measure the energy for 1,000 texts, which takes a few seconds per model.

    Returns:
        One entry per model and backend, in the order of the folders.

    Raises:
        RecordError: If a run is damaged.
        ModelError: If a folder contains no model.
        DataError: If there are no texts.
    """
    models = [_resolve(folder) for folder in folders]
    rows = _texts(texts, [record for _, _, record in models if record is not None])
    backends = [(name, folder, "eager") for name, folder, _ in models]
    if compiled:
        backends += [
            (name, folder, "compile") for name, folder, _ in models if (folder / "model.safetensors").is_file()
        ]
    sample = _sample(rows)
    processes = [ModelProcess(name, folder, sample, backend) for name, folder, backend in backends]
    try:
        return _measure(processes, sample, rounds, energy)
    finally:
        for process in processes:
            process.close()


def _measure(processes: list[ModelProcess], sample: MeasuredTexts, rounds: int, energy: bool) -> list[Subject]:
    from kit.measurement.load import LoadMeter
    from kit.measurement.speed import fewer, speeds_of, take_turns

    facts = [process.ask("load") for process in processes]
    long_outputs = any(fact["translates"] for fact in facts)
    leaders = _leaders(processes)
    timed = [index for index, leader in enumerate(leaders) if leader == index]
    batches = {index: _best_batch(processes[index]) for index in timed}
    sitting = take_turns(
        [partial(_turn, processes[index], batches[index], long_outputs) for index in timed],
        rounds,
        LoadMeter(facts[0]["threads"]),
    )
    texts = fewer(sample.rows, long_outputs)
    times = dict(zip(timed, sitting.times, strict=True))
    speeds = dict(zip(timed, speeds_of(sitting, texts, "", 0.0), strict=True))
    return [
        _subject(
            process,
            facts[index],
            _Measured(
                times[leader],
                times[leaders[0]] if index else None,
                replace(speeds[leader], measured_on="" if leader == index else processes[leader].name),
                batches[leader],
            ),
            energy,
        )
        for index, (process, leader) in enumerate(zip(processes, leaders, strict=True))
    ]


@dataclass(frozen=True)
class _Measured:
    """Times of a subject and of the first subject (None for the first), its speed and fastest batch size."""

    times: Times
    first: Times | None
    speed: Speed
    batch: int


def _subject(process: ModelProcess, fact: dict[str, Any], measured: _Measured, energy: bool) -> Subject:
    from kit.measurement.rounds import speedups

    times, speed = measured.times, measured.speed
    tokens = process.ask("tokens")["each"]
    return Subject(
        name=process.name,
        backend=fact["backend"],
        size_bytes=_size(process.folder),
        parameters=fact["parameters"],
        load_seconds=fact["seconds"],
        memory_bytes=process.ask("memory")["bytes"],
        threads=fact["threads"],
        batch=measured.batch,
        p50_ms=speed.p50_ms,
        p95_ms=speed.p95_ms,
        p99_ms=times.quantile(0.99),
        texts_per_second=times.throughput,
        tokens_per_second=None if tokens is None else tokens * times.throughput,
        joules=process.ask("energy", batch=measured.batch)["joules"] if energy else None,
        speedups=None if measured.first is None else speedups(measured.first, times),
        interval_ms=speed.interval,
        by_length=speed.by_length,
        warning=speed.warning,
        measured_on=speed.measured_on,
    )


def _leaders(processes: list[ModelProcess]) -> list[int]:
    """Return, per process, the index of the first one with the same arithmetic, which is timed for both."""
    from kit.models.signature import compute_signature

    signatures = [(compute_signature(process.folder), process.backend) for process in processes]
    return [signatures.index(signature) for signature in signatures]


def _turn(process: ModelProcess, batch: int, long_outputs: bool) -> Turn:
    """Return one turn of a model in its process. long_outputs: See `speed.fewer`."""
    from kit.measurement.speed import Turn

    single, batched = process.ask("latency", long_outputs=long_outputs), process.ask("rate", batch=batch)
    return Turn(single["ms"], batched["rate"], single["cpu"] + batched["cpu"])


def _best_batch(process: ModelProcess) -> int:
    rates = {}
    for batch in _BATCHES:
        if process.backend == "compile":
            process.ask("rate", batch=batch)  # a new shape compiles again
        rates[batch] = process.ask("rate", batch=batch)["rate"]
    return max(rates, key=lambda batch: rates[batch])


def _resolve(folder: str | Path) -> tuple[str, Path, Record | None]:
    """Return the name, the folder of the model and its Record, if any, all checked by their manifests."""
    folder = Path(folder)
    if (folder / RECORD_FILE).is_file():
        record = Record.load(folder)
        if not record.model_folder.is_dir():
            raise ModelError(f"{folder} kept no model", MAKE_AGAIN)
        return record.id, record.model_folder, record
    if folder.name == MODEL_FOLDER and (folder.parent / RECORD_FILE).is_file():
        return _resolve(folder.parent)
    if (folder / "adapter_config.json").is_file():
        raise ModelError(f"{folder} is an adapter without its model", "name the run: its model has the adapter merged")
    if not any((folder / name).is_file() for name in _MODEL_FILES):
        raise ModelError(f"{folder} is neither a run nor a folder with a saved model", "`kit list` shows the runs")
    if is_exported(folder) or is_exported(folder.parent):
        find_served(folder)
    else:
        regular_files(folder, ModelError)
    return folder.name, folder, None


def _size(folder: Path) -> int:
    """Return the size of a model's files, without other formats of it in subfolders of an exported folder."""
    others = [path for path in folder.iterdir() if any((path / name).is_file() for name in _MODEL_FILES)]
    own = [path for path in folder.rglob("*") if not any(other in path.parents for other in others)]
    return sum(path.stat().st_size for path in own if path.is_file())


def _texts(source: str | Path | Sequence[tuple[str, ...]] | None, records: list[Record]) -> list[tuple[str, ...]]:
    if isinstance(source, str | Path):
        path = Path(source)
        if not path.is_file():
            raise DataError(f"there is no file {path}")
        rows: list[tuple[str, ...]] = [(line,) for line in path.read_text("utf-8").splitlines() if line.strip()]
    elif source is not None:
        rows = list(source)
    elif records:
        from kit.runs.request import LoadedInputs

        rows = list(LoadedInputs().cleaned(records[0].recipe.data).splits.test.texts)
    else:
        raise DataError("no texts to measure with: none of the folders is a run", "pass a file: --texts texts.txt")
    if not rows:
        raise DataError(f"{source or 'the test set'} has no text")
    return rows


def _sample(rows: list[tuple[str, ...]]) -> MeasuredTexts:
    from kit.measurement.sample import repeated_sample
    from kit.measurement.speed import timed_texts

    return MeasuredTexts(timed_texts(rows), repeated_sample(rows, _RATE_TEXTS))
