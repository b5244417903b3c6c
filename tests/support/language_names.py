"""A data set with many classes: lists of countries, and the language that each list is in, from CLDR."""

from __future__ import annotations

import csv
from pathlib import Path
from random import Random

from babel import Locale
from babel.lists import format_list

LANGUAGES = """
    af ar az be bg bn bs ca cs cy da de el en eo es et eu fa fi fr ga gl gu he hi hr hu hy id is it ja ka kk km kn ko
    ky lo lt lv mk ml mn mr ms my nb ne nl pa pl ps pt ro ru si sk sl so sq sr sv sw ta te th tk tr uk ur uz vi yo zh zu
""".split()  # noqa: SIM905
COPIES = 7  # test texts that are training texts in other letters
_SIZES = {"train": 40, "test": 10}  # texts per language


def write_language_names(folder: Path) -> Path:
    """Write train.csv and test.csv with the columns text and category, and return the folder."""
    random = Random(0)
    locales = [Locale.parse(code) for code in LANGUAGES]
    countries = sorted(code for code in Locale.parse("en").territories if len(code) == 2 and code.isalpha())
    rows = {
        name: [
            (format_list([locale.territories[code] for code in random.sample(countries, 3)], locale=locale), label)
            for label, locale in zip(LANGUAGES, locales, strict=True)
            for _ in range(size)
        ]
        for name, size in _SIZES.items()
    }
    english = [(text.upper(), label) for text, label in rows["train"] if label == "en"]
    rows["test"] += english[:COPIES]
    for name, part in rows.items():
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows([("text", "category"), *part])
    return folder
