import pytest

from kit.training.diagnosis import Evaluation, diagnose


def history(train, validation, metric=None):
    metric = metric or [0.8] * len(train)
    return [Evaluation(10 * i, t, 0.9, v, m) for i, (t, v, m) in enumerate(zip(train, validation, metric, strict=True))]


def test_rising_validation_loss_is_overfitting_since_its_lowest_step() -> None:
    found = diagnose(history([0.6, 0.4, 0.2, 0.1], [0.62, 0.5, 0.55, 0.7], [0.7, 0.8, 0.78, 0.75]))
    assert (found.verdict, found.since) == ("overfitting", 10)
    assert found.line.startswith("overfitting since step 10: validation loss rose from 0.500 to 0.700")
    assert "did not suffer" not in found.line


def test_overfitting_says_when_the_metric_did_not_suffer() -> None:
    found = diagnose(history([0.6, 0.4, 0.2, 0.1], [0.62, 0.5, 0.55, 0.7], [0.7, 0.8, 0.8, 0.82]))
    assert found.line.endswith("the validation metric did not suffer")


def test_falling_loss_is_still_improving() -> None:
    assert diagnose(history([0.7, 0.6, 0.5, 0.4], [0.7, 0.6, 0.5, 0.42])).verdict == "still improving"


@pytest.mark.parametrize("tail", [[0.500, 0.498, 0.499], [0.500, 0.500, 0.505]])
def test_a_level_loss_has_converged(tail) -> None:
    assert diagnose(history([0.7, 0.5, 0.45, 0.44], [0.7, *tail])).verdict == "converged"


def test_a_loss_that_fell_until_the_rate_ran_out_may_fall_further() -> None:
    falling = [7.5, 6.8, 6.2, 5.7, 5.4, 5.2, 5.15, 5.14, 5.14]
    found = diagnose(history([7.4] * 9, falling))
    assert found.verdict == "converged"
    assert found.line.endswith("but 5.400 at step 40; more epochs may help")
    assert "more epochs" not in diagnose(history([0.5] * 9, [0.7, 0.6, *[0.5] * 7])).line


def test_a_loss_that_fell_over_a_few_pauses_until_the_rate_ran_out_may_fall_further() -> None:
    found = diagnose(history([8.0, 7.1, 6.7, 6.6], [8.013, 7.126, 6.691, 6.579]))
    assert found.line.endswith(
        "no longer falling as the learning rate ran out, but 7.126 at step 10; more epochs may help"
    )


def test_a_loss_that_never_moved_has_not_converged() -> None:
    found = diagnose(history([6.8] * 4, [6.8184, 6.8171, 6.8163, 6.8159]))
    assert (found.verdict, found.since) == ("unknown", None)
    assert "hardly moved, from 6.818 to 6.816" in found.line
    found = diagnose(history([6.8] * 4, [6.8, 5.0, 6.8, 6.79]))
    assert found.verdict != "unknown"


def test_too_few_evaluations_are_not_judged() -> None:
    assert diagnose(history([0.7, 0.6], [0.7, 0.6])).verdict == "unknown"
    assert diagnose([]).verdict == "unknown"
