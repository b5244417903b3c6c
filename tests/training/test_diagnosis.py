from dataclasses import replace

import numpy as np
import pytest

from kit.training.diagnosis import Evaluation, diagnose, loss_parts


def history(train, validation, metric=None):
    metric = metric or [0.8] * len(train)
    return [Evaluation(10 * i, t, 0.9, v, m) for i, (t, v, m) in enumerate(zip(train, validation, metric, strict=True))]


def test_rising_validation_loss_is_overfitting_since_its_lowest_step() -> None:
    diagnosis = diagnose(history([0.6, 0.4, 0.2, 0.1], [0.62, 0.5, 0.55, 0.7], [0.7, 0.8, 0.78, 0.75]))
    assert (diagnosis.verdict, diagnosis.since) == ("overfitting", 10)
    assert diagnosis.line.startswith("overfitting since step 10: validation loss rose from 0.500 to 0.700")
    assert "did not suffer" not in diagnosis.line


def test_overfitting_mentions_a_metric_that_did_not_suffer() -> None:
    diagnosis = diagnose(history([0.6, 0.4, 0.2, 0.1], [0.62, 0.5, 0.55, 0.7], [0.7, 0.8, 0.8, 0.82]))
    assert diagnosis.line.endswith("the validation metric did not suffer")


def test_falling_loss_is_still_improving() -> None:
    assert diagnose(history([0.7, 0.6, 0.5, 0.4], [0.7, 0.6, 0.5, 0.42])).verdict == "still improving"


@pytest.mark.parametrize("tail", [[0.500, 0.498, 0.499], [0.500, 0.500, 0.505]])
def test_a_level_loss_has_converged(tail) -> None:
    assert diagnose(history([0.7, 0.5, 0.45, 0.44], [0.7, *tail])).verdict == "converged"


def test_more_epochs_are_advised_if_the_rate_ran_out() -> None:
    falling = [7.5, 6.8, 6.2, 5.7, 5.4, 5.2, 5.15, 5.14, 5.14]
    diagnosis = diagnose(history([7.4] * 9, falling))
    assert diagnosis.verdict == "converged"
    assert diagnosis.line.endswith("but 5.400 at step 40; more epochs may help")
    assert "more epochs" not in diagnose(history([0.5] * 9, [0.7, 0.6, *[0.5] * 7])).line


def test_more_epochs_are_advised_with_few_evaluations() -> None:
    diagnosis = diagnose(history([8.0, 7.1, 6.7, 6.6], [8.013, 7.126, 6.691, 6.579]))
    assert diagnosis.line.endswith(
        "no longer falling as the learning rate ran out, but 7.126 at step 10; more epochs may help"
    )


def test_a_loss_that_never_moved_has_not_converged() -> None:
    diagnosis = diagnose(history([6.8] * 4, [6.8184, 6.8171, 6.8163, 6.8159]))
    assert (diagnosis.verdict, diagnosis.since) == ("unknown", None)
    assert "hardly moved, from 6.818 to 6.816" in diagnosis.line
    diagnosis = diagnose(history([6.8, 6.0, 5.0, 4.0], [6.8, 5.0, 6.8, 6.79]))
    assert diagnosis.verdict != "unknown"
    diagnosis = diagnose(history([6.8] * 4, [6.8, 5.0, 6.8, 6.79]))
    assert "and training loss did not fall; a lower learning rate may help" in diagnosis.line


def test_too_few_evaluations_are_not_judged() -> None:
    assert diagnose(history([0.7, 0.6], [0.7, 0.6])).verdict == "unknown"
    assert diagnose([]).verdict == "unknown"


def sampled(means, examples, spread=1.0, shared=0.0, seed=0):
    """Return noisy evaluations with these mean losses, and their parts; `shared` scales the noise common to all."""
    random = np.random.default_rng(seed)
    own = random.exponential(1, examples) - 1
    losses = [mean * (1 + shared * own) + spread * mean * (random.exponential(1, examples) - 1) for mean in means]
    evaluations = history(np.linspace(0.7, 0.1, len(means)), [float(sample.mean()) for sample in losses])
    evaluations = [replace(evaluation, validation_examples=examples) for evaluation in evaluations]
    return evaluations, [loss_parts(sample) for sample in losses]


@pytest.mark.parametrize("means", [[0.6, 0.5, 0.55, 0.9], [0.9, 0.8, 0.6, 0.4], [0.6, 0.5, 0.5, 0.5]])
def test_ten_validation_examples_are_too_few(means) -> None:
    diagnosis = diagnose(*sampled(means, 10))
    assert diagnosis.verdict == "too few validation examples"
    assert diagnosis.line.startswith("too few validation examples to tell (10)")
    assert "more epochs" not in diagnosis.line and "overfitting" not in diagnosis.line


@pytest.mark.parametrize("examples", [20, 40, 100, 400])
def test_noise_around_a_level_loss_is_not_a_trend(examples) -> None:
    """About 5 % of histories with noise alone may be judged a trend."""
    verdicts = [diagnose(*sampled([0.5] * 8, examples, spread=0.5, seed=seed)).verdict for seed in range(100)]
    assert sum(verdict in ("still improving", "overfitting") for verdict in verdicts) <= 10


def test_many_validation_examples_show_a_clear_trend() -> None:
    assert diagnose(*sampled([0.9, 0.7, 0.55, 0.45], 500, spread=0.3)).verdict == "still improving"
    assert diagnose(*sampled([0.9, 0.5, 0.6, 0.8], 500, spread=0.3)).verdict == "overfitting"
    assert diagnose(*sampled([0.9, 0.5, 0.5, 0.5], 500, spread=0.2)).verdict == "converged"


def test_paired_losses_detect_trends_that_unpaired_losses_do_not() -> None:
    evaluations, parts = sampled([0.9, 0.7, 0.6, 0.5], 60, spread=0.1, shared=1.0)
    assert diagnose(evaluations, parts).verdict == "still improving"
    assert diagnose(evaluations).verdict == "too few validation examples"


@pytest.mark.parametrize("tail", [[0.44, 0.40, 0.405], [0.40, 0.401, 0.402], [0.40, 0.405, 0.404]])
def test_more_epochs_are_not_advised_after_the_minimum(tail) -> None:
    line = diagnose(history([0.7, 0.5, 0.4, 0.3, 0.2, 0.1, 0.1], [0.9, 0.8, 0.7, 0.6, *tail])).line
    assert line.startswith("converged") and "lowest at step" in line and "more epochs" not in line


@pytest.mark.parametrize("examples", [1, 99, 100, 101, 150, 1_000])
def test_loss_parts_have_the_loss_as_mean(examples) -> None:
    losses, tokens = np.random.default_rng(0).random((2, examples)) + 0.1
    assert len(loss_parts(losses)) <= 100
    assert np.mean(loss_parts(losses)) == pytest.approx(losses.mean(), rel=1e-5)
    assert np.mean(loss_parts(losses, tokens)) == pytest.approx(losses.sum() / tokens.sum(), rel=1e-5)
    assert loss_parts(np.array([])) == []
