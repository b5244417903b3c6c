"""Compression: a finished run, and after each step of a chain a Record of the smaller model.

A step that costs more than the gate allows is undone: the chain goes on without it. Gates look at validation examples
and at the pool's texts; the test examples only say what came of it.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.errors import RecipeError
from kit.files import write_atomically
from kit.finetune import finetune
from kit.making import make_record
from kit.measurement.intervals import shown
from kit.measurement.units import megabytes
from kit.recipe import Recipe
from kit.recipe.compressing import CompressSection, Step
from kit.record import FORMAT, Record
from kit.request import Shared, understand

if TYPE_CHECKING:
    import numpy as np

    from kit.analysis.verdict import Verdict
    from kit.methods import Job

CHAIN_FILE = "chain.json"  # beside the Record that a chain ends with
# Texts of the pool that no step sees, for the agreement that a gate asks for: this share, and no more than this.
_GATE_SHARE, _GATE_TEXTS = 0.2, 1_000


@dataclass(frozen=True)
class Gate:
    """What a step cost: shares against the model that the chain starts from, None where not asked for.

    retained: of the main metric, on the validation examples. agreement: on texts of the pool. passed: whether the step
    stays.
    """

    retained: float | None
    agreement: float | None
    passed: bool


@dataclass(frozen=True)
class Link:
    """One step of a chain: its Record, what its gate saw, and how it compares with the start on the test examples.

    settings: those that are not the technique's defaults, in words. calibration: expected calibration error of the
    start and of the step's model, None where a task has none.
    """

    technique: str
    settings: str
    record: Record
    gate: Gate
    verdict: Verdict
    calibration: tuple[float, float] | None

    @property
    def line(self) -> str:
        """For people."""
        verdict, settings = self.verdict, self.record.content["settings"]
        ours, theirs = verdict.student_cost, verdict.teacher_cost
        parts = [
            f"{shown(verdict.metric, verdict.student)}",
            f"retained {verdict.retained.format(percent=True)}" if verdict.retained else "",
            f"agrees on {verdict.agreement.format(percent=True)}",
            f"{megabytes(ours.size_bytes)} (1/{theirs.size_bytes / ours.size_bytes:.1f})",
            _speed_words(ours.p50_ms, theirs.p50_ms),
            self._tokens(settings),
            "calibration error {:.1%} (before: {:.1%})".format(*reversed(self.calibration)) if self.calibration else "",
        ]
        undone = "" if self.gate.passed else "; UNDONE by the gate: " + self._why()
        name = f"{self.technique} ({self.settings})" if self.settings else self.technique
        return f"{name}: " + ", ".join(part for part in parts if part) + undone

    def _tokens(self, settings: dict[str, Any]) -> str:
        if "tokens_before" not in settings:
            return ""
        share = settings["new_texts_read_differently"]
        return f"{settings['tokens']:,} of {settings['tokens_before']:,} tokens ({share:.0%} of new texts use others)"

    def _why(self) -> str:
        found = {"retained": self.gate.retained, "agreement": self.gate.agreement}
        return " and ".join(f"{name} {value:.1%}" for name, value in found.items() if value is not None)


@dataclass(frozen=True)
class Compression:
    """The start of a chain and its steps."""

    source: Record
    links: tuple[Link, ...]

    @property
    def record(self) -> Record:
        """The Record that the chain ends with: the last whose step stayed."""
        stayed = [link.record for link in self.links if link.gate.passed]
        return stayed[-1] if stayed else self.source

    @property
    def lines(self) -> list[str]:
        """For people: a line a step."""
        metric = self.source.main_metric
        start = f"{self.source.id}: {shown(metric, self.source.metrics[metric])}"
        return [start, *(link.line for link in self.links)]


def compress(recipe: Recipe, *, force: bool = False, quiet: bool = False, shared: Shared | None = None) -> Compression:
    """Take the steps of `compress.steps`, each from the model that the one before left; each gives a Record.

    recipe: its own run is compressed, made first if it is not there, unless `compress.source` names another. Steps that
    are finished are found again, so a chain that was killed continues where it was. force: repeats the steps.
    Raises KitError for steps that cannot work, before anything is computed, and for failures while running.
    """
    from kit.compression import TECHNIQUES

    section, shared = recipe.compress, shared or Shared()
    source = start = (
        Record.load(section.source) if section.source is not None else finetune(recipe, quiet=quiet, shared=shared)
    )
    _require_chain(section, start)
    job = _job(source, quiet, shared)
    _require_gate(section, job)
    links: list[Link] = []
    for step in section.steps:
        for tried in (step, *TECHNIQUES[step.technique].variants(step)):
            record = _take(tried, source, start, job, force)
            gate = _gate(section, start, record, job)
            links.append(_link(tried, record, start, gate, job))
            job.progress.say(links[-1].line)
            if gate.passed:
                source = record
                break
    done = Compression(start, tuple(links))
    _write(done)
    return done


def recipe_of(source: str | Path) -> Recipe:
    """The recipe of a chain that is asked for without one: the run's own. Raises RecordError if it is no Record."""
    record = Record.read(source)
    section = CompressSection(source=str(source))
    return record.recipe.model_copy(update={"runs": str(record.folder.parent), "compress": section})


