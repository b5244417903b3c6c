"""Choice of a model and a number of labels for a data file, in the time there is."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from kit.analysis.wording import joined
from kit.data.label_words import in_line
from kit.errors import RecipeError, TrainingError
from kit.workflows.new import DataOptions

if TYPE_CHECKING:
    from kit.analysis.advice import Advice
    from kit.analysis.advice_options import Option, Wish
    from kit.analysis.findings import Findings
    from kit.analysis.sequential import Look
    from kit.studies.engines.choice import EngineName
    from kit.studies.rounds import Rounds
    from kit.studies.work import Study
    from kit.workflows.answer_plan import AnswerPlan
    from kit.workflows.answer_recipe import AnswerRecipe

MINUTES = 30.0


@dataclass(frozen=True)
class Answer:
    """The choice for a data file, with its certainty and its costs.

    Attributes:
        recipe: File of the recipe.
        choice: The chosen variant and number of labels; None if nothing meets the target and the limits.
        sure: Whether the claim on the choice is certain.
        claim: That claim in words.
        ended: `sure` if the choice is sure, `time` if the minutes were over, `complete` if no open cell could help.
        lines: The whole answer in sentences.
        advice: The advice of the study, as `kit.advise` returns it.
        look: Certain and open questions of the study.
        study: State of the study.
        plan: Plan of the study; None if its recipe was used as it stands.
        report: The report, one HTML page.
        export: Command that exports the choice; empty without a choice that was measured.
    """

    recipe: Path
    choice: Option | None
    sure: bool
    claim: str
    ended: str
    lines: tuple[str, ...]
    advice: Advice
    look: Look
    study: Study
    plan: AnswerPlan | None
    report: Path
    export: str


def answer(  # noqa: PLR0913
    file: str | Sequence[str],
    *,
    target: float | None = None,
    label_cost: float | None = None,
    max_latency_ms: float | None = None,
    max_size_mb: float | None = None,
    minutes: float = MINUTES,
    recipe: str | Path | None = None,
    test: str | Sequence[str] = (),
    force: bool = False,
    engine: EngineName = "local",
    workers: int | None = None,
    quiet: bool = False,
    say: Callable[[str], None] | None = None,
    **options: Unpack[DataOptions],
) -> Answer:
    """Choose a model and a number of labels for a data file, in the time there is.

    A recipe with a study is written for the file, unless there is one. The study runs in the order that tells most, and
    stops when its choice is sure. The next call continues it.

    Args:
        file: Data in any form of `data.source`, or a recipe.
        target: Least value of the main metric, such as 0.85; None chooses the best.
        label_cost: Cost of one label.
        max_latency_ms: Largest median time per text, in milliseconds.
        max_size_mb: Largest size of the saved model, in megabytes.
        minutes: Time after which no cell starts, from the first one on.
        recipe: Recipe to write or to use; by default the name of the file with the ending `.yaml`, in this folder.
        test: Source of the test examples; split off from the file if empty.
        force: Plan the recipe again, and replace it.
        engine: Place where cells run: workers on this machine (local), a Ray cluster (ray), or this process (inline).
        workers: Number of cells at once; None runs one per GPU, or one.
        quiet: Print no progress.
        say: Called with each line about the recipe and the plan, before the study runs.
        **options: Options of `kit.new` for a new recipe: text, label, header, checkpoint and others.

    Returns:
        The choice with its certainty, costs and alternatives; `lines` has the answer in sentences.

    Raises:
        KitError: For invalid input, before anything is written.
        TrainingError: If no cell finished.
    """
    from kit.analysis.advice_options import Wish
    from kit.workflows.answer_recipe import answer_recipe

    if not minutes > 0:
        raise RecipeError(f"--minutes {minutes:g} is no time to measure anything in", "pass a number above 0")
    max_size_bytes = None if max_size_mb is None else 1e6 * max_size_mb
    wish = Wish(target, label_cost, max_latency_ms, max_size_bytes=max_size_bytes)
    path = None if recipe is None else Path(recipe)
    opened = answer_recipe(file, wish, minutes, path=path, force=force, test=test, **options)
    opened.write()
    if say is not None:
        for line in _opening(opened, minutes):
            say(line)
    rounds = _run(opened, wish, minutes, engine=engine, workers=workers, quiet=quiet)
    return _answer(opened, wish, minutes=minutes, rounds=rounds)


def _opening(opened: AnswerRecipe, minutes: float) -> list[str]:
    """Return the recipe and the plan in sentences."""
    data = opened.recipe.data
    lines = [f"data: {note}" for note in opened.assumptions]
    if opened.plan is None:
        variants = [variant.name for variant in opened.recipe.variants]
        return [*lines, f"recipe: {opened.path}, as it stands: {', '.join(variants)}"]
    columns = f"text {data.text}, label {in_line(data.label_columns)}"
    plan = opened.plan
    names, budgets = [one.name for one in plan.variants], [f"{budget:,}" for budget in plan.budgets]
    return [
        *lines,
        f"wrote {opened.path}: {columns}",
        f"plan: {joined(names)}, {'each ' if len(names) > 1 else ''}with {joined(budgets)} labels",
        *plan.left_out_lines,
        f"time: {plan.seconds.words} for a first round, of {minutes:g} minutes; the rest where the choice is open",
    ]


def _run(
    opened: AnswerRecipe, wish: Wish, minutes: float, *, engine: EngineName, workers: int | None, quiet: bool
) -> Rounds:
    """Run the study of a recipe in rounds.

    Raises TrainingError if no cell finished.
    """
    from kit.studies.rounds import run_in_rounds

    rounds = run_in_rounds(
        opened.recipe,
        wish,
        name=f"answer-{opened.path.stem}",
        engine=engine,
        workers=workers,
        minutes=minutes,
        quiet=quiet,
        arguments=[str(opened.path)],
    )
    if rounds.study.finished:
        return rounds
    if rounds.study.failed:
        failed = rounds.study.failed[0]
        raise TrainingError(f"all cells failed; {failed.cell.name}: {failed.error}", "the same command runs them again")
    raise TrainingError("no cell finished within the minutes", "start again with more --minutes: it continues")


def _answer(opened: AnswerRecipe, wish: Wish, *, minutes: float, rounds: Rounds) -> Answer:
    """Return the answer of a study, and write its report."""
    from kit.analysis.advice import advise
    from kit.reporting.write import write_report
    from kit.studies.analyse import analyse
    from kit.workflows.answer_lines import Outcome, answer_lines

    folder = rounds.study.folder
    findings = analyse(folder, derived=True)
    advice = advise(findings, wish)
    choice = _chosen(findings, advice, rounds.look, wish=wish)
    again = _command("answer", opened.path, wish, arguments=["--minutes", f"{2 * minutes:g}"])
    everything = max(2 * minutes, math.ceil(opened.plan.everything if opened.plan else 0.0))
    replan = _command("answer", opened.path, wish, arguments=["--minutes", f"{everything:g}", "--force"])
    outcome = Outcome(
        findings=findings, wish=wish, advice=advice, look=rounds.look, choice=choice, again=again,
        plan=opened.plan, replan=replan,
    )  # fmt: skip
    report = next(path for path in write_report(folder, findings) if path.suffix == ".html")
    export = _export(folder, wish, choice=choice, advice=advice)
    last = [f"export: {export}"] if export else [f"to try: {command}" for command in advice.commands]
    return Answer(
        opened.path,
        choice,
        sure=rounds.look.sure,
        claim=rounds.look.claim,
        ended=rounds.ended,
        lines=(*answer_lines(outcome), f"report: {report}", *last),
        advice=advice,
        look=rounds.look,
        study=rounds.study,
        plan=opened.plan,
        report=report,
        export=export,
    )


def _chosen(findings: Findings, advice: Advice, look: Look, *, wish: Wish) -> Option | None:
    """Return the option that the look chose; without one, the choice of the advice."""
    from kit.analysis.advice_candidates import options_of

    if look.choice is None:
        return advice.choice
    options = [option for series in findings.options for option in options_of(series, wish)]
    chosen = (look.choice.series, look.choice.labels)
    return next((one for one in options if one.measured and (one.series, one.labels) == chosen), advice.choice)


def _export(folder: Path, wish: Wish, *, choice: Option | None, advice: Advice) -> str:
    """Return the command that exports the choice; empty if it was not measured."""
    if choice is None or not choice.measured:
        return ""
    from kit.analysis.advice_options import Wish

    to = ["--to", "exported/"]
    if advice.choice == choice:
        return _command("export", folder, replace(wish, label_cost=None), arguments=to)
    return _command(
        "export", folder, Wish(), arguments=["--variant", choice.series, "--budget", str(choice.labels), *to]
    )


def _command(verb: str, subject: Path, wish: Wish, arguments: Sequence[str]) -> str:
    """Return a command line with the options of a wish."""
    megabytes = None if wish.max_size_bytes is None else wish.max_size_bytes / 1e6
    values = {
        "--target": wish.target,
        "--max-latency-ms": wish.max_latency_ms,
        "--max-size-mb": megabytes,
        "--label-cost": wish.label_cost,
    }
    options = [part for name, value in values.items() if value is not None for part in (name, f"{value:g}")]
    return shlex.join(["kit", verb, str(subject), *options, *arguments])
