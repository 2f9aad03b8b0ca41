"""The order of the data depends on seed and position alone, and ranks share it without overlap."""

import pytest
import torch

from configs.schema import FitConfig
from training.batches import BatchStream
from training.claim import run_length


def stream(num_samples=23, batch_size=4, num_batches=12, seed=5, rank=0, world_size=1) -> BatchStream:
    return BatchStream(
        lambda chosen: {"index": chosen}, num_samples, batch_size, num_batches, seed, rank, world_size
    )


def batches(source: BatchStream) -> list[list[int]]:
    return [batch["index"].tolist() for batch in source]


def test_a_batch_depends_on_seed_and_position_only():
    expected = batches(stream())
    assert len(expected) == len(stream()) == 12
    backwards = stream()
    assert [backwards.indices(p).tolist() for p in reversed(range(12))] == expected[::-1]
    assert batches(stream(seed=6)) != expected
    assert [batch["position"] for batch in stream()] == list(range(12))


def test_every_sample_comes_once_a_pass_and_passes_differ():
    whole = batches(stream(num_samples=24))
    first, second = (sum(whole[p : p + 6], []) for p in (0, 6))
    assert sorted(first) == sorted(second) == list(range(24))
    assert first != second
    partial = sum(batches(stream(num_samples=23))[:5], [])
    assert len(set(partial)) == 20  # 23 samples make five batches of four; three wait for another pass


@pytest.mark.parametrize("world_size", [2, 3])
@pytest.mark.parametrize("num_samples", [24, 25, 5])
def test_ranks_partition_the_global_batch(world_size, num_samples):
    ranks = [batches(stream(num_samples, 4, rank=r, world_size=world_size)) for r in range(world_size)]
    joined = [sum(parts, []) for parts in zip(*ranks)]
    assert joined == batches(stream(num_samples, 4 * world_size))


def test_a_resumed_stream_is_the_uninterrupted_one():
    expected, source = batches(stream()), stream()
    for taken, batch in enumerate(source, start=1):
        assert batch["index"].tolist() == expected[taken - 1]
        if taken == 7:
            break
    state = source.state_dict()
    resumed = stream()
    resumed.load_state_dict(state)
    assert batches(resumed) == expected[7:]
    longer = stream(num_batches=15)
    longer.load_state_dict(state)
    assert batches(longer)[:5] == expected[7:] and len(batches(stream(num_batches=15))) == 15


def test_fewer_samples_than_a_batch_are_repeated():
    for batch in batches(stream(num_samples=3, batch_size=8)):
        assert len(batch) == 8
        assert min(batch.count(i) for i in range(3)) == 2 and max(batch.count(i) for i in range(3)) == 3
    assert batches(stream(num_samples=1, batch_size=2, num_batches=2)) == [[0, 0], [0, 0]]


@pytest.mark.parametrize(
    ("num_samples", "settings", "expected"),
    [
        (100, {}, (30, 10)),
        (105, {}, (30, 10)),
        (100, {"num_nodes": 2}, (15, 5)),
        (100, {"devices": "2"}, (15, 5)),
        (100, {"accumulate": 4}, (6, 2)),
        (3, {}, (3, 1)),
        (100, {"max_steps": 7}, (7, 10)),
    ],
)
def test_run_length_counts_optimizer_steps(num_samples, settings, expected):
    config = FitConfig(batch_size=10, max_epochs=3, accelerator="cpu", **settings)
    assert run_length(config, num_samples) == expected


def test_indices_are_int64():
    assert stream().indices(0).dtype == torch.int64
