"""Padding, order and division of batches."""

import math

import numpy as np
import pytest
import torch

from kit.data.batching import EncodedDataset, LengthSampler, SharedBatches, passes_of, split_batch, without_fillers
from kit.data.encode import IGNORED, Encoded
from kit.data.padding import sorted_batches

LENGTHS = np.random.default_rng(0).integers(3, 60, 997)


def encoded(lengths) -> Encoded:
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    ids = np.arange(1, offsets[-1] + 1, dtype=np.int32)
    return Encoded(ids, None, offsets, np.zeros(len(lengths), bool))


def padding(order, lengths, size) -> float:
    batches = [lengths[order[i : i + size]] for i in range(0, len(order), size)]
    computed = sum(len(batch) * batch.max() for batch in batches)
    return 1 - lengths.sum() / computed


def test_each_epoch_has_all_examples_in_a_different_order() -> None:
    sampler = LengthSampler(LENGTHS, 16)
    first = list(sampler)
    sampler.set_epoch(1)
    second = list(sampler)
    assert sorted(first) == sorted(second) == list(range(997))
    assert first != second
    assert list(LengthSampler(LENGTHS, 16)) == first


def test_batches_have_near_equal_length_and_random_order() -> None:
    order = np.array(list(LengthSampler(LENGTHS, 16)))
    assert padding(order, LENGTHS, 16) < 0.03
    assert padding(np.arange(997), LENGTHS, 16) > 0.4
    means = [LENGTHS[order[i : i + 16]].mean() for i in range(0, 992, 16)]
    assert abs(np.corrcoef(means, range(len(means)))[0, 1]) < 0.5


def test_collate_pads_to_the_longest_text_and_masks_padding() -> None:
    dataset = EncodedDataset(encoded([2, 4]), np.array([1, 0]), pad_id=99)
    batch = dataset.collate([0, 1])
    assert batch["input_ids"].tolist() == [[1, 2, 99, 99], [3, 4, 5, 6]]
    assert batch["attention_mask"].tolist() == [[1, 1, 0, 0], [1, 1, 1, 1]]
    assert batch["labels"].tolist() == [1, 0]
    left = EncodedDataset(encoded([2, 4]), None, pad_id=99, left=True).collate([0, 1])
    assert left["input_ids"].tolist()[0] == [99, 99, 1, 2]
    assert "labels" not in left


def test_sorted_batches_have_all_texts_within_the_token_limit() -> None:
    batches = sorted_batches(LENGTHS, tokens=256)
    assert sorted(np.concatenate(batches).tolist()) == list(range(997))
    assert all(len(b) * LENGTHS[b].max() <= 256 for b in batches)
    assert [len(b) for b in sorted_batches(np.array([500, 500]), tokens=256)] == [1, 1]
    assert sorted_batches(np.array([], int), tokens=256) == []


def test_large_batch_is_split_into_equal_parts_in_order() -> None:
    dataset = EncodedDataset(encoded([40] * 50), np.arange(50), pad_id=0)
    batch = dataset.collate(range(50))
    parts = split_batch(batch, passes_of(batch, tokens=800))  # 20 examples
    assert [len(part["labels"]) for part in parts] == [17, 17, 16]
    for name, tensor in batch.items():
        assert np.array_equal(np.concatenate([part[name] for part in parts]), tensor)
    assert [len(part["labels"]) for part in split_batch(batch, passes_of(batch, tokens=2000))] == [50]
    parts = split_batch(batch, passes_of(batch, tokens=40))
    assert [len(part["labels"]) for part in parts] == [17, 17, 16], "at least 16 examples per part"
    assert passes_of(dataset.collate(range(17)), tokens=40) == 1


def test_processes_share_every_batch_even_a_short_one() -> None:
    order = LengthSampler(LENGTHS, 32)  # 997 examples: the last of 32 batches has 5
    shares = [list(SharedBatches(order, 1, 4, index)) for index in range(4)]
    assert [len(share) for share in shares] == [len(SharedBatches(order, 1, 4, 0))] * 4 == [32] * 4
    batches = [[place for share in shares for place in share[number]] for number in range(32)]
    expected = list(order)
    assert [sorted(batch) for batch in batches] == [sorted(expected[i : i + 32]) for i in range(0, 997, 32)]
    assert [len(share[-1]) for share in shares] == [2, 1, 1, 1]
    short = LengthSampler(LENGTHS[:33], 32)
    last = list(short)[-1]
    assert [list(SharedBatches(short, 1, 4, index))[-1] for index in range(4)] == [[last], [~last], [~last], [~last]]


@pytest.mark.parametrize("processes", [1, 2, 3, 5, 20])
@pytest.mark.parametrize("accumulation", [1, 2, 3])
@pytest.mark.parametrize("count", [997, 960, 10, 3])
def test_step_has_the_same_examples_for_any_division(processes, accumulation, count) -> None:
    order = LengthSampler(LENGTHS[:count], 16)
    shares = [list(SharedBatches(order, accumulation, processes, index)) for index in range(processes)]
    assert {len(share) for share in shares} == {len(SharedBatches(order, accumulation, processes, 0))}
    passes = [[place for share in parts for place in share] for parts in zip(*shares, strict=True)]
    assert max(len(share) for parts in shares for share in parts) <= math.ceil(math.ceil(16 / accumulation) / processes)
    expected = list(order)
    for number, start in enumerate(range(0, count, 16)):
        parts = passes[number * accumulation : (number + 1) * accumulation]
        step = [place for part in parts for place in part]
        examples = expected[start : start + 16]
        assert sorted(place for place in step if place >= 0) == sorted(examples)
    # A filler is the only example of its share.
    assert all(len(share) == 1 for parts in shares for share in parts if share[0] < 0)


@pytest.mark.parametrize("targets", [np.arange(997), np.ones((997, 2), np.float32)])
def test_filler_has_no_target(targets) -> None:
    dataset = EncodedDataset(encoded(LENGTHS), targets, pad_id=0)
    collate = without_fillers(dataset.collate)
    usual, filler = collate([3, 5]), collate([~3])
    assert torch.equal(usual["labels"], dataset.collate([3, 5])["labels"])
    assert torch.equal(filler["input_ids"], dataset.collate([3])["input_ids"])
    assert filler["labels"].eq(IGNORED).all() and filler["labels"].dtype == usual["labels"].dtype
