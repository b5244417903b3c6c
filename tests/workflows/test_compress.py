"""Compression end to end: chains, gates, what is refused, and what survives of a run that is interrupted."""

from __future__ import annotations

import json
import re
import shutil
import signal
import time
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import kit.compression.step_result as link_module
import kit.compression.steps.int8_onnx as int8_module
from kit import Recipe, Record, evaluate, finetune, predict
from kit.compression.gate import Gate, Judge, gate_texts, require_gate
from kit.compression.step_result import batch_effect_words
from kit.data.encode import encode
from kit.errors import DataError, KitError, ModelError, RecipeError, RecordError
from kit.models.checkpoints.loading import load_tokenizer
from kit.models.predictor import load_predictor
from kit.runs.derived_recipes import compression_recipe
from kit.runs.request import Shared
from kit.runtime.seals import sealed
from kit.tasks.classification import Classification
from kit.workflows.compress import CHAIN_FILE, Compression, _job, compress
from kit.workflows.export import _history

# Nothing that a vocabulary of film reviews has seen.
STRANGE = ["😀👩‍👩‍👧", "这部电影很好看", "ab" * 50_000, "   ", "", "\u0000\ufeff", "ẞßſ ﬁ İ"]


def chain(source: Path, steps: object, **gate: object) -> Recipe:
    recipe = compression_recipe(source)
    content = recipe.model_dump()
    content["compress"] |= {"steps": steps, "gate": {"retained": None, "agreement": None} | gate}
    return Recipe.model_validate(content)


@pytest.fixture(scope="module")
def done(tiny_run: Path) -> Compression:
    """A trimmed vocabulary, then 8 bits."""
    return compress(chain(tiny_run, ["vocabulary", "int8-onnx"]), quiet=True)


def test_every_step_is_a_record_that_answers_as_it_says(done: Compression, tiny_run: Path) -> None:
    assert [link.technique for link in done.links] == ["vocabulary", "int8-onnx"]
    for link in done.links:
        record = Record.load(link.record.folder)
        assert evaluate(record.folder).largest_difference < 1e-3
        assert set(next(predict(record.folder, "a fine film"))["scores"]) == {"negative", "positive"}
        assert record.content["settings"]["compression"]["start"] == tiny_run.name
        assert link.verdict.agreement.value > 0.6
    sizes = [Record.read(tiny_run).content["model_bytes"]] + [link.record.content["model_bytes"] for link in done.links]
    assert sizes == sorted(sizes, reverse=True) and sizes[-1] < sizes[0] / 5
    assert done.record == done.links[-1].record
    written = json.loads((done.record.folder / CHAIN_FILE).read_text("utf-8"))
    assert written["lines"] == done.lines and "(not used by the gate): '" in done.lines[-1]
    assert written["steps"][1]["retained"]["value"] > 0.8


def test_all_steps_are_timed_in_one_sitting(done: Compression) -> None:
    starts = {link.verdict.teacher_cost for link in done.links}
    assert len(starts) == 1, "the start was timed once, beside all steps"
    for link in done.links:
        [[low, high]] = re.findall(r" ms per text \[([\d.]+), ([\d.]+)\]", link.line)
        assert (float(low), float(high)) == pytest.approx(link.verdict.student_cost.interval_ms, abs=0.5)


def test_texts_whose_tokens_stay_get_the_very_same_logits(done: Compression, tiny_run: Path) -> None:
    before, after = load_predictor(tiny_run / "model"), load_predictor(done.links[0].record.model_folder)
    kept = set(after.tokenizer.get_vocab())
    texts = [row for row in _test_texts(tiny_run)][:100]
    cut = [before.tokenizer.convert_ids_to_tokens(_ids(before, text)) for text in texts]
    same = [text for text, tokens in zip(texts, cut, strict=True) if set(tokens) <= kept]
    other = [text for text, tokens in zip(texts, cut, strict=True) if not set(tokens) <= kept]
    assert len(same) >= 3 and other, "the pool's tokens cover most of the test texts, but not all"
    assert np.array_equal(before.outputs(same), after.outputs(same))
    assert not np.array_equal(before.outputs(other), after.outputs(other))


def _test_texts(folder: Path) -> list[tuple[str, ...]]:
    return Shared().cleaned(Record.read(folder).recipe.data).splits.test.texts