def _require_chain(section: CompressSection, start: Record) -> None:
    """Raise ModelError for a step that cannot work on what the steps before it leave: before anything is computed."""
    from kit.compression import TECHNIQUES
    from kit.compression.base import require_kind
    from kit.models.kind import kind_of

    kind, what = kind_of(start.model_folder), start.id
    for step in section.steps:
        technique = TECHNIQUES[step.technique]
        require_kind(step.technique, kind, technique.takes, what)
        technique.require(step, start)
        kind, what = technique.gives, f"what {step.technique} leaves"


def _require_gate(section: CompressSection, job: Job) -> None:
    if section.gate.retained is not None and not len(job.data.validation):
        raise RecipeError(
            "compress.gate.retained: there are no validation examples to look at",
            "set it to null, and give compress.gate.agreement, which looks at texts without labels",
        )
    if section.gate.agreement is not None and not len(_gate_rows(job)):
        raise RecipeError(
            "compress.gate.agreement: there are too few texts outside the budget to look at",
            "set it to null, or lower data.budget",
        )


def _job(source: Record, quiet: bool, shared: Shared) -> Job:
    """The data, the task and the machine, as for the source's own run."""
    from accelerate import PartialState

    from kit.methods import Job
    from kit.training.hardware import set_up_hardware
    from kit.training.progress import Progress

    recipe = source.recipe
    hardware = set_up_hardware(recipe.train.precision)
    state = PartialState(cpu=hardware.device == "cpu")
    request = understand(recipe, shared)
    progress = Progress(quiet or not state.is_main_process)
    return Job(request.recipe, request.task, request.data, hardware, request.checkpoint, progress)


def _take(step: Step, source: Record, start: Record, job: Job, force: bool) -> Record:
    """The Record of one step, which is found if it has finished."""
    import numpy as np

    from kit.compression import TECHNIQUES

    began = time.perf_counter()
    recipe = job.recipe.model_copy(update={"compress": CompressSection(steps=[step])})
    technique = TECHNIQUES[step.technique]

    def fit(placed: Job) -> Any:
        rest = np.setdiff1d(np.arange(len(job.data.pool)), _gate_rows(job))
        seen = replace(placed.data, pool=placed.data.pool.take(rest))
        fitted = technique.compress(step, source, replace(placed, data=seen))
        about = {"technique": step.technique, "source": source.id, "start": start.id}
        return replace(fitted, settings={**fitted.settings, "compression": about})

    folder = start.folder.parent / _id(step, source, job)
    return make_record(folder, replace(job, recipe=recipe), fit, began=began, force=force)


def _gate_rows(job: Job) -> np.ndarray:
    """Rows of the pool that gates look at, the last of it."""
    import numpy as np

    count = min(_GATE_TEXTS, int(_GATE_SHARE * len(job.data.pool)))
    return np.arange(len(job.data.pool) - count, len(job.data.pool))


