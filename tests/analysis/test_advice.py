from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kit.analysis.advice import advise
from kit.analysis.answer import answer
from kit.analysis.comparison import all_pairs
from kit.analysis.curve import CurveRefused, fit_learning_curve
from kit.analysis.findings import CellRow, Findings, Series, Speed
from kit.analysis.options import Wish
from kit.analysis.points import Point, Run, errors, metric_samples, point
from kit.analysis.transfer import Transfer
from kit.errors import DataError
from kit.measurement.baselines import Baselines
from kit.measurement.measure import LabelMeasure

BUDGETS = (100, 200, 400, 800)
EXAMPLES = 1_000


def points(values: tuple[float, ...], name: str, size: int) -> tuple[Point, ...]:
    """Points with these means over seeds that differ by about half a point, from answers to 1,000 test examples."""
    truth = np.zeros(EXAMPLES, np.int64)
    found = []
    seeds = 5
    for budget, value in zip(BUDGETS, values, strict=False):
        right = []
        for seed in range(seeds):
            shifted = value + 0.005 * (seed - (seeds - 1) / 2)
            right.append(np.random.default_rng([seed, len(name)]).permutation(EXAMPLES) < round(shifted * EXAMPLES))
        logits = [np.stack([row, ~row], axis=1).astype(float) for row in right]
        means, samples = metric_samples(logits, truth, LabelMeasure("accuracy"))
        runs = [Run(f"r{s}", s, float(means[s]), right[s], samples[s], model_bytes=size) for s in range(seeds)]
        found.append(point(budget, runs))
    return tuple(found)


def series(name: str, values: tuple[float, ...], latency: float | None, size: int) -> Series:
    made = points(values, name, size)
    try:
        fit, refusal = fit_learning_curve(BUDGETS[: len(values)], *errors(made)), ""
    except CurveRefused as refused:
        fit, refusal = None, str(refused)
    speed = None if latency is None else Speed(latency, 2 * latency, "cpu")
    return Series(name, name.split(maxsplit=1)[0], "minilm", 1_000, made, speed, size, fit, refusal)


def findings(*all_series: Series) -> Findings:
    return Findings(
        study="s", created="", task="sentiment", metric="accuracy", labels=("no", "yes"), training_examples=7_000,
        test_examples=EXAMPLES,
        answer=(), notes=(), series=all_series, comparisons=(), worth=(), frontier=(), cells=(), data=(),
        environment={}, recipe="", command="",
    )  # fmt: skip


STUDY = findings(
    series("finetune", (0.70, 0.76, 0.81, 0.85), 7.0, 91_000_000),
    series("probe", (0.72, 0.74, 0.755, 0.765), 7.0, 91_000_000),
    series("tfidf", (0.60, 0.64, 0.68, 0.71), 0.3, 200_000),
)


def test_the_fewest_labels_that_meet_the_target_are_chosen() -> None:
    advice = advise(STUDY, Wish(target=0.73, label_cost=0.1))
    assert advice.choice is not None
    assert (advice.choice.series, advice.choice.labels) == ("finetune", 200)  # of two with as few labels, the better
    assert advice.runner_up is not None
    assert (advice.runner_up.series, advice.runner_up.labels) == ("probe", 200)
    assert "20.00 for labels" in advice.lines[0]
    assert "91.0 MB" in advice.lines[0]


def test_limits_leave_series_out_with_the_reason() -> None:
    advice = advise(STUDY, Wish(max_latency_ms=5))
    assert advice.choice is not None
    assert (advice.choice.series, advice.choice.labels) == ("tfidf", 800)
    assert advice.excluded == (
        ("finetune", "7.0 ms per text, above 5 ms"),
        ("probe", "7.0 ms per text, above 5 ms"),
    )
    assert any(line.startswith("given up: 14.0 points against finetune with 800 labels") for line in advice.lines)
    assert any("(significant, corrected for 11 comparisons)" in line for line in advice.lines)
    unmeasured = findings(replace(STUDY.series[0], speed=None))
    assert advise(unmeasured, Wish(max_latency_ms=5)).choice is None


