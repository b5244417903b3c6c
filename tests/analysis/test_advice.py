from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from kit.analysis.advice import advise
from kit.analysis.advice_options import Wish
from kit.analysis.findings import CellRow
from kit.analysis.headline import headline
from kit.analysis.points import Point, Run, metric_samples, point
from kit.errors import DataError
from kit.measurement.baselines import Baselines
from kit.measurement.measure import LabelMeasure
from tests.support.study_findings import STUDY, findings, perfect, series


def test_the_fewest_labels_that_meet_the_target_are_chosen() -> None:
    advice = advise(STUDY, Wish(target=0.73, label_cost=0.1))
    assert advice.choice is not None
    assert (advice.choice.series, advice.choice.labels) == ("finetune", 200)  # of two with as few labels, the better
    assert advice.runner_up is not None
    assert (advice.runner_up.series, advice.runner_up.labels) == ("probe", 200)
    assert "20.00 for labels" in advice.lines[0]
    assert "91.0 MB" in advice.lines[0]


def test_each_number_of_labels_has_its_best_model_within_the_limits() -> None:
    advice = advise(STUDY, Wish(target=0.73, label_cost=0.5))
    chosen = {labels: (option.series, option.labels, option.measured) for labels, option in advice.by_labels}
    assert chosen == {
        100: ("probe", 100, True), 200: ("finetune", 200, True), 400: ("finetune", 400, True),
        800: ("finetune", 800, True), 1_600: ("finetune", 1_600, False), 3_200: ("finetune", 3_200, False),
        6_400: ("finetune", 6_400, False),
    }  # fmt: skip
    options = [option for _, option in advice.by_labels]
    assert options[0].probability is not None and options[0].probability < 0.5
    assert options[-1].probability is not None and options[-1].probability > 0.9
    assert [option.cost for option in options] == [50, 100, 200, 400, 800, 1_600, 3_200]
    limited = advise(STUDY, Wish(max_latency_ms=1.0))
    assert {option.series for _, option in limited.by_labels} == {"tfidf"}
    worse_with_more = findings(series("finetune", (0.80, 0.76, 0.75, 0.74), 7.0, 91_000_000))
    assert [option.labels for _, option in advise(worse_with_more, Wish()).by_labels] == [100] * 4


def test_nothing_is_predicted_from_an_ill_behaved_curve() -> None:
    falling = series("falling", (0.60, 0.80, 0.78, 0.70), 7.0, 91_000_000)
    jumping = series("jumping", (0.50, 0.51, 0.52, 0.90), 7.0, 91_000_000)
    short = [series(name, (0.6, 0.7), 7.0, 91_000_000) for name in "abcdef"]
    advice = advise(findings(falling, jumping, *short), Wish(target=0.95))
    reasons = dict(advice.refusals)
    assert reasons["falling"].startswith("its curve falls significantly, from 80.0 % with 200 to 70.0 % with 800")
    assert reasons["jumping"].startswith("its curve was off by 3") and "(limit: 5.0 points)" in reasons["jumping"]
    few = "a learning curve needs at least 4 different budgets; there are 2"
    assert reasons["a"] == few
    assert [line for line in advice.lines if line.endswith(few)] == [f"no prediction for a, b, c, d and 2 more: {few}"]
    assert all(option.measured for _, option in advice.by_labels)
    many = [replace(falling, name=f"{n}", refusal=f"{n} budgets", fit=None) for n in range(9)]
    last = [line for line in advise(findings(*many), Wish()).lines if line.startswith("no prediction for")][-1]
    assert last == "no prediction for 5 more: --json has the reasons"


def test_the_probability_and_the_cost_of_every_option_are_printed() -> None:
    lines = advise(STUDY, Wish(target=0.755, label_cost=0.1)).lines
    for start in (
        "possible: finetune with 200",
        "safer: finetune with 400",
    ):
        (line,) = [line for line in lines if line.startswith(start)]
        assert re.search(r", [24]0.00 for labels, accuracy .*\] \(\d+ % of the resamples reach the target\)", line)


def undone(series_name: str, budget: int, seed: int, record: str, *steps: str) -> CellRow:
    return CellRow(series_name, budget, seed, "finished", record=record, undone=steps)


