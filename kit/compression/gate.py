"""Gates: what a step of a chain costs, on examples and texts that no step learns from.

Knows models, validation examples and the pool's texts. Never looks at test examples.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from kit.errors import RecipeError
from kit.methods import Job
from kit.models.predictor import Predictor
from kit.recipe.compressing import GateSection

# Texts of the pool that no step sees: this share, and no more than this.
_SHARE, _MOST = 0.2, 1_000
_MUCH = 0.005  # of what is retained: a gate that lets through so much more than is asked for is said to be coarse
_SHARES = ("accuracy", "exact_match")  # of right answers: each example is worth as much as another


@dataclass(frozen=True)
class Gate:
    """What a step cost: shares against the model that the chain starts from, None where not asked for.

    retained: of the main metric, on the validation examples. agreement: on texts of the pool that no step sees.
    broken: what was less than it had to be, in words; empty where the step stays.
    """

    retained: float | None
    agreement: float | None
    broken: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether the step stays."""
        return not self.broken

    @property
    def content(self) -> dict[str, Any]:
        """For files and programs."""
        return {**asdict(self), "passed": self.passed}


@dataclass(frozen=True)
class Judge:
    """The model that a chain starts from, as gates compare with it.

    score: its main metric on the validation examples. answers: its outputs for the gate's texts.
    """

    section: GateSection
    job: Job
    score: float
    answers: np.ndarray

    @classmethod
    def of(cls, section: GateSection, job: Job, start: Predictor) -> Judge:
        """Let the start answer once, for all steps. Raises RecipeError if there is nothing to compare."""
        score = _score(job, start) if section.retained is not None else 0.0
        if section.retained is not None and score <= 0:
            raise RecipeError(
                f"compress.gate.retained: the model's {job.task.main_metric} on validation examples is {score:.3f}: "
                "none of it can be retained",
                "set it to null, and give compress.gate.agreement",
            )
        asked = section.agreement is not None
        answers = start.outputs(gate_texts(job)) if asked else np.zeros((0, 1))
        return cls(section, job, score, answers)

    def gate(self, model: Predictor) -> Gate:
        """Whether a step's model may stay."""
        retained = agreement = None
        broken = []
        if self.section.retained is not None:
            retained = _score(self.job, model) / self.score
            if retained < self.least_retained:
                seen = f"{len(self.job.data.validation):,} validation examples"
                broken.append(f"{retained:.1%} retained on {seen}, at least {self.least_retained:.1%} asked for")
        if self.section.agreement is not None:
            same = self.job.task.measure.same(model.outputs(gate_texts(self.job)), self.answers)
            agreement = float(same.mean())
            if agreement < self.section.agreement:
                seen = f"{len(same):,} texts of the pool"
                broken.append(f"agrees on {agreement:.1%} of {seen}, at least {self.section.agreement:.1%} asked for")
        return Gate(retained, agreement, tuple(broken))

    @property
    def coarse(self) -> str:
        """In words, that its validation examples are too few for what is asked; empty where they are not."""
        asked = self.section.retained
        if asked is None or (least := self.least_retained) > asked - _MUCH:
            return ""
        more, texts = "", len(_rows(self.job))
        if self.section.agreement is None and texts:
            more = f"; compress.gate.agreement would look at {texts:,} texts without labels too"
        return (
            f"compress.gate.retained: {len(self.job.data.validation):,} validation examples cannot tell {asked:.1%} "
            f"from less: a step that loses one of them ({least:.1%} retained) stays{more}"
        )

    @property
    def least_retained(self) -> float:
        """What the section asks for, or what is left when one validation example is lost, if that is less.

        Few examples cannot tell a percent: a single one that rounding turns weighs more. Of scores that are no shares
        of right answers it is taken to weigh twice the average at most.
        """
        weight = 1 / self.score
        if self.job.task.main_metric not in _SHARES:
            weight = min(weight, 2.0)
        one = weight / len(self.job.data.validation)
        return min(self.section.retained or 0.0, 1 - one - 1e-9)


def require_gate(section: GateSection, job: Job) -> None:
    """Raise RecipeError for a gate that has nothing to look at: before anything is trained."""
    if section.retained is not None and not len(job.data.validation):
        raise RecipeError(
            "compress.gate.retained: there are no validation examples to look at",
            "set it to null, and give compress.gate.agreement, which looks at texts without labels",
        )
    if section.agreement is not None and not len(_rows(job)):
        raise RecipeError(
            "compress.gate.agreement: there are too few texts outside the budget to look at",
            "set it to null, or lower data.budget",
        )


def gate_texts(job: Job) -> list[tuple[str, ...]]:
    """The pool's texts that only gates look at."""
    return job.data.pool.take(_rows(job)).texts


def pool_of_steps(job: Job) -> np.ndarray:
    """Rows of the pool that steps may look at."""
    return np.setdiff1d(np.arange(len(job.data.pool)), _rows(job))


def _rows(job: Job) -> np.ndarray:
    # Drawn at random: files are often sorted by label or by time.
    count = min(_MOST, int(_SHARE * len(job.data.pool)))
    return np.sort(np.random.default_rng(0).permutation(len(job.data.pool))[:count])


def _score(job: Job, model: Predictor) -> float:
    validation = job.data.validation
    return job.task.scores(model.outputs(validation.texts), job.task.targets(validation.labels))[job.task.main_metric]
