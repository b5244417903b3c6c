"""Compression end to end: chains, gates, refusals and interruptions."""

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

import kit.compression.chain as chain_module
import kit.compression.steps.int8_onnx as int8_module
from kit import Recipe, Record, evaluate, finetune, predict
from kit.compression.chain import CHAIN_FILE, Compression, job_of
from kit.compression.gate import Gate, Judge, gate_texts, require_gate
from kit.compression.step_result import batch_effect_words
from kit.data.encode import encode
from kit.errors import DataError, KitError, ModelError, RecipeError, RecordError
from kit.models.checkpoints.tokenizers import load_tokenizer
from kit.models.load import load_predictor
from kit.runs.derived_recipes import compression_recipe
from kit.runs.request import LoadedInputs
from kit.runtime.seals import sealed
from kit.tasks.classification.task import Classification
from kit.workflows.compress import compress
from kit.workflows.export_card import history

# Texts unlike the film reviews that the vocabulary is trimmed to.
STRANGE = ["😀👩‍👩‍👧", "这部电影很好看", "ab" * 50_000, "   ", "", "\u0000\ufeff", "ẞßſ ﬁ İ"]


def chain(source: Path, steps: object, **gate: object) -> Recipe:
    recipe = compression_recipe(source)
    content = recipe.model_dump()
    content["compress"] |= {"steps": steps, "gate": {"retained": None, "agreement": None} | gate}
    return Recipe.model_validate(content)


@pytest.fixture(scope="module")
def done(tiny_run: Path) -> Compression:
    """Return a chain of a trimmed vocabulary and 8 bits."""
    return compress(chain(tiny_run, ["vocabulary", "int8-onnx"]), quiet=True)


def test_every_step_is_a_complete_record(done: Compression, tiny_run: Path) -> None:
    assert [link.technique for link in done.links] == ["vocabulary", "int8-onnx"]
    for link in done.links:
        record = Record.load(link.record.folder)
        assert evaluate(record.folder).largest_difference < 1e-3
        assert set(next(predict(record.folder, "a fine film"))["scores"]) == {"negative", "positive"}
        assert record.to_dict()["settings"]["compression"]["start"] == tiny_run.name
        assert link.verdict.agreement.value > 0.6
    sizes = [Record.read(tiny_run).to_dict()["model_bytes"]] + [
        link.record.to_dict()["model_bytes"] for link in done.links
    ]
    assert sizes == sorted(sizes, reverse=True) and sizes[-1] < sizes[0] / 5
    assert done.record == done.links[-1].record
    written = json.loads((done.record.folder / CHAIN_FILE).read_text("utf-8"))
    assert written["lines"] == done.lines and "(not used by the gate): '" in done.lines[-1]
    assert written["steps"][1]["retained"]["value"] > 0.8


def test_all_steps_are_timed_together(done: Compression) -> None:
    starts = {link.verdict.teacher_cost for link in done.links}
    assert len(starts) == 1, "the start is timed once, together with all steps"
    for link in done.links:
        [[low, high]] = re.findall(r" ms per text \[([\d.]+), ([\d.]+)\]", link.line)
        assert (float(low), float(high)) == pytest.approx(link.verdict.student_cost.interval_ms, abs=0.5)


def test_texts_with_kept_tokens_get_the_same_logits_but_for_calibration(done: Compression, tiny_run: Path) -> None:
    before, after = load_predictor(tiny_run / "model"), load_predictor(done.links[0].record.model_folder)
    kept = set(after.tokenizer.get_vocab())
    texts = [row for row in _test_texts(tiny_run)][:100]
    tokenized = [before.tokenizer.convert_ids_to_tokens(_ids(before, text)) for text in texts]
    same = [text for text, tokens in zip(texts, tokenized, strict=True) if set(tokens) <= kept]
    other = [text for text, tokens in zip(texts, tokenized, strict=True) if not set(tokens) <= kept]
    assert len(same) >= 3 and other, "the pool's tokens cover most of the test texts, but not all"
    [temperature] = done.links[0].record.content.settings.to_dict()["calibration"]["temperature"]
    assert after.outputs(same) == pytest.approx(before.outputs(same) / temperature, rel=1e-5, abs=1e-6)
    assert after.outputs(other) != pytest.approx(before.outputs(other) / temperature, rel=1e-5, abs=1e-6)


