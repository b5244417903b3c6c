import json
import shutil

import pytest

from kit.errors import RecordError
from kit.records.record import Record, list_records
from tests.support.sealing import edit
from tests.support.sealing import edited as edited_record

ONNX = {"source": "a", "technique": "onnx"}


@pytest.fixture
def copy(tiny_run, tmp_path):
    return shutil.copytree(tiny_run, tmp_path / "runs" / tiny_run.name)


def test_a_whole_record_loads_and_has_a_summary(copy) -> None:
    record = Record.load(copy)
    assert record.recipe.data.budget == 120
    rows = dict(record.rows())
    assert rows["labels bought"].startswith("120 (")
    assert "%" in rows["accuracy"] and "[" in rows["accuracy"]
    assert "(chance 50.0 %, majority " in rows["accuracy"]
    assert record.id in record._repr_html_()


def with_counts(record: Record, **counts: dict[str, int] | None) -> Record:
    """Return a Record whose audit has other counts."""
    data = record.to_dict()["data"]
    return edited_record(record, data=data | {"audit": data["audit"] | counts})


def test_a_record_without_counts_has_no_baselines(copy) -> None:
    record = with_counts(Record.read(copy), labels_train=None, labels_test=None)
    assert record.baselines.words("accuracy") == ""
    assert record.shown_metrics == ("accuracy",)


def test_unbalanced_classes_show_both_metrics(copy) -> None:
    record = with_counts(Record.read(copy), labels_train={"0": 10, "1": 110})
    assert record.shown_metrics == ("accuracy", "macro_f1")
    assert record.beside.startswith("macro_f1 ")
    record = with_counts(record, labels_test={"0": 2, "1": 118})
    balance, few = record.class_notes(record.shown_metrics)
    assert "decisions use accuracy; `metric: macro_f1`" in balance
    assert few == "'0' has 2 test examples, too few to trust its recall or macro averages"
    assert [text for name, text in record.rows() if name == "note"][-2:] == [balance, few]
    assert record.class_notes(["accuracy"]) == (balance,)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("predictions.parquet", "was changed"),
        ("model/model.safetensors", "was changed"),
        ("model/tokenizer.json", None),
    ],
)
def test_changed_and_missing_files_are_refused(copy, name, message) -> None:
    if message:
        (copy / name).write_bytes((copy / name).read_bytes() + b"x")
    else:
        (copy / name).unlink()
    with pytest.raises(RecordError, match=message or "is missing"):
        Record.load(copy)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is damaged"),
        ("{}", "is damaged"),
        ('{"format": 99}', "has format 99; this version of kit reads 2"),
        ('{"format": "2"}', 'is damaged: format is "2", which is not a whole number'),
        ('{"format": 2.0}', "is damaged: format is 2.0, which is not a whole number"),
    ],
)
def test_lists_name_records_that_cannot_be_read(copy, content, message) -> None:
    (copy / "record.json").write_text(content)
    with pytest.raises(RecordError, match=message):
        Record.load(copy)
    records, problems = list_records(copy.parent)
    assert records == []
    assert len(problems) == 1


def test_hidden_and_other_folders_are_not_records(copy) -> None:
    (copy.parent / "notes").mkdir()
    shutil.copytree(copy, copy.parent / f".{copy.name}.partial")
    records, problems = list_records(copy.parent)
    assert [record.id for record in records] == [copy.name]
    assert problems == []


def test_record_json_is_plain_json(copy) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    json.loads((copy / "record.json").read_text(), parse_constant=refuse)


def test_html_escapes_values_from_the_data(copy) -> None:
    script = {"description": "<script>alert(1)</script>"}
    edit(copy / "record.json", lambda content: content["data"].update(script), reseal=True)
    assert "<script>" not in Record.read(copy)._repr_html_()


def edited(folder, *path, value, reseal=True):
    """Return a copy of a Record with one value of record.json changed."""

    def change(content) -> None:
        for key in path[:-1]:
            content = content[key]
        content[path[-1]] = value

    copy = shutil.copytree(folder, folder.with_name("edited"), dirs_exist_ok=True)
    return edit(copy / "record.json", change, reseal=reseal)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("recipe", "task"), "zzz", "its recipe is not valid"),
        (("metrics", "accuracy", "value"), 0.99, "record.json has accuracy 0.990 ["),
        (("metrics", "accuracy", "low"), 0.01, "record.json has accuracy"),
        (("labels",), ["positive", "negative"], "predicts the labels negative, positive, its Record lists positive"),
    ],
)
def test_evaluate_refuses_values_changed_by_hand(copy, kit, path, value, message) -> None:
    result = kit("evaluate", edited(copy, *path, value=value))
    assert (result.code, message in result.err) == (2, True), result.err


def test_an_edited_record_is_refused(copy) -> None:
    other = edited(copy, "metrics", "accuracy", "value", value=0.99, reseal=False)
    with pytest.raises(RecordError, match=r"edited is damaged: record\.json was changed"):
        Record.read(other)
    edit(other / "record.json", lambda content: content.pop("sha256"))
    with pytest.raises(RecordError, match=r"record\.json has no hash of its content: it was edited, or an earlier"):
        Record.read(other)


def test_predictions_of_other_labels_are_refused(copy) -> None:
    record = edited_record(Record.read(copy), labels=["negative", "b"])
    with pytest.raises(RecordError, match=r"it has labels that record\.json does not list"):
        record.predictions()


def test_predict_refuses_labels_changed_by_hand(copy, kit) -> None:
    result = kit("predict", edited(copy, "labels", value=["positive", "negative"]), "a fine film")
    assert (result.code, "predicts the labels negative, positive" in result.err) == (2, True)


