"""Measurements of one model in its own process, see `model_process`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

_RATE_SENTENCES = 64  # for translators, which take a hundred times as long per text


def serve(context: dict[str, Any], job: dict[str, Any]) -> dict[str, Any]:
    """Run one measurement in the process of a model; see `ModelProcess`."""
    try:
        return _MEASUREMENTS[job["do"]](context, job)
    except Exception as error:
        return {"error": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"}


_state: dict[str, Any] = {}  # the model and the texts of this process


def _load(context: dict[str, Any], job: dict[str, Any]) -> dict[str, Any]:
    from kit.runtime.quiet_libraries import quiet_libraries

    quiet_libraries()
    from kit.models.kinds import kind_in
    from kit.models.load import load_predictor
    from kit.runtime.threads import thread_count

    kind = kind_in(Path(context["folder"]))
    kind.predictor()  # the time of loading is that of the model, without its libraries
    began = time.perf_counter()
    predictor = load_predictor(Path(context["folder"]), context["trusted"])
    seconds = time.perf_counter() - began
    compiles = context["backend"] == "compile" and not kind.translates
    if compiles:
        _compile(predictor)
    _state.update(predictor=predictor, translates=kind.translates)
    _state.update(singles=[tuple(row) for row in context["rows"]], texts=[tuple(row) for row in context["many"]])
    return {
        "backend": "compile" if compiles else kind.runs_on,
        "seconds": seconds,
        "parameters": predictor.parameters,
        "threads": thread_count(),
        "translates": kind.translates,
    }


def _compile(predictor: Any) -> None:
    import torch

    predictor.model = torch.compile(predictor.model, dynamic=True)


def _latency(context: dict[str, Any], job: dict[str, Any]) -> dict[str, Any]:
    from kit.measurement.speed import fewer, time_turn

    began = time.process_time()
    turn = time_turn(_state["predictor"].outputs, fewer(_state["singles"], job["long_outputs"]))
    return {"ms": turn.milliseconds, "cpu": time.process_time() - began}


def _rate(context: dict[str, Any], job: dict[str, Any]) -> dict[str, Any]:
    from kit.measurement.speed import batch_rate

    cpu = time.process_time()
    rate = batch_rate(_state["predictor"].outputs, _many(), int(job["batch"]))
    return {"rate": rate, "cpu": time.process_time() - cpu}


def _tokens(context: dict[str, Any], job: dict[str, Any]) -> dict[str, Any]:
    """Return the mean number of tokens per translation; None for a classifier."""
    if not _state["translates"]:
        return {"each": None}
    predictor, texts = _state["predictor"], _state["texts"][:_RATE_SENTENCES]
    return {"each": predictor.tokens(predictor.outputs(texts).tolist()) / len(texts)}


def _energy(context: dict[str, Any], job: dict[str, Any]) -> dict[str, Any]:
    from kit.measurement.energy import energy_joules
    from kit.measurement.speed import predict_batches

    texts, batch = _many(), int(job["batch"])

    def measured() -> int:
        predict_batches(_state["predictor"].outputs, texts, batch)
        return len(texts)

    joules = energy_joules(measured)
    return {"joules": None if joules is None else 1_000 * joules}


def _many() -> list[tuple[str, ...]]:
    """Return the texts to predict in batches."""
    texts: list[tuple[str, ...]] = _state["texts"][: _RATE_SENTENCES if _state["translates"] else None]
    return texts


def _memory(context: dict[str, Any], job: dict[str, Any]) -> dict[str, Any]:
    from kit.runtime.versions import peak_memory_bytes

    return {"bytes": peak_memory_bytes()}


_MEASUREMENTS = {
    "load": _load, "latency": _latency, "rate": _rate, "tokens": _tokens, "memory": _memory, "energy": _energy,
}  # fmt: skip
