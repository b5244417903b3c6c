"""Languages on model cards."""

from __future__ import annotations

import pytest

from kit.publishing.languages import card_languages

ENGLISH = ["the film is good and the plot of it was for the best", "this is not what I was looking for"] * 3
FRENCH = [
    "le film est très bon et la fin du récit ne se fait pas attendre",
    "une histoire dans les rues de la ville",
] * 3


@pytest.mark.parametrize(
    ("texts", "of_data", "of_checkpoint", "languages"),
    [
        (["这家酒店非常好"], (), ("en",), ("zh",)),
        (["このホテルは最高です"], (), ("en",), ("ja",)),
        (["โรงแรมนี้ดีมาก"], (), (), ("th",)),
        (["Отель отличный"], (), ("en",), ()),  # several languages use this script
        (["Отель отличный"], (), ("multilingual", "en", "ru"), ("ru",)),
        (["Отель отличный"], (), ("en", "ru", "uk"), ()),
        (["Отель отличный"], ("uk",), ("en",), ("uk",)),
        (["这家酒店非常好"], ("en",), ("en",), ("zh",)),
        (["这家酒店非常好"], ("zh-CN",), ("en",), ("zh-CN",)),
        (ENGLISH, (), ("en",), ("en",)),
        (ENGLISH, (), ("en", "de", "fr"), ()),
        (FRENCH, (), ("en",), ()),
        (FRENCH, ("fr",), ("en",), ("fr",)),
        (["good 👍"], (), ("en",), ("en",)),
        (["12 345", "👍"], (), ("en",), ()),
        ([], (), ("en",), ()),
    ],
)
def test_card_languages_follow_the_training_texts(texts, of_data, of_checkpoint, languages) -> None:
    assert card_languages(texts, of_data, of_checkpoint) == languages
