"""Plan of an answer: variants and numbers of labels for the data, the limits and the time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING

from kit.analysis.wording import joined
from kit.measurement.durations import Span, total
from kit.recipe.yaml_text import comment
from kit.runtime.quantities import megabytes

if TYPE_CHECKING:
    from kit.analysis.advice_options import Wish
    from kit.recipe import Recipe
    from kit.studies.grid import Cell

MOST_BUDGETS = 5
SEEDS = 8  # the most; a study stops earlier if its choice is sure
_FEWEST_LABELS = 8
_LABELS_PER_CLASS = 2
_FEWEST_BUDGETS = 2
_MOST_POOL_TEXTS = 1_000  # texts without labels that a student learns from
_TIME_SHARE = 0.8  # of the minutes, for the first round
_INT8_SHARE = 0.25  # least size of a model in 8 bits, as a share of its checkpoint
_NO_TIME = Span.fixed(0.0)

Kind = tuple[str, int]  # variant and number of labels


@dataclass(frozen=True)
class PlannedVariant:
    """A variant that an answer can compare.

    Attributes:
        name: Name of the variant.
        yaml: The variant in a recipe.
        meaning: Comment for the recipe.
        source: Variant that it is made from; empty if it starts from the checkpoint or from nothing.
        package: Python package of the extra `compress` that it needs; empty for none.
        whole: Whether its model has the size of the checkpoint.
        only_source: Whether it breaks a limit, and others are made from it.
    """

    name: str
    yaml: str
    meaning: str
    source: str = ""
    package: str = ""
    whole: bool = False
    only_source: bool = False


@dataclass(frozen=True)
class AnswerPlan:
    """Variants and numbers of labels to compare.

    Attributes:
        variants: The variants, each after the one that it is made from.
        budgets: Numbers of labels in ascending order.
        too_large: Variants that cannot be chosen, each with the reason.
        without_time: Variants and numbers of labels that are left out for lack of time.
        minutes: Time that the plan is for.
        seconds: Time of the first round: one seed of the smallest, the middle and the largest budget.
        everything: Minutes in which nothing would be left out for lack of time.
    """

    variants: tuple[PlannedVariant, ...]
    budgets: tuple[int, ...]
    too_large: tuple[tuple[str, str], ...] = ()
    without_time: tuple[str, ...] = ()
    minutes: float = 0.0
    seconds: Span = _NO_TIME
    everything: float = 0.0

    def section(self, name: str) -> str:
        """Return the section `study` of a recipe as YAML. name: Name of the study."""
        budgets = ", ".join(map(str, self.budgets))
        lines = [
            "study:",
            f"  name: {name}",
            f"  budgets: [{budgets}]  # numbers of labels; {self.seconds.words} for the first round",
            f"  seeds: {SEEDS}  # at most; fewer if the choice is sure before",
            "  variants:",
            *(f"    - {variant.yaml}  {comment(variant.meaning)}" for variant in self.variants),
            *(f"    {comment(line)}" for line in self.left_out_lines),
        ]
        return "\n".join(lines) + "\n"

    @property
    def left_out_lines(self) -> list[str]:
        """The variants and numbers of labels that are not compared, one line per reason."""
        by_reason: dict[str, list[str]] = {}
        for name, reason in self.too_large:
            by_reason.setdefault(reason, []).append(name)
        if self.without_time:
            by_reason[f"no time within {self.minutes:g} minutes"] = list(self.without_time)
        return [f"left out: {joined(names)}: {reason}" for reason, names in by_reason.items()]


def plan_answer(recipe: Recipe, wish: Wish, minutes: float) -> AnswerPlan:
    """Return the variants and budgets whose first round fits into the minutes.

    Args:
        recipe: Recipe with data and checkpoint; its study is not used.
        wish: Target and limits.
        minutes: Time for everything.

    Raises:
        KitError: The data or the checkpoint cannot be used.
    """
    from kit.recipe.sections.study import StudySection
    from kit.studies.plan import estimate, plan_study

    base = StudySection(variants=["finetune"], budgets=["all"], seeds=1)  # type: ignore[list-item]
    facts = plan_study(recipe.model_copy(update={"study": base}))
    labels = int(facts.facts["training_examples"])
    candidates = [one for one in possible_variants(labels) if one.name != "tiny" or wish.max_size_bytes is not None]
    possible, too_large = allowed(candidates, wish, max(facts.model_bytes.values()))
    budgets = halvings(labels, len(facts.facts["labels"]))
    plan = plan_study(_with_study(recipe, possible, budgets))
    seconds = _by_kind(estimate(plan).seconds)
    options = list(selections(Selection(tuple(possible), tuple(budgets)), wish))
    within = 60 * minutes * _TIME_SHARE
    fitting = next((one for one in options if one.seconds(seconds).seconds <= within), options[-1])
    return AnswerPlan(
        fitting.variants,
        fitting.budgets,
        too_large=tuple(too_large),
        without_time=tuple(_without_time(options[0], fitting)),
        minutes=minutes,
        seconds=fitting.seconds(seconds),
        everything=options[0].seconds(seconds).high / _TIME_SHARE / 60,
    )


def possible_variants(training_examples: int) -> list[PlannedVariant]:
    """Return all variants, each after the one that it is made from."""
    pool = f", set: {{distill.pool: {_MOST_POOL_TEXTS}}}" if training_examples > _MOST_POOL_TEXTS else ""
    int4 = "{int8-onnx: {embeddings: int4}}"
    compressed, trimmed = "onnxruntime", "skeletoken"
    return [
        PlannedVariant("tfidf", "tfidf", "control: word counts, without a neural network"),
        PlannedVariant("probe", "probe", "a linear model on the frozen checkpoint", whole=True),
        PlannedVariant("finetune", "finetune", "the whole checkpoint, fine-tuned", whole=True),
        PlannedVariant("scratch", "scratch", "control: the same model without pretraining", whole=True),
        PlannedVariant("int8", "{name: int8, of: finetune, steps: [int8-onnx]}", "finetune in 8 bits",
                       source="finetune", package=compressed),
        PlannedVariant("student", f"{{name: student, method: distill{pool}}}", "half of the layers, taught by finetune",
                       source="finetune"),
        PlannedVariant("student-int8", "{name: student-int8, of: student, steps: [int8-onnx]}", "student in 8 bits",
                       source="student", package=compressed),
        PlannedVariant("tiny", f"{{name: tiny, of: student, steps: [vocabulary, {int4}]}}",
                       "student in 8 bits, with fewer tokens in 4 bits", source="student", package=trimmed),
    ]  # fmt: skip


def allowed(
    variants: Sequence[PlannedVariant], wish: Wish, checkpoint_bytes: int
) -> tuple[list[PlannedVariant], list[tuple[str, str]]]:
    """Return the variants that may be chosen, their sources, and the others with the reason."""
    reasons = {one.name: _refusal(one, wish, checkpoint_bytes) for one in variants}
    kept = {one.name for one in variants if not reasons[one.name]}
    needed = kept | {one.source for one in variants if one.name in kept}
    needed |= {one.source for one in variants if one.name in needed}
    possible = [
        replace(one, meaning=f"{one.meaning}; too large itself, but others are made from it", only_source=True)
        if reasons[one.name]
        else one
        for one in variants
        if one.name in needed
    ]
    return possible, [(name, reason) for name, reason in reasons.items() if reason and name not in needed]


def _refusal(variant: PlannedVariant, wish: Wish, checkpoint_bytes: int) -> str:
    """Return the reason why a variant cannot be chosen; empty if there is none."""
    if variant.package and find_spec(variant.package) is None:
        return f"{variant.package} is not installed: pip install 'kit[compress]'"
    limit = wish.max_size_bytes
    if limit is None:
        return ""
    if variant.whole and checkpoint_bytes > limit:
        return f"{megabytes(checkpoint_bytes)}, above {limit / 1e6:g} MB"
    if variant.name == "int8" and _INT8_SHARE * checkpoint_bytes > limit:
        return f"at least {megabytes(_INT8_SHARE * checkpoint_bytes)}, above {limit / 1e6:g} MB"
    return ""


def halvings(labels: int, classes: int) -> list[int]:
    """Return the number of labels halved again and again, ascending.

    The smallest one has two labels per class.
    """
    least = max(_FEWEST_LABELS, _LABELS_PER_CLASS * classes)
    budgets = [labels]
    while budgets[0] // 2 >= least:
        budgets.insert(0, budgets[0] // 2)
    return budgets


def _with_study(recipe: Recipe, candidates: Sequence[PlannedVariant], budgets: Sequence[int]) -> Recipe:
    """Return a recipe with a study of one seed."""
    from kit.recipe.load import recipe_from_yaml, recipe_to_yaml

    section = AnswerPlan(tuple(candidates), tuple(budgets)).section("answer")
    without = recipe.model_copy(update={"study": type(recipe.study)()})
    planned = recipe_from_yaml(recipe_to_yaml(without) + section, "the plan")
    return planned.model_copy(update={"study": planned.study.model_copy(update={"seeds": 1})})


def _by_kind(seconds: Mapping[Cell, Span]) -> dict[Kind, Span]:
    return {(cell.variant, cell.budget): span for cell, span in seconds.items()}


@dataclass(frozen=True)
class Selection:
    """Variants and budgets that could be compared."""

    variants: tuple[PlannedVariant, ...]
    budgets: tuple[int, ...]

    def seconds(self, seconds: Mapping[Kind, Span]) -> Span:
        """Return the time of one seed of the smallest, the middle and the largest budget."""
        budgets = {self.budgets[0], self.budgets[len(self.budgets) // 2], self.budgets[-1]}
        return total(seconds[variant.name, budget] for variant in self.variants for budget in budgets)

    def without(self, name: str) -> Selection:
        """Return the selection without a variant, those made from it, and sources of no other."""
        gone = {name}
        while more := {one.name for one in self.variants if one.source in gone} - gone:
            gone |= more
        kept = [one for one in self.variants if one.name not in gone]
        while idle := [one for one in kept if one.only_source and all(other.source != one.name for other in kept)]:
            kept.remove(idle[0])
        return replace(self, variants=tuple(kept))

    def windows(self, least: int) -> Iterator[Selection]:
        """Yield the selection with fewer and fewer of its largest budgets, down to `least`."""
        for end in range(len(self.budgets), 0, -1):
            fewest = end < min(_FEWEST_BUDGETS, len(self.budgets))
            if self.budgets[end - 1] >= least and not fewest:
                yield replace(self, budgets=self.budgets[max(0, end - MOST_BUDGETS) : end])

    def has(self, name: str) -> bool:
        """Return whether a variant is part of the choice."""
        return any(one.name == name for one in self.variants)


def selections(choice: Selection, wish: Wish) -> Iterator[Selection]:
    """Yield smaller and smaller selections, the most useful first."""
    yield next(choice.windows(0))
    sets = [choice.without("scratch")]
    for name in ("student", "finetune", "probe"):
        sets.append(sets[-1].without(name))
    limited = wish.max_latency_ms is not None or wish.max_size_bytes is not None
    useful = sets[:2] if choice.has("int8") or not limited else sets[:1]
    largest = choice.budgets[-1]
    for variants, share in ((useful, 4), (sets, 16), (sets, largest)):
        for reduced in variants:
            yield from reduced.windows(largest // share)


def _without_time(everything: Selection, fitting: Selection) -> list[str]:
    """Return the variants and numbers of labels that a smaller selection lacks."""
    names = [one.name for one in everything.variants if not fitting.has(one.name)]
    larger = [f"{budget:,}" for budget in everything.budgets if budget > fitting.budgets[-1]]
    return [*names, f"{', '.join(larger)} labels"] if larger else names
