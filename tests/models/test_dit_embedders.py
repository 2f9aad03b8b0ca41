"""Places, times and labels against their formulas, and the null class's rules."""

import math

import pytest
import torch
from fake_gpu import fake_gpu

from models.embedders import LabelEmbedder, PatchEmbed, TimestepEmbedder, sincos_position_table


def test_position_table_holds_column_then_row():
    table = sincos_position_table(side=5, dim=16)
    assert table.shape == (1, 25, 16) and table.dtype == torch.float32
    row, column = 3, 2
    frequencies = [10_000 ** (-i / 4) for i in range(4)]
    expected = [f(place * w) for place in (column, row) for f in (math.sin, math.cos) for w in frequencies]
    torch.testing.assert_close(table[0, row * 5 + column], torch.tensor(expected), rtol=0, atol=1e-6)


def test_time_features_are_cosines_then_sines():
    t = torch.tensor([0.0, 0.7], dtype=torch.float64)
    features = TimestepEmbedder(8).features(t)
    angles = [0.7 * 10_000 ** (-i / 128) for i in range(128)]
    expected = torch.tensor([math.cos(a) for a in angles] + [math.sin(a) for a in angles])
    torch.testing.assert_close(features[1], expected, rtol=0, atol=1e-6)
    assert features[0].tolist() == [1.0] * 128 + [0.0] * 128


def test_patches_come_row_by_row():
    embed = PatchEmbed(patch_size=2, in_channels=1, dim=4)
    with torch.no_grad():
        embed.proj.weight.copy_(torch.eye(4).view(4, 1, 2, 2))
        embed.proj.bias.zero_()
    tokens = embed(torch.arange(16.0).view(1, 1, 4, 4))
    assert tokens[0].tolist() == [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]


def dropped(embedder, labels, **kwargs):
    """Which labels were embedded as the null class."""
    return (embedder(labels, **kwargs) == embedder.embedding_table.weight[embedder.null_class]).all(1)


def test_training_drops_labels_at_the_stated_rate():
    torch.manual_seed(0)
    embedder = LabelEmbedder(3, 4, dropout=0.25)
    labels = torch.zeros(20_000, dtype=torch.int64)
    share = dropped(embedder, labels).double().mean().item()
    assert abs(share - 0.25) < 4 * math.sqrt(0.25 * 0.75 / 20_000)
    torch.manual_seed(1)
    first = dropped(embedder, labels)
    torch.manual_seed(1)
    assert torch.equal(dropped(embedder, labels), first)
    assert not dropped(embedder.eval(), labels).any()


def test_a_given_mask_rules_in_either_mode_and_draws_nothing():
    embedder = LabelEmbedder(3, 4, dropout=0.99)
    labels, mask = torch.tensor([0, 1, 2]), torch.tensor([False, True, False])
    state = torch.get_rng_state()
    assert torch.equal(dropped(embedder, labels, drop=mask), mask)
    assert torch.equal(dropped(embedder.eval(), labels, drop=mask), mask)
    assert torch.equal(torch.get_rng_state(), state)
    assert labels.tolist() == [0, 1, 2]


def test_null_class_is_the_last_row():
    embedder = LabelEmbedder(31, 4, dropout=0.1)
    assert (embedder.null_class, embedder.embedding_table.num_embeddings) == (31, 32)
    assert LabelEmbedder(31, 4, dropout=0.0).embedding_table.num_embeddings == 31


# Two people in two conditions: all of label 0 to 5, person and condition from 0, -1 for none.
PAIRS = ((0, -1), (0, 0), (0, 1), (1, -1), (1, 0), (1, 1))


def test_a_person_in_a_condition_is_the_sum_of_two_rows():
    embedder = LabelEmbedder(6, 4, 0.1, PAIRS).eval()
    people, conditions = embedder.embedding_table.weight, embedder.condition_table.weight
    assert (len(people), len(conditions), embedder.null_class) == (3, 3, 6)
    vectors = embedder(torch.arange(7))
    for label, (person, condition) in enumerate([*PAIRS, (-1, -1)]):
        assert torch.equal(vectors[label], people[person] + conditions[condition])


def test_person_and_condition_are_dropped_each_on_their_own():
    embedder = LabelEmbedder(6, 4, 0.1, PAIRS)
    labels, drop = torch.tensor([5, 5, 5, 5]), torch.tensor([[0, 0], [1, 0], [0, 1], [1, 1]]).bool()
    people, conditions = embedder.embedding_table.weight, embedder.condition_table.weight
    expected = torch.stack(
        [
            people[1] + conditions[1],
            people[2] + conditions[1],
            people[1] + conditions[2],
            people[2] + conditions[2],
        ]
    )
    assert torch.equal(embedder(labels, drop), expected)
    assert torch.equal(embedder(labels, drop[:, 0]), expected[[0, 3, 0, 3]])
    torch.manual_seed(0)
    many = embedder(torch.full((20_000,), 5))
    for row in range(4):
        share = (many == expected[row]).all(1).double().mean().item()
        wanted = (0.81, 0.09, 0.09, 0.01)[row]
        assert abs(share - wanted) < 4 * math.sqrt(wanted * (1 - wanted) / 20_000)


@pytest.mark.parametrize(
    ("dropout", "pairs"), [(0.0, PAIRS), (0.1, PAIRS[:5]), (0.1, ((0, 0, 0),) * 6), (0.1, ((0, -2),) * 6)]
)
def test_combinations_that_fit_no_labels_are_refused(dropout, pairs):
    with pytest.raises(ValueError, match="combinations"):
        LabelEmbedder(6, 4, dropout, pairs)


def test_the_table_of_conditions_is_moved_to_a_device_once():
    """On a GPU that FakeTensorMode only pretends to have."""
    with fake_gpu() as copies:
        embedder = LabelEmbedder(3, 8, 0.1, [[0, 0], [0, 1], [1, 0]])
        for table in (embedder.embedding_table, embedder.condition_table):
            table.weight = torch.nn.Parameter(torch.empty(table.weight.shape, device="cuda"))
        labels = torch.zeros(4, dtype=torch.int64, device="cuda")
        counts = []
        for _ in range(3):
            before = copies.count
            assert embedder.eval()(labels).device.type == "cuda"
            counts.append(copies.count - before)
    assert counts[0] > 0 and counts[1:] == [0, 0]
