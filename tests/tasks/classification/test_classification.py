"""Classification: outputs of several models, and of models with the labels in another order."""

import numpy as np

from kit.tasks.classification.task import Classification

ONE = Classification("classification", ("a", "b", "c"), False, False, "accuracy")
SEVERAL = Classification("classification", ("a", "b", "c"), True, False, "macro_f1")
FIRST, SECOND = np.array([[2.0, 0.0, -1.0]]), np.array([[-1.0, 3.0, 0.5]])


def test_probabilities_of_several_models_are_averaged() -> None:
    probabilities = [np.exp(logits) / np.exp(logits).sum() for logits in (FIRST, SECOND)]
    assert np.allclose(np.exp(ONE.average([FIRST, SECOND])), np.mean(probabilities, axis=0), atol=1e-6)
    probabilities = [1 / (1 + np.exp(-logits)) for logits in (FIRST, SECOND)]
    several = SEVERAL.average([FIRST, SECOND])
    assert np.allclose(1 / (1 + np.exp(-several)), np.mean(probabilities, axis=0))
    assert np.allclose(ONE.average([FIRST]), FIRST)


def test_logits_are_aligned_by_the_names_of_labels() -> None:
    assert ONE.align(FIRST, ("c", "a", "b")).tolist() == [[0.0, -1.0, 2.0]]
