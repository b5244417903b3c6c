"""A chain of compression steps on a finished run, each with a Record of the smaller model.

A step that costs more than the gate allows is undone, and the chain continues without it. Gates use validation examples
and texts of the pool; the test examples only measure the result.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from accelerate import PartialState

from kit.compression import TECHNIQUES
from kit.compression.base import attempts, form_after, require_form, works_first
from kit.compression.chain_steps import chain_steps
from kit.compression.gate import Judge, gate_texts, pool_of_steps, require_gate
from kit.compression.step_result import Link, Trial, links_of
from kit.data import prepare
from kit.data.changes import changed_data
from kit.data.distillation_texts import distilled_on
from kit.errors import DataError, KitError
from kit.measurement.intervals import shown
from kit.methods import Job, family_of
from kit.methods.calibration import matched
from kit.models.checkpoints.checkpoint import Checkpoint
from kit.models.kinds import form_of
from kit.models.kinds.form import Form
from kit.models.load import load_predictor
from kit.models.predictor import Predictor, Texts
from kit.recipe import Recipe
from kit.recipe.identity import identity_hash, readable_id
from kit.recipe.sections.compression import CompressSection, GateSection, Step
from kit.records.record import Record
from kit.runs.request import LoadedInputs
from kit.runs.write_record import make_record
from kit.runtime.distributed import meet
from kit.runtime.files import write_atomically
from kit.runtime.seals import sealed
from kit.tasks import task_for
from kit.training.hardware import set_up_hardware
from kit.training.progress import Progress

CHAIN_FILE = "chain.json"  # in the last Record of a chain, which is the start if every step was undone
_REFERENCE_TEXTS = 300  # texts on which probabilities are compared for the calibration of a step
MADE = 4  # part of every id: raise it if steps produce another result for the same model


@dataclass(frozen=True)
class Compression:
    """The start of a chain and its steps."""

    source: Record
    links: tuple[Link, ...]

    @property
    def record(self) -> Record:
        """Last Record of the chain: the last step that was not undone, or the start."""
        kept = [link.record for link in self.links if link.gate.passed]
        return kept[-1] if kept else self.source

    @property
    def lines(self) -> list[str]:
        """Metrics of the start with notes on its classes, and one or two lines per step."""
        metric = self.source.main_metric
        beside = f", {self.source.beside}" if self.source.beside else ""
        start = f"{self.source.id}: {shown(metric, self.source.metrics[metric])}{beside}"
        notes = self.source.class_notes(self.source.metrics)  # every step prints the recall of classes
        return [start, *notes, *(line for link in self.links for line in link.lines)]


def compress_chain(
    section: CompressSection,
    start: Record,
    *,
    force: bool = False,
    quiet: bool = False,
    shared: LoadedInputs | None = None,
    timed: bool = True,
) -> Compression:
    """Apply compression steps to the model of a run, and write a Record of each.

    Each step takes the result of the step before.

    Finished steps are reused, so an interrupted chain continues.

    Args:
        section: Steps and gate.
        start: Record that the chain starts from.
        force: Repeat finished steps.
        quiet: Print no progress.
        shared: Data and checkpoints that are already loaded.
        timed: Measure the latency of all models of the chain in turns.

    Returns:
        The start of the chain and its steps; `record` is the last Record of the chain.

    Raises:
        KitError: If a step is impossible, which is found before any computation, or fails while running.
    """
    require_chain(section, start, start.recipe)
    job = job_of(start, quiet, shared or LoadedInputs())
    if any(step.technique == "vocabulary" for step in section.steps):
        job = replace(job, transfer=distilled_on(job.recipe, job.data))
    require_gate(section.gate, job.task, job.data)
    before, source = load_predictor(start.model_folder, backend=start.backend), start
    judge = Judge.of(section.gate, job, before)
    reference = Reference.of(job, before)
    for warning in filter(None, (judge.coarse, judge.few)):
        job.progress.say(warning)
    trials: list[Trial] = []
    for step in section.steps:
        for attempt in attempts(TECHNIQUES[step.technique], step, start):
            try:
                record = _step_record(attempt, source, start, judge, reference, force=force)
            except KitError as error:
                if attempt is step:
                    raise
                job.progress.say(f"{step.technique}, other settings: {error.message}")
                continue
            predictor = load_predictor(record.model_folder, backend=record.backend)
            trials.append(Trial(attempt, record, judge.gate(predictor), predictor))
            job.progress.say(f"{step.technique}: {trials[-1].gate.outcome}")
            if trials[-1].gate.passed:
                source = record
                break
    done = Compression(start, tuple(links_of(trials, start, before, job, timed=timed)))
    _write(done)
    return done


def require_chain(section: CompressSection, start: Record | None, recipe: Recipe) -> None:
    """Raise ModelError if a step cannot follow the steps before it, before any computation.

    Args:
        section: Section with the steps.
        start: Record to compress; None if it is still to be trained with the recipe.
        recipe: Recipe of the run.
    """
    kind = form_of(start.model_folder, start.backend) if start is not None else family_of(recipe).foreseen_form(recipe)
    what = start.id if start is not None else recipe.method
    made_of = start.content.compressed_from if start is not None else None
    remedy = ""
    before: tuple[str, Form] | None = None  # the step before, and the kind of model that it was applied to
    for step in section.steps:
        technique = TECHNIQUES[step.technique]
        if before is not None and works_first(technique, before[1], TECHNIQUES[before[0]]):
            remedy = f"take {step.technique} before {before[0]}"
        require_form(step.technique, kind, technique.takes, what, made_of=made_of, way_out=remedy)
        technique.require(step, start)
        before, made_of, remedy = (step.technique, kind), None, ""
        kind, what = form_after(technique, kind), f"what {step.technique} leaves"


def job_of(start: Record, quiet: bool, shared: LoadedInputs) -> Job:
    """Return the data and the task of a run, with the hardware of this machine. The run's checkpoint is not needed.

    Args:
        start: Record of the run.
        quiet: Print no progress.
        shared: Data and checkpoints that are already loaded.

    Raises:
        DataError: If the data have changed since the run.
    """
    recipe = start.recipe
    # Keep float32 if the run used it; bfloat16 is not required, because this machine may not support it.
    hardware = set_up_hardware("fp32" if recipe.train.precision == "fp32" else "auto")
    state = meet(hardware.device)
    data = prepare(recipe.data, recipe.train.seed, shared.cleaned(recipe.data))
    if data.fingerprints != start.content.data.fingerprints:
        changed = changed_data(start.content.data.fingerprints, start.content.data.audit, data)
        raise DataError(
            f"{changed} changed since {start.id} was trained on them",
            "restore them; or repeat that run, then compress it",
        )
    checkpoint, made_of = None, start.content.checkpoint
    if made_of is not None:
        checkpoint = Checkpoint(made_of.name, start.model_folder, None, made_of.sha256, made_of.tokenizer_sha256)
    return Job(
        recipe=recipe,
        task=task_for(recipe, data.labels, data.train),
        data=data,
        hardware=hardware,
        progress=Progress(quiet or not state.is_main_process),
        checkpoint=checkpoint,
    )


@dataclass(frozen=True)
class Reference:
    """Texts that no step uses, and the start's outputs; both are empty without classes."""

    texts: Texts
    outputs: np.ndarray

    @classmethod
    def of(cls, job: Job, start: Predictor) -> Reference:
        """Compute the start's outputs for validation examples, and for pool texts if they are few."""
        if job.recipe.train.calibrate != "temperature":
            return cls([], np.zeros((0, 1)))
        texts = (job.data.validation.texts + gate_texts(job))[:_REFERENCE_TEXTS]
        return cls(texts, start.outputs(texts))


