"""Distillation: runs of a teacher, its student and a control for every seed, and the verdict over all seeds.

Each of the three is a run like any other, reused if it has finished.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kit.distillation.teacher import Teacher, load_teacher, resolve_teacher
from kit.errors import RecipeError
from kit.recipe import Recipe
from kit.records.record import Record
from kit.runs.control import control_recipe, require_control, require_weights
from kit.runs.derived_recipes import student_recipe, teacher_recipe
from kit.runs.execute import finetune, with_teacher
from kit.runs.request import LoadedInputs
from kit.runtime.files import write_atomically
from kit.runtime.seals import sealed

if TYPE_CHECKING:
    import numpy as np

    from kit.analysis.distillation_verdict import Cost, Verdict

VERDICT_FILE = "verdict.json"  # in the Record of the first seed's student


@dataclass(frozen=True)
class Distillation:
    """Records by seed and the verdict; `controls` is empty if none were trained."""

    students: tuple[Record, ...]
    controls: tuple[Record, ...]
    verdict: Verdict

    @property
    def record(self) -> Record:
        """The student of the first seed."""
        return self.students[0]


def distill(
    recipe: Recipe,
    *,
    seeds: int = 1,
    controls: bool = True,
    force: bool = False,
    quiet: bool = False,
    shared: LoadedInputs | None = None,
) -> Distillation:
    """Train the teacher if the recipe does not name one, then the student and its control, and compare them.

    Args:
        recipe: Recipe of method distill; the run of a recipe of any other method is the teacher.
        seeds: Number of seeds, starting with the recipe's.
        controls: Also train the same student without a teacher.
        force: Repeat finished students.
        quiet: Print no progress.
        shared: Data and checkpoints that are already loaded.

    Returns:
        The students, their controls and the verdict.

    Raises:
        KitError: For invalid input, which is found before any training, or for a failure while running.
    """
    from kit.runtime.distributed import meet
    from kit.training.hardware import set_up_hardware

    shared = shared or LoadedInputs()
    meet(set_up_hardware(recipe.train.precision).device)
    _refuse_early(recipe, controls, shared)
    students, control_records, teachers = [], [], []
    for seed in range(recipe.train.seed, recipe.train.seed + seeds):
        train = recipe.train.model_copy(update={"seed": seed})
        taught = with_teacher(recipe.model_copy(update={"train": train}), quiet=quiet, shared=shared)
        teachers.append([resolve_teacher(name, taught) for name in _names(taught)])
        students.append(finetune(taught, force=force, quiet=quiet, shared=shared))
        if controls:
            control_records.append(finetune(control_recipe(students[-1], teachers[-1][0]), quiet=quiet, shared=shared))
    verdict = _judge(students, control_records, teachers, shared)
    done = Distillation(tuple(students), tuple(control_records), verdict)
    _write(done)
    return done


def _names(recipe: Recipe) -> list[str]:
    named = recipe.distill.teacher
    return [named] if isinstance(named, str) else list(named or [])


def _refuse_early(requested: Recipe, controls: bool, shared: LoadedInputs) -> None:
    """Raise an error that would keep the student or its control from starting, before hours of teacher training."""
    from kit.runs.request import make_request

    recipe = student_recipe(requested)
    request = make_request(recipe, shared)
    if controls and request.teachers:
        require_control(request.recipe, request.teachers[0])
    elif controls and teacher_recipe(requested).method == "scratch":
        require_weights(request.recipe.distill.student, "it")
    if recipe.distill.teacher is None and request.checkpoint is None:
        raise RecipeError("there is nothing to fine-tune a teacher from", "set model.checkpoint", key="distill.teacher")


def _judge(
    students: list[Record], controls: list[Record], teachers: list[list[Teacher]], shared: LoadedInputs
) -> Verdict:
    """Return the verdict over all seeds. teachers: The teachers of each seed."""
    from kit.analysis.distillation_verdict import SeedOutputs, judge
    from kit.tasks import task_for

    first = students[0]
    recipe = first.recipe
    outputs = [
        SeedOutputs(
            student.recipe.train.seed,
            student.predictions().outputs,
            _teacher_outputs(student, teachers[index], shared),
            controls[index].predictions().outputs if controls else None,
        )
        for index, student in enumerate(students)
    ]
    notes = []
    tests = {t.record.content.data.fingerprints["test"] for t in teachers[0] if t.record is not None}
    if tests - {first.content.data.fingerprints["test"]}:
        notes.append(
            "the teacher was tested on other examples, so it may have been trained on some of these: "
            "then its metric and the retained share are not reliable"
        )
    task = task_for(recipe, first.labels)
    return judge(
        outputs,
        task.targets(first.predictions().labels),
        task.measure,
        budget=first.content.data.sizes.budget,
        costs=_costs(first, teachers[0], shared),
        notes=notes,
    )


def _teacher_outputs(student: Record, teachers: list[Teacher], shared: LoadedInputs) -> np.ndarray:
    """Return the teachers' averaged outputs on the student's test examples, from their Records or computed."""
    from kit.methods import family_of
    from kit.tasks import task_for
    from kit.training.progress import Progress

    recipe, data = student.recipe, student.content.data.fingerprints
    task, outputs_of = task_for(recipe, student.labels), family_of(recipe).teacher_outputs
    outputs = []
    for teacher in teachers:
        if teacher.record is not None and teacher.record.content.data.fingerprints["test"] == data["test"]:
            own = teacher.record.predictions().outputs
        else:
            texts = shared.cleaned(recipe.data).splits.test.texts
            own = outputs_of(teacher, texts, recipe.data.max_length, Progress(quiet=True))
        outputs.append(task.align(own, teacher.labels))
    return task.average(outputs)


def _costs(student: Record, teachers: list[Teacher], shared: LoadedInputs) -> tuple[Cost, Cost]:
    """Return size and speed of the student, and of all its teachers together, timed in turns."""
    from kit.analysis.distillation_verdict import Cost
    from kit.measurement.speed import latencies
    from kit.models.classifier import TransformerPredictor
    from kit.models.load import load_predictor
    from kit.training.hardware import set_up_hardware

    predictors = [load_predictor(student.model_folder, backend=student.backend), *map(load_teacher, teachers)]
    for predictor in predictors:
        if isinstance(predictor, TransformerPredictor):  # tokenizers of the Hub may have no limit
            predictor.max_length = min(predictor.max_length, student.recipe.data.max_length)
    texts = shared.cleaned(student.recipe.data).splits.test.texts
    hardware = set_up_hardware(student.recipe.train.precision).words
    own, *others = latencies(
        [predictor.outputs for predictor in predictors], texts, hardware, student.recipe.rules.writes_text
    )
    sizes = [_bytes(folder) for folder in (student.model_folder, *(teacher.folder for teacher in teachers))]
    parameters = [predictor.parameters for predictor in predictors]
    together = (sum(speed.interval[0] for speed in others), sum(speed.interval[1] for speed in others))
    return (
        Cost(sizes[0], parameters[0], own.p50_ms, own.interval, own.warning),
        Cost(sum(sizes[1:]), sum(parameters[1:]), sum(speed.p50_ms for speed in others), together, own.warning),
    )


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*") if file.is_file())


def _write(done: Distillation) -> None:
    from accelerate import PartialState

    content = {
        "students": [record.id for record in done.students],
        "controls": [record.id for record in done.controls],
        "lines": done.verdict.lines,
        **asdict(done.verdict),
    }
    if PartialState().is_main_process:
        text = json.dumps(sealed(content), indent=1, ensure_ascii=False)
        write_atomically(done.record.folder / VERDICT_FILE, text + "\n")