def test_advice_names_compression_that_was_undone() -> None:
    finetune, probe = STUDY.series[:2]
    int8 = replace(probe, name="int8", source="finetune", steps=("int8-onnx",))
    why = "int8-onnx: agrees on 80 %"
    rows = [undone("finetune", 100, seed, f"r{seed}") for seed in (0, 1)]
    rows += [undone("int8", 100, 0, "r0", why), undone("int8", 100, 1, "r1", why)]
    rows += [undone("int8", 200, 0, "other"), undone("int8", 200, 1, "r1", why), undone("finetune", 200, 1, "r1")]
    advice = advise(replace(findings(finetune, int8), cells=tuple(rows)), Wish())
    assert advice.undone == (
        ("int8", 100, "the gate undid int8-onnx for 2 of 2 seeds: it is the model of finetune, not a compressed one"),
        (
            "int8",
            200,
            "the gate undid int8-onnx for 1 of 2 seeds, whose model is that of finetune",
        ),
    )
    small = advise(replace(findings(int8), series=(finetune, int8), cells=tuple(rows)), Wish(target=0.715))
    (line,) = [line for line in small.lines if line.startswith("possible: int8 with 100 labels")]
    assert line.endswith("the gate undid int8-onnx for 2 of 2 seeds: it is the model of finetune, not a compressed one")


def test_a_choice_near_the_target_is_unsure() -> None:
    advice = advise(STUDY, Wish(target=0.849))
    assert advice.choice is not None
    assert advice.choice.probability is not None
    assert 0.2 < advice.choice.probability < 0.8
    assert not advice.sure
    assert advice.lines[0].startswith("undecided: finetune with 800 labels reaches 84.9 % in only ")
    assert not any(line.startswith("not sure:") for line in advice.lines)  # the first line has the share already
    assert any(line.startswith("to measure next:") for line in advice.lines)


def test_a_choice_far_above_the_target_is_sure() -> None:
    advice = advise(STUDY, Wish(target=0.66))
    assert advice.sure
    assert advice.safer is None
    assert any(line.startswith("sure: ") for line in advice.lines)


def test_a_safer_choice_is_listed_beside_an_unsure_one() -> None:
    advice = advise(STUDY, Wish(target=0.755))
    assert advice.choice is not None
    assert advice.choice.labels == 200
    assert advice.safer is not None
    assert (advice.safer.series, advice.safer.labels) == ("finetune", 400)


def test_the_curve_predicts_beyond_the_measured_budgets() -> None:
    advice = advise(STUDY, Wish(target=0.87))
    assert advice.choice is not None
    assert not advice.choice.measured
    assert advice.choice.series == "finetune"
    assert 800 < advice.choice.labels < 6_400
    assert advice.choice.metric.value == pytest.approx(0.87, abs=0.002)
    assert advice.lines[0].startswith(f"undecided: finetune with {advice.choice.labels:,} labels reaches 87.0 % in ")
    assert "such a prediction was off by" in advice.lines[1]
    assert any(f"finetune with {advice.choice.labels:,} labels (add it to study.budgets)" in x for x in advice.lines)


def test_close_choices_are_undecided() -> None:
    levels = {"finetune": 0.82, "lora": 0.821, "probe": 0.819, "tfidf": 0.6}
    close = findings(*[series(name, (value,), 7.0, 1_000) for name, value in levels.items()])
    advice = advise(close, Wish())
    assert not advice.decided
    assert {rival.option.series for rival in advice.contenders} == {"finetune", "lora", "probe"}
    assert sum(rival.share for rival in advice.contenders) > 0.9
    assert advice.lines[0].startswith("undecided: the study cannot decide between ")
    assert not any(line.startswith(("choose", "given up: nothing", "lightest", "needs the")) for line in advice.lines)
    assert any(line.startswith("to measure next: ") for line in advice.lines)


@pytest.mark.parametrize(
    ("latency", "line"),
    [(7.0, "needs the fewest labels: probe with 100 labels"), (0.4, "lightest of them: lora with 200 labels")],
)
def test_the_cheapest_of_close_choices_is_listed(latency: float, line: str) -> None:
    probe = series("probe", (0.82,), 7.2, 1_005)
    lora = series("lora", (0.5, 0.821), latency, 1_000)
    lines = advise(findings(probe, replace(lora, points=lora.points[1:])), Wish()).lines
    assert line in lines


