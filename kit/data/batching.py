"""Batches of texts of near-equal length: little padding, in a random order.

A batch costs as much as if each text had the length of its longest one. Sorting a few dozen batches of shuffled
examples by length removes nearly all padding, and shuffling the batches keeps the order random.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.utils.data import BatchSampler, Dataset, Sampler

from kit.data.encode import IGNORED, Encoded
from kit.data.padding import pad_id_of, padded

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Collate = Callable[[Sequence[int]], dict[str, torch.Tensor]]

_POOL_BATCHES = 64  # batches sorted together; measured on Rotten Tomatoes: 2 % padding, 6 % with 16 batches
_MIN_PASS_EXAMPLES = 16  # contrastive losses compare the examples of a pass with each other


class EncodedDataset(Dataset[int]):
    """Positions into encoded texts with targets; `collate` turns a batch of positions into tensors.

    Args:
        encoded: Token ids of n texts.
        targets: (n,) int64 class indices or (n, labels) float32; None for texts without labels.
        pad_id: Token id that fills short rows.
        left: Pad on the left.
    """

    def __init__(self, encoded: Encoded, targets: np.ndarray | None, pad_id: int, left: bool = False) -> None:
        self.encoded = encoded
        self.targets = targets
        self.pad_id = pad_id
        self.left = left

    @classmethod
    def for_tokenizer(
        cls, encoded: Encoded, tokenizer: PreTrainedTokenizerBase, targets: np.ndarray | None = None
    ) -> EncodedDataset:
        """Create a dataset that pads with the token and on the side of the tokenizer."""
        return cls(encoded, targets, pad_id_of(tokenizer), left=tokenizer.padding_side == "left")

    def __len__(self) -> int:
        return len(self.encoded)

    def __getitem__(self, index: int) -> int:
        return index

    @property
    def sizes(self) -> np.ndarray:
        """(n,) tokens in each text."""
        return self.encoded.lengths

    def collate(self, indices: Sequence[int]) -> dict[str, torch.Tensor]:
        """Return the arrays of a batch as tensors."""
        return {name: torch.from_numpy(array) for name, array in self.arrays(indices).items()}

    def arrays(self, indices: Sequence[int]) -> dict[str, np.ndarray]:
        """Return the arrays of `padded`, and labels if any."""
        batch = padded(self.encoded, indices, self.pad_id, left=self.left)
        if self.targets is not None:
            batch["labels"] = np.ascontiguousarray(self.targets[list(indices)])
        return batch


class PairDataset(Dataset[int]):
    """Positions into encoded sources and translations; `collate` turns a batch of positions into tensors.

    Args:
        sources: Token ids of the source texts.
        targets: Token ids of the translations.
        pad_ids: Token ids that fill short rows of sources and of translations.
        shift: Turns labels (batch, longest) into decoder inputs of the same shape.
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
        """(n,) sort keys: tokens of the translation, then of the source, so that neighbours match on both sides."""
        sources, targets = self.sources.encoded.lengths, self.targets.encoded.lengths
        return np.asarray(targets * (int(sources.max(initial=0)) + 1) + sources)

    def collate(self, indices: Sequence[int]) -> dict[str, torch.Tensor]:
        """Return input_ids, attention_mask, labels (IGNORED where a row is short) and decoder_input_ids."""
        source, target = self.sources.collate(indices), self.targets.collate(indices)
        labels = target["input_ids"].masked_fill(target["attention_mask"] == 0, IGNORED)
        return {
            "input_ids": source["input_ids"],
            "attention_mask": source["attention_mask"],
            "decoder_input_ids": self.shift(labels),
            "labels": labels,
        }


class PlacedPairDataset(PairDataset):
    """Pairs whose labels are positions in the flat token array of all translations, instead of token ids."""

    def collate(self, indices: Sequence[int]) -> dict[str, torch.Tensor]:
        """Return the tensors of `PairDataset`, with positions in `targets.encoded.input_ids` as labels."""
        batch = super().collate(indices)
        labels = batch["labels"]
        starts = torch.from_numpy(self.targets.encoded.offsets[list(indices)])
        places = starts[:, None] + torch.arange(labels.shape[1])
        return {**batch, "labels": places.masked_fill(labels == IGNORED, IGNORED)}


