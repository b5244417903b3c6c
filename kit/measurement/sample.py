"""Sample of texts for speed measurements: random, with the length distribution of all texts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Text = tuple[str, ...]
_SEED = 48


def length_sample(texts: Sequence[Text], size: int) -> list[Text]:
    """Return a seeded random sample with the length distribution of all texts, in random order.

    The texts are sorted by length and cut into `size` parts of equal count; one text is drawn from each part. The
    sample does not depend on the order of the texts, so every command that measures a model draws the same one.

    Args:
        texts: Texts or pairs of texts.
        size: Number of texts to draw; all texts are returned if there are not more.
    """
    ordered = sorted(texts, key=lambda text: (characters(text), text))
    generator = np.random.default_rng(_SEED)
    if len(ordered) > size:
        places = (np.arange(size) + generator.random(size)) * len(ordered) / size
        ordered = [ordered[int(place)] for place in places]
    return [ordered[index] for index in generator.permutation(len(ordered))]


def repeated_sample(texts: Sequence[Text], size: int) -> list[Text]:
    """Return exactly `size` texts, see `length_sample`; they recur if there are fewer."""
    sample = length_sample(texts, size)
    return [sample[index % len(sample)] for index in range(size)]


def characters(text: Text) -> int:
    """Return the length of a text or a pair of texts in characters."""
    return sum(map(len, text))