def test_an_unsure_choice_names_the_better_run_to_compress() -> None:
    tight = Wish(max_latency_ms=5)
    advice = advise(STUDY, tight)  # tfidf is the only one within the limit, and worse
    assert advice.commands == ("kit compress runs/r0",)
    assert "to try: kit compress runs/r0" in advice.lines
    small = replace(STUDY, candidates=(replace(STUDY.series[2], name="finetune + int8-onnx"),))
    assert advise(small, tight).commands == ("kit distill --teacher runs/r0 --student layers:3",)  # compressed before
    best = findings(replace(STUDY.series[2], name="probe", speed=STUDY.series[0].speed), STUDY.series[2])
    assert advise(best, tight).commands == ()  # what is left out is no better
    assert advise(STUDY, Wish(target=0.66, max_latency_ms=5)).commands == ()
    untimed = findings(replace(STUDY.series[0], speed=None), STUDY.series[2])
    assert advise(untimed, tight).commands == ()


def test_what_is_beyond_a_limit_is_described_once() -> None:
    busy = replace(STUDY.series[0], speed=replace(STUDY.series[0].speed, warning="the machine was busy"))
    [_, near, *_, last] = advise(findings(busy), Wish(max_latency_ms=5, max_size_bytes=25e6)).lines
    assert near.endswith("], 7.0 ms per text, 91.0 MB; above 5 ms and above 25 MB")
    assert last == (
        "latencies were measured on a busy machine and may be too high; to measure again, delete runs/s/speed.json and "
        "start the study again"
    )


def test_a_latency_limit_inside_an_interval_is_said() -> None:
    speed = replace(STUDY.series[0].speed, low_ms=5.5, high_ms=9.0)
    study = findings(replace(STUDY.series[0], speed=speed))
    [(_, why)] = advise(study, Wish(max_latency_ms=6)).excluded
    assert why == "7.0 ms per text, above 6 ms; the limit lies inside its interval [5.5, 9.0]"
    [line, *_] = advise(study, Wish(max_latency_ms=8)).lines
    assert "7.0 ms per text (the limit lies inside its interval [5.5, 9.0])" in line
    busy = findings(replace(STUDY.series[0], speed=replace(speed, warning="the machine was busy")))
    assert sum("busy" in line for line in advise(busy, Wish(max_latency_ms=8)).lines) == 1
    assert not any("busy" in line for line in advise(busy, Wish()).lines)
    both = advise(replace(busy, series=(*busy.series, STUDY.series[2])), Wish(max_latency_ms=8))
    assert both.lines[-1].startswith("latencies of finetune were measured on a busy machine")


def test_a_model_that_grows_with_the_budget_is_left_out_only_where_it_is_too_large() -> None:
    tfidf = STUDY.series[2]
    grown = [replace(p, runs=tuple(replace(run, model_bytes=1_000 * p.budget) for run in p.runs)) for p in tfidf.points]
    advice = advise(findings(replace(tfidf, points=tuple(grown))), Wish(max_size_bytes=250_000))
    assert advice.choice is not None
    assert (advice.choice.labels, advice.choice.model_bytes) == (200, 200_000)
    assert advice.excluded == ()


def test_a_choice_at_the_edge_of_the_target_is_not_sure_and_says_what_to_measure() -> None:
    advice = advise(STUDY, Wish(target=0.849))
    assert advice.choice is not None
    assert advice.choice.chance is not None
    assert 0.2 < advice.choice.chance < 0.8
    assert not advice.sure
    assert advice.lines[0].startswith("undecided: finetune with 800 labels reaches 84.9 % in only ")
    assert not any(line.startswith("not sure:") for line in advice.lines)  # the first line has the share already
    assert any(line.startswith("to measure next:") for line in advice.lines)


def test_a_choice_far_above_the_target_is_sure() -> None:
    advice = advise(STUDY, Wish(target=0.66))
    assert advice.sure
    assert advice.safer is None
    assert any(line.startswith("sure: ") for line in advice.lines)


def test_a_safer_choice_is_named_beside_an_unsure_one() -> None:
    advice = advise(STUDY, Wish(target=0.755))
    assert advice.choice is not None
    assert advice.choice.labels == 200
    assert advice.safer is not None
    assert (advice.safer.series, advice.safer.labels) == ("finetune", 400)


