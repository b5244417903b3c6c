"""Identity of teachers: the hash that ids of distilled runs depend on."""

from __future__ import annotations

from kit.distillation.teacher import TranslationSettings, _text_to_hash
from kit.models.translation.languages import Route


def test_text_of_a_teachers_hash_stays_the_same() -> None:
    settings = TranslationSettings(Route(("en", "de"), "to German: "), 4, 1.0, 128)
    route = "Route(codes=('en', 'de'), prefix='to German: ')"
    assert _text_to_hash(settings) == f"Asked(route={route}, beams=4, length_penalty=1.0, max_length=128)"
    assert _text_to_hash(None) == "None"
