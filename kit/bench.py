"""Bench: how fast, how large and how hungry for memory models are, each in a process of its own, in turns.

Knows Records, folders with saved models, and processes. Trains nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.errors import MAKE_AGAIN, DataError, ModelError, TrainingError
from kit.measurement.intervals import Estimate
from kit.record import MODEL_FOLDER, RECORD_FILE, Record
from kit.scheduling.worker import READY

_TARGET = "kit.bench:serve"
_MODEL_FILES = ("config.json", "tfidf.json", "adapter_config.json")  # of which a folder with a model has one
_TIMED_TEXTS, _WARM_UP = 40, 10
_BATCHES = (8, 32, 128)  # texts handed to the model at once, of which the fastest is taken
_RATE_TEXTS = 256
_RATE_SENTENCES = 64  # of translators, which take a hundred times as long for each


@dataclass(frozen=True)
class Subject:
    """One model that is measured. size_bytes: of all its files. memory_bytes: resident, of its whole process.

    batch: texts at a time with which its throughput was measured. tokens_per_second: of translations, by the model's
    own tokenizer, at that batch; None for a classifier. joules: for a thousand texts at that batch; None without
    codecarbon. speedups: against the first subject, for a single text and many at a time; None for the first.
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


def bench(
    folders: Sequence[str | Path],
    *,
    texts: str | Path | None = None,
    rounds: int = 5,
    compiled: bool = False,
    energy: bool = True,
) -> list[Subject]:
    """Measure Records or folders with saved models against the first of them.

    texts: a file with one text a line; by default the test texts of the first Record. rounds: in each, every model
    takes its turn; intervals need three at least. compiled: measure models of torch by torch.compile as well. energy:
    also what a thousand texts take, some seconds a model.
    Raises RecordError or ModelError for what is no model, DataError if there are no texts.
    """
    found = [_resolve(folder) for folder in folders]
    sample = _texts(texts, [record for _, _, record in found if record is not None])
    backends = [(name, folder, "eager") for name, folder, _ in found]
    if compiled:
        backends += [(name, folder, "compile") for name, folder, _ in found if (folder / "model.safetensors").is_file()]
    processes = [_Process(name, folder, backend, sample) for name, folder, backend in backends]
    try:
        return _measure(processes, rounds, energy)
    finally:
        for process in processes:
            process.close()