def test_beyond_what_was_measured_the_curve_answers_with_its_own_error() -> None:
    advice = advise(STUDY, Wish(target=0.87))
    assert advice.choice is not None
    assert not advice.choice.measured
    assert advice.choice.series == "finetune"
    assert 800 < advice.choice.labels < 6_400
    assert advice.choice.metric.value == pytest.approx(0.87, abs=0.002)
    assert advice.lines[0].startswith(f"undecided: finetune with {advice.choice.labels:,} labels reaches 87.0 % in ")
    assert "such a prediction was off by" in advice.lines[1]
    assert any(f"finetune with {advice.choice.labels:,} labels (add it to study.budgets)" in x for x in advice.lines)


def test_what_cannot_be_reached_is_said_with_what_comes_nearest() -> None:
    advice = advise(findings(*STUDY.series[1:]), Wish(target=0.95))
    assert advice.choice is None
    assert not advice.sure
    assert advice.lines[0] == "nothing qualifies: no choice, measured or predicted, reaches accuracy 95.0 %"
    assert advice.lines[1].startswith("nearest within the limits: probe with 800 labels")
    assert advice.lines[2].startswith("its curve does not get there by 6,400 labels (interval: from ")
    assert "such a prediction was off by" in advice.lines[2]
    assert advice.lines[3] == "to measure next: probe with 1,600 labels or more"
    assert advice.commands == ("kit study RECIPE --set 'study.budgets=[100, 200, 400, 800, 1600]'",)
    assert advice.lines[4] == f"to try: {advice.commands[0]}"


def test_limits_that_nothing_meets_name_the_command_to_try() -> None:
    advice = advise(replace(STUDY, runs="my runs"), Wish(target=0.82, max_latency_ms=5, max_size_bytes=25e6))
    assert advice.choice is None
    assert advice.lines[0].endswith("reaches accuracy 82.0 % within 5 ms per text and 25 MB")
    assert any(line.startswith("nearest beyond the limits: finetune with 800 labels") for line in advice.lines)
    assert advice.commands == ("kit compress 'my runs/r0'", "kit distill --teacher 'my runs/r0' --student layers:3")


def test_a_compressed_run_is_chosen_where_the_study_has_nothing() -> None:
    small = replace(series("finetune + int8-onnx", (0.69, 0.75, 0.80, 0.847), 0.7, 4_900_000), fit=None)
    study = replace(STUDY, candidates=(replace(small, points=small.points[-1:]),))
    advice = advise(study, Wish(target=0.82, max_latency_ms=5, max_size_bytes=25e6))
    assert advice.lines[0].startswith("choose finetune + int8-onnx with 800 labels, accuracy 84.7 % [")
    assert advice.lines[0].endswith("0.7 ms per text, 4.9 MB, in runs/r0 and 4 more")
    tighter = advise(study, Wish(target=0.82, max_latency_ms=0.5))
    assert tighter.commands == ("kit distill --teacher runs/r0 --student layers:3",)


def test_choices_that_cannot_be_told_apart_are_no_headline() -> None:
    levels = {"finetune": 0.82, "lora": 0.821, "probe": 0.819, "tfidf": 0.6}
    close = findings(*[series(name, (value,), 7.0, 1_000) for name, value in levels.items()])
    advice = advise(close, Wish())
    assert not advice.decided
    assert {each.option.series for each in advice.contenders} == {"finetune", "lora", "probe"}
    assert sum(each.share for each in advice.contenders) > 0.9
    assert advice.lines[0].startswith("undecided: the study cannot decide between ")
    assert not any(line.startswith(("choose", "given up: nothing", "lightest", "needs the")) for line in advice.lines)
    assert any(line.startswith("to measure next: ") for line in advice.lines)


@pytest.mark.parametrize(
    ("latency", "line"),
    [(7.0, "needs the fewest labels: probe with 100 labels"), (0.4, "lightest of them: lora with 200 labels")],
)
def test_of_close_choices_the_cheapest_is_named(latency: float, line: str) -> None:
    probe = series("probe", (0.82,), 7.2, 1_005)
    lora = series("lora", (0.5, 0.821), latency, 1_000)
    lines = advise(findings(probe, replace(lora, points=lora.points[1:])), Wish()).lines
    assert line in lines


