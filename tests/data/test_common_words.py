"""Languages of the first article of the Universal Declaration of Human Rights, detected by common words."""

from __future__ import annotations

from itertools import permutations

import pytest

from kit.data.common_words import reads_like
from kit.data.translation_checks import look_swapped, looks_like

TEXTS = {
    "en": "All human beings are born free and equal in dignity and rights. They are endowed with reason and conscience "
    "and should act towards one another in a spirit of brotherhood.",
    "de": "Alle Menschen sind frei und gleich an Würde und Rechten geboren. Sie sind mit Vernunft und Gewissen begabt "
    "und sollen einander im Geist der Brüderlichkeit begegnen.",
    "fr": "Tous les êtres humains naissent libres et égaux en dignité et en droits. Ils sont doués de raison et de "
    "conscience et doivent agir les uns envers les autres dans un esprit de fraternité.",
    "es": "Todos los seres humanos nacen libres e iguales en dignidad y derechos y, dotados como están de razón y "
    "conciencia, deben comportarse fraternalmente los unos con los otros.",
    "it": "Tutti gli esseri umani nascono liberi ed eguali in dignità e diritti. Essi sono dotati di ragione e di "
    "coscienza e devono agire gli uni verso gli altri in spirito di fratellanza.",
    "pt": "Todos os seres humanos nascem livres e iguais em dignidade e em direitos. Dotados de razão e de "
    "consciência, devem agir uns para com os outros em espírito de fraternidade.",
    "nl": "Alle mensen worden vrij en gelijk in waardigheid en rechten geboren. Zij zijn begiftigd met verstand en "
    "geweten, en behoren zich jegens elkander in een geest van broederschap te gedragen.",
    "sv": "Alla människor är födda fria och lika i värde och rättigheter. De är utrustade med förnuft och samvete och "
    "bör handla gentemot varandra i en anda av broderskap.",
    "da": "Alle mennesker er født frie og lige i værdighed og rettigheder. De er udstyret med fornuft og samvittighed, "
    "og de bør handle mod hverandre i en broderskabets ånd.",
    "pl": "Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw. Są oni obdarzeni rozumem i "
    "sumieniem i powinni postępować wobec innych w duchu braterstwa.",
    "fi": "Kaikki ihmiset syntyvät vapaina ja tasavertaisina arvoltaan ja oikeuksiltaan. Heille on annettu järki ja "
    "omatunto, ja heidän on toimittava toisiaan kohtaan veljeyden hengessä.",
}


@pytest.mark.parametrize("pair", permutations(TEXTS, 2), ids="-".join)
def test_swapped_sides_are_detected_by_common_words(pair) -> None:
    first, second = ([TEXTS[language]] * 3 for language in pair)
    assert look_swapped(second, first, pair)
    assert not look_swapped(first, second, pair)


def test_language_is_undecided_without_evidence() -> None:
    few, english = ["A dog and the cat."], [TEXTS["en"]] * 3
    assert reads_like(few, "en", "de") is None
    assert reads_like(english, "en", "xx") is None and reads_like(english, "xx", "en") is None
    assert reads_like(english + [TEXTS["de"]] * 3, "en", "de") is None, "as many words of both languages"
    assert not look_swapped(english, english, ("de", "en")), "the same language on both sides"
    assert not look_swapped(english, [TEXTS["fr"]] * 3, ("de", "en"))


def test_swapped_sides_are_detected_by_scripts_for_all_codes() -> None:
    chinese, english = ["他昨天去了学校"], ["He went to school yesterday"]
    assert look_swapped(chinese, english, ("eng_Latn", "zho_Hans")) and look_swapped(chinese, english, ("en", "zh"))
    assert not look_swapped(english, chinese, ("eng_Latn", "zho_Hans"))
    serbian = ["Ovo je tekst na srpskom jeziku koji se piše latinicom"]
    assert not looks_like(serbian, "en", "sr"), "Serbian has two scripts"


def test_regions_in_language_codes_are_ignored() -> None:
    assert look_swapped([TEXTS["de"]] * 3, [TEXTS["en"]] * 3, ("en_XX", "de_DE"))
    assert look_swapped([TEXTS["de"]] * 3, [TEXTS["en"]] * 3, ("EN", "de-AT"))