def _step_record(
    step: Step, source: Record, start: Record, judge: Judge, reference: Reference, *, force: bool
) -> Record:
    """Return the Record of one step, computed unless it has finished."""
    began, job = time.perf_counter(), judge.job
    recipe = job.recipe.model_copy(update={"compress": _chain_section(source, step)})
    technique = TECHNIQUES[step.technique]

    def fit(placed: Job) -> Any:
        limited = replace(placed.data, pool=placed.data.pool.take(pool_of_steps(job)))
        compressed = technique.compress(step, source, replace(placed, data=limited))
        fitted = matched(compressed, reference.texts, reference.outputs, placed)
        about: dict[str, Any] = {"technique": step.technique, "source": source.id, "start": start.id}
        if judge.validation is not None:
            changes = judge.recall_changes(fitted.predictor.outputs(placed.data.validation.texts))
            about["largest_recall_loss"] = asdict(changes[0])
            about["recall_words"] = judge.recall_words(changes)
        return replace(fitted, settings={**fitted.settings, "compression": about})

    folder = start.folder.parent / _id(step, source, job)
    return make_record(folder, replace(job, recipe=recipe), fit, began=began, force=force)


def _chain_section(source: Record, step: Step) -> CompressSection:
    """Return the compression section from the trained run to this step, with which the Record can be reproduced."""
    gate = GateSection(retained=None)  # only the steps that were kept, whatever limits they had
    try:
        return CompressSection(steps=[*chain_steps(source), step], gate=gate)
    except ValueError:  # not allowed together in a recipe, such as a vocabulary that is trimmed twice
        return CompressSection(steps=[step], gate=gate)


def _id(step: Step, source: Record, job: Job) -> str:
    """Return a readable id that ends with a hash of the step, the source's model and the data."""
    contents = {
        "made": MADE,
        "source": source.content.model_files,
        "data": job.data.fingerprints,
        "pool": hashlib.sha256(repr(job.data.pool.texts).encode()).hexdigest(),
    }
    if job.recipe.train.calibrate == "temperature":
        contents["calibrated"] = True
    if step.technique == "vocabulary" and job.transfer is not None:
        contents["texts"] = job.transfer.fingerprint()
    sha256 = identity_hash(step.model_dump(mode="json", exclude_defaults=True), contents)
    budget = len(job.data.train) + len(job.data.validation)
    checkpoint = job.checkpoint.short_name if job.checkpoint else None
    return readable_id(step.technique, checkpoint, budget, job.recipe.train.seed, sha256)


def _write(done: Compression) -> None:
    if not PartialState().is_main_process:
        return
    content = sealed({
        "source": done.source.id,
        "lines": done.lines,
        "steps": [link.content for link in done.links],
    })  # fmt: skip
    write_atomically(done.record.folder / CHAIN_FILE, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
