"""Batches of near-equal length: little padding, and still a random order.

Padding is computed like any token, so a batch costs its longest text. Sorting a few dozen batches' worth
of shuffled examples by length removes nearly all of it, and shuffling the batches keeps the order random.

Knows lengths and token arrays. Knows nothing of models or tasks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch.utils.data import BatchSampler, Dataset, Sampler

from kit.data.encode import IGNORED, Encoded

Collate = Callable[[Sequence[int]], dict[str, torch.Tensor]]

_POOL_BATCHES = 64  # batches sorted together; measured on Rotten Tomatoes: 2 % padding, 16 leave 6 %

_LEAST_TOGETHER = 16  # examples in one pass of training, whatever they weigh


class EncodedDataset(Dataset[int]):
    """Positions into encoded texts with targets; `collate` turns a batch of positions into tensors.

    targets: (n,) int64 class indices or (n, labels) float32; None for texts without labels.
    pad_id: token id that fills short rows. left: pad on the left.
    """

    def __init__(self, encoded: Encoded, targets: np.ndarray | None, pad_id: int, left: bool = False) -> None:
        self.encoded = encoded
        self.targets = targets
        self.pad_id = pad_id
        self.left = left

    def __len__(self) -> int:
        return len(self.encoded)

    def __getitem__(self, index: int) -> int:
        return index

    @property
    def sizes(self) -> np.ndarray:
        """(n,) tokens in each text."""
        return self.encoded.lengths

    def collate(self, indices: Sequence[int]) -> dict[str, torch.Tensor]:
        """The same as tensors."""
        return {name: torch.from_numpy(array) for name, array in self.arrays(indices).items()}

    def arrays(self, indices: Sequence[int]) -> dict[str, np.ndarray]:
        """(batch, longest) for the model: input_ids, attention_mask, token_type_ids if any, labels if any."""
        encoded = self.encoded
        starts, stops = encoded.offsets[list(indices)], encoded.offsets[np.asarray(indices) + 1]
        width = int((stops - starts).max())
        ids = np.full((len(indices), width), self.pad_id, np.int64)
        mask = np.zeros_like(ids)
        types = None if encoded.token_types is None else np.zeros_like(ids)
        for row, (start, stop) in enumerate(zip(starts, stops, strict=True)):
            place = slice(width - (stop - start), width) if self.left else slice(0, stop - start)
            ids[row, place] = encoded.input_ids[start:stop]
            mask[row, place] = 1
            if types is not None and encoded.token_types is not None:
                types[row, place] = encoded.token_types[start:stop]
        batch = {"input_ids": ids, "attention_mask": mask}
        if types is not None:
            batch["token_type_ids"] = types
        if self.targets is not None:
            batch["labels"] = np.ascontiguousarray(self.targets[list(indices)])
        return batch


class PairDataset(Dataset[int]):
    """Positions into encoded sources and translations; `collate` turns a batch of positions into tensors.

    pad_ids: that fill short rows, of sources and of translations. shift: gives the tokens that the decoder sees
    for those that it is to write.
    """

    def __init__(
        self,
        sources: Encoded,
        targets: Encoded,
        pad_ids: tuple[int, int],
        shift: Callable[[torch.Tensor], torch.Tensor],
    ) -> None:
        self.sources = EncodedDataset(sources, None, pad_ids[0])
        self.targets = EncodedDataset(targets, None, pad_ids[1])
        self.shift = shift

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, index: int) -> int:
        return index

    @property
    def sizes(self) -> np.ndarray:
        """(n,) tokens of the translation first, then of the source: neighbours are alike on both sides."""
        sources, targets = self.sources.encoded.lengths, self.targets.encoded.lengths
        return np.asarray(targets * (int(sources.max(initial=0)) + 1) + sources)

    def collate(self, indices: Sequence[int]) -> dict[str, torch.Tensor]:
        """input_ids, attention_mask; labels (batch, longest), IGNORED where a row is short; decoder_input_ids alike."""
        source, target = self.sources.collate(indices), self.targets.collate(indices)
        labels = target["input_ids"].masked_fill(target["attention_mask"] == 0, IGNORED)
        return {
            "input_ids": source["input_ids"],
            "attention_mask": source["attention_mask"],
            "decoder_input_ids": self.shift(labels),
            "labels": labels,
        }


class PlacedPairDataset(PairDataset):
    """The same pairs, of which `collate` names the tokens to write by their places among those of all translations."""

    def collate(self, indices: Sequence[int]) -> dict[str, torch.Tensor]:
        """As of `PairDataset`, but labels (batch, longest) are places in `targets.encoded.input_ids`."""
        batch = super().collate(indices)
        labels = batch["labels"]
        starts = torch.from_numpy(self.targets.encoded.offsets[list(indices)])
        places = starts[:, None] + torch.arange(labels.shape[1])
        return {**batch, "labels": places.masked_fill(labels == IGNORED, IGNORED)}


class LengthSampler(Sampler[int]):
    """Positions in an order whose consecutive runs of `batch_size` have near-equal length.

    lengths: (n,) tokens in each text. batch_size: examples in one step of training, however it is divided. The order
    depends on the seed and the epoch alone, so every process and every restart sees the same one.
    """

    def __init__(self, lengths: np.ndarray, batch_size: int, seed: int = 0) -> None:
        self.lengths = np.asarray(lengths)
        self.run = batch_size
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.lengths)

    def set_epoch(self, epoch: int) -> None:
        """Called by the training loop before each pass, so that each has its own order."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        random = np.random.default_rng((self.seed, self.epoch))
        shuffled = random.permutation(len(self.lengths))
        pool = self.run * _POOL_BATCHES
        runs: list[np.ndarray] = []
        for start in range(0, len(shuffled), pool):
            part = shuffled[start : start + pool]
            part = part[np.argsort(self.lengths[part], kind="stable")]
            runs += [part[i : i + self.run] for i in range(0, len(part), self.run)]
        # Only the last run can be short. It stays last: a short one in the middle would shift the others' borders.
        short = [runs.pop()] if runs and len(runs[-1]) < self.run else []
        random.shuffle(runs)
        yield from (int(i) for run in runs + short for i in run)


