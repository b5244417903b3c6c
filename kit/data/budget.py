"""Labelled budgets: which training examples a run may look at, and which of those it keeps to select on.

One seeded order of all examples decides everything: a budget is a prefix of it, so smaller budgets are parts of
larger ones, and validation depends on the order alone, so the same holds for it.

Knows class indices and seeds. Knows nothing of texts, label names, models or files.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from kit.errors import BudgetError, DataError

_GOLDEN = (5**0.5 - 1) / 2  # multiples of it, modulo 1, are as evenly spread as can be
_EPSILON = 1e-9  # 10 * 0.1 must count as 1


def stratified_order(labels: Sequence[int] | np.ndarray, seed: int, balanced: bool = False) -> np.ndarray:
    """One order of all examples in which every prefix has nearly the proportions of the whole.

    labels: (n,) class index of every example. The first examples are one of each class, the largest class first; after
    that the j-th of a class with m members comes at (j + 1/2) / m of the way, and the seed breaks ties. balanced: the
    j-th of every class comes before the next of any, so that a prefix has equally many of each class that has them.
    Returns (n,) positions in `labels`.
    """
    classes = np.asarray(labels, np.int64)
    shuffled = np.random.default_rng(seed).permutation(len(classes))
    rank, size = _ranks(classes[shuffled])
    return shuffled[np.lexsort((rank if balanced else (rank + 0.5) / size, rank > 0))]


def nested_budget(
    labels: Sequence[int] | np.ndarray,
    size: int | None,
    seed: int,
    targets: np.ndarray | None = None,
    balanced: bool = False,
) -> np.ndarray:
    """Positions of a stratified sample of `size` examples; for one seed, smaller samples are parts of larger ones.

    labels: (n,) class index of every training example. size: None for all of them. targets: where examples have several
    labels, (n, labels) 0/1: the first example of each label then comes first, since `labels` alone would not cover
    a label that is never an example's rarest. balanced: as in `stratified_order`.
    Returns (size,) positions in `labels`, in a fixed order for a given seed. Raises BudgetError if `size` is too small
    to cover every class, or above n.
    """
    order = stratified_order(labels, seed, balanced)
    needed = classes = len(np.unique(np.asarray(labels)))
    if targets is not None:
        present = targets[order] > 0
        first = np.unique(present.argmax(0)[present.any(0)])
        order = np.concatenate([order[first], np.delete(order, first)])
        needed, classes = len(first), int(present.any(0).sum())
    if size is None:
        return order
    if size < needed:
        raise BudgetError(
            f"budget {size} cannot cover {classes} classes",
            f"every class needs a labelled example: set data.budget to {needed} or more",
            key="data.budget",
        )
    if size > len(order):
        raise BudgetError(
            f"budget {size} is more than the {len(order)} training examples there are",
            f"set data.budget to {len(order)} or less, or leave it out to use all",
            key="data.budget",
        )
    return order[:size]


def hold_out(
    labels: Sequence[int] | np.ndarray, share: float, most: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Split a budget into training and validation positions; about `share` of it is validation.

    labels: (n,) class index of the budget's examples, in budget order. share: 0 or more, below 1. most: examples to
    hold out at the most, the first ones in budget order; None for no limit.
    Stratified; the first example of each class always trains. Whether an example is held out depends only on which
    class it is of, the how-manieth of that class it is, and the order in which classes appear: so training and
    validation examples of a budget stay what they are in any larger one.
    """
    classes = np.asarray(labels, np.int64)
    rank, _ = _ranks(classes)
    _, first, inverse = np.unique(classes, return_index=True, return_inverse=True)
    appearance = np.argsort(np.argsort(first))[inverse]
    # Each class passes a whole number every 1 / share members. The classes start at different phases: were
    # they in step, 77 classes of 5 would hold out none at 10 %, where 38 are due.
    phase = ((appearance + 0.5) * _GOLDEN) % 1
    due = np.floor((rank + 1) * share + phase + _EPSILON)
    before = np.floor(rank * share + phase + _EPSILON)
    before[rank == 1] = 0  # what was due at the first member, which always trains, falls to the second
    held = np.flatnonzero((due > before) & (rank > 0))[:most]
    return np.setdiff1d(np.arange(len(classes)), held), held


def hold_out_sources(
    sources: Sequence[Hashable], share: float, most: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """As `hold_out`, of pairs without classes: all pairs of a source train, or all of them validate.

    sources: (n,) in budget order. most: sources to hold out at the most. The order in which sources first appear
    decides, so a source that validates in a budget does so in any larger one.
    """
    number: dict[Hashable, int] = {}
    of = np.asarray([number.setdefault(source, len(number)) for source in sources], np.int64)
    _, held = hold_out(np.zeros(len(number), np.int64), share, most)
    validates = np.isin(of, held)
    return np.flatnonzero(~validates), np.flatnonzero(validates)


def split_off(labels: Sequence[int] | np.ndarray, size: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split examples into those to keep and those to test on, stratified, each in a stratified order.

    labels: (n,) class index, -1 for examples without a label, which are kept. size: a share below 1 or a count.
    At least one example of each class is kept. Returns two arrays of positions. Raises DataError if there are too few.
    """
    classes = np.asarray(labels, np.int64)
    labelled = np.flatnonzero(classes >= 0)
    order = labelled[stratified_order(classes[labelled], seed)]
    count = int(size) if size >= 1 else max(1, round(size * len(labelled)))
    kinds = len(np.unique(classes[labelled]))
    most = len(labelled) - kinds
    if count > most:
        raise DataError(
            f"{count} of {len(labelled)} labelled rows cannot be split off, "
            f"because {f'each of the {kinds} classes needs one' if kinds > 1 else 'one has to stay'} to train on",
            f"set data.test_size to {most} or less" if most else "add rows, or give the test rows as data.test",
            key="data.test_size",
        )
    spare = order[kinds:]  # the order begins with one of each class: those are kept
    spare = spare[stratified_order(classes[spare], seed)]
    kept = np.concatenate([order[:kinds], spare[count:], np.flatnonzero(classes < 0)])
    return kept, spare[:count]


def primary_class(targets: np.ndarray) -> np.ndarray:
    """The rarest label of each example, by which examples with several labels are stratified.

    targets: (n, labels) 0/1. Returns (n,) label indices; the number of labels stands for an example that has none.
    """
    present = np.asarray(targets) > 0
    rarity = np.where(present, present.sum(0), len(present) + 1)
    primary: np.ndarray = np.where(present.any(1), rarity.argmin(1), present.shape[1])
    return primary.astype(np.int64)


def keep_covered(targets: np.ndarray, kept: np.ndarray, held: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Move examples from `held` to `kept` until `kept` has every label that either has.

    Stratifying by the rarest label can hold out all examples of a label that is never the rarest.
    targets: (n, labels) 0/1. kept, held: positions in it.
    """
    present = np.asarray(targets) > 0
    for label in np.flatnonzero(present[held].any(0) & ~present[kept].any(0)):
        if not present[kept, label].any():
            place = int(np.flatnonzero(present[held, label])[0])
            kept, held = np.append(kept, held[place]), np.delete(held, place)
    return kept, held


def _ranks(classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each example, the how-manieth of its class it is (from 0), and how many its class has."""
    _, inverse, counts = np.unique(classes, return_inverse=True, return_counts=True)
    grouped = np.argsort(inverse, kind="stable")
    starts = np.cumsum(counts) - counts
    rank = np.empty(len(classes), np.int64)
    rank[grouped] = np.arange(len(classes)) - np.repeat(starts, counts)
    return rank, counts[inverse]
