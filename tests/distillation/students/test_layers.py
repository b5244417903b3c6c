"""Students of classifiers: exact copies of layers, narrower weights, shapes that are refused, small classifiers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    ModernBertConfig,
    ModernBertForSequenceClassification,
)

from kit.distillation.students.layers import last_to_last, reorder_labels, resolve_student, shrink
from kit.errors import ModelError, RecipeError
from kit.models.architectures.cnn_bilstm import SMALL, small_classifier
from kit.models.architectures.layers import capturing, find_layers, spread_evenly
from kit.models.checkpoints.checkpoint import resolve_checkpoint
from kit.models.checkpoints.head import Head
from kit.models.checkpoints.loading import build_classifier, load_classifier
from kit.recipe.sections.distillation import StudentSection
from kit.recipe.sections.model import ModelSection

HEAD = Head(("bad", "good"), multi_label=False)
SIZE = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 64}
IDS = torch.tensor([[101, 2143, 2088, 102], [101, 2204, 102, 0]])
MASK = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])


def bert() -> BertForSequenceClassification:
    torch.manual_seed(0)
    return BertForSequenceClassification(BertConfig(**SIZE, **HEAD.config())).eval()


def pooled(tiny_checkpoint: Path) -> torch.nn.Module:
    torch.manual_seed(0)
    checkpoint = resolve_checkpoint(ModelSection(checkpoint=str(tiny_checkpoint)))
    return build_classifier(checkpoint, HEAD, "pretrained").eval()


def cut(model, section: StudentSection):
    return shrink(model, resolve_student(section, model.base_model.config)).eval()


def logits(model) -> torch.Tensor:
    with torch.inference_mode():
        return model(input_ids=IDS, attention_mask=MASK).logits


@pytest.mark.parametrize(
    ("number", "count", "expected"), [(3, 6, [0, 2, 5]), (2, 6, [0, 5]), (1, 6, [0]), (6, 6, [0, 1, 2, 3, 4, 5]),
                                      (4, 12, [0, 3, 7, 11])]
)  # fmt: skip
def test_layers_are_spread_evenly(number, count, expected) -> None:
    assert spread_evenly(number, count) == expected


def test_the_default_is_the_first_half_of_the_layers() -> None:
    assert resolve_student(StudentSection(), BertConfig(num_hidden_layers=6)).layers == [0, 1, 2]
    assert resolve_student(StudentSection(hidden_size=192), BertConfig(num_hidden_layers=3)).layers == [0]
    assert resolve_student(StudentSection(layers=3), BertConfig(num_hidden_layers=6)).layers == [0, 2, 5]


def test_layers_are_matched_last_to_last() -> None:
    assert last_to_last(3, 6) == [1, 3, 5]
    assert last_to_last(2, 3) == [0, 2]


@pytest.mark.parametrize("kind", ["native", "pooled"])
def test_a_student_with_all_layers_equals_the_model(kind, tiny_checkpoint) -> None:
    model = bert() if kind == "native" else pooled(tiny_checkpoint)
    copy = cut(model, StudentSection(layers=model.base_model.config.num_hidden_layers))
    assert torch.equal(logits(copy), logits(model))
    assert copy.config.id2label == model.config.id2label


def test_chosen_layers_are_copied_from_the_teacher() -> None:
    model = bert()
    student = cut(model, StudentSection(layers=[3, 1]))
    assert student.config.num_hidden_layers == 2
    ours, theirs = (m.bert.encoder.layer for m in (student, model))
    for own, source in ((ours[0], theirs[3]), (ours[1], theirs[1])):
        for name, tensor in own.state_dict().items():
            assert torch.equal(tensor, source.state_dict()[name])
    # The teacher's layers, run in that order, give the student's logits.
    with torch.inference_mode():
        hidden = model.bert.embeddings(IDS[:1])
        for layer in (theirs[3], theirs[1]):
            out = layer(hidden)
            hidden = out[0] if isinstance(out, tuple) else out
        by_hand = model.classifier(model.bert.pooler(hidden))
    assert torch.allclose(by_hand[0], logits(student)[0], atol=1e-5)


def test_one_neuron_less_hardly_changes_the_logits() -> None:
    model = bert()
    section = resolve_student(StudentSection(layers=4, intermediate_size=63), model.config)
    student = shrink(model, section).eval()
    # Only the least important of 64 neurons is removed.
    assert student.bert.encoder.layer[0].intermediate.dense.weight.shape == (63, 32)
    assert (logits(student) - logits(model)).abs().max() < 0.05 * logits(model).abs().max()


@pytest.mark.parametrize("how", ["neurons", "svd"])
@pytest.mark.parametrize("kind", ["native", "pooled", "distilbert"])
def test_a_narrower_student_starts_from_parts_of_the_weights(how, kind, tiny_checkpoint) -> None:
    if kind == "distilbert":
        config = DistilBertConfig(dim=32, n_layers=2, n_heads=4, hidden_dim=64, **HEAD.config())
        model = DistilBertForSequenceClassification(config).eval()
    else:
        model = bert() if kind == "native" else pooled(tiny_checkpoint)
    section = resolve_student(StudentSection(hidden_size=16, layers=2, init=how), model.base_model.config)
    student = shrink(model, section).eval()
    assert student.base_model.config.hidden_size == 16
    table, wide = (m.get_input_embeddings().weight for m in (student, model))
    assert table.shape == (len(wide), 16)
    if how == "neurons":  # each column is a column of the teacher's table
        columns = {tuple(column[:50].tolist()) for column in wide.T}
        assert all(tuple(column[:50].tolist()) in columns for column in table.T)
    else:  # principal directions: no 16 columns have more variance
        assert table.pow(2).sum() >= wide.pow(2).sum(0).topk(16).values.sum() * (1 - 1e-4)
    assert torch.isfinite(logits(student)).all()
    again = shrink(model, section).eval()
    assert torch.equal(logits(again), logits(student)), "the student is deterministic"


def test_random_weights_follow_the_seed() -> None:
    model, section = bert(), StudentSection(layers=2, hidden_size=24, heads=3, init="random")
    section = resolve_student(section, model.config)
    outputs = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        outputs.append(logits(shrink(model, section).eval()))
    assert torch.equal(outputs[0], outputs[1]) and not torch.equal(outputs[0], outputs[2])


@pytest.mark.parametrize(
    ("section", "reason"),
    [
        ({"layers": [0, 7]}, "there is no layer 7, the teacher has 4"),
        ({"layers": 5}, "5 of the teacher's 4 layers"),
        ({"hidden_size": 64}, "64 is wider than the teacher's 32"),
        ({"hidden_size": 20}, "20 cannot be cut into heads of 8"),
        ({"hidden_size": 16, "heads": 3}, "16 cannot be cut into 3 heads"),
        ({"hidden_size": 16, "heads": 4}, "4 heads of 4 cannot start from heads of 8"),
        ({"intermediate_size": 65}, "65 is more than the teacher's 64"),
    ],
)
def test_impossible_shapes_are_refused(section, reason) -> None:
    with pytest.raises(RecipeError, match=reason):
        resolve_student(StudentSection(**section), BertConfig(**SIZE))


def test_an_unsupported_architecture_is_refused_only_for_narrower_students() -> None:
    config = ModernBertConfig(
        **SIZE, vocab_size=200, pad_token_id=0, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2,
        **HEAD.config(),
    )  # fmt: skip
    model = ModernBertForSequenceClassification(config).eval()
    ids = torch.tensor([[1, 5, 9, 2]])
    whole = shrink(model, resolve_student(StudentSection(layers=4), config)).eval()
    assert torch.allclose(whole(input_ids=ids).logits, model(input_ids=ids).logits, atol=1e-5)
    half = shrink(model, resolve_student(StudentSection(layers=[0, 3]), config)).eval()
    assert torch.isfinite(half(input_ids=ids).logits).all()
    with pytest.raises(ModelError, match="cannot be made narrower"):
        shrink(model, resolve_student(StudentSection(hidden_size=16), config))


def test_labels_are_reordered_by_name() -> None:
    model = bert()
    before = logits(model)
    reorder_labels(model, ("good", "bad"))
    assert torch.equal(logits(model), before[:, [1, 0]])
    assert model.config.id2label == {0: "good", 1: "bad"}
    assert model.config.label2id == {"good": 0, "bad": 1}


def test_captured_vectors_equal_transformers_hidden_states() -> None:
    model = bert()
    places = ["embeddings", "hidden:0", "hidden:3", "query", "key", "value"]
    with torch.inference_mode(), capturing(model, places) as captured:
        expected = model(input_ids=IDS, attention_mask=MASK, output_hidden_states=True).hidden_states
    assert torch.equal(captured["embeddings"], expected[0])
    assert torch.equal(captured["hidden:0"], expected[1])
    assert torch.equal(captured["hidden:3"], expected[4])
    last = find_layers(model).blocks[-1].attention.self
    with torch.inference_mode():
        for name in ("query", "key", "value"):
            assert torch.allclose(captured[name], getattr(last, name)(expected[3]), atol=1e-6)
    captured.clear()
    logits(model)
    assert not captured, "hooks are removed"


@pytest.mark.parametrize("architecture", SMALL)
def test_small_classifiers_do_not_depend_on_the_batch_or_loading(architecture, tmp_path) -> None:
    torch.manual_seed(0)
    table = torch.randn(30_000, 24)
    model = small_classifier(architecture, 8, 1, table, HEAD.config()).eval()
    together = logits(model)
    with torch.inference_mode():
        alone = model(input_ids=IDS[1:, :3], attention_mask=MASK[1:, :3]).logits
        wider = torch.nn.functional.pad(IDS, (0, 5)), torch.nn.functional.pad(MASK, (0, 5))
        padded = model(input_ids=wider[0], attention_mask=wider[1]).logits
    assert torch.allclose(together[1], alone[0], atol=1e-6)
    assert torch.allclose(together, padded, atol=1e-6)
    model.save_pretrained(tmp_path)
    again = load_classifier(tmp_path)
    assert type(again) is type(model)
    assert torch.equal(logits(again), together)


def test_small_classifiers_start_from_principal_directions() -> None:
    torch.manual_seed(0)
    table = torch.randn(500, 3) @ torch.randn(3, 24)  # of rank three
    model = small_classifier("cnn", 3, 1, table, HEAD.config())
    vectors = model.get_input_embeddings().weight.detach()
    distances = torch.cdist(vectors, vectors)
    expected = torch.cdist(table, table)
    ratio = (distances / expected)[~torch.eye(500, dtype=torch.bool)]
    assert ratio.std() / ratio.mean() < 1e-3, "distances between tokens are kept"