def _ids(predictor, text: tuple[str, ...]) -> list[int]:
    return encode([text], predictor.tokenizer, predictor.max_length).input_ids.tolist()


def test_tokens_of_files_that_a_student_learned_from_stay(done: Compression, tiny_run: Path, tmp_path: Path) -> None:
    """And no text that only gates look at adds its tokens, though it is in such a file too."""
    before, after = (
        load_tokenizer(folder).get_vocab() for folder in (tiny_run / "model", done.links[0].record.model_folder)
    )
    trimmed = set(after)
    gone = [token for token in before if token.isalpha() and token not in trimmed]
    judged = gate_texts(_job(Record.read(tiny_run).recipe, Record.read(tiny_run), True, Shared()))
    file = tmp_path / "others.txt"
    file.write_text("\n".join([f"a {gone[0]} of {gone[1]}", *(row[0] for row in judged)]), "utf-8")
    content = Record.read(tiny_run).recipe.model_dump()
    content |= {"method": "distill", "runs": str(tmp_path / "runs")}
    content["distill"] |= {"teacher": str(tiny_run), "student": "layers:1", "texts": str(file)}
    content["train"] = {"epochs": 0.1}
    student = finetune(Recipe.model_validate(content), quiet=True)
    link = compress(chain(student.folder, ["vocabulary"]), quiet=True).links[0]
    now = set(load_tokenizer(link.record.model_folder).get_vocab())
    assert now == trimmed | {gone[0], gone[1]}
    file.unlink()
    with pytest.raises(DataError, match=r"others\.txt"):
        compress(chain(student.folder, [{"vocabulary": {"max_size": 300}}]), quiet=True)


def test_texts_like_nothing_before_are_answered(done: Compression, tiny_run: Path) -> None:
    before = [answer["scores"] for answer in predict(tiny_run, STRANGE)]
    for link in done.links:
        after = [answer["scores"] for answer in predict(link.record.folder, STRANGE)]
        assert len(after) == len(STRANGE)
        exact = link.technique == "vocabulary"
        for index in (3, 4):  # of spaces alone nothing but special tokens is left, and those all stay
            assert after[index] == (before[index] if exact else pytest.approx(before[index], abs=0.2))


