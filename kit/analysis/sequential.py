"""Sequential decisions: what is certain after each look at a study, and what is not.

Claims stay true with a probability of 95 % although the study is looked at several times and ends by its results:

- **Looks.** Look k spends 5 % / (k (k + 1)) of error probability (alpha spending: Lan & DeMets 1983,
  doi:10.1093/biomet/70.3.659). The sum over any number of looks is 5 %, so that a study can be continued at any time.
- **Series.** Each look divides its share equally among the series within the limits (Bonferroni).
- **Budgets.** Within a series, budgets are tested in a fixed order and up to the first that is not certain, which needs
  no correction (Maurer, Hothorn & Lehmacher 1995): "meets" from the largest down, "fails" from the smallest up.
- **Best series.** Without a target, only the test against the truly best series can make the claim wrong, so that a
  choice is corrected for the number of series, not of pairs (Hsu 1984, doi:10.1214/aos/1176346610). A series that is
  certainly worse than another one is eliminated (Paulson 1964, doi:10.1214/aoms/1177703739).

Without a target, the largest budget of each series stands for its best: more labels are assumed not to make a variant
worse. Claims need three seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kit.analysis.advice_options import Wish
from kit.analysis.best_look import look_for_best
from kit.analysis.looks import (
    INDIFFERENCE,
    SURE,
    Candidate,
    Evidence,
    Judged,
    Look,
    Open,
    Verdict,
    first_round,
)
from kit.analysis.target_look import look_for_target

__all__ = ["INDIFFERENCE", "SURE", "Candidate", "Judged", "Look", "Open", "Verdict", "look"]

_UNMEASURED = "not every variant is measured at its smallest, middle and largest budget"


def look(
    candidates: Sequence[Candidate],
    wish: Wish,
    *,
    metric: str = "accuracy",
    floor: float = -1.0,
    earlier: Look | None = None,
) -> Look:
    """Return what is certain at this look, and the options to measure before the next one.

    The first round of a study measures one seed of the smallest, the middle and the largest budget of each series.

    Args:
        candidates: Series of the study.
        wish: Target; its limits are those of `Candidate.excluded`.
        metric: Name of the main metric.
        floor: Metric of the majority rule, which a choice must beat to be sure.
        earlier: The look before this one; None for the first.
    """
    allowed = [one for one in candidates if not one.excluded]
    excluded = {one.series: one.excluded for one in candidates if one.excluded}
    evidence = Evidence.of(allowed, metric, floor, earlier or Look())
    if not allowed:
        return Look(evidence.number, claim="no variant is within the limits", sure=True, dropped=excluded)
    missing = first_round(allowed)
    if missing and not all(one.points for one in allowed):
        return replace(earlier or Look(), claim=_UNMEASURED, sure=False, open=tuple(missing), dropped=excluded)
    result = look_for_best(evidence) if wish.target is None else look_for_target(evidence, wish.target)
    if missing:
        result = replace(result, claim=f"{_UNMEASURED}: {result.claim}", sure=False, open=tuple(missing))
    return replace(result, dropped=excluded | dict(result.dropped))
