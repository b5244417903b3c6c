"""Early exit: confident texts exit, later blocks compute only for the others, and predictions ignore the batch."""

from __future__ import annotations

import re
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertConfig, DistilBertConfig, ModernBertConfig, MPNetConfig, PreTrainedConfig, RobertaConfig

from kit import Recipe, Record, evaluate
from kit.compression import TECHNIQUES
from kit.compression.chain import job_of
from kit.compression.steps.early_exit import _chosen, _fit_exit
from kit.data.examples import Examples
from kit.errors import ModelError
from kit.methods import Job
from kit.models.architectures.cnn_bilstm import TextCnn, TextCnnConfig
from kit.models.architectures.early_exit import EarlyExitClassifier, confidence, require_same_alone, with_exits
from kit.models.architectures.pooled import PooledClassifier, PooledConfig
from kit.models.checkpoints.loading import load_classifier
from kit.models.kinds.form import Form
from kit.models.load import load_predictor
from kit.recipe.sections.compression import EarlyExitStep
from kit.runs.derived_recipes import compression_recipe
from kit.runs.request import LoadedInputs
from kit.workflows.compress import compress
from tests.support.sealing import edited

TEXTS = [
    (text,)
    for text in ("a gripping, funny film", "so dull that i left", "fine", "日本", "not a film, and long at that")
]
SIZES = {"vocab_size": 60, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 16}


def chain(folder: Path, *steps: object) -> Recipe:
    content = compression_recipe(folder).model_dump()
    content["compress"] |= {"steps": list(steps), "gate": {"retained": None}}
    return Recipe.model_validate(content)


def prepared_job(record: Record) -> Job:
    return job_of(record, True, LoadedInputs())


def classifier(config: PreTrainedConfig, **settings: object) -> PooledClassifier:
    torch.manual_seed(0)
    model = PooledClassifier(PooledConfig(encoder=config.to_dict(), num_labels=3, **settings))
    return model.eval()


def spread(model: EarlyExitClassifier) -> EarlyExitClassifier:
    """Give the exits random weights large enough that some texts exit after each block."""
    torch.manual_seed(1)
    for layer in model.exits:
        torch.nn.init.normal_(layer.weight, std=0.3)
    return model


@pytest.fixture(scope="module")
def done(tiny_run: Path) -> Record:
    return compress(chain(tiny_run, {"early-exit": {"retained": 0.9}}), quiet=True).record


def test_threshold_is_chosen_on_validation_examples(done: Record) -> None:
    settings = done.to_dict()["settings"]
    curve, chosen = settings["curve"], settings["chosen"]
    layers = [point["layers"] for point in curve]
    assert layers == sorted(layers) and (layers[0], layers[-1]) == (1.0, 2.0)
    assert [curve[0]["leave"], curve[-1]["leave"], curve[-1]["retained"]] == [[1.0, 0.0], [0.0, 1.0], 1.0]
    assert chosen in curve and chosen["threshold"] == settings["threshold"] and chosen["retained"] >= 0.9
    enough = [point["retained"] - point["retained_error"] >= 0.9 for point in curve]
    assert curve[len(enough) - enough[::-1].index(False) if False in enough else 0] == chosen
    model = load_classifier(done.model_folder)
    assert isinstance(model, EarlyExitClassifier) and model.config.threshold == settings["threshold"]
    assert evaluate(done.folder).largest_difference < 1e-4


def test_points_of_the_curve_are_measured_correctly(done: Record, tiny_run: Path) -> None:
    job = prepared_job(Record.read(tiny_run))
    predictor = load_predictor(done.model_folder)
    for point in done.to_dict()["settings"]["curve"][::5]:
        predictor.model.config.threshold = point["threshold"]
        logits = predictor.outputs(job.data.validation.texts)
        assert job.task.scores(logits, job.task.targets(job.data.validation.labels))["accuracy"] == point["accuracy"]


def test_only_labels_of_validation_examples_are_used(tiny_run: Path) -> None:
    """The exits and their threshold are the same if all other labels change."""
    job = prepared_job(Record.read(tiny_run))

    def flipped(part: Examples) -> Examples:
        return replace(part, labels=[(job.data.labels[row[0] == job.data.labels[0]],) for row in part.labels])

    parts = {name: flipped(getattr(job.data, name)) for name in ("train", "pool", "test")}
    results = [
        TECHNIQUES["early-exit"].compress(EarlyExitStep(retained=0.9), Record.read(tiny_run), variant)
        for variant in (job, replace(job, data=replace(job.data, **parts)))
    ]
    weights, other_weights = (result.predictor.model.state_dict() for result in results)
    assert all(torch.equal(weights[name], other_weights[name]) for name in weights)
    assert results[0].settings == results[1].settings