def test_finished_steps_are_found_again(done: Compression, tiny_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kit.runs.write_record._fit_and_write", lambda *args: pytest.fail("a step was taken again"))
    again = compress(chain(tiny_run, "vocabulary,int8-onnx"), quiet=True)
    assert [link.record.id for link in again.links] == [link.record.id for link in done.links]


def test_an_interrupted_chain_goes_on_at_its_step(done: Compression, tiny_run: Path, monkeypatch) -> None:
    def interrupted(*args: object) -> bytes:
        raise KeyboardInterrupt

    steps = ["vocabulary", {"int8-onnx": {"per_channel": False}}]
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(int8_module, "_quantized", interrupted)
        compress(chain(tiny_run, steps), quiet=True)
    taken: list[str] = []
    original = int8_module._quantized
    monkeypatch.setattr(int8_module, "_quantized", lambda *args: taken.append("int8") or original(*args))
    monkeypatch.setattr(
        "kit.compression.steps.vocabulary._trim", lambda *args: pytest.fail("the first step was taken again")
    )
    found = compress(chain(tiny_run, steps), quiet=True)
    assert taken == ["int8"] and found.record.id != done.record.id
    assert not list(tiny_run.parent.glob(".int8*")), "the draft of the interrupted step became its Record"


def test_a_chain_killed_within_and_between_its_steps_ends_as_one_that_was_not(
    done: Compression, tiny_run: Path, tmp_path: Path, start, kit_forked
) -> None:
    """SIGKILL in the first step, once it has finished, and in the second: started again, it goes on at its step."""
    runs = tmp_path / "runs"
    source = shutil.copytree(tiny_run, runs / tiny_run.name)
    command = ["compress", source, "--steps", "vocabulary,int8-onnx", "--set", "compress.gate.retained=null"]
    made: dict[str, int] = {}  # an inode changes when its step is taken again
    for moment, steps in ((".vocabulary-*.partial", 0), ("vocabulary-*/record.json", 1), (".int8-onnx-*.partial", 1)):
        process = start(*command)
        while not any(runs.glob(moment)):
            assert process.poll() is None, process.communicate()
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        now = {path.parent.name: path.stat().st_ino for path in runs.glob("[!.]*/record.json")}
        assert made.items() <= now.items() and len(now) == 1 + steps, "a finished step was lost or taken again"
        made = now
    finished = kit_forked(*command)
    assert finished.code == 0, finished.err
    assert f"found the finished run {done.links[0].record.id}" in finished.err
    for link in done.links:
        ours, theirs = Record.load(runs / link.record.id), link.record
        assert ours.metrics == theirs.metrics
        assert np.array_equal(ours.predictions().outputs, theirs.predictions().outputs)
        files = [{k: v for k, v in each.content["files"].items() if k.startswith("model/")} for each in (ours, theirs)]
        assert files[0] == files[1]
    assert {path.parent.name for path in runs.glob("*/record.json")} == {*made, done.record.id}
    assert not list(runs.glob(".*.partial"))


def test_a_step_that_costs_too_much_is_undone(tiny_run: Path, monkeypatch) -> None:
    """What pruning costs so small a model is chance, so the gate is told; the graph's it finds itself."""
    gates = iter([Gate(None, share, (f"agrees on {100 * share:.1f} % of a few",)) for share in (0.6, 0.8)])
    honest = Judge.gate
    monkeypatch.setattr(Judge, "gate", lambda self, model: next(gates, None) or honest(self, model))
    steps = [{"prune": {"heads": 0.9, "neurons": 0.9, "epochs": 0}}, "onnx"]
    found = compress(chain(tiny_run, steps, agreement=0.999), quiet=True)
    first, gentler, last = found.links
    for link, heads in ((first, 0.9), (gentler, 0.45)):
        assert not link.gate.passed and link.gate.agreement < 0.999
        assert f"prune (heads: {heads}" in link.line and "UNDONE by the gate: agrees on" in link.line
    assert last.gate.passed and last.record.content["settings"]["compression"]["source"] == tiny_run.name
    assert last.verdict.agreement.value == 1.0, "made from the start, not from what was undone"
    assert found.record == last.record


def test_other_settings_are_tried_before_a_step_is_undone(done: Compression, tiny_run: Path, monkeypatch) -> None:
    gates = iter([Gate(None, 0.1, ("agrees on 10.0 %",)), Gate(None, 0.9, ())])
    monkeypatch.setattr("kit.compression.gate.Judge.gate", lambda self, model: next(gates))
    found = compress(chain(tiny_run, [{"vocabulary": {"max_size": 2_100}}], agreement=0.5), quiet=True)
    first, second = found.links
    assert first.line.startswith("vocabulary (max_size: 2100)") and "UNDONE by the gate: agrees on 10.0 %" in first.line
    assert first.record.content["settings"]["tokens"] == 2_100
    assert found.record.id == second.record.id == done.links[0].record.id
    assert "of 30,522 tokens" in second.line and "calibration error" in second.line


@pytest.mark.parametrize(("asked", "bf16"), [("fp32", False), ("auto", True), ("bf16", True)])
def test_a_chain_computes_as_its_run_was_to(asked, bf16, tiny_run: Path, monkeypatch) -> None:
    monkeypatch.setattr("kit.training.hardware.computes_bf16", lambda device: True)
    record = Record.read(tiny_run)
    train = record.recipe.train.model_copy(update={"precision": asked})
    job = _job(record.recipe.model_copy(update={"train": train}), record, True, Shared())
    assert job.hardware.bf16 is bf16


def test_of_few_validation_examples_one_may_be_lost_and_not_two(tiny_run: Path) -> None:
    record, start = Record.read(tiny_run), load_predictor(tiny_run / "model")
    job = _job(record.recipe, record, True, Shared())
    section = Recipe.model_validate(
        {**record.recipe.model_dump(), "compress": {"gate": {"retained": 0.99}}}
    ).compress.gate
    judge = Judge.of(section, job, start)
    validation = job.data.validation
    answers, targets = start.outputs(validation.texts), job.task.targets(validation.labels)
    right = np.flatnonzero(answers.argmax(1) == targets)
    assert len(right) < 100, "one of them is more than a hundredth"
    for lost, passed in ((1, True), (2, False)):
        worse = answers.copy()
        worse[right[:lost]] *= -1
        gate = judge.gate(SimpleNamespace(outputs=lambda _, worse=worse: worse))
        assert gate.passed is passed and gate.retained == pytest.approx(1 - lost / len(right))
    asked = f"at least {100 * (1 - 1 / len(right)):.1f} % asked for"
    assert gate.broken == (f"{100 * gate.retained:.1f} % retained on {len(validation)} validation examples, {asked}",)
    assert judge.coarse.startswith(f"compress.gate.retained: {len(validation)} validation examples cannot tell 99.0 %")
    loose = section.model_copy(update={"retained": 0.5})
    assert Judge.of(loose, job, start).coarse == ""


def test_gate_limits_the_loss_of_the_worst_class(tiny_run: Path) -> None:
    record, start = Record.read(tiny_run), load_predictor(tiny_run / "model")
    job = _job(record.recipe, record, True, Shared())
    judge = Judge.of(chain(tiny_run, ["onnx"], worst_class=0.25).compress.gate, job, start)
    answers, targets = judge.validation, job.task.targets(job.data.validation.labels)
    assert answers is not None and "fewer than 4 validation examples" not in judge.few
    label = int(np.bincount(targets[answers.argmax(1) == targets]).argmax())
    members = np.flatnonzero((targets == label) & (answers.argmax(1) == targets))
    count = int((targets == label).sum())
    for lost in (0, 1, len(members)):
        worse = answers.copy()
        worse[members[:lost]] *= -1
        gate = judge.gate(SimpleNamespace(outputs=lambda _, worse=worse: worse))
        worst = gate.worst_class
        assert worst is not None and worst.loss.value == pytest.approx(lost / count)
        assert worst.loss.low <= worst.loss.value <= worst.loss.high and worst.loss.low < worst.loss.high
        assert gate.passed is (lost / count <= max(0.25, 1 / count))
        assert lost == 0 or (worst.label, worst.count) == (job.task.labels[label], count)
    assert gate.broken[0].startswith(f"recall on validation examples fell: '{job.task.labels[label]}' from ")
    assert gate.broken[0].endswith("a loss of at most 25.0 points asked for")
    strict = Judge.of(chain(tiny_run, ["onnx"], worst_class=0.01).compress.gate, job, start)
    assert strict.few.startswith("compress.gate.worst_class: 2 of 2 classes have fewer than 100 validation examples")


def test_steps_report_recall_of_each_class(done: Compression, kit, tiny_run: Path) -> None:
    link = done.links[-1]
    assert link.gate.worst_class is not None
    saved = link.record.content["settings"]["compression"]["largest_recall_loss"]
    assert saved == asdict(link.gate.worst_class), "the Record and the gate looked at the same validation examples"
    assert link.record.content["settings"]["compression"]["recall_words"] == link.gate.recall_words
    assert "too few" in link.gate.recall_words and link.gate.recall_words in link.line
    after = {name: row["recall"] for name, row in link.record.content["details"]["per_label"].items()}
    assert {change.label: pytest.approx(change.after, abs=1e-6) for change in link.test_recall} == after
    printed = kit(
        "compress", tiny_run, "--steps", "vocabulary,int8-onnx", "--set", "compress.gate.retained=null", "--json"
    )
    step = json.loads(printed.out)["steps"][-1]
    assert step["gate"]["worst_class"]["label"] == link.gate.worst_class.label
    assert [change["label"] for change in step["test_recall"]] == [change.label for change in link.test_recall]


def test_worst_class_needs_classes_and_validation_examples(tiny_run: Path) -> None:
    pairs = {"task": "translation", "data": {"source": "corpus", "languages": ["en", "de"]}, "method": "scratch"}
    with pytest.raises(ValueError, match=r"compress\.gate\.worst_class: translation has no classes"):
        Recipe.model_validate(pairs | {"compress": {"gate": {"worst_class": 0.05}}})
    record = Record.read(tiny_run)
    job = _job(record.recipe, record, True, Shared())
    empty = replace(job, data=replace(job.data, validation=job.data.validation.take([])))
    section = chain(tiny_run, ["onnx"], worst_class=0.05).compress.gate
    with pytest.raises(RecipeError, match="there are no validation examples to compute recall on"):
        require_gate(section, empty)


def test_agreement_is_with_what_the_start_answers(tiny_run: Path) -> None:
    record, start = Record.read(tiny_run), load_predictor(tiny_run / "model")
    job = _job(record.recipe, record, True, Shared())
    section = chain(tiny_run, ["onnx"], agreement=0.9).compress.gate
    judge = Judge.of(section, job, start)
    texts, own = len(judge.answers), judge.validation
    assert texts >= 20
    gate = judge.gate(start)
    assert (gate.retained, gate.agreement, gate.broken) == (None, 1.0, ())
    for other, passed in ((texts // 10, True), (texts // 10 + 1, False)):
        answers = judge.answers.copy()
        answers[:other] *= -1
        gate = judge.gate(SimpleNamespace(outputs=lambda rows, a=answers: a if len(rows) == texts else own))
        assert gate.passed is passed and gate.agreement == pytest.approx(1 - other / texts)
    assert gate.broken[-1:] == (
        f"agrees on {100 * gate.agreement:.1f} % of {texts} texts of the pool, at least 90.0 % asked for",
    )
    assert gate.content == {**asdict(gate), "passed": False}


def test_the_gate_looks_at_validation_examples_and_pool_alone(done: Compression, tiny_run: Path, monkeypatch) -> None:
    seen, decided = [], []
    original, compare = Classification.targets, link_module.links_of
    monkeypatch.setattr(Classification, "targets", lambda self, part: seen.append(part) or original(self, part))
    monkeypatch.setattr(link_module, "links_of", lambda *args: decided.extend(seen) or compare(*args))
    monkeypatch.setattr("kit.runs.write_record._fit_and_write", lambda *args: pytest.fail("the step is there already"))
    found = compress(chain(tiny_run, ["vocabulary"], retained=0.5, agreement=0.4), quiet=True)
    assert found.links[0].gate.retained > 0.5 and 0.4 < found.links[0].gate.agreement <= 1.0
    validation = Record.read(tiny_run).content["data"]["sizes"]["validation"]
    assert decided and all(len(part) == validation for part in decided)


def test_a_graph_in_float32_answers_as_torch_in_any_batch(tiny_run: Path) -> None:
    found = compress(chain(tiny_run, ["onnx"]), quiet=True).record
    torch_model, graph = load_predictor(tiny_run / "model"), load_predictor(found.model_folder)
    texts = _test_texts(tiny_run)[:40]
    together = graph.outputs(texts)
    assert np.abs(torch_model.outputs(texts) - together).max() < 1e-4
    assert np.abs(np.concatenate([graph.outputs([text]) for text in texts]) - together).max() < 1e-4
    assert graph.parameters == torch_model.parameters and not graph.depends_on_batch


def test_static_ranges_make_answers_the_same_in_any_batch_and_dynamic_ones_say_by_how_much_not(
    done: Compression, tiny_run: Path
) -> None:
    effect = done.record.content["settings"]["batch_effect"]
    assert effect["largest_difference"] > 0 and effect["other_labels"] < 0.3
    assert batch_effect_words(effect) in done.lines[-2]
    assert load_predictor(done.record.model_folder).depends_on_batch
    static = compress(chain(tiny_run, [{"int8-onnx": {"calibration": "static"}}]), quiet=True).record
    graph, texts = load_predictor(static.model_folder), _test_texts(tiny_run)[:20]
    assert np.abs(np.concatenate([graph.outputs([text]) for text in texts]) - graph.outputs(texts)).max() < 1e-3


REFUSED = {
    "8 bits of 8 bits": (["int8-onnx", "int8-onnx"], "int8-onnx: what int8-onnx leaves is a quantized graph"),
    "a graph has no table": (["onnx", "vocabulary"], "vocabulary: what onnx leaves is a graph for ONNX Runtime"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_chains_that_cannot_work_are_refused_before_anything_is_computed(case, tiny_run, monkeypatch) -> None:
    steps, words = REFUSED[case]
    monkeypatch.setattr("kit.runs.write_record._fit_and_write", lambda *args: pytest.fail("something was computed"))
    with pytest.raises(ModelError, match=words) as error:
        compress(chain(tiny_run, steps), quiet=True)
    assert error.value.hint


def test_what_cannot_be_compressed_is_refused_with_the_reason(
    tiny_run: Path, done: Compression, reviews: Path, tmp_path: Path, monkeypatch
) -> None:
    words = finetune(
        Recipe(
            task="classification",
            method="tfidf",
            runs=str(tmp_path / "runs"),
            data={"source": str(reviews), "text": "text", "label": "label", "budget": 60, "validation": 0},
        ),
        quiet=True,
    )
    with pytest.raises(ModelError, match="TF-IDF with a linear model") as error:
        compress(chain(words.folder, ["int8-onnx"]), quiet=True)
    assert "small and fast already" in error.value.hint
    with pytest.raises(ModelError, match="is a quantized graph for ONNX Runtime") as error:
        compress(chain(done.record.folder, ["vocabulary"]), quiet=True)
    assert f"compress the run it was made of, {done.links[0].record.id}: quantization comes last" == error.value.hint
    with pytest.raises(RecordError, match="is not a Record"):
        compression_recipe(tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(ModelError, match="onnxruntime is not installed") as error:
        compress(chain(tiny_run, ["onnx"]), quiet=True)
    assert "kit[onnx]" in error.value.hint


def test_a_compressed_model_teaches_but_no_student_is_cut_from_it(done: Compression, tiny_run: Path) -> None:
    from kit.distillation.teacher import resolve_teacher

    graph = resolve_teacher(str(done.record.folder))
    assert graph.checkpoint is None and graph.labels == ("negative", "positive")
    trimmed = resolve_teacher(str(done.links[0].record.folder))
    assert trimmed.checkpoint is not None
    with pytest.raises(ModelError, match="has no layers to make a student of"):
        from kit.runs.request import understand

        recipe = Record.read(tiny_run).recipe
        section = recipe.distill.model_copy(update={"teacher": str(done.record.folder)})
        understand(recipe.model_copy(update={"method": "distill", "distill": section}))


def test_what_a_card_tells_of_chains_is_how_its_model_came_about(done: Compression, tiny_run: Path) -> None:
    """Not what was tried on its source and undone, nor the chain of the same step alone, which is told of already."""
    trimmed = compress(chain(tiny_run, ["vocabulary"]), quiet=True)
    assert trimmed.record.id == done.links[0].record.id
    (tiny_run / CHAIN_FILE).write_text(
        json.dumps(sealed({"source": tiny_run.name, "lines": ["onnx: UNDONE by the gate"]}))
    )
    try:
        histories = [
            list(dict.fromkeys(line.partition(":")[0] for line in _history(record)))
            for record in (done.record, trimmed.record)
        ]
        assert histories == [[tiny_run.name, "vocabulary", "int8-onnx"], [tiny_run.name, "vocabulary"]]
        assert _history(Record.read(tiny_run)) == []
    finally:
        (tiny_run / CHAIN_FILE).unlink()


def test_a_compressed_record_says_what_it_was_made_of(done: Compression, tiny_run: Path, kit) -> None:
    rows = dict(done.record.rows())
    assert rows["method"] == "int8-onnx of finetune" and rows["compressed from"] == done.links[0].record.id
    listed = kit("list", tiny_run.parent)
    assert "vocabulary of finetune" in listed.out


def test_what_cannot_work_is_refused_before_the_run_is_trained(recipe_file: Path, monkeypatch) -> None:
    recipe = Recipe.load(recipe_file, ["data.validation=0", "train.epochs=1", "compress.steps=[vocabulary]"])
    monkeypatch.setattr("kit.runs.write_record._fit_and_write", lambda *args: pytest.fail("something was tiny_run"))
    with pytest.raises(RecipeError, match=r"compress\.gate\.retained: there are no validation examples"):
        compress(recipe, quiet=True)
    late = Recipe.load(recipe_file, ["compress.steps=[int8-onnx, vocabulary]"])
    with pytest.raises(ModelError, match="what int8-onnx leaves") as error:
        compress(late, quiet=True)
    assert error.value.hint == "take vocabulary before int8-onnx"


def test_steps_are_named_once_and_by_name(tiny_run: Path, kit) -> None:
    for given in (["--steps", ""], ["--steps", ","]):
        refused = kit("compress", tiny_run, *given)
        assert refused.code == 2 and f"--steps {given[1]!r} names no technique" in refused.err
    refused = kit("compress", tiny_run, "--steps", "onnx", "--set", "compress.steps=[float16]")
    assert refused.code == 2 and "--steps and --set compress.steps both say which steps to take" in refused.err


def test_data_that_changed_since_are_refused(reviews: Path, recipe_file: Path, tmp_path: Path) -> None:
    moved = tmp_path / "data"
    shutil.copytree(reviews, moved)
    record = finetune(Recipe.load(recipe_file, [f"data.source={moved}", "train.epochs=1"]), quiet=True)
    lines = (moved / "test.csv").read_text("utf-8").splitlines(keepends=True)
    (moved / "test.csv").write_text("".join(lines[:-5]), "utf-8")
    with pytest.raises(DataError, match=r"^the test examples \(split 'test' of .*\) changed since finetune"):
        compress(chain(record.folder, ["float16"]), quiet=True)


def test_gentler_settings_that_fail_do_not_end_the_chain(tiny_run: Path, monkeypatch) -> None:
    def failing(model: bytes, step, *rest: object) -> bytes:
        if step.calibration == "static":
            raise ModelError("int8-onnx: the graph cannot be rounded: for a test")
        return original(model, step, *rest)

    original = int8_module._quantized
    monkeypatch.setattr(int8_module, "_quantized", failing)
    monkeypatch.setattr(int8_module, "learn_rounding", lambda source, *rest: (source.model_folder, None))
    monkeypatch.setattr("kit.compression.gate.Judge.gate", lambda *given: Gate(None, 0.9, ("agrees on 90.0 %",)))
    found = compress(chain(tiny_run, [{"int8-onnx": {"per_channel": False}}], agreement=1.0), quiet=True)
    assert [link.settings for link in found.links] == [
        "per_channel: false",
        'per_channel: false, weights: "uint8"',
        'per_channel: false, embeddings: "float32"',
        "aware: 1.0, per_channel: false",
    ]
    assert found.record.folder == tiny_run
    assert json.loads((tiny_run / CHAIN_FILE).read_text("utf-8"))["steps"][1]["settings"].endswith('"uint8"')
    Record.load(tiny_run)  # the chain's file beside it damages nothing


def test_of_a_finished_run_only_the_chain_can_be_set(tiny_run: Path, kit) -> None:
    refused = kit("compress", tiny_run, "--steps", "onnx", "--set", "train.epochs=3")
    assert refused.code == 2 and "of a finished run only compress.steps and compress.gate" in refused.err


def test_the_command_compresses_the_run_of_a_recipe_and_predicts_in_a_fresh_process(
    recipe_file, kit, kit_forked
) -> None:
    result = kit("compress", recipe_file, "--steps", "vocabulary,float16", "--set", "compress.gate.retained=null")
    assert result.code == 0, result.err
    lines = result.out.strip().splitlines()
    assert lines[0].startswith("finetune-tiny-bert-120") and lines[1].startswith("vocabulary: ")
    assert lines[2].startswith("vocabulary: About ") and lines[2].endswith(", and are read in smaller pieces.")
    assert lines[4].startswith("float16: ") and "ends with " in lines[-1]
    assert all("recall on the test examples (not used by the gate): '" in lines[place] for place in (3, 5))
    folder = lines[-1].removeprefix("ends with ")
    answered = kit_forked("predict", folder, "a gripping, funny film")
    assert answered.code == 0, answered.err
    assert json.loads(answered.out)["label"] in ("negative", "positive")
    again = kit("compress", folder, "--steps", "int8-onnx")
    assert again.code == 2 and "compress the run it was made of" in again.err and "Traceback" not in again.err


def test_a_record_damaged_by_hand_is_refused(recipe_file: Path, kit) -> None:
    record = finetune(Recipe.load(recipe_file, ["train.epochs=1"]), quiet=True)
    (record.model_folder / "tokenizer.json").write_text("{}", "utf-8")
    with pytest.raises(KitError, match=r"damaged: model/tokenizer\.json was changed"):
        compress(chain(record.folder, ["vocabulary"]), quiet=True)