def _id(step: Step, source: Record, job: Job) -> str:
    """Readable, and ending in a hash of the step, the source's model and the data."""
    files = {name: sha for name, sha in source.content["files"].items() if name.startswith("model/")}
    content = {
        "format": FORMAT,
        "step": step.model_dump(mode="json"),
        "source": files,
        "data": job.data.fingerprints,
    }
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]
    parts = [step.technique, str(len(job.data.train) + len(job.data.validation)), f"s{job.recipe.train.seed}", digest]
    if job.checkpoint is not None:
        parts.insert(1, job.checkpoint.short_name)
    return "-".join(parts)


def _link(step: Step, record: Record, start: Record, gate: Gate, job: Job) -> Link:
    given = step.model_dump(exclude_defaults=True, exclude={"technique"})
    settings = ", ".join(f"{key}: {json.dumps(value)}" for key, value in given.items())
    errors = [each.metrics["ece"].value for each in (start, record) if "ece" in each.metrics]
    calibration = (errors[0], errors[1]) if len(errors) == 2 else None
    return Link(step.technique, settings, record, gate, _compare(record, start, job), calibration)


def _gate(section: CompressSection, start: Record, record: Record, job: Job) -> Gate:
    """Compare a step's model with the start, on validation examples and the pool's texts."""
    from kit.models.predictor import load_predictor

    wanted, validation = section.gate, job.data.validation
    before, after = load_predictor(start.model_folder), load_predictor(record.model_folder)
    retained = agreement = None
    if wanted.retained is not None:
        targets = job.data.targets(validation)
        values = [
            job.task.scores(predictor.logits(validation.texts), targets)[job.task.main_metric]
            for predictor in (before, after)
        ]
        retained = values[1] / values[0] if values[0] > 0 else 1.0
    if wanted.agreement is not None:
        texts = job.data.pool.take(_gate_rows(job)).texts
        agreement = float((_decided(before.logits(texts), job) == _decided(after.logits(texts), job)).all(1).mean())
    passed = (retained is None or retained >= (wanted.retained or 0.0)) and (
        agreement is None or agreement >= (wanted.agreement or 0.0)
    )
    return Gate(retained, agreement, passed)


def _decided(logits: np.ndarray, job: Job) -> np.ndarray:
    """(n, 1) labels, or (n, labels) whether each holds."""
    from kit.measurement.metrics import multi_label_predictions

    return multi_label_predictions(logits) if job.task.multi_label else logits.argmax(1)[:, None]


def _compare(record: Record, start: Record, job: Job) -> Verdict:
    """On the test examples, and in size and speed."""
    from kit.analysis.verdict import Answers, Cost, judge
    from kit.data.labels import encode_labels
    from kit.measurement.speed import latencies
    from kit.models.predictor import load_predictor

    pair = (record, start)
    predictors = [load_predictor(each.model_folder) for each in pair]
    times = latencies([predictor.logits for predictor in predictors], job.data.test.texts)
    costs = [
        Cost(int(each.content["model_bytes"]), predictor.parameters, time.p50_ms)
        for each, predictor, time in zip(pair, predictors, times, strict=True)
    ]
    ours, theirs = (each.predictions().logits for each in pair)
    return judge(
        [Answers(job.recipe.train.seed, ours, theirs, None)],
        encode_labels(record.predictions().labels, record.labels, job.task.multi_label),
        record.main_metric,
        ordered=job.recipe.task == "sentiment",
        multi_label=job.task.multi_label,
        budget=len(job.data.train) + len(job.data.validation),
        costs=(costs[0], costs[1]),
    )


def _speed_words(ours: float | None, theirs: float | None) -> str:
    if not ours or not theirs:
        return ""
    ratio = theirs / ours
    words = f"{ratio:.1f}x as fast" if ratio >= 1 else f"SLOWER: {1 / ratio:.1f}x the time"
    return f"{ours:.2f} ms a text ({words})"


def _write(done: Compression) -> None:
    from accelerate import PartialState

    if done.record is done.source or not PartialState().is_main_process:
        return
    content = {
        "source": done.source.id,
        "lines": done.lines,
        "steps": [
            {"technique": link.technique, "record": link.record.id, "gate": asdict(link.gate), **asdict(link.verdict)}
            for link in done.links
        ],
    }
    write_atomically(done.record.folder / CHAIN_FILE, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