def test_threshold_of_one_changes_no_bit_of_the_outputs(tiny_run: Path) -> None:
    source = Record.read(tiny_run)
    fitted = TECHNIQUES["early-exit"].compress(EarlyExitStep(threshold=1), source, prepared_job(source))
    assert np.array_equal(fitted.predictor.outputs(TEXTS), load_predictor(source.model_folder).outputs(TEXTS))
    assert fitted.settings["chosen"]["layers"] == 2


def test_later_blocks_compute_only_for_texts_without_an_exit() -> None:
    model = spread(with_exits(classifier(BertConfig(num_hidden_layers=4, **SIZES))))
    ids = torch.randint(1, 60, (16, 7))
    rows: list[int] = []
    for block in model.encoder.encoder.layer:
        block.register_forward_pre_hook(lambda block, inputs: rows.append(len(inputs[0])))
    with torch.inference_mode():
        model.config.threshold = 0.0
        assert model(ids).layers.tolist() == [1] * 16 and rows == [16]
        rows.clear()
        model.config.threshold = 1.0
        assert model(ids).layers.tolist() == [4] * 16 and rows == [16] * 4
        rows.clear()
        first = model.exits[0](model.vectors_by_layer(ids, torch.ones_like(ids))[:, 0])
        rows.clear()
        model.config.threshold = float(confidence(first, False).sort().values[9:11].mean())
        outputs = model(ids, labels=torch.zeros(16, dtype=torch.long))
        assert model.train()(ids).layers.tolist() == [4] * 16
    remaining = [int((outputs.layers > number).sum()) for number in range(len(rows) - 4)]
    assert rows[:-4] == remaining and rows[:2] == [16, 10]
    assert torch.equal(outputs.logits[outputs.layers == 1], first[outputs.layers == 1])
    assert float(outputs.loss) == pytest.approx(
        float(torch.nn.functional.cross_entropy(outputs.logits, torch.zeros(16).long()))
    )


@pytest.mark.parametrize(
    "config",
    [
        BertConfig(num_hidden_layers=3, **SIZES),
        RobertaConfig(num_hidden_layers=3, **SIZES),
        DistilBertConfig(vocab_size=60, dim=16, n_layers=3, n_heads=2, hidden_dim=16),
        MPNetConfig(num_hidden_layers=3, **SIZES),
        ModernBertConfig(num_hidden_layers=3, **SIZES, pad_token_id=0, global_attn_every_n_layers=2, local_attention=4),
    ],
    ids=lambda config: config.model_type,
)
@pytest.mark.parametrize("multi_label", [False, True])
def test_prediction_is_the_same_alone_and_in_a_batch(config: PreTrainedConfig, multi_label: bool) -> None:
    problem = "multi_label_classification" if multi_label else "single_label_classification"
    model = spread(with_exits(classifier(config, problem_type=problem, pooling="cls" if multi_label else "mean")))
    require_same_alone(model)
    ids = torch.randint(3, 60, (64, 9))
    mask = (torch.arange(9)[None] < torch.randint(1, 10, (64, 1))).long()
    with torch.inference_mode():
        logits = model.logits_by_layer(model.vectors_by_layer(ids, mask))[:, :-1].flatten(0, 1)
        model.config.threshold = float(confidence(logits, multi_label).sort().values[80:82].mean())
        together = model(ids * mask, mask)
        alone = [model(row[: int(kept.sum())][None]) for row, kept in zip(ids, mask, strict=True)]
    assert len(set(together.layers.tolist())) == 3
    assert together.layers.tolist() == [int(outputs.layers) for outputs in alone]
    assert (together.logits - torch.cat([outputs.logits for outputs in alone])).abs().max() < 1e-5


def test_pruned_encoder_with_exits_is_saved_and_loaded(tmp_path: Path) -> None:
    pruned = classifier(BertConfig(num_hidden_layers=3, **SIZES), kept_heads=[1, 2, 1], kept_neurons=[8, 16, 5])
    model = spread(with_exits(pruned, threshold=0.4))
    model.save_pretrained(tmp_path)
    ids = torch.randint(1, 60, (16, 7))
    loaded = load_classifier(tmp_path)
    with torch.inference_mode():
        assert torch.equal(model(ids).logits, loaded(ids).logits) and 1 < model(ids).layers.double().mean() < 3
        loaded.config.threshold = 1.0
        assert torch.equal(loaded(ids).logits, pruned(ids).logits)


