"""Seeds are the same everywhere and for ever; noise depends on its name only."""

import torch

from runtime.seeds import derive_seed, generator, noise_for


def test_derived_seeds_are_pinned():
    # From SHA-256 of "int:0<US>str:train<US>int:5" and "int:1": the first 8 bytes, low first, halved.
    assert derive_seed(0, "train", 5) == 4237762242974636704
    assert derive_seed(1) == 4975126967219208026


def test_distinct_parts_give_distinct_seeds():
    parts = [(0,), (1,), ("0",), (0, 0), ("a", "b"), ("ab",), ("a",), (0, "a"), ("a", 0), (10, 1), (1, 0, 1)]
    seeds = [derive_seed(*part) for part in parts]
    assert len(set(seeds)) == len(parts)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert len({derive_seed(0, "train", p) for p in range(2000)}) == 2000


def test_noise_is_independent_of_what_was_drawn_before():
    expected = noise_for((4, 3, 3), 0, "sample", "ID_7", 2)
    torch.manual_seed(1)
    torch.randn(17)
    noise_for((4, 3, 3), 0, "sample", "ID_7", 1)
    assert torch.equal(noise_for((4, 3, 3), 0, "sample", "ID_7", 2), expected)
    assert expected.dtype == torch.float32 and expected.device.type == "cpu"


def test_noise_leaves_the_global_generator_alone():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    noise_for((8,), 1), generator(2)
    assert torch.equal(torch.get_rng_state(), before)


def test_noise_is_standard_normal_and_uncorrelated_between_samples():
    draws = torch.stack([noise_for((32, 16, 16), 0, "sample", "ID_1", k) for k in range(20)]).flatten(1)
    count = draws.numel()
    assert abs(float(draws.mean())) < 5 / count**0.5
    assert abs(float(draws.var()) - 1) < 5 * (2 / count) ** 0.5
    off_diagonal = torch.corrcoef(draws) - torch.eye(20)
    assert float(off_diagonal.abs().max()) < 5 / draws.shape[1] ** 0.5
