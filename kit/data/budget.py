"""Labelled budgets: draw the training examples of a run, and hold out validation examples.

All choices follow from one seeded order of all examples. A budget is a prefix of the order, so smaller budgets are
subsets of larger ones. Validation depends only on the order, so the same holds for validation.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from kit.errors import BudgetError, DataError

_GOLDEN_RATIO = (5**0.5 - 1) / 2  # its multiples modulo 1 are spread most evenly
_EPSILON = 1e-9  # rounding error: 10 * 0.1 must count as 1


def stratified_order(labels: Sequence[int] | np.ndarray, seed: int, balanced: bool = False) -> np.ndarray:
    """Return an order of all examples in which every prefix has nearly the class proportions of the whole.

    The order begins with one example per class, the largest class first. After that, member j of a class with m
    members is placed at (j + 1/2) / m of the way, and the seed breaks ties.

    Args:
        labels: (n,) class index of every example.
        seed: Seed of the order.
        balanced: Place member j of every class before member j + 1 of any class, so that a prefix has equally many
            examples of each class that has enough.

    Returns:
        (n,) positions in `labels`.
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
    *,
    covered: bool = True,
) -> np.ndarray:
    """Return a stratified sample of `size` examples; for one seed, smaller samples are subsets of larger ones.

    Args:
        labels: (n,) class index of every training example.
        size: Number of examples. None: all.
        seed: Seed of the order.
        targets: (n, labels) 0/1 if examples can have several labels, else None. The sample then begins with the first
            example of each label, because `labels` alone does not cover a label that is never the rarest of an example.
        balanced: As in `stratified_order`.
        covered: Every class must have an example. If False, classes are only strata.

    Returns:
        (size,) positions in `labels`, in an order that depends only on the seed.

    Raises:
        BudgetError: `size` is too small to cover every class, or above n.
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
    if covered and size < needed:
        raise BudgetError(
            f"budget {size} cannot cover {classes} classes",
            f"every class needs a labelled example: set data.budget to {needed} or more",
            key="data.budget",
        )
    if size > len(order):
        raise BudgetError(
            f"budget {size} is more than the {len(order)} available training examples",
            f"set data.budget to {len(order)} or less, or leave data.budget out to use all",
            key="data.budget",
        )
    return order[:size]


def hold_out(
    labels: Sequence[int] | np.ndarray, share: float, most: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Split a budget into training and validation examples, stratified by class.

    The first example of each class is always a training example. Whether an example is held out depends only on its
    class, its rank within the class, and the order in which classes first appear. So a training example of a budget is
    a training example in every larger budget, and likewise for validation.

    Args:
        labels: (n,) class index of the budget's examples, in budget order.
        share: Share of the budget to hold out: at least 0, below 1.
        most: Most examples to hold out, the first in budget order. None: no limit.

    Returns:
        Positions of the training examples, and of the validation examples.
    """
    classes = np.asarray(labels, np.int64)
    rank, _ = _ranks(classes)
    _, first, inverse = np.unique(classes, return_index=True, return_inverse=True)
    appearance = np.argsort(np.argsort(first))[inverse]
    # An example is held out whenever (rank + 1) * share + phase passes a whole number. Classes have different phases:
    # with equal phases, 77 classes of 5 examples would hold out none at 10 %, instead of 38.
    phase = ((appearance + 0.5) * _GOLDEN_RATIO) % 1
    due = np.floor((rank + 1) * share + phase + _EPSILON)
    before = np.floor(rank * share + phase + _EPSILON)
    before[rank == 1] = 0  # if the first member is due, which always trains, the second is held out instead
    held = np.flatnonzero((due > before) & (rank > 0))[:most]
    return np.setdiff1d(np.arange(len(classes)), held), held


def hold_out_sources(
    sources: Sequence[Hashable], share: float, most: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Split a budget of pairs without classes; all pairs of one source text stay together.

    The order in which source texts first appear decides, so a held-out source is held out in every larger budget.

    Args:
        sources: (n,) source text of each pair, in budget order.
        share: Share of the distinct sources to hold out: at least 0, below 1.
        most: Most sources to hold out. None: no limit.

    Returns:
        Positions of the training pairs, and of the validation pairs.
    """
    numbers: dict[Hashable, int] = {}
    source_numbers = np.asarray([numbers.setdefault(source, len(numbers)) for source in sources], np.int64)
    _, held = hold_out(np.zeros(len(numbers), np.int64), share, most)
    is_held = np.isin(source_numbers, held)
    return np.flatnonzero(~is_held), np.flatnonzero(is_held)


def split_off(labels: Sequence[int] | np.ndarray, size: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split examples into training and test examples, stratified by class; each class keeps a training example.

    Args:
        labels: (n,) class index; -1 for examples without a label, which are never test examples.
        size: Number of test examples, or a share below 1 of the labelled examples.
        seed: Seed of the split.

    Returns:
        Positions of the training and of the test examples, each in a stratified order.

    Raises:
        DataError: There are too few labelled examples.
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
            f"because {f'each of the {kinds} classes needs one' if kinds > 1 else 'one is needed'} to train on",
            f"set data.test_size to {most} or less" if most else "add rows, or give the test rows as data.test",
            key="data.test_size",
        )
    spare = order[kinds:]  # the order begins with one of each class: those are kept
    spare = spare[stratified_order(classes[spare], seed)]
    kept = np.concatenate([order[:kinds], spare[count:], np.flatnonzero(classes < 0)])
    return kept, spare[:count]


def primary_class(targets: np.ndarray) -> np.ndarray:
    """Return the rarest label of each example, by which examples with several labels are stratified.

    Args:
        targets: (n, labels) 0/1.

    Returns:
        (n,) label indices; the number of labels for an example without a label.
    """
    present = np.asarray(targets) > 0
    rarity = np.where(present, present.sum(0), len(present) + 1)
    primary: np.ndarray = np.where(present.any(1), rarity.argmin(1), present.shape[1])
    return primary.astype(np.int64)


def keep_covered(targets: np.ndarray, kept: np.ndarray, held: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Move examples from `held` to `kept` until `kept` has every label of both.

    Stratifying by the rarest label can hold out all examples of a label that is never the rarest.

    Args:
        targets: (n, labels) 0/1.
        kept: Positions of training examples.
        held: Positions of held-out examples.

    Returns:
        The new `kept` and `held`.
    """
    present = np.asarray(targets) > 0
    for label in np.flatnonzero(present[held].any(0) & ~present[kept].any(0)):
        if not present[kept, label].any():
            place = int(np.flatnonzero(present[held, label])[0])
            kept, held = np.append(kept, held[place]), np.delete(held, place)
    return kept, held


def _ranks(classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each example's rank within its class (from 0) and the class size."""
    _, inverse, counts = np.unique(classes, return_inverse=True, return_counts=True)
    grouped = np.argsort(inverse, kind="stable")
    starts = np.cumsum(counts) - counts
    rank = np.empty(len(classes), np.int64)
    rank[grouped] = np.arange(len(classes)) - np.repeat(starts, counts)
    return rank, counts[inverse]
