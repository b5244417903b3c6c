"""The scheduler with thousands of cells on a simulated cluster that keeps losing nodes; nothing is trained."""

from __future__ import annotations

import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from kit import finetune
from kit.errors import WorkerError
from kit.measurement.speed import Speed, speeds_to_json
from kit.recipe import Recipe, load_recipe
from kit.recipe.sections.study import StudySection
from kit.studies.engines.base import JobData
from kit.studies.engines.choice import Place
from kit.studies.engines.ray import RayEngine
from kit.studies.grid import Cell, Grid
from kit.studies.ledger import Ledger
from kit.studies.plan import Plan, plan_study
from kit.studies.progress import Board
from kit.studies.work import Study, Work
from tests.support.simulated_ray import SimulatedRay

METHODS, NODES, CELLS = 5, 40, 3_000


def ended(context: JobData, job: JobData) -> JobData:
    """Return the result of a worker, with one Record for all cells."""
    if "time" in job:
        return {"speeds": speeds_to_json(dict.fromkeys(job["time"], Speed(1.0, 1.0, "simulated")))}
    return {"record": context["record"]}


def named(_: str, context: JobData, job: JobData) -> str:
    return Cell(**job["cell"]).name if "cell" in job else "time"


@pytest.fixture
def grid(recipe_file: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], Recipe]:
    """Return a function that makes a recipe with this many budgets and seeds."""
    monkeypatch.setattr("kit.runtime.files.os.fsync", lambda _: None)  # a slow disk does not matter here

    def made(budgets: int, seeds: int) -> Recipe:
        sizes = [10 + 2 * k for k in range(budgets)]
        return load_recipe(
            recipe_file,
            ["study.methods=[tfidf, probe, finetune, lora, scratch]", f"study.budgets={sizes}",
             f"study.seeds={seeds}", "data.budget=null", "tfidf.max_features=10", "study.keep_models=false"],
        )  # fmt: skip

    return made


def cluster(monkeypatch: pytest.MonkeyPatch) -> SimulatedRay:
    ray = SimulatedRay(NODES, {"CPU": 8.0, "GPU": 1.0}, named, task_s=60, lost_s=200, away_s=60)
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setattr("kit.studies.engines.ray.time.sleep", ray.sleep)
    return ray


def run(plan: Plan, record: str) -> Study:
    ledger = Ledger.start(Path(plan.recipe.runs) / "study", plan.recipe, plan.cells, plan.facts)
    with Board(plan.efforts, "accuracy", quiet=True) as board:
        work = Work(plan, ledger, board, Place("ray"))
        work.run(RayEngine(f"{__name__}:ended", None), {"record": record})
    return work.result()


def any_record(recipe: Recipe) -> str:
    update = {"method": "tfidf", "data": recipe.data.model_copy(update={"budget": 21})}  # not a cell of the grid
    return finetune(recipe.model_copy(update=update), quiet=True).id