def test_kit_list_names_a_record_with_a_missing_key(copy, kit) -> None:
    content = json.loads((copy / "record.json").read_text())
    del content["metrics"]
    (copy / "record.json").write_text(json.dumps(content))
    result = kit("list", copy.parent)
    assert (result.code, "record.json is damaged: it has no metrics" in result.err) == (0, True)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("main_metric",), "f1", "metrics has no f1"),
        (("metrics", "accuracy", "value"), 1e300, "metrics.accuracy.value: the number is too large"),
        (("metrics", "accuracy", "high"), 7.0, "metrics.accuracy is out of range"),
        (("metrics", "accuracy", "value"), float("inf"), "metrics.accuracy.value: it is not a finite number"),
        (("metrics", "accuracy", "width"), 1.0, "metrics.accuracy.width: kit writes no such key"),
        (("seconds", "total"), -1.0, "seconds.total: the number is too small"),
        (("peak_memory_bytes",), 10**400, "peak_memory_bytes: the number is too large"),
        (("recipe", "data"), None, "recipe.data: it is not an object"),
        (("data", "audit", "labels_train"), 3, "data.audit.labels_train: it is not an object"),
        (("data", "audit", "labels_train"), {"a": "b"}, "data.audit.labels_train.a: it is not a whole number"),
    ],
)
def test_lists_name_records_with_impossible_values(copy, path, value, message) -> None:
    records, problems = list_records(edited(copy, *path, value=value).parent)
    assert [record.folder for record in records] == [copy]
    assert problems == [f"{copy.with_name('edited') / 'record.json'} is damaged: {message}"]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("parameters",), "many", "parameters: it is not a whole number"),
        (("parameters",), "12", "parameters: it is not a whole number"),
        (("seconds", "total"), "3.0", "seconds.total: it is not a number"),
        (("seconds", "fit"), None, "seconds.fit: it is not a number"),
        (("model_bytes",), True, "model_bytes: it is not a whole number"),
        (("settings",), [], "settings: it is not an object"),
        (("settings", "compression"), {"source": "a"}, "settings.compression.technique: it is missing"),
        (("settings", "teachers"), [{"name": 3, "record": None}], "settings.teachers.0.name: it is not text"),
        (("data", "audit", "labels_test"), [1], "data.audit.labels_test: it is not an object"),
        (("labels",), ["positive"], "labels: 1 where at least two are needed"),
        (("labels",), ["positive", "positive"], "labels names a label twice"),
        (("labels",), ["negative", "bill"], "labels are not those that data.audit counts"),
        (("labels",), ["a", "negative", "positive"], "labels are not those that data.audit counts"),
        (
            ("settings", "compression"),
            ONNX,
            "settings.compression is not int8-onnx, the last step of its recipe",
        ),
        (("settings", "teachers"), [{"name": "a", "record": None}], "method finetune does not fit settings.teachers"),
        (("training", "evaluations"), [{"step": 1}], "training.evaluations.0.train_metric: it is missing"),
        (("details", "loops"), "many", "details.loops: it is not a whole number"),
        (("task",), "translation", "task is translation, its recipe has classification"),
        (("task",), "sentiment", "task is sentiment, its recipe has classification"),
        (("method",), "lora", "method is lora, its recipe has finetune"),
        (("main_metric",), "mcc", "main_metric is mcc, its recipe has accuracy"),
        (("seeds", "train"), 7, "seeds are not those of its recipe"),
        (("data", "sizes", "budget"), 7, "data.sizes.budget is not the sum of train and validation"),
        (("checkpoint",), None, "method finetune starts from a checkpoint, and it names none"),
        (("training",), None, "method finetune trains by steps, and it has no training"),
    ],
)
def test_contradictory_values_are_refused(copy, path, value, message) -> None:
    folder = edited(copy, *path, value=value)
    with pytest.raises(RecordError) as caught:
        Record.read(folder)
    assert caught.value.message == f"{folder / 'record.json'} is damaged: {message}"


@pytest.mark.parametrize("change", [{"metod": "lora"}, {"method": "tfidf", "data": {}}, {"train": {"epoch": 1}}])
def test_recipes_with_unknown_or_missing_keys_are_refused(copy, change) -> None:
    folder = edit(copy / "record.json", lambda content: content["recipe"].update(change), reseal=True)
    with pytest.raises(RecordError, match="its recipe is not valid"):
        Record.read(folder)


def test_a_method_that_does_not_fit_the_files_is_refused(copy) -> None:
    def change(content) -> None:
        content["method"] = content["recipe"]["method"] = "tfidf"

    folder = edit(copy / "record.json", change, reseal=True)
    with pytest.raises(RecordError, match="method tfidf does not write the files of its model"):
        Record.read(folder)


def test_lists_name_records_with_circular_links(copy) -> None:
    folder = copy.with_name("loop")
    folder.mkdir()
    (folder / "record.json").symlink_to("record.json")
    _, problems = list_records(copy.parent)
    assert problems == [f"{folder / 'record.json'} cannot be read: Too many levels of symbolic links"]


def test_lists_leave_out_a_run_whose_model_is_not_listed(copy) -> None:
    def change(content) -> None:
        content["files"] = {"predictions.parquet": content["files"]["predictions.parquet"]}

    edit(copy / "record.json", change, reseal=True)
    records, problems = list_records(copy.parent)
    assert records == []
    assert "has files that record.json does not list: model/" in problems[0]


def test_lists_keep_a_run_whose_model_was_deleted(copy) -> None:
    shutil.rmtree(copy / "model")
    records, problems = list_records(copy.parent)
    assert ([record.id for record in records], problems) == ([copy.name], [])
