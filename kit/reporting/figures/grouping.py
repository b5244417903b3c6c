"""Groups of series that share a panel, so that a figure of many series stays readable."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kit.reporting.names import BESIDE, LEGEND, short_names
from kit.runtime.characters import plain

if TYPE_CHECKING:
    from kit.analysis.findings import Series

MAX_LINES = 8  # in one panel, the number of colours
_CONTROLS = ("scratch", "tfidf", "student")
_KINDS = ("Controls", "Pretrained", "Students", "Compressed")


@dataclass(frozen=True)
class Group:
    """Series in one panel.

    Attributes:
        title: Title of the panel; empty if it is the only one.
        members: The series by their labels in the panel.
        labels: Labels of all panels that use the same colours.
    """

    title: str
    members: dict[str, Series]
    labels: tuple[str, ...]


def kind_of(series: Series) -> str:
    """Return the kind of a series: control, pretrained, student, or compressed."""
    if series.steps:
        return "Compressed"
    if series.source:
        return "Students"
    return "Controls" if series.method in _CONTROLS else "Pretrained"


def variant_of(series: Series) -> str:
    """Return the variant of a series; its method in studies without variants."""
    return plain(series.variant or series.method)


def checkpoint_of(series: Series) -> str:
    """Return the short name of a checkpoint, as the name of its series has it."""
    name, variant = plain(series.name), variant_of(series)
    return name.removeprefix(f"{variant} ") if name.startswith(f"{variant} ") else plain(series.checkpoint or name)


def grouped(series: Sequence[Series]) -> list[Group]:
    """Return one group of few series; otherwise groups by kind, large ones divided.

    A large kind is divided into its variants, whose lines are checkpoints, or, with one checkpoint, into equal parts.
    """
    if len(series) <= MAX_LINES:
        return [_group("", series)]
    groups: list[Group] = []
    for kind in _KINDS:
        members = [one for one in series if kind_of(one) == kind]
        if len(members) > MAX_LINES and len({one.checkpoint for one in series if one.checkpoint}) > 1:
            groups += _by_variant(kind, members, series)
        elif members:
            parts = _parts(members)
            numbers = [f" ({index + 1} of {len(parts)})" if len(parts) > 1 else "" for index in range(len(parts))]
            groups += [_group(f"{kind}{number}", part) for number, part in zip(numbers, parts, strict=True)]
    return groups


def by_kind(series: Iterable[Series]) -> list[Series]:
    """Return series in the order of their kinds."""
    return sorted(series, key=lambda one: _KINDS.index(kind_of(one)))


def _by_variant(kind: str, members: Sequence[Series], series: Sequence[Series]) -> list[Group]:
    short = short_names((checkpoint_of(one) for one in series), BESIDE)
    labels = dict.fromkeys(short[checkpoint_of(one)] for one in series if one.checkpoint)
    variants = list(dict.fromkeys(variant_of(one) for one in members))
    titles = short_names(variants, LEGEND)
    return [
        Group(
            f"{kind}: {titles[variant]}",
            {short[checkpoint_of(one)]: one for one in members if variant_of(one) == variant},
            tuple(labels),
        )
        for variant in variants
    ]


def _parts(members: Sequence[Series]) -> list[Sequence[Series]]:
    count = -(-len(members) // MAX_LINES)
    size = -(-len(members) // count)
    return [members[start : start + size] for start in range(0, len(members), size)]


def _group(title: str, members: Sequence[Series]) -> Group:
    short = short_names((plain(one.name) for one in members), LEGEND)
    return Group(title, {short[plain(one.name)]: one for one in members}, tuple(short.values()))