def calls(function: Callable[[], object]) -> int:
    """Return the number of calls of Python and C functions, a cost that does not depend on the machine."""
    count = 0

    def counted(_: object, event: str, __: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(counted)
    try:
        function()
    finally:
        sys.setprofile(None)
    return count


def test_thousands_of_cells_on_failing_nodes_run_once(grid, monkeypatch) -> None:
    recipe = grid(20, CELLS // (20 * METHODS))
    plan, record, ray = plan_study(recipe), any_record(recipe), cluster(monkeypatch)
    assert len(plan.cells) == CELLS
    first = run(plan, record)
    cells = {cell.name for cell in plan.cells}
    assert len(first.finished) + len(first.failed) == CELLS
    assert not first.open
    assert ray.losses > NODES
    # A cell that was lost four times has failed, with the reason; every other has ended exactly once.
    assert 0 < len(first.failed) < 100
    assert all("4 attempts: the node was lost" in outcome.error for outcome in first.failed)
    times = {name: count for name, count in ray.ended.items() if name in cells}
    assert times == Counter(outcome.cell.name for outcome in first.finished)
    # Quarters of 40 GPUs, TF-IDF on cores alone, and one that waits.
    assert NODES < ray.most < 8 * NODES
    # The next start runs what failed, and nothing else.
    second = run(plan, record)
    assert len(second.finished) == CELLS
    assert all(ray.ended[name] == 1 for name in cells)
    assert len(list(second.folder.glob("cells/*.json"))) == CELLS


@pytest.mark.parametrize("place", [Place("local", workers=2), Place("ray"), Place("local"), Place("inline")])
def test_parallel_cells_of_a_seed_start_with_the_longest(place, grid, tmp_path) -> None:
    recipe = grid(3, 2)
    methods = recipe.study.model_copy(update={"methods": ["tfidf", "distill", "probe", "finetune"]})
    recipe = recipe.model_copy(update={"study": methods})

    def order(recipe: Recipe) -> list[Cell]:
        plan = plan_study(recipe)
        with Board(plan.efforts, "accuracy", quiet=True) as board:
            return list(Work(plan, Ledger(tmp_path, {}), board, place).pending)

    plan, cells = plan_study(recipe), order(recipe)
    limited = recipe.model_copy(update={"study": methods.model_copy(update={"max_minutes": 60})})
    assert set(cells) == set(plan.cells)
    assert [cell.seed for cell in cells] == [0] * 12 + [1] * 12
    assert order(limited) == list(plan.cells)
    if not place.runs_several:
        assert cells == list(plan.cells)
        return
    for budget in {cell.budget for cell in cells}:
        place_of = {cell.variant: cells.index(cell) for cell in cells if (cell.budget, cell.seed) == (budget, 0)}
        assert sorted(place_of, key=place_of.__getitem__) == ["finetune", "distill", "probe", "tfidf"]
    largest = max(cell.budget for cell in cells)
    assert (cells[0].variant, cells[0].budget) == ("finetune", largest), "the teacher before the cell that waits for it"
    assert plan.efforts[cells[-1]] == min(plan.efforts.values())


def test_work_grows_linearly_with_the_cells(grid, monkeypatch) -> None:
    counts = {}
    for budgets, seeds in ((6, 4), (12, 8)):
        recipe = grid(budgets, seeds)
        record = any_record(recipe)
        plan_study(recipe)  # cached computations count for neither
        cluster(monkeypatch)
        plans: list[Plan] = []
        planning = calls(lambda recipe=recipe, plans=plans: plans.append(plan_study(recipe)))
        running = calls(lambda plans=plans, record=record: run(plans[0], record))
        counts[len(plans[0].cells)] = planning, running
    (planning, running), (more_planning, more_running) = counts[120], counts[480]
    assert more_planning <= 4.4 * planning
    assert more_running <= 4.4 * running


def of_variants(recipe: Recipe, budgets: int, seeds: int) -> Recipe:
    """A study of 25 models, each with a student, in 8 bits, and with a student in 8 bits."""
    variants: list[dict[str, object]] = []
    for k in range(25):
        variants += [
            {"name": f"model {k}", "method": "finetune", "set": {"train.epochs": 1 + k}},
            {"name": f"student {k}", "method": "distill", "of": f"model {k}", "set": {"distill.pool": 10}},
            {"name": f"int8 {k}", "of": f"model {k}", "steps": ["int8-onnx"]},
            {"name": f"tiny {k}", "of": f"student {k}", "steps": ["vocabulary", {"int8-onnx": {"embeddings": "int4"}}]},
        ]
    study = {"variants": variants, "budgets": [10 + 2 * k for k in range(budgets)], "seeds": seeds}
    return recipe.model_copy(update={"study": StudySection.model_validate(study)})


def test_twenty_thousand_cells_are_planned_in_five_seconds(grid) -> None:
    recipe = of_variants(grid(1, 1), budgets=40, seeds=5)
    began = time.process_time()
    plan = plan_study(recipe)
    assert len(plan.cells) == 20_000
    assert time.process_time() - began < 5  # 1.6 seconds on a core of 2.8 GHz


def test_other_runs_in_the_folder_hardly_slow_a_start(grid, tmp_path) -> None:
    recipe = grid(6, 4)

    def start() -> None:
        plan = plan_study(recipe)
        with Board(plan.efforts, "accuracy", quiet=True) as board:
            Work(plan, Ledger(tmp_path, {}), board, Place("inline"))

    start()  # cached computations do not count
    alone = calls(start)
    for k in range(500):
        (Path(recipe.runs) / f"finetune-other-{1_000 + k}-s0-{k:08x}").mkdir(parents=True)
    assert calls(start) < alone + 10 * 500


def test_the_driver_keeps_only_the_outcome_of_each_cell(grid, monkeypatch) -> None:
    recipe = grid(10, 10)
    plan, record = plan_study(recipe), any_record(recipe)
    cluster(monkeypatch)
    tracemalloc.start()
    try:
        done = run(plan, record)
        largest = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(done.finished) + len(done.failed) == 500
    size = (Path(recipe.runs) / record / "record.json").stat().st_size
    assert largest < 500 * min(4_000, size / 2)


def test_workers_without_kit_end_the_study_with_the_reason(grid, monkeypatch) -> None:
    plan = plan_study(grid(1, 1))
    cluster(monkeypatch)
    with Board(plan.efforts, "accuracy", quiet=True) as board, pytest.raises(WorkerError) as caught:
        ledger = Ledger.start(Path(plan.recipe.runs) / "study", plan.recipe, plan.cells, plan.facts)
        Work(plan, ledger, board, Place("ray")).run(RayEngine("no_kit.here:run", None), {})
    assert caught.value.message == "a Ray worker cannot start: ModuleNotFoundError: No module named 'no_kit'"
    assert not list(ledger.folder.glob("cells/*"))


def test_cells_request_gpu_shares_by_their_weights(grid) -> None:
    plan = plan_study(grid(1, 1))
    (checkpoint,) = {cell.checkpoint for cell in plan.cells if cell.checkpoint}
    finetuned = Cell("finetune", checkpoint, 10, 0)
    assert plan.gpu_share(Cell("tfidf", None, 10, 0)) == 0
    shares = {}
    for size in (90_000_000, 440_000_000, 1_300_000_000):
        plan.model_bytes[checkpoint] = size
        shares[size] = plan.gpu_share(finetuned)
    assert shares == {90_000_000: 0.25, 440_000_000: 0.5, 1_300_000_000: 1.0}
    configured = replace(plan, grid=Grid(plan.recipe.model_copy(update={"study": StudySection(gpus=0.1)})))
    assert (configured.gpu_share(finetuned), configured.gpu_share(Cell("tfidf", None, 10, 0))) == (0.1, 0)


def test_tasks_get_their_share_of_a_node(monkeypatch) -> None:
    cluster(monkeypatch)
    engine = RayEngine(f"{__name__}:ended", None)
    needs = [engine._needs({"gpus": share}) for share in (0.0, 0.1, 0.5, 1.0)] + [engine._needs({})]
    assert [(need["num_cpus"], need["num_gpus"]) for need in needs] == [(1, 0), (1, 0.1), (4, 0.5), (8, 1), (8, 1)]
    monkeypatch.setitem(sys.modules, "ray", SimulatedRay(2, {"CPU": 4.0}, named, task_s=1, lost_s=1e9, away_s=1))
    assert RayEngine(f"{__name__}:ended", None)._needs({"gpus": 0.5}) == {"num_cpus": 4}