def _test_texts(folder: Path) -> list[tuple[str, ...]]:
    return LoadedInputs().cleaned(Record.read(folder).recipe.data).splits.test.texts


def _ids(predictor, text: tuple[str, ...]) -> list[int]:
    return encode([text], predictor.tokenizer, predictor.max_length).input_ids.tolist()


def test_tokens_of_distillation_texts_are_kept(done: Compression, tiny_run: Path, tmp_path: Path) -> None:
    """Texts that are reserved for gates add no tokens, even if they are in such a file too."""
    before, after = (
        load_tokenizer(folder).get_vocab() for folder in (tiny_run / "model", done.links[0].record.model_folder)
    )
    trimmed = set(after)
    removed = [token for token in before if token.isalpha() and token not in trimmed]
    reserved = gate_texts(job_of(Record.read(tiny_run), True, LoadedInputs()))
    file = tmp_path / "others.txt"
    file.write_text("\n".join([f"a {removed[0]} of {removed[1]}", *(row[0] for row in reserved)]), "utf-8")
    content = Record.read(tiny_run).recipe.model_dump()
    content |= {"method": "distill", "runs": str(tmp_path / "runs")}
    content["distill"] |= {"teacher": str(tiny_run), "student": "layers:1", "texts": str(file)}
    content["train"] = {"epochs": 0.1}
    student = finetune(Recipe.model_validate(content), quiet=True)
    link = compress(chain(student.folder, ["vocabulary"]), quiet=True).links[0]
    assert set(load_tokenizer(link.record.model_folder).get_vocab()) == trimmed | {removed[0], removed[1]}
    file.unlink()
    with pytest.raises(DataError, match=r"others\.txt"):
        compress(chain(student.folder, [{"vocabulary": {"max_size": 300}}]), quiet=True)


def test_strange_texts_are_predicted(done: Compression, tiny_run: Path) -> None:
    before = [prediction["scores"] for prediction in predict(tiny_run, STRANGE)]
    for link in done.links:
        after = [prediction["scores"] for prediction in predict(link.record.folder, STRANGE)]
        assert len(after) == len(STRANGE)
        for index in (3, 4):  # texts of spaces have only special tokens, which are all kept
            assert after[index] == pytest.approx(before[index], abs=0.2)