def test_all_thresholds_from_the_chosen_one_retain_enough() -> None:
    points = ((0.0, 0.99, 0.0), (0.5, 0.9, 0.0), (0.8, 0.98, 0.02), (0.9, 0.97, 0.0), (1.0, 1.0, 0.0))
    curve = [{"threshold": t, "retained": r, "retained_error": e} for t, r, e in points]
    assert [_chosen(curve, share) for share in (0.95, 0.965, 0.975, 0.5)] == [0.8, 0.9, 1.0, 0.0]


def test_exits_fit_a_linear_target() -> None:
    torch.manual_seed(0)
    vectors, weight = torch.randn(2_000, 6) * torch.tensor([1, 1, 1, 3, 3, 0.01]) + 3, torch.randn(3, 6) / 3
    for multi_label in (False, True):
        fitted, bias = _fit_exit(vectors, vectors @ weight.T, multi_label)
        probabilities, expected = (
            logits.sigmoid() if multi_label else logits.softmax(-1)
            for logits in (vectors @ fitted.T + bias, vectors @ weight.T)
        )
        assert (probabilities - expected).abs().mean() < 0.05


def test_variants_are_gentler() -> None:
    technique = TECHNIQUES["early-exit"]
    assert technique.variants(EarlyExitStep(retained=0.5)) == [EarlyExitStep(retained=0.75)]
    assert technique.variants(EarlyExitStep(threshold=0.5)) == [EarlyExitStep(threshold=0.75)]
    assert technique.variants(EarlyExitStep(retained=1.0)) == technique.variants(EarlyExitStep(threshold=1.0)) == []


def test_models_that_cannot_have_exits_are_refused() -> None:
    small = TextCnn(TextCnnConfig(vocab_size=60, hidden_size=8, num_labels=3))
    with pytest.raises(ModelError, match="a TextCnn has no pooled vectors") as error:
        with_exits(small)
    assert "model.pooling mean or cls" in error.value.hint
    with pytest.raises(ModelError, match="a model of one layer cannot skip any"):
        with_exits(classifier(BertConfig(num_hidden_layers=1, **SIZES)))
    model = classifier(BertConfig(num_hidden_layers=3, **SIZES))
    model.encoder.config.num_hidden_layers = 7
    with pytest.raises(ModelError, match="the layers of a bert model cannot be identified"):
        with_exits(model)


def test_blocks_with_unknown_inputs_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kit.models.architectures.early_exit._PER_TEXT", ())
    with pytest.raises(ModelError, match=r"texts cannot exit a bert model|predicts differently once texts have exited"):
        require_same_alone(with_exits(classifier(BertConfig(num_hidden_layers=3, **SIZES))))


@pytest.mark.parametrize("kind", sorted(set(Form) - {Form.TORCH}))
def test_only_torch_models_can_have_exits(kind: Form, tiny_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kit.compression.chain.form_of", lambda *args: kind)
    with pytest.raises(ModelError, match=re.escape(f"is {kind}; this step works on a classifier of torch")) as error:
        compress(chain(tiny_run, "early-exit"), quiet=True)
    assert error.value.hint


def test_impossible_steps_are_refused_before_computation(tiny_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        import_module("kit.compression.chain"), "_step_record", lambda *args: pytest.fail("a step was taken")
    )
    for after in ("int8-onnx", "onnx", "int8-bnb", "prune"):
        with pytest.raises(ModelError, match=f"{after}: what early-exit leaves is a model with early exits") as error:
            compress(chain(tiny_run, "early-exit", after), quiet=True)
        assert ("take prune before early-exit" if after == "prune" else "early-exit comes last") in error.value.hint
    data = Record.read(tiny_run).to_dict()["data"]
    source = edited(Record.read(tiny_run), data=data | {"sizes": data["sizes"] | {"validation": 0}})
    with pytest.raises(ModelError, match="no validation examples to choose the threshold on") as error:
        TECHNIQUES["early-exit"].require(EarlyExitStep(), source)
    assert "threshold: 0.95" in error.value.hint
    TECHNIQUES["early-exit"].require(EarlyExitStep(threshold=0.9), source)
