"""Advice if limits, open cells or missing labels exclude choices."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kit.analysis.advice import advise
from kit.analysis.advice_options import Wish
from kit.analysis.findings import CellRow
from kit.analysis.points import point
from tests.support.study_findings import BUDGETS, STUDY, findings, series


def test_series_beyond_a_limit_are_left_out_with_the_reason() -> None:
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


def test_an_unsure_choice_suggests_compressing_the_better_run() -> None:
    tight = Wish(max_latency_ms=5)
    advice = advise(STUDY, tight)  # tfidf is the only one within the limit, and worse
    assert advice.commands == ("kit compress runs/r0",)
    assert "to try: kit compress runs/r0" in advice.lines
    small = replace(STUDY, candidates=(replace(STUDY.series[2], name="finetune + int8-onnx"),))
    assert advise(small, tight).commands == ("kit distill --teacher runs/r0 --student layers:3",)  # compressed before
    best = findings(replace(STUDY.series[2], name="probe", speed=STUDY.series[0].speed), STUDY.series[2])
    assert advise(best, tight).commands == ()  # the excluded option is not better
    assert advise(STUDY, Wish(target=0.66, max_latency_ms=5)).commands == ()
    untimed = findings(replace(STUDY.series[0], speed=None), STUDY.series[2])
    assert advise(untimed, tight).commands == ()


def test_exceeded_limits_are_described_once() -> None:
    busy = replace(STUDY.series[0], speed=replace(STUDY.series[0].speed, warning="the machine was busy"))
    [_, near, *_, last] = advise(findings(busy), Wish(max_latency_ms=5, max_size_bytes=25e6)).lines
    assert near.endswith("], 7.0 ms per text, 91.0 MB; above 5 ms and above 25 MB")
    assert last == (
        "latencies were measured on a busy machine and may be too high; `kit study RECIPE --time-again` measures them "
        "again"
    )


def test_a_latency_limit_inside_an_interval_is_reported() -> None:
    speed = replace(STUDY.series[0].speed, low_ms=5.5, high_ms=9.0)
    study = findings(replace(STUDY.series[0], speed=speed))
    [(_, why)] = advise(study, Wish(max_latency_ms=6)).excluded
    assert why == "7.0 ms per text, above 6 ms; the limit lies inside its interval [5.5, 9.0]"
    [line, *_] = advise(study, Wish(max_latency_ms=8)).lines
    assert "7.0 ms per text (the limit lies inside its interval [5.5, 9.0])" in line
    busy = findings(replace(STUDY.series[0], speed=replace(speed, warning="the machine was busy")))
    assert sum("busy" in line for line in advise(busy, Wish(max_latency_ms=8)).lines) == 1
    assert sum("busy" in line for line in advise(busy, Wish()).lines) == 1
    [(_, why)] = advise(busy, Wish(max_latency_ms=6)).excluded
    assert why.startswith("7.0 ms per text if the figure holds, above 6 ms; ")
    both = advise(replace(busy, series=(*busy.series, STUDY.series[2])), Wish(max_latency_ms=8))
    assert both.lines[-1].startswith("latencies of finetune were measured on a busy machine")


def test_a_growing_model_is_left_out_only_above_the_limit() -> None:
    tfidf = STUDY.series[2]
    grown = [replace(p, runs=tuple(replace(run, model_bytes=1_000 * p.budget) for run in p.runs)) for p in tfidf.points]
    advice = advise(findings(replace(tfidf, points=tuple(grown))), Wish(max_size_bytes=250_000))
    assert advice.choice is not None
    assert (advice.choice.labels, advice.choice.model_bytes) == (200, 200_000)
    assert advice.excluded == ()


def test_an_unreachable_target_lists_the_nearest_option() -> None:
    advice = advise(findings(*STUDY.series[1:]), Wish(target=0.95))
    assert advice.choice is None
    assert not advice.sure
    assert advice.lines[0] == "nothing qualifies: no choice, measured or predicted, reaches accuracy 95.0 %"
    assert advice.lines[1].startswith("nearest within the limits: probe with 800 labels")
    assert advice.lines[2].startswith("its curve does not reach it by 6,400 labels (interval: from ")
    assert "such a prediction was off by" in advice.lines[2]
    assert advice.lines[3] == "to measure next: probe with 1,600 labels or more"
    assert advice.commands == ("kit study RECIPE --set 'study.budgets=[100, 200, 400, 800, 1600]'",)
    assert advice.lines[4] == f"to try: {advice.commands[0]}"


def test_unreachable_limits_suggest_a_command() -> None:
    advice = advise(replace(STUDY, runs="my runs"), Wish(target=0.82, max_latency_ms=5, max_size_bytes=25e6))
    assert advice.choice is None
    assert advice.lines[0].endswith("reaches accuracy 82.0 % within 5 ms per text and 25 MB")
    assert any(line.startswith("nearest beyond the limits: finetune with 800 labels") for line in advice.lines)
    assert advice.commands == ("kit compress 'my runs/r0'", "kit distill --teacher 'my runs/r0' --student layers:3")


def test_a_student_is_compressed_but_not_distilled_again() -> None:
    student = replace(STUDY.series[0], name="distill", method="distill")
    wish = Wish(target=0.82, max_latency_ms=5, max_size_bytes=25e6)
    assert advise(findings(student), wish).commands == ("kit compress runs/r0",)


def test_a_compressed_run_is_chosen_if_no_study_run_fits() -> None:
    small = replace(series("finetune + int8-onnx", (0.69, 0.75, 0.80, 0.847), 0.7, 4_900_000), fit=None)
    study = replace(STUDY, candidates=(replace(small, points=small.points[-1:]),))
    advice = advise(study, Wish(target=0.82, max_latency_ms=5, max_size_bytes=25e6))
    assert advice.lines[0].startswith("choose finetune + int8-onnx with 800 labels, accuracy 84.7 % [")
    assert advice.lines[0].endswith("0.7 ms per text, 4.9 MB, in runs/r0 and 4 more")
    tighter = advise(study, Wish(target=0.82, max_latency_ms=0.5))
    assert tighter.commands == ("kit distill --teacher runs/r0 --student layers:3",)


def test_advice_on_an_unfinished_study_is_marked() -> None:
    cells = [CellRow("finetune", 100, seed, "finished" if seed < 2 else "open") for seed in range(5)]
    untimed = tuple(replace(one, speed=None) for one in STUDY.series)
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
    called = replace(slow, study_command="kit study 'my recipe.yaml' --set study.seeds=2")
    assert advise(called, Wish(max_latency_ms=5)).commands == ("kit study 'my recipe.yaml' --set study.seeds=2",)


def test_the_suggested_command_never_repeats_the_grid() -> None:
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


def test_the_reason_for_a_missing_fit_is_reported() -> None:
    few = findings(series("finetune", (0.7, 0.75, 0.8), 7.0, 1_000))
    advice = advise(few, Wish(target=0.9))
    assert advice.choice is None
    assert (
        "no prediction for finetune: a learning curve needs at least 4 different budgets; there are 3" in advice.lines
    )


def test_a_growing_model_is_limited_at_the_predicted_labels() -> None:
    tfidf = replace(series("finetune", (0.70, 0.76, 0.81, 0.85), 0.3, 0), name="tfidf", method="tfidf")
    grown = [replace(p, runs=tuple(replace(run, model_bytes=1_000 * p.budget) for run in p.runs)) for p in tfidf.points]
    study = findings(replace(tfidf, points=tuple(grown)))
    free = advise(study, Wish(target=0.87)).choice
    assert free is not None
    assert free.model_bytes == 1_000 * free.labels
    assert advise(study, Wish(target=0.87, max_size_bytes=900_000)).choice is None
    assert f"about {free.model_bytes / 1e6:.1f} MB" in advise(study, Wish(target=0.87)).lines[1]


def test_missing_labels_are_reported() -> None:
    few = replace(STUDY, training_examples=900)
    advice = advise(few, Wish(target=0.87))
    assert advice.choice is not None
    missing = advice.choice.labels - 900
    assert any(line.endswith(f"labels; the data have 900 labels: {missing:,} more are needed") for line in advice.lines)
    nothing = advise(replace(few, series=STUDY.series[1:]), Wish(target=0.95))
    assert nothing.lines[3] == (
        "to measure next: probe with 1,600 labels or more; the data have 900 labels: 700 more are needed"
    )


def test_a_size_beyond_the_limit_is_reported() -> None:
    tfidf = STUDY.series[2]
    grown = [replace(p, runs=tuple(replace(run, model_bytes=1_000 * p.budget) for run in p.runs)) for p in tfidf.points]
    advice = advise(findings(replace(tfidf, points=tuple(grown))), Wish(target=0.70, max_size_bytes=450_000))
    assert advice.choice is None
    assert advice.lines[1].startswith("nearest within the limits: tfidf with 400 labels")
    assert advice.lines[2].startswith("nearest beyond the limits: tfidf with 800 labels")
    assert advice.lines[2].endswith("above 0.45 MB")
    assert not any("curve" in line for line in advice.lines)


@pytest.mark.parametrize("wish", [Wish(target=0.82, max_latency_ms=5), Wish(max_latency_ms=5)])
def test_a_compressed_run_of_one_seed_is_never_the_choice(wish: Wish) -> None:
    small = replace(series("finetune + int8-onnx", (0.69, 0.75, 0.80, 0.847), 0.7, 4_900_000), fit=None)
    last = point(800, small.points[-1].runs[:1])
    advice = advise(replace(STUDY, candidates=(replace(small, points=(last,)),)), wish)
    assert not advice.decided and not advice.sure
    assert advice.lines[0] == (
        "undecided: finetune + int8-onnx with 800 labels was measured with 1 seed, which does not show how much seeds "
        "differ"
    )
    assert advice.lines[1].startswith("possible: finetune + int8-onnx with 800 labels, accuracy ")
    assert not any(line.startswith("not sure") for line in advice.lines)
    next_line = "to measure next: the same steps from runs of 4 more seeds at 800 labels: one seed does not show how "
    assert f"{next_line}much seeds differ" in advice.lines


def test_a_damaged_file_of_latencies_is_reported() -> None:
    untimed = replace(STUDY, series=tuple(replace(one, speed=None) for one in STUDY.series), speed_damage="is damaged")
    line = "latencies are not known: runs/s/speed.json is damaged; `kit study RECIPE` measures them again"
    for wish in (Wish(), Wish(max_latency_ms=5)):
        assert line in advise(untimed, wish).lines
    assert dict(advise(untimed, Wish(max_latency_ms=5)).excluded)["tfidf"] == "its latency is not known"


def test_compressed_variants_are_not_compressed_again() -> None:
    large = series("finetune", (0.70, 0.76, 0.81, 0.85), 7.0, 91_000_000)
    small = replace(series("int8", (0.69, 0.75, 0.80, 0.84), 2.0, 23_000_000), source="finetune", steps=("int8-onnx",))
    advice = advise(findings(large, small), Wish(target=0.8, max_size_bytes=10_000_000))
    assert advice.choice is None
    assert not any("kit compress" in command for command in advice.commands)
    without = advise(findings(large), Wish(target=0.8, max_size_bytes=10_000_000))
    assert any("kit compress" in command for command in without.commands)