def test_finished_steps_are_not_repeated(done: Compression, tiny_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kit.runs.write_record._fit_and_write", lambda *args: pytest.fail("a step was repeated"))
    again = compress(chain(tiny_run, "vocabulary,int8-onnx"), quiet=True)
    assert [link.record.id for link in again.links] == [link.record.id for link in done.links]


def test_interrupted_chain_resumes_at_its_step(done: Compression, tiny_run: Path, monkeypatch) -> None:
    def interrupted(*args: object) -> bytes:
        raise KeyboardInterrupt

    steps = ["vocabulary", {"int8-onnx": {"per_channel": False}}]
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(int8_module, "_quantized", interrupted)
        compress(chain(tiny_run, steps), quiet=True)
    calls: list[str] = []
    original = int8_module._quantized
    monkeypatch.setattr(int8_module, "_quantized", lambda *args: calls.append("int8") or original(*args))
    monkeypatch.setattr(
        "kit.compression.steps.vocabulary._trim", lambda *args: pytest.fail("the first step was repeated")
    )
    resumed = compress(chain(tiny_run, steps), quiet=True)
    assert calls == ["int8"] and resumed.record.id != done.record.id
    assert not list(tiny_run.parent.glob(".int8*")), "the draft of the interrupted step became its Record"


def test_killed_chain_ends_with_the_same_records(
    done: Compression, tiny_run: Path, tmp_path: Path, start, kit_forked
) -> None:
    """SIGKILL in the first step, after it, and in the second step: each restart resumes at the unfinished step."""
    runs = tmp_path / "runs"
    source = shutil.copytree(tiny_run, runs / tiny_run.name)
    command = ["compress", source, "--steps", "vocabulary,int8-onnx", "--set", "compress.gate.retained=null"]
    finished_before: dict[str, int] = {}  # inodes, which change if a step is repeated
    for moment, steps in ((".vocabulary-*.partial", 0), ("vocabulary-*/record.json", 1), (".int8-onnx-*.partial", 1)):
        process = start(*command)
        while not any(runs.glob(moment)):
            assert process.poll() is None, process.communicate()
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        inodes = {path.parent.name: path.stat().st_ino for path in runs.glob("[!.]*/record.json")}
        assert finished_before.items() <= inodes.items(), "a finished step was lost or repeated"
        assert len(inodes) == 1 + steps
        finished_before = inodes
    finished = kit_forked(*command)
    assert finished.code == 0, finished.err
    assert f"found the finished run {done.links[0].record.id}" in finished.err
    for link in done.links:
        record, expected = Record.load(runs / link.record.id), link.record
        assert record.metrics == expected.metrics
        assert np.array_equal(record.predictions().outputs, expected.predictions().outputs)
        assert _model_files(record) == _model_files(expected)
    assert {path.parent.name for path in runs.glob("*/record.json")} == {*finished_before, done.record.id}
    assert not list(runs.glob(".*.partial"))


def _model_files(record: Record) -> dict[str, object]:
    return {name: entry for name, entry in record.to_dict()["files"].items() if name.startswith("model/")}


def test_step_that_loses_too_much_is_undone(tiny_run: Path, monkeypatch) -> None:
    """The loss of pruning is random in so small a model, so its gates are fixed; the gate of the graph is real."""
    gates = iter([Gate(None, share, (f"agrees on {100 * share:.1f} % of a few",)) for share in (0.6, 0.8)])
    original = Judge.gate
    monkeypatch.setattr(Judge, "gate", lambda self, model: next(gates, None) or original(self, model))
    steps = [{"prune": {"heads": 0.9, "neurons": 0.9, "epochs": 0}}, "onnx"]
    compressed = compress(chain(tiny_run, steps, agreement=0.999), quiet=True)
    first, gentler, last = compressed.links
    for link, heads in ((first, 0.9), (gentler, 0.45)):
        assert not link.gate.passed and link.gate.agreement < 0.999
        assert f"prune (heads: {heads}" in link.line and "UNDONE by the gate: agrees on" in link.line
    assert last.gate.passed and last.record.to_dict()["settings"]["compression"]["source"] == tiny_run.name
    assert last.verdict.agreement.value == 1.0, "applied to the start, not to the undone model"
    assert compressed.record == last.record


def test_variants_are_tried_before_a_step_is_undone(done: Compression, tiny_run: Path, monkeypatch) -> None:
    gates = iter([Gate(None, 0.1, ("agrees on 10.0 %",)), Gate(None, 0.9, ())])
    monkeypatch.setattr("kit.compression.gate.Judge.gate", lambda self, model: next(gates))
    compressed = compress(chain(tiny_run, [{"vocabulary": {"max_size": 2_100}}], agreement=0.5), quiet=True)
    first, second = compressed.links
    assert first.line.startswith("vocabulary (max_size: 2100)") and "UNDONE by the gate: agrees on 10.0 %" in first.line
    assert first.record.to_dict()["settings"]["tokens"] == 2_100
    assert compressed.record.id == second.record.id == done.links[0].record.id
    assert "of 6,000 tokens" in second.line and "calibration error" in second.line


@pytest.mark.parametrize(("precision", "bf16"), [("fp32", False), ("auto", True), ("bf16", True)])
def test_chain_uses_the_precision_of_its_run(precision, bf16, tiny_run: Path, monkeypatch) -> None:
    monkeypatch.setattr("kit.training.hardware.computes_bf16", lambda device: True)
    record = Record.read(tiny_run)
    train = record.recipe.train.model_copy(update={"precision": precision})
    monkeypatch.setattr(Record, "recipe", record.recipe.model_copy(update={"train": train}))
    assert job_of(record, True, LoadedInputs()).hardware.bf16 is bf16


def test_gate_allows_the_loss_of_one_validation_example(tiny_run: Path) -> None:
    record, start = Record.read(tiny_run), load_predictor(tiny_run / "model")
    job = job_of(record, True, LoadedInputs())
    section = Recipe.model_validate(
        {**record.recipe.model_dump(), "compress": {"gate": {"retained": 0.99}}}
    ).compress.gate
    judge = Judge.of(section, job, start)
    validation = job.data.validation
    outputs, targets = start.outputs(validation.texts), job.task.targets(validation.labels)
    correct = np.flatnonzero(outputs.argmax(1) == targets)
    assert len(correct) < 100, "one example is more than 1 %"
    for lost, passed in ((1, True), (2, False)):
        worse = outputs.copy()
        worse[correct[:lost]] *= -1
        gate = judge.gate(SimpleNamespace(outputs=lambda _, worse=worse: worse))
        assert gate.passed is passed and gate.retained == pytest.approx(1 - lost / len(correct))
    limit = f"at least {100 * (1 - 1 / len(correct)):.1f} % required"
    assert gate.broken == (f"{100 * gate.retained:.1f} % retained on {len(validation)} validation examples, {limit}",)
    warning = f"{len(validation)} validation examples are too few to check a limit of 99.0 %"
    assert judge.coarse.startswith(f"compress.gate.retained: {warning}")
    loose = section.model_copy(update={"retained": 0.5})
    assert Judge.of(loose, job, start).coarse == ""


def test_gate_of_a_metric_of_zero_is_not_checked(tiny_run: Path) -> None:
    record, start = Record.read(tiny_run), load_predictor(tiny_run / "model")
    job = job_of(record, True, LoadedInputs())
    outputs, targets = start.outputs(job.data.validation.texts), job.task.targets(job.data.validation.labels)
    wrong = np.flatnonzero(outputs.argmax(1) != targets)[:1]
    one = replace(job, data=replace(job.data, validation=job.data.validation.take(wrong)))
    judge = Judge.of(record.recipe.compress.gate, one, start)
    assert "not checked, because the model's accuracy on its 1 validation example is not above 0" in judge.coarse
    gate = judge.gate(start)
    assert gate.passed and gate.retained is None


def test_gate_limits_the_loss_of_the_worst_class(tiny_run: Path) -> None:
    record, start = Record.read(tiny_run), load_predictor(tiny_run / "model")
    job = job_of(record, True, LoadedInputs())
    judge = Judge.of(chain(tiny_run, ["onnx"], worst_class=0.25).compress.gate, job, start)
    outputs, targets = judge.validation, job.task.targets(job.data.validation.labels)
    assert outputs is not None and "fewer than 4 validation examples" not in judge.few
    label = int(np.bincount(targets[outputs.argmax(1) == targets]).argmax())
    members = np.flatnonzero((targets == label) & (outputs.argmax(1) == targets))
    count = int((targets == label).sum())
    for lost in (0, 1, len(members)):
        worse = outputs.copy()
        worse[members[:lost]] *= -1
        gate = judge.gate(SimpleNamespace(outputs=lambda _, worse=worse: worse))
        worst = gate.worst_class
        assert worst is not None and worst.loss.value == pytest.approx(lost / count)
        assert worst.loss.low <= worst.loss.value <= worst.loss.high and worst.loss.low < worst.loss.high
        assert gate.passed is (lost / count <= max(0.25, 1 / count))
        assert lost == 0 or (worst.label, worst.count) == (job.task.labels[label], count)
    assert gate.broken[0].startswith(f"recall on validation examples fell: '{job.task.labels[label]}' from ")
    assert gate.broken[0].endswith("a loss of at most 25.0 points is allowed")
    strict = Judge.of(chain(tiny_run, ["onnx"], worst_class=0.01).compress.gate, job, start)
    assert strict.few.startswith("compress.gate.worst_class: 2 of 2 classes have fewer than 100 validation examples")


def test_steps_report_recall_per_class(done: Compression, kit, tiny_run: Path) -> None:
    link = done.links[-1]
    assert link.gate.worst_class is not None
    saved = link.record.to_dict()["settings"]["compression"]["largest_recall_loss"]
    assert saved == asdict(link.gate.worst_class), "Record and gate use the same validation examples"
    assert link.record.to_dict()["settings"]["compression"]["recall_words"] == link.gate.recall_words
    assert "too few" in link.gate.recall_words and link.gate.recall_words in link.line
    after = {name: row["recall"] for name, row in link.record.to_dict()["details"]["per_label"].items()}
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
    job = job_of(record, True, LoadedInputs())
    empty = replace(job.data, validation=job.data.validation.take([]))
    section = chain(tiny_run, ["onnx"], worst_class=0.05).compress.gate
    with pytest.raises(RecipeError, match="there are no validation examples to compute recall on"):
        require_gate(section, job.task, empty)


def test_agreement_is_with_predictions_of_the_start(tiny_run: Path) -> None:
    record, start = Record.read(tiny_run), load_predictor(tiny_run / "model")
    job = job_of(record, True, LoadedInputs())
    section = chain(tiny_run, ["onnx"], agreement=0.9).compress.gate
    judge = Judge.of(section, job, start)
    texts, validation = len(judge.predictions), judge.validation
    assert texts >= 20
    gate = judge.gate(start)
    assert (gate.retained, gate.agreement, gate.broken) == (None, 1.0, ())
    for other, passed in ((texts // 10, True), (texts // 10 + 1, False)):
        changed = judge.predictions.copy()
        changed[:other] *= -1
        gate = judge.gate(SimpleNamespace(outputs=lambda rows, a=changed: a if len(rows) == texts else validation))
        assert gate.passed is passed and gate.agreement == pytest.approx(1 - other / texts)
    assert gate.broken[-1:] == (
        f"agrees on {100 * gate.agreement:.1f} % of {texts} texts of the pool, at least 90.0 % required",
    )
    assert gate.content == {**asdict(gate), "passed": False}


def test_gate_reads_labels_only_of_validation_examples(done: Compression, tiny_run: Path, monkeypatch) -> None:
    labels_read, read_by_gate = [], []
    original, compare = Classification.targets, chain_module.links_of
    monkeypatch.setattr(Classification, "targets", lambda self, part: labels_read.append(part) or original(self, part))
    monkeypatch.setattr(
        chain_module, "links_of", lambda *args, **keys: read_by_gate.extend(labels_read) or compare(*args, **keys)
    )
    monkeypatch.setattr("kit.runs.write_record._fit_and_write", lambda *args: pytest.fail("the step was repeated"))
    gate = compress(chain(tiny_run, ["vocabulary"], retained=0.5, agreement=0.4), quiet=True).links[0].gate
    assert gate.retained > 0.5 and 0.4 < gate.agreement <= 1.0
    validation = Record.read(tiny_run).to_dict()["data"]["sizes"]["validation"]
    assert read_by_gate and all(len(part) == validation for part in read_by_gate)


def test_float32_graph_predicts_as_torch_in_any_batch(tiny_run: Path) -> None:
    traced = compress(chain(tiny_run, ["onnx"]), quiet=True).record
    torch_model, graph = load_predictor(tiny_run / "model"), load_predictor(traced.model_folder)
    texts = _test_texts(tiny_run)[:40]
    together = graph.outputs(texts)
    assert np.abs(torch_model.outputs(texts) - together).max() < 1e-4
    assert np.abs(np.concatenate([graph.outputs([text]) for text in texts]) - together).max() < 1e-4
    assert graph.parameters == torch_model.parameters and not graph.depends_on_batch


def test_effect_of_the_batch_on_dynamic_ranges_is_reported(done: Compression) -> None:
    effect = done.record.to_dict()["settings"]["batch_effect"]
    assert effect["largest_difference"] > 0 and effect["other_labels"] < 0.3
    assert batch_effect_words(effect) in done.lines[-2]
    assert load_predictor(done.record.model_folder).depends_on_batch


def test_static_ranges_are_independent_of_the_batch(tiny_run: Path) -> None:
    static = compress(chain(tiny_run, [{"int8-onnx": {"calibration": "static"}}]), quiet=True).record
    graph, texts = load_predictor(static.model_folder), _test_texts(tiny_run)[:20]
    assert np.abs(np.concatenate([graph.outputs([text]) for text in texts]) - graph.outputs(texts)).max() < 1e-3


REFUSED = {
    "8 bits of 8 bits": (["int8-onnx", "int8-onnx"], "int8-onnx: what int8-onnx leaves is a quantized graph"),
    "a graph has no table": (["onnx", "vocabulary"], "vocabulary: what onnx leaves is a graph for ONNX Runtime"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_impossible_chains_are_refused_before_computation(case, tiny_run, monkeypatch) -> None:
    steps, words = REFUSED[case]
    monkeypatch.setattr("kit.runs.write_record._fit_and_write", lambda *args: pytest.fail("something was computed"))
    with pytest.raises(ModelError, match=words) as error:
        compress(chain(tiny_run, steps), quiet=True)
    assert error.value.hint


def test_models_that_cannot_be_compressed_are_refused(
    tiny_run: Path, done: Compression, reviews: Path, tmp_path: Path, monkeypatch
) -> None:
    tfidf = finetune(
        Recipe(
            task="classification",
            method="tfidf",
            runs=str(tmp_path / "runs"),
            data={"source": str(reviews), "text": "text", "label": "label", "budget": 60, "validation": 0},
        ),
        quiet=True,
    )
    with pytest.raises(ModelError, match="TF-IDF with a linear model") as error:
        compress(chain(tfidf.folder, ["int8-onnx"]), quiet=True)
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


def test_graph_can_teach_but_has_no_layers_for_students(done: Compression, tiny_run: Path) -> None:
    from kit.distillation.teacher import resolve_teacher

    graph = resolve_teacher(str(done.record.folder))
    assert graph.checkpoint is None and graph.labels == ("negative", "positive")
    trimmed = resolve_teacher(str(done.links[0].record.folder))
    assert trimmed.checkpoint is not None
    with pytest.raises(ModelError, match="has no layers to make a student from"):
        from kit.runs.request import make_request

        recipe = Record.read(tiny_run).recipe
        section = recipe.distill.model_copy(update={"teacher": str(done.record.folder)})
        make_request(recipe.model_copy(update={"method": "distill", "distill": section}))


def test_model_card_lists_only_the_steps_of_its_model(done: Compression, tiny_run: Path) -> None:
    """Without undone steps on its source, and without repeating a step that another chain shares."""
    trimmed = compress(chain(tiny_run, ["vocabulary"]), quiet=True)
    assert trimmed.record.id == done.links[0].record.id
    (tiny_run / CHAIN_FILE).write_text(
        json.dumps(sealed({"source": tiny_run.name, "lines": ["onnx: UNDONE by the gate"]}))
    )
    try:
        histories = [
            list(dict.fromkeys(line.partition(":")[0] for line in history(record)))
            for record in (done.record, trimmed.record)
        ]
        assert histories == [[tiny_run.name, "vocabulary", "int8-onnx"], [tiny_run.name, "vocabulary"]]
        assert history(Record.read(tiny_run)) == []
    finally:
        (tiny_run / CHAIN_FILE).unlink()


def test_compressed_record_names_its_source(done: Compression, tiny_run: Path, kit) -> None:
    rows = dict(done.record.rows())
    assert rows["method"] == "int8-onnx of finetune" and rows["compressed from"] == done.links[0].record.id
    listed = kit("list", tiny_run.parent)
    assert "vocabulary of finetune" in listed.out


def test_impossible_chain_is_refused_before_training(recipe_file: Path, monkeypatch) -> None:
    recipe = Recipe.load(recipe_file, ["data.validation=0", "train.epochs=1", "compress.steps=[vocabulary]"])
    monkeypatch.setattr("kit.runs.write_record._fit_and_write", lambda *args: pytest.fail("something was trained"))
    with pytest.raises(RecipeError, match=r"compress\.gate\.retained: there are no validation examples"):
        compress(recipe, quiet=True)
    late = Recipe.load(recipe_file, ["compress.steps=[int8-onnx, vocabulary]"])
    with pytest.raises(ModelError, match="what int8-onnx leaves") as error:
        compress(late, quiet=True)
    assert error.value.hint == "take vocabulary before int8-onnx"


def test_steps_option_must_name_techniques(tiny_run: Path, kit) -> None:
    for steps in ("", ","):
        refused = kit("compress", tiny_run, "--steps", steps)
        assert refused.code == 2 and f"--steps {steps!r} names no technique" in refused.err
    refused = kit("compress", tiny_run, "--steps", "onnx", "--set", "compress.steps=[float16]")
    assert refused.code == 2 and "--steps and --set compress.steps both set the steps" in refused.err


def test_changed_data_are_refused(reviews: Path, recipe_file: Path, tmp_path: Path) -> None:
    moved = tmp_path / "data"
    shutil.copytree(reviews, moved)
    record = finetune(Recipe.load(recipe_file, [f"data.source={moved}", "train.epochs=1"]), quiet=True)
    lines = (moved / "test.csv").read_text("utf-8").splitlines(keepends=True)
    (moved / "test.csv").write_text("".join(lines[:-5]), "utf-8")
    with pytest.raises(DataError, match=r"^the test examples \(split 'test' of .*\) changed since finetune"):
        compress(chain(record.folder, ["float16"]), quiet=True)


def test_failing_variants_do_not_end_the_chain(tiny_run: Path, monkeypatch) -> None:
    def failing(model: bytes, step, *rest: object) -> bytes:
        if step.calibration == "static":
            raise ModelError("int8-onnx: the graph cannot be quantized: for a test")
        return original(model, step, *rest)

    original = int8_module._quantized
    monkeypatch.setattr(int8_module, "_quantized", failing)
    monkeypatch.setattr(int8_module, "learn_rounding", lambda source, *rest: (source.model_folder, None))
    monkeypatch.setattr("kit.compression.gate.Judge.gate", lambda *args: Gate(None, 0.9, ("agrees on 90.0 %",)))
    undone = compress(chain(tiny_run, [{"int8-onnx": {"per_channel": False}}], agreement=1.0), quiet=True)
    assert [link.settings for link in undone.links] == [
        "per_channel: false",
        'per_channel: false, weights: "uint8"',
        'per_channel: false, embeddings: "float32"',
        "aware: 1.0, per_channel: false",
    ]
    assert undone.record.folder == tiny_run
    assert json.loads((tiny_run / CHAIN_FILE).read_text("utf-8"))["steps"][1]["settings"].endswith('"uint8"')
    Record.load(tiny_run)  # the file of the chain does not damage the Record


def test_only_the_chain_of_a_finished_run_can_be_set(tiny_run: Path, kit) -> None:
    refused = kit("compress", tiny_run, "--steps", "onnx", "--set", "train.epochs=3")
    assert refused.code == 2 and "only compress.steps and compress.gate can be set for a finished run" in refused.err


def test_command_compresses_the_run_of_a_recipe(recipe_file, kit, kit_forked) -> None:
    result = kit("compress", recipe_file, "--steps", "vocabulary,float16", "--set", "compress.gate.retained=null")
    assert result.code == 0, result.err
    lines = result.out.strip().splitlines()
    assert lines[0].startswith("finetune-tiny-bert-120") and lines[1].startswith("vocabulary: ")
    assert lines[2].startswith("vocabulary: About ") and ", and are split into smaller tokens. " in lines[2]
    assert lines[4].startswith("float16: ") and "ends with " in lines[-1]
    assert all("recall on the test examples (not used by the gate): '" in lines[place] for place in (3, 5))
    folder = lines[-1].removeprefix("ends with ")
    predicted = kit_forked("predict", folder, "a gripping, funny film")
    assert predicted.code == 0, predicted.err
    assert json.loads(predicted.out)["label"] in ("negative", "positive")
    again = kit("compress", folder, "--steps", "int8-onnx")
    assert again.code == 2 and "compress the run it was made of" in again.err and "Traceback" not in again.err


def test_damaged_record_is_refused(recipe_file: Path, kit) -> None:
    record = finetune(Recipe.load(recipe_file, ["train.epochs=1"]), quiet=True)
    (record.model_folder / "tokenizer.json").write_text("{}", "utf-8")
    with pytest.raises(KitError, match=r"damaged: model/tokenizer\.json was changed"):
        compress(chain(record.folder, ["vocabulary"]), quiet=True)
