"""Judgement of a difference (significant, not significant, not tested) in agreement with its interval."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

LEVEL = 0.05
MIN_SEEDS = 3  # paired seeds; with fewer, 8 to 58 % of the significant differences in a simulation were not real
TEST = "the bootstrap test over seeds and test examples"


class Result(StrEnum):
    """Outcome of the test of one difference."""

    SIGNIFICANT = "significant"
    NOT_SIGNIFICANT = "not significant"
    NOT_AFTER_CORRECTION = "not significant after correction"
    BORDERLINE = "not significant by its p value, close to the limit"
    NOT_TESTED = "not tested"


@dataclass(frozen=True)
class Judgement:
    """Outcome of a test, with its reason in words if it needs one."""

    result: Result
    reason: str = ""

    @property
    def words(self) -> str:
        """Short form, such as `not tested: 2 seeds`."""
        return f"{self.result}: {self.reason}" if self.reason else str(self.result)


def judge_difference(
    low: float, high: float, p: float, *, paired_seeds: int, one_run: bool, together: int
) -> Judgement:
    """Judge a difference by its 95 % interval, its corrected p value and the number of paired seeds.

    Args:
        low: Lower end of the interval of the difference.
        high: Upper end of the interval of the difference.
        p: P value after the correction for all comparisons made together.
        paired_seeds: Seeds that both sides have; 0 if they share none.
        one_run: Whether a side has a single seed.
        together: Number of comparisons that p is corrected for.
    """
    if paired_seeds < MIN_SEEDS:
        return Judgement(Result.NOT_TESTED, _too_few(paired_seeds, one_run))
    if low <= 0 <= high:
        return Judgement(Result.NOT_SIGNIFICANT)
    if p < LEVEL:
        return Judgement(Result.SIGNIFICANT)
    if together > 1:
        return Judgement(Result.NOT_AFTER_CORRECTION)
    return Judgement(Result.BORDERLINE)  # the interval and p are computed from the same resamples


def _too_few(paired_seeds: int, one_run: bool) -> str:
    if one_run or paired_seeds == 1:
        return "1 seed"
    return f"{paired_seeds} seeds" if paired_seeds else "no seed in common"


def requirement() -> str:
    """Return the test that decides on significance and its requirement, as the end of a sentence."""
    return f"{TEST} needs {MIN_SEEDS} seeds that both have"