def test_an_unfinished_study_says_so() -> None:
    cells = [CellRow("finetune", 100, seed, "finished" if seed < 2 else "open") for seed in range(5)]
    untimed = tuple(replace(each, speed=None) for each in STUDY.series)
    slow = replace(STUDY, series=untimed, cells=tuple(cells))
    advice = advise(slow, Wish(max_latency_ms=5))
    assert advice.lines == (
        "cannot tell yet: the study is unfinished (2 of 5 cells) and no model was timed",
        "to try: kit study RECIPE",
        "left out: finetune, probe, tfidf: not timed, as the study is unfinished",
    )
    assert advice.commands == ("kit study RECIPE",)
    assert dict(advice.excluded)["finetune"] == "unfinished: 2 of 5 cells"
    partly = advise(replace(slow, series=(*untimed[:2], STUDY.series[2])), Wish(0.8, max_latency_ms=5))
    assert partly.lines[0].endswith("and 2 of its 3 models were not timed")
    first = advise(slow, Wish()).lines[0]
    assert first == "unfinished: 2 of 5 cells have finished; `kit study RECIPE` continues"


def test_the_command_to_try_is_never_the_grid_of_the_study() -> None:
    cells = [CellRow("probe", budget, 0, "open" if budget == 1_600 else "finished") for budget in (*BUDGETS, 1_600)]
    study = replace(findings(*STUDY.series[1:]), cells=tuple(cells))
    advice = advise(study, Wish(target=0.95))
    assert advice.lines[1].startswith("nothing qualifies yet: ")
    assert advice.commands == ("kit study RECIPE",)
    large = advise(replace(study, series=study.series[:1]), Wish(target=0.76, max_size_bytes=25e6))
    assert large.lines[2].startswith("nearest beyond the limits: probe with 800 labels")
    assert large.commands == ("kit study RECIPE",), "a smaller model is for later: the study comes first"
    unsure = advise(replace(STUDY, cells=tuple(cells)), Wish(max_latency_ms=5))
    assert unsure.choice is not None and unsure.commands == ("kit study RECIPE",)
    assert unsure.lines[0] == "unfinished: 4 of 5 cells have finished"
    failed = replace(study, cells=(*cells[:-1], replace(cells[-1], state="failed")))
    assert advise(failed, Wish(target=0.95)).commands == (
        "kit study RECIPE --set 'study.budgets=[100, 200, 400, 800, 1600, 3200]'",
    )


def test_a_choice_no_better_than_the_majority_is_said_to_be_so() -> None:
    baselines = Baselines({"accuracy": 0.5}, {"accuracy": 0.9}, ("no",))
    said = " ".join(advise(replace(STUDY, baselines=baselines), Wish()).lines)
    assert "finetune with 800 labels is not better than always predicting 'no' (accuracy 90.0 %)" in said


def test_without_a_fit_the_reason_is_given() -> None:
    few = findings(series("finetune", (0.7, 0.75, 0.8), 7.0, 1_000))
    advice = advise(few, Wish(target=0.9))
    assert advice.choice is None
    assert (
        "no prediction for finetune: a learning curve needs at least 4 different budgets; there are 3" in advice.lines
    )


def test_two_seeds_are_too_few_to_compare_by() -> None:
    pairs = [replace(each, points=tuple(point(p.budget, p.runs[:2]) for p in each.points)) for each in STUDY.series]
    advice = advise(findings(*pairs), Wish())
    assert not advice.sure
    few = "two seeds are too few for a test, which needs 3 that both have"
    assert any(line.endswith(f" of the resamples; {few}") for line in advice.lines)
    assert any(line.startswith("to measure next: 3 more seeds") for line in advice.lines)


def test_one_seed_makes_nothing_sure() -> None:
    lone = [replace(each, points=tuple(point(p.budget, p.runs[:1]) for p in each.points)) for each in STUDY.series]
    for wish in (Wish(target=0.5), Wish()):
        advice = advise(findings(*lone), wish)
        assert not advice.sure
        assert advice.safer is None
        assert any("one seed" in line for line in advice.lines)
        assert any(line.startswith("to measure next: 4 more seeds") for line in advice.lines)


def test_without_a_target_it_is_sure_only_if_the_runner_up_is_plainly_worse() -> None:
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
def test_a_target_of_translations_may_be_of_a_hundred(target) -> None:
    advice = advise(replace(STUDY, metric="bleu"), Wish(target=target))
    assert advice.choice is not None and advice.choice.labels == 200
    assert " 76.0 [" in advice.lines[0]