class SharedBatches(BatchSampler):
    """One process's share of every pass: a step's batch is cut into passes, and each is divided among the processes.

    order: positions, the same for all processes. accumulation: passes in a step. A batch that these numbers do not
    divide is the same examples all the same: passes, and shares of one, differ by an example. In a pass with fewer
    examples than there are processes, those without one get that of another as `without_fillers` takes it.
    """

    def __init__(self, order: LengthSampler, accumulation: int, processes: int, index: int) -> None:
        self.passes = [len(part) for part in np.array_split(np.arange(order.run), accumulation) if len(part)]
        super().__init__(order, math.ceil(self.passes[0] / processes), drop_last=False)
        self.step, self.processes, self.index = order.run, processes, index

    def __len__(self) -> int:
        steps, rest = divmod(len(self.sampler), self.step)  # type: ignore[arg-type]
        begun = np.cumsum([0, *self.passes[:-1]]) < rest  # passes that the last and short step has examples for
        return steps * len(self.passes) + int(begun.sum())

    def __iter__(self) -> Iterator[list[int]]:
        positions = list(self.sampler)
        for start in range(0, len(positions), self.step):
            rest = positions[start : start + self.step]
            for size in self.passes:
                batch, rest = rest[:size], rest[size:]
                if not batch:
                    break
                batch += [~batch[0]] * (self.processes - len(batch))
                yield batch[self.index :: self.processes]  # neighbours are of near-equal length: so are the shares


def without_fillers(collate: Collate) -> Collate:
    """The same batches, in which an example that only keeps a process busy (a place p as ~p) has no target.

    All processes compute at each pass, or those that do would wait for the others; a loss leaves IGNORED targets out,
    and transformers' Trainer does not count them.
    """

    def collated(indices: Sequence[int]) -> dict[str, torch.Tensor]:
        if indices[0] >= 0:
            return collate(indices)
        batch = collate([~index for index in indices])
        return {**batch, "labels": torch.full_like(batch["labels"], IGNORED)}

    return collated


def passes_of(batch: dict[str, torch.Tensor], tokens: int) -> int:
    """How many equal parts a batch has of about `tokens` padded tokens, each with 16 examples or more.

    batch: tensors (n, length) and labels, which are tokens too where they have two axes and are integers. Parts of
    fewer examples would make short work of a loss that compares the examples of a batch with each other.
    """
    count, width = batch["input_ids"].shape
    labels = batch.get("labels")
    if labels is not None and labels.ndim == 2 and not labels.is_floating_point():
        width += labels.shape[1]
    return max(1, min(-(-count * width // tokens), count // _LEAST_TOGETHER))


def split_batch(batch: dict[str, torch.Tensor], parts: int) -> list[dict[str, torch.Tensor]]:
    """The examples of a batch in equal parts, in order."""
    pieces = {name: tensor.tensor_split(parts) for name, tensor in batch.items()}
    return [{name: pieces[name][part] for name in pieces} for part in range(parts)]


def sorted_batches(lengths: np.ndarray, tokens: int, most: int = 512) -> list[np.ndarray]:
    """Positions in batches of near-equal length for prediction, each at most `tokens` padded tokens.

    Longest first, so that running out of memory shows at once.
    """
    order = np.argsort(-np.asarray(lengths), kind="stable")
    batches: list[np.ndarray] = []
    start = 0
    while start < len(order):
        size = max(1, min(most, tokens // max(1, int(lengths[order[start]]))))
        batches.append(order[start : start + size])
        start += size
    return batches