@pytest.mark.parametrize("wish", [Wish(), Wish(target=0.83)])
def test_a_choice_no_better_than_the_majority_is_undecided(wish: Wish) -> None:
    baselines = Baselines({"accuracy": 0.5}, {"accuracy": 0.845}, ("no",))
    advice = advise(replace(STUDY, baselines=baselines), wish)
    assert not advice.decided and not advice.sure
    reason = "finetune with 800 labels is not better than always predicting 'no' (accuracy 84.5 %): the interval does"
    assert any(line.startswith(f"undecided: {reason}") for line in advice.lines)
    assert not any(line.startswith(("choose", "sure")) for line in advice.lines)
    assert any(line.startswith("to measure next: ") for line in advice.lines)


def test_a_target_below_the_majority_is_reported_first() -> None:
    baselines = Baselines({"accuracy": 0.5}, {"accuracy": 0.6}, ("no",))
    study = replace(STUDY, baselines=baselines)
    line = "the target of 60.0 % needs no model: always predicting 'no' has accuracy 60.0 %"
    assert advise(study, Wish(target=0.6)).lines[0] == line
    assert advise(study, Wish(target=0.61)).lines[0].startswith("choose ")
    high = advise(replace(STUDY, baselines=Baselines({}, {"accuracy": 0.95}, ("no",))), Wish(target=0.85)).lines
    assert high[-1] == "to measure next: a larger budget; at 800 labels it is no better than the majority"


def test_excessive_evidence_is_counted() -> None:
    edge = STUDY.series[0].points[1].estimate.value - 0.0004
    [line] = [one for one in advise(findings(STUDY.series[0]), Wish(target=edge)).lines if "would be needed" in one]
    assert line.startswith("to measure next: nothing; at 200 labels it is too close to the target: about ")
    assert line.endswith(" more test examples would be needed, and larger budgets are measured")


def test_two_seeds_are_too_few_to_compare() -> None:
    pairs = [
        replace(one_series, points=tuple(point(p.budget, p.runs[:2]) for p in one_series.points))
        for one_series in STUDY.series
    ]
    advice = advise(findings(*pairs), Wish())
    assert not advice.sure
    few = "two seeds are too few for a test, which needs 3 that both have"
    assert any(line.endswith(f" of the resamples; {few}") for line in advice.lines)
    assert any(line.startswith("to measure next: 3 more seeds") for line in advice.lines)


def test_one_seed_makes_nothing_sure() -> None:
    lone = [
        replace(one_series, points=tuple(point(p.budget, p.runs[:1]) for p in one_series.points))
        for one_series in STUDY.series
    ]
    for wish in (Wish(target=0.5), Wish()):
        advice = advise(findings(*lone), wish)
        assert not advice.sure
        assert advice.safer is None
        assert any("one seed" in line for line in advice.lines)
        assert any(line.startswith("to measure next: 4 more seeds") for line in advice.lines)


def test_without_a_target_only_a_clear_lead_is_sure() -> None:
    assert advise(STUDY, Wish()).sure
    near = findings(
        series("finetune", (0.70, 0.76, 0.81, 0.85), 7.0, 1), series("lora", (0.70, 0.76, 0.81, 0.849), 7.0, 1)
    )
    advice = advise(near, Wish())
    assert not advice.sure
    [unsure] = [line for line in advice.lines if line.startswith("not sure: ")]
    assert unsure.startswith("not sure: finetune with 800 labels beats lora with 800 labels in ")
    assert unsure.endswith(" of the resamples")
    assert any(line.startswith("to measure next: ") for line in advice.lines)


@pytest.mark.parametrize("target", [0, 85, -0.5])
def test_a_target_that_no_metric_can_have_is_refused(target) -> None:
    with pytest.raises(DataError, match="not a value that accuracy can have") as caught:
        advise(STUDY, Wish(target=target))
    assert "85 % is 0.85" in caught.value.hint


@pytest.mark.parametrize("target", [0.73, 73])
def test_a_bleu_target_may_be_out_of_100(target) -> None:
    advice = advise(replace(STUDY, metric="bleu"), Wish(target=target))
    assert advice.choice is not None and advice.choice.labels == 200
    assert " 76.0 [" in advice.lines[0]