class LengthSampler(Sampler[int]):
    """Positions in an order whose consecutive runs of `batch_size` have near-equal length.

    The order depends only on the seed and the epoch, so every process and every restart gets the same order.

    Args:
        lengths: (n,) tokens per text, or any other sort key.
        batch_size: Examples per training step, however the step is divided.
        seed: Seed of the order.
    """

    def __init__(self, lengths: np.ndarray, batch_size: int, seed: int = 0) -> None:
        self.lengths = np.asarray(lengths)
        self.run = batch_size
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.lengths)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, which changes the order. The training loop calls this before every epoch."""
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
        # Only the last run can be short. It stays last: in the middle, it would shift the borders of later batches.
        short = [runs.pop()] if runs and len(runs[-1]) < self.run else []
        random.shuffle(runs)
        yield from (int(i) for run in runs + short for i in run)


class SharedBatches(BatchSampler):
    """Share of every batch that one process computes.

    The batch of a step is cut into passes, and each pass is divided among the processes. If the numbers do not divide
    the batch evenly, the sizes of passes and shares differ by one example. In a pass with fewer examples than
    processes, the idle processes get a filler: position p of another example as ~p, see `without_fillers`.

    Args:
        order: Positions in an order that is the same for all processes.
        accumulation: Passes per step.
        processes: Number of processes.
        index: Rank of this process.
    """

    def __init__(self, order: LengthSampler, accumulation: int, processes: int, index: int) -> None:
        self.passes = [len(part) for part in np.array_split(np.arange(order.run), accumulation) if len(part)]
        super().__init__(order, math.ceil(self.passes[0] / processes), drop_last=False)
        self.step, self.processes, self.index = order.run, processes, index

    def __len__(self) -> int:
        steps, rest = divmod(len(self.sampler), self.step)  # type: ignore[arg-type]
        nonempty = np.cumsum([0, *self.passes[:-1]]) < rest  # passes of the short last step
        return steps * len(self.passes) + int(nonempty.sum())

    def __iter__(self) -> Iterator[list[int]]:
        positions = list(self.sampler)
        for start in range(0, len(positions), self.step):
            rest = positions[start : start + self.step]
            for size in self.passes:
                batch, rest = rest[:size], rest[size:]
                if not batch:
                    break
                batch += [~batch[0]] * (self.processes - len(batch))
                yield batch[self.index :: self.processes]  # a stride, because neighbours have near-equal length


def without_fillers(collate: Collate) -> Collate:
    """Return a collate function that accepts fillers (position p as ~p), whose targets are all IGNORED.

    Every process must compute in every pass, because processes wait for each other. Losses leave IGNORED targets out,
    and transformers' Trainer does not count them.
    """

    def collated(indices: Sequence[int]) -> dict[str, torch.Tensor]:
        if indices[0] >= 0:
            return collate(indices)
        batch = collate([~index for index in indices])
        return {**batch, "labels": torch.full_like(batch["labels"], IGNORED)}

    return collated


def passes_of(batch: dict[str, torch.Tensor], tokens: int) -> int:
    """Return the number of equal parts of a batch with about `tokens` padded tokens and at least 16 examples each.

    Args:
        batch: Tensors (n, length), and labels. Labels of integers with two axes count as tokens as well.
        tokens: Padded tokens per part.
    """
    count, width = batch["input_ids"].shape
    labels = batch.get("labels")
    if labels is not None and labels.ndim == 2 and not labels.is_floating_point():
        width += labels.shape[1]
    return max(1, min(-(-count * width // tokens), count // _MIN_PASS_EXAMPLES))


def split_batch(batch: dict[str, torch.Tensor], parts: int) -> list[dict[str, torch.Tensor]]:
    """Split a batch into equal parts, in order."""
    pieces = {name: tensor.tensor_split(parts) for name, tensor in batch.items()}
    return [{name: pieces[name][part] for name in pieces} for part in range(parts)]