def test_the_answer_names_the_best_what_it_beats_and_what_more_labels_give() -> None:
    comparisons = all_pairs([(each.name, each.points) for each in STUDY.series])
    worth = [Transfer("finetune", 100, 8.0, 5.0, 12.0), Transfer("finetune", 800, None, 8.0, None)]
    said = answer(STUDY.series, comparisons, worth, "accuracy")
    assert said[0].startswith("Best at 800 labels: finetune, accuracy 85.0 % [")
    assert "It is significantly better than probe and tfidf there." in said
    assert any(sentence.startswith("With 100 labels the highest mean is that of probe, 72.0 %") for sentence in said)
    assert any(s.startswith("From 400 to 800 labels finetune gained 4.0 points [") for s in said)
    assert any("With 1,600 labels it is predicted to reach" in s and "such a prediction was off by" in s for s in said)
    assert said[-1] == (
        "From scratch it would take, to match finetune, 8 times [5, 12] the labels at 100 and "
        "more than 8 times the labels at 800 labels."
    )


def test_a_difference_that_may_be_luck_is_called_that() -> None:
    levels = {"finetune": (0.70, 0.76, 0.80, 0.82), "lora": (0.7, 0.75, 0.8, 0.818)}
    close = findings(*[series(name, values, 7.0, 1) for name, values in levels.items()])
    comparisons = all_pairs([(each.name, each.points) for each in close.series])
    said = answer(close.series, comparisons, (), "accuracy")
    assert said[0].startswith("Highest mean at 800 labels: finetune")
    assert said[1].startswith("No significant difference there from lora (+0.2 points [-")
    assert answer((), (), (), "accuracy") == ()


def of_seeds(each: Series, count: int) -> Series:
    return replace(each, points=tuple(point(p.budget, p.runs[:count]) for p in each.points))


@pytest.mark.parametrize(("count", "words"), [(1, "1 seed"), (2, "2 seeds")])
def test_a_lead_of_few_seeds_is_not_tested(count: int, words: str) -> None:
    study = [of_seeds(each, count) for each in STUDY.series]
    comparisons = all_pairs([(each.name, each.points) for each in study])
    said = " ".join(answer(study, comparisons, (), "accuracy"))
    assert all(each.difference.low > 0 for each in comparisons if each.a == "finetune")
    assert f"is not tested: {words}; the bootstrap test over seeds and test examples needs 3 seeds" in said
    assert "No significant difference" not in said
    assert "Its lead over probe (+8.5 points [" in said


def perfect(name: str, latency: float, size: int, examples: int = 32) -> Series:
    """A series whose three seeds answer every test example right, at each budget."""
    right = np.ones(examples, bool)
    runs = [Run(f"r{s}", s, 1.0, right, np.ones(1_000), model_bytes=size) for s in range(3)]
    made = tuple(point(budget, runs) for budget in BUDGETS[:3])
    return Series(name, name, "minilm", 1_000, made, Speed(latency, latency, "cpu"), size, None, "few budgets")


def test_no_error_among_few_test_examples_does_not_make_a_higher_target_sure() -> None:
    study = findings(perfect("probe", 7.0, 1_000))
    advice = advise(study, Wish(target=0.99))
    assert advice.choice is not None
    assert advice.choice.chance == pytest.approx(1 - 0.99**33, abs=0.05)  # Beta(33, 1)
    assert not advice.sure
    assert any("more test examples: the test set is what limits certainty" in line for line in advice.lines)
    assert advise(study, Wish(target=0.85)).sure  # 32 of 32: above 0.89 at 97.5 %


def test_of_equal_choices_the_quicker_and_smaller_is_taken() -> None:
    study = findings(perfect("finetune", 13.0, 91_000_000), perfect("tfidf", 0.4, 11_000))
    for wish in (Wish(), Wish(target=0.85)):
        advice = advise(study, wish)
        assert advice.choice is not None
        assert (advice.choice.series, advice.choice.labels) == ("tfidf", 100)
    assert answer(study.series, (), (), "accuracy")[0].startswith("Best at 400 labels: tfidf")


def test_a_lone_series_is_better_than_nothing_for_sure() -> None:
    advice = advise(findings(STUDY.series[0]), Wish())
    assert not advice.sure
    assert advice.lines[-1] == "there is no other series within the limits to compare with"