def test_few_test_examples_without_error_are_not_sure() -> None:
    study = findings(perfect("probe", 7.0, 1_000))
    advice = advise(study, Wish(target=0.99))
    assert advice.choice is not None
    assert advice.choice.probability == pytest.approx(1 - 0.99**33, abs=0.05)  # Beta(33, 1)
    assert not advice.sure
    assert any("more test examples: the test set is what limits certainty" in line for line in advice.lines)
    assert advise(study, Wish(target=0.85)).sure  # 32 of 32: above 0.89 at 97.5 %


def test_the_faster_and_smaller_of_equal_choices_wins() -> None:
    study = findings(perfect("finetune", 13.0, 91_000_000), perfect("tfidf", 0.4, 11_000))
    for wish in (Wish(), Wish(target=0.85)):
        advice = advise(study, wish)
        assert advice.choice is not None
        assert (advice.choice.series, advice.choice.labels) == ("tfidf", 100)
    assert headline(study.series, (), (), "accuracy")[0].startswith("Best at 400 labels: tfidf")


def test_a_single_series_is_never_sure() -> None:
    advice = advise(findings(STUDY.series[0]), Wish())
    assert not advice.sure
    assert advice.lines[-1] == "there is no other series within the limits to compare with"


def test_the_given_up_gap_is_corrected_for_all_options() -> None:
    levels = {"finetune": (0.800, 0.802, 0.803, 0.822), "lora": (0.806, 0.806, 0.807, 0.807)}
    close = findings(*[series(name, values, 7.0, 1) for name, values in levels.items()])
    advice = advise(close, Wish(target=0.80))
    assert any(line.endswith("(not significant after correction for 7 comparisons)") for line in advice.lines)


@pytest.mark.parametrize(("seed_sd", "examples"), [(0.03, 1_000), (0.001, 200)])
def test_the_suggested_measurement_moves_the_interval_to_the_target(seed_sd, examples) -> None:
    def measured(seeds: int, examples: int) -> Point:
        spread = np.linspace(-1, 1, seeds)
        spread = 0.8 + seed_sd * spread / spread.std(ddof=1)
        right = [np.random.default_rng(s).permutation(examples) < round(v * examples) for s, v in enumerate(spread)]
        logits = [np.stack([row, ~row], axis=1).astype(float) for row in right]
        means, samples = metric_samples(logits, np.zeros(examples, np.int64), LabelMeasure("accuracy"))
        return point(100, [Run(str(s), s, float(means[s]), right[s], samples[s]) for s in range(seeds)])

    target = 0.77 if examples > 500 else 0.78
    start = replace(STUDY.series[0], points=(measured(3, examples),), fit=None)
    advice = advise(findings(start), Wish(target=target))
    suggestion = next(line for line in advice.lines if line.startswith("to measure next: about"))
    number = int(suggestion.split()[4].replace(",", ""))
    more = measured(3 + number, examples) if "seeds differ most" in suggestion else measured(3, examples + number)
    assert ("seeds differ most" in suggestion) == (seed_sd > 0.01)
    assert more.estimate.low == pytest.approx(target, abs=0.01)


def test_a_curve_does_not_overrule_a_measurement() -> None:
    bumpy = series("finetune", (0.70, 0.76, 0.81, 0.812), 7.0, 1_000)
    assert bumpy.fit is not None
    target = 0.8125
    options = advise(findings(bumpy), Wish(target=target))
    assert options.choice is None or options.choice.labels > 800


def test_equal_models_and_a_perfect_target_are_reported() -> None:
    study = findings(perfect("finetune", 13.0, 91_000_000), perfect("tfidf", 0.4, 11_000))
    lines = advise(study, Wish()).lines
    assert "not sure: the runner-up is as good in all of the resamples, and no lighter" in lines
    assert (
        "to measure next: nothing; no test set can show that there will be no error"
        in advise(study, Wish(target=1)).lines
    )


def test_a_measured_larger_budget_is_not_suggested() -> None:
    edge = STUDY.series[0].points[1].estimate.value - 0.0004
    lines = advise(findings(STUDY.series[0]), Wish(target=edge)).lines
    assert any(line.endswith("and larger budgets are measured") for line in lines)