def serve(context: dict[str, Any], job: dict[str, Any]) -> dict[str, Any]:
    """Do one measurement in the process of a model; see `_Process`."""
    try:
        return _MEASUREMENTS[job["do"]](context, job)
    except Exception as error:
        return {"error": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"}


class _Process:
    """A process that holds one model and measures it when asked."""

    def __init__(self, name: str, folder: Path, backend: str, texts: list[list[str]]) -> None:
        self.name, self.folder, self.backend = name, folder, backend
        self._context = {"folder": str(folder), "backend": backend, "texts": texts}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "kit.scheduling.worker", _TARGET],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._answer()

    def ask(self, do: str, **job: Any) -> dict[str, Any]:
        """The result of one measurement. Raises TrainingError if it failed."""
        assert self._process.stdin is not None
        context, self._context = self._context, {}  # the process keeps it
        try:
            self._process.stdin.write(json.dumps({"context": context, "job": {"do": do, **job}}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise TrainingError(f"the process that measures {self.name} died") from error
        found = self._answer()
        if "error" in found:
            raise TrainingError(f"{self.name} ({self.backend}) cannot be measured: {found['error']}")
        return found

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise TrainingError(f"the process that measures {self.name} died")
        content = json.loads(line)
        return {} if content == READY else content


def _measure(processes: list[_Process], rounds: int, energy: bool) -> list[Subject]:
    import numpy as np

    from kit.measurement.rounds import Times, speedups

    facts = [process.ask("load") for process in processes]
    batches = [_best_batch(process) for process in processes]
    latencies: list[list[list[float]]] = [[] for _ in processes]
    rates: list[list[float]] = [[] for _ in processes]
    tokens: list[Any] = [process.ask("tokens")["each"] for process in processes]
    for number in range(rounds):
        order = list(range(len(processes)))[:: 1 if number % 2 == 0 else -1]
        for index in order:
            latencies[index].append(processes[index].ask("latency")["ms"])
        for index in order:
            rates[index].append(processes[index].ask("rate", batch=batches[index])["rate"])
    times = [Times(np.array(each), np.array(rate)) for each, rate in zip(latencies, rates, strict=True)]
    memory = [process.ask("memory")["bytes"] for process in processes]
    joules = [
        process.ask("energy", batch=batch)["joules"] if energy else None
        for process, batch in zip(processes, batches, strict=True)
    ]
    return [
        Subject(
            name=process.name,
            backend=fact["backend"],
            size_bytes=_size(process.folder),
            parameters=fact["parameters"],
            load_seconds=fact["seconds"],
            memory_bytes=memory[index],
            threads=fact["threads"],
            batch=batches[index],
            p50_ms=times[index].quantile(0.5),
            p95_ms=times[index].quantile(0.95),
            p99_ms=times[index].quantile(0.99),
            texts_per_second=times[index].throughput,
            tokens_per_second=None if tokens[index] is None else tokens[index] * times[index].throughput,
            joules=joules[index],
            speedups=speedups(times[0], times[index]) if index else None,
        )
        for index, (process, fact) in enumerate(zip(processes, facts, strict=True))
    ]


def _best_batch(process: _Process) -> int:
    rates = {}
    for batch in _BATCHES:
        if process.backend == "compile":
            process.ask("rate", batch=batch)  # it compiles anew for another shape
        rates[batch] = process.ask("rate", batch=batch)["rate"]
    return max(rates, key=lambda batch: rates[batch])


def _resolve(folder: str | Path) -> tuple[str, Path, Record | None]:
    """Name, folder of the model, and the Record it is of, if any."""
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
    return folder.name, folder, None


def _size(folder: Path) -> int:
    """Bytes of a model's files; an exported folder may hold other formats of it in folders of their own."""
    others = [each for each in folder.iterdir() if any((each / name).is_file() for name in _MODEL_FILES)]
    own = [path for path in folder.rglob("*") if not any(other in path.parents for other in others)]
    return sum(path.stat().st_size for path in own if path.is_file())


def _texts(file: str | Path | None, records: list[Record]) -> list[list[str]]:
    if file is not None:
        path = Path(file)
        if not path.is_file():
            raise DataError(f"there is no file {path}")
        rows = [[line] for line in path.read_text("utf-8").splitlines() if line.strip()]
    elif records:
        from kit.request import Shared

        rows = [list(row) for row in Shared().cleaned(records[0].recipe.data).splits.test.texts]
    else:
        raise DataError("no texts to measure with: none of the folders is a run", "give a file: --texts texts.txt")
    if not rows:
        raise DataError(f"{file or 'the test set'} has no text")
    return [rows[index % len(rows)] for index in range(max(_RATE_TEXTS, _TIMED_TEXTS))]


_held: dict[str, Any] = {}  # of this process: the model, and the texts


def _load(context: dict[str, Any], job: dict[str, Any]) -> dict[str, Any]:
    from kit.terminal import quiet_libraries

    quiet_libraries()
    import torch

    from kit.models.ct2 import Ct2Translator
    from kit.models.predictor import TransformerPredictor, load_predictor
    from kit.models.translator import Translator

    began = time.perf_counter()
    predictor = load_predictor(Path(context["folder"]))
    seconds = time.perf_counter() - began
    backend = _BACKENDS.get(type(predictor).__name__, "eager")
    if isinstance(predictor, TransformerPredictor) and context["backend"] == "compile":
        predictor.model = torch.compile(predictor.model, dynamic=True)  # type: ignore[assignment]
        backend = "compile"
    _held.update(predictor=predictor, texts=[tuple(row) for row in context["texts"]])
    _held["translates"] = isinstance(predictor, Translator | Ct2Translator)
    for text in _held["texts"][:_WARM_UP]:
        predictor.outputs([text])
    return {
        "backend": backend,
        "seconds": seconds,
        "parameters": predictor.parameters,
        "threads": torch.get_num_threads(),
    }


def _latency(context: dict[str, Any], job: dict[str, Any]) -> dict[str, Any]:
    spent = []
    for text in _held["texts"][:_TIMED_TEXTS]:
        began = time.perf_counter()
        _held["predictor"].outputs([text])
        spent.append(1_000 * (time.perf_counter() - began))
    return {"ms": spent}


def _rate(context: dict[str, Any], job: dict[str, Any]) -> dict[str, Any]:
    began = time.perf_counter()
    done = _answer_all(int(job["batch"]))
    return {"rate": done / (time.perf_counter() - began)}


def _tokens(context: dict[str, Any], job: dict[str, Any]) -> dict[str, Any]:
    """Tokens that a translation has in the mean; None of a classifier."""
    if not _held["translates"]:
        return {"each": None}
    predictor, texts = _held["predictor"], _held["texts"][:_RATE_SENTENCES]
    return {"each": predictor.tokens(predictor.outputs(texts).tolist()) / len(texts)}


def _energy(context: dict[str, Any], job: dict[str, Any]) -> dict[str, Any]:
    from kit.measurement.energy import energy_joules

    each = energy_joules(lambda: _answer_all(int(job["batch"])))
    return {"joules": None if each is None else 1_000 * each}


def _answer_all(size: int) -> int:
    """Answer the texts, so many at once; how many there were."""
    texts = _held["texts"][: _RATE_SENTENCES if _held["translates"] else _RATE_TEXTS]
    for start in range(0, len(texts), size):
        _held["predictor"].outputs(texts[start : start + size])
    return len(texts)


def _memory(context: dict[str, Any], job: dict[str, Any]) -> dict[str, Any]:
    from kit.provenance import peak_memory_bytes

    return {"bytes": peak_memory_bytes()}


_BACKENDS = {"OnnxPredictor": "onnxruntime", "OnnxTranslator": "onnxruntime", "Ct2Translator": "ctranslate2"}
_MEASUREMENTS = {
    "load": _load, "latency": _latency, "rate": _rate, "tokens": _tokens, "memory": _memory, "energy": _energy,
}  # fmt: skip