def test_a_predicted_model_that_grows_is_held_to_the_limit_at_the_predicted_labels() -> None:
    tfidf = replace(series("finetune", (0.70, 0.76, 0.81, 0.85), 0.3, 0), name="tfidf", method="tfidf")
    grown = [replace(p, runs=tuple(replace(run, model_bytes=1_000 * p.budget) for run in p.runs)) for p in tfidf.points]
    study = findings(replace(tfidf, points=tuple(grown)))
    free = advise(study, Wish(target=0.87)).choice
    assert free is not None
    assert free.model_bytes == 1_000 * free.labels
    assert advise(study, Wish(target=0.87, max_size_bytes=900_000)).choice is None
    assert f"about {free.model_bytes / 1e6:.1f} MB" in advise(study, Wish(target=0.87)).lines[1]


def test_labels_that_the_data_do_not_have_are_told() -> None:
    few = replace(STUDY, training_examples=900)
    advice = advise(few, Wish(target=0.87))
    assert advice.choice is not None
    missing = advice.choice.labels - 900
    assert any(line.endswith(f"labels ({missing:,} more than the data have)") for line in advice.lines)
    nothing = advise(replace(few, series=STUDY.series[1:]), Wish(target=0.95))
    assert nothing.lines[3] == "to measure next: probe with 1,600 labels or more (700 more than the data have)"


def test_what_is_given_up_is_significant_only_after_all_that_might_have_been_the_best() -> None:
    levels = {"finetune": (0.800, 0.802, 0.803, 0.822), "lora": (0.806, 0.806, 0.807, 0.807)}
    close = findings(*[series(name, values, 7.0, 1) for name, values in levels.items()])
    advice = advise(close, Wish(target=0.80))
    assert any(line.endswith("(not significant after correction for 7 comparisons)") for line in advice.lines)


@pytest.mark.parametrize(("seed_sd", "examples"), [(0.03, 1_000), (0.001, 200)])
def test_what_to_measure_next_makes_the_interval_end_at_the_target(seed_sd, examples) -> None:
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
    said = next(line for line in advice.lines if line.startswith("to measure next: about"))
    number = int(said.split()[4].replace(",", ""))
    more = measured(3 + number, examples) if "seeds differ most" in said else measured(3, examples + number)
    assert ("seeds differ most" in said) == (seed_sd > 0.01)
    assert more.estimate.low == pytest.approx(target, abs=0.01)


def test_a_curve_does_not_overrule_what_was_measured() -> None:
    bumpy = series("finetune", (0.70, 0.76, 0.81, 0.812), 7.0, 1_000)
    assert bumpy.fit is not None
    target = 0.8125
    options = advise(findings(bumpy), Wish(target=target))
    assert options.choice is None or options.choice.labels > 800


def test_where_only_the_size_is_in_the_way_that_is_said() -> None:
    tfidf = STUDY.series[2]
    grown = [replace(p, runs=tuple(replace(run, model_bytes=1_000 * p.budget) for run in p.runs)) for p in tfidf.points]
    advice = advise(findings(replace(tfidf, points=tuple(grown))), Wish(target=0.70, max_size_bytes=450_000))
    assert advice.choice is None
    assert advice.lines[1].startswith("nearest within the limits: tfidf with 400 labels")
    assert advice.lines[2].startswith("nearest beyond the limits: tfidf with 800 labels")
    assert advice.lines[2].endswith("above 0.45 MB")
    assert not any("curve" in line for line in advice.lines)


def test_two_that_answer_alike_are_called_that_and_no_test_set_shows_perfection() -> None:
    study = findings(perfect("finetune", 13.0, 91_000_000), perfect("tfidf", 0.4, 11_000))
    lines = advise(study, Wish()).lines
    assert "not sure: the runner-up is as good in all of the resamples, and no lighter" in lines
    assert (
        "to measure next: nothing; no test set can show that there will be no error"
        in advise(study, Wish(target=1)).lines
    )


def test_a_budget_that_is_too_close_to_tell_is_not_sent_to_larger_ones_that_are_measured() -> None:
    edge = STUDY.series[0].points[1].estimate.value - 0.0004
    lines = advise(findings(STUDY.series[0]), Wish(target=edge)).lines
    assert any(line.endswith("and larger budgets are measured") for line in lines)
